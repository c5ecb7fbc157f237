"""Time per step of the fused device from few qubits to many, at small batches.

    python benchmarks/qubits.py [N_QUBITS ...]

Prints processor milliseconds on one thread, forward and backward, medians of interleaved runs, and
writes them to docs/benchmarks/qubits.json:
- a call of one step, and each further step in it, of one sequence and of 16. A block of 16
  sequences is not timed where it does not fit into the cache by far.
- from 16 qubits on, a step without the controller, on the fused device and on lightning.qubit with
  its adjoint derivative, in single precision. Gradients must agree to 1e-4.
"""

import os

os.environ["OMP_NUM_THREADS"] = os.environ["NUMBA_NUM_THREADS"] = "1"

import json
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from unittest import mock

import numpy as np
import pennylane as qml
import torch
from environment import environment
from peak import kernel_flops, peak_flops
from pennylane.devices import ExecutionConfig
from pennylane.tape import QuantumScript
from systems import N_FEATURES

from qrnn import QRNN
from qrnn.memory.kernels.cpu import kernels

SECONDS, REPEATS = 1.0, 5
OUT = Path("docs/benchmarks/qubits.json")


def sequence(n: int, batch: int, steps: int, spread: bool) -> Callable[[], None]:
    """Return a forward and backward pass, with the layout of the state set."""
    torch.manual_seed(0)
    rnn, x = QRNN(N_FEATURES, n), torch.randn(steps, batch, N_FEATURES)

    def run() -> None:
        with mock.patch.object(kernels, "spread_pays", return_value=spread):
            rnn(x)[0].sum().backward()

    return run


def single_steps(n: int) -> dict[str, Callable[[], np.ndarray]]:
    """Return one step without controller on both devices: each returns the angles' gradient."""
    cell = QRNN(N_FEATURES, n).cell
    draw = np.random.default_rng(0)
    theta = torch.tensor(draw.normal(size=cell.circuit.n_angles), dtype=torch.float32)
    weights = draw.normal(size=cell.n_readouts).astype(np.float32)
    start = cell.start(1, theta[None]).carried
    given = (theta - cell.quantum.bias.detach())[None].requires_grad_()
    device = qml.device("lightning.qubit", wires=n, c_dtype=np.complex64)
    tape = QuantumScript(cell.circuit.operations(theta), cell.circuit.expvals())
    [tape], _ = qml.transforms.convert_to_numpy_parameters(tape)
    tape.trainable_params = [*range(tape.num_params)]
    config = ExecutionConfig(gradient_method="adjoint", use_device_gradient=True)

    def fused() -> np.ndarray:
        z, _ = cell.memory.step(start, given)
        return torch.autograd.grad(z[0] @ torch.tensor(weights), given)[0][0].numpy()

    def lightning() -> np.ndarray:
        _, found = device.execute_and_compute_vjp(tape, tuple(weights), config)
        return np.array(found)

    return {"fused": fused, "lightning": lightning}


def medians(runs: dict[str, Callable]) -> dict[str, float]:
    """Return the median processor milliseconds of each run, in turns."""
    spent: dict[str, list[float]] = {name: [] for name in runs}
    for run in runs.values():
        run()
    begun = time.process_time()
    while len(next(iter(spent.values()))) < REPEATS or time.process_time() - begun < SECONDS:
        for name, run in runs.items():
            start = time.process_time()
            run()
            spent[name].append(1e3 * (time.process_time() - start))
    return {name: statistics.median(values) for name, values in spent.items()}


def measure(n: int, peak: float) -> dict[str, float]:
    """Return all times for n qubits, in ms, and the share of the peak that a step reaches."""
    more = 41 if n < 16 else 9 if n < 20 else 3
    runs = {"call": sequence(n, 1, 1, n > 4), "more": sequence(n, 1, more, n > 4)}
    if n <= 16:
        runs |= {"call16": sequence(n, 16, 1, False), "more16": sequence(n, 16, more, False)}
    found = medians(runs)
    times = {"n": n, "call": found["call"], "step": (found["more"] - found["call"]) / (more - 1)}
    if n <= 16:
        times["step of 16"] = (found["more16"] - found["call16"]) / (more - 1)
        times["step of 16, share of peak"] = 16e3 * kernel_flops(n) / times["step of 16"] / peak
    times["step, share of peak"] = 1e3 * kernel_flops(n) / times["step"] / peak
    if n >= 16:
        steps = single_steps(n)
        expected, gradient = steps["lightning"](), steps["fused"]()
        difference = abs(gradient - expected).max() / abs(expected).max()
        if difference > 1e-4:
            sys.exit(f"n = {n}: gradients differ by {difference:.1e}, nothing was timed")
        times |= {f"{name}, no controller": value for name, value in medians(steps).items()}
    return times


def main() -> None:
    """Time each size, and print and write the results."""
    torch.set_num_threads(1)
    peak, rows = peak_flops(), []
    print(f"peak: {1e-9 * peak:.0f} GFLOP/s")
    for n in [int(n) for n in sys.argv[1:]] or range(8, 23, 2):
        rows.append(measure(n, peak))
        print("  ".join(f"{name}: {value:.3g}" for name, value in rows[-1].items()), flush=True)
    result = {**environment(), "peak": peak, "milliseconds": rows}
    OUT.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
