"""Compare the IBM device with pennylane-qiskit's `qiskit.remote` on a fake backend, closed loop.

    pip install 'pennylane-qrnn[ibm,qiskit-plugin]'
    python benchmarks/ibm_jobs.py [--sequences 32] [--steps 16] [--shots 1024] [--peer 1]

`qiskit.remote` runs one circuit at a time and takes the same time for each sequence, so only
`--peer` sequences are run and the numbers scaled. QPU seconds follow IBM's quick formula for
the jobs submitted. Writes docs/benchmarks/ibm_jobs.json.
"""

import argparse
import json
import math
import time
import warnings
from pathlib import Path

import pennylane as qml
import torch
from environment import environment
from qiskit_aer.backends.aerbackend import AerBackend
from qiskit_ibm_runtime import EstimatorV2
from qiskit_ibm_runtime.fake_provider import FakeManilaV2
from rich.console import Console
from rich.table import Table

from qrnn import QRNN
from qrnn.devices.ibm import limits
from qrnn.devices.ibm.sampling import FakeSampler
from qrnn.utils.files import write_text

OUT = Path("docs/benchmarks/ibm_jobs.json")
N_QUBITS, N_FEATURES = 4, 8


class Meter:
    """Counts jobs, their executions, and the seconds spent in the simulator.

    An Estimator's job counts like a Sampler's, with the number of shots that its precision needs.
    """

    def __init__(self) -> None:
        self.jobs = self.executions = 0
        self.simulator = 0.0
        sample, estimate = FakeSampler.run, EstimatorV2.run

        def counted_sample(sampler, pubs, *, shots=None):
            self.jobs += 1
            for _, values, per_row in pubs:
                self.executions += per_row * (1 if values is None else len(values))
            return sample(sampler, pubs, shots=shots)

        def counted_estimate(estimator, pubs, *, precision=None):
            self.jobs += 1
            default = estimator.options.default_shots
            self.executions += len(pubs) * (default or math.ceil(1 / precision**2))
            return estimate(estimator, pubs, precision=precision)

        def timed(simulate):
            def run(*arguments, **keywords):
                start = time.perf_counter()
                try:
                    return simulate(*arguments, **keywords)
                finally:
                    self.simulator += time.perf_counter() - start

            return run

        FakeSampler.run, EstimatorV2.run = counted_sample, counted_estimate
        FakeSampler._run = timed(FakeSampler._run)
        AerBackend._execute_circuits_job = timed(AerBackend._execute_circuits_job)

    def lap(self) -> dict:
        """Return the counts since the last lap."""
        seconds = limits.JOB_SECONDS * self.jobs + 0.00035 * self.executions
        out = {
            "jobs": self.jobs,
            "executions": self.executions,
            "simulator_seconds": self.simulator,
            "qpu_seconds": seconds,
        }
        self.jobs = self.executions = 0
        self.simulator = 0.0
        return out


def ours(rnn: QRNN, x: torch.Tensor, shots: int) -> torch.Tensor:
    """Return z (B, T, R) on fake_manila, with one job per step."""
    with torch.no_grad():
        return rnn.on("fake_manila", shots=shots, seed=1)(x)[0]


def peer(rnn: QRNN, x: torch.Tensor, shots: int) -> torch.Tensor:
    """Return z (B, T, R) on qiskit.remote, with the same circuits and controller."""
    cell = rnn.cell
    device = qml.device("qiskit.remote", wires=N_QUBITS, backend=FakeManilaV2())
    node = qml.set_shots(qml.QNode(cell.circuit.replay, device, diff_method=None), shots=shots)
    out = []
    with torch.no_grad():
        for sequence in x:
            z, theta = cell.circuit.start_readout(), []
            steps = []
            for row in sequence:
                controls = cell.controller(torch.cat([row, z])[None])[0]
                theta.append(cell.quantum.bias + controls)
                z = torch.tensor([float(v) for v in node(torch.stack(theta))])
                steps.append(z)
            out.append(torch.stack(steps))
    return torch.stack(out)


def main() -> None:
    """Run both, save the results and print them."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    for name, default in (("sequences", 32), ("steps", 16), ("shots", 1024), ("peer", 1)):
        parser.add_argument(f"--{name}", type=int, default=default)
    given = parser.parse_args()
    warnings.simplefilter("ignore")
    torch.manual_seed(0)
    rnn = QRNN(N_FEATURES, N_QUBITS, batch_first=True).eval()
    x = torch.rand(given.sequences, given.steps, N_FEATURES)
    meter = Meter()
    ours(rnn, x[:1, :1], given.shots), peer(rnn, x[:1, :1], given.shots)  # imports, caches

    results = {}
    for name, run, part in (("qrnn.ibm", ours, x), ("qiskit.remote", peer, x[: given.peer])):
        meter.lap()
        start = time.perf_counter()
        z = run(rnn, part, given.shots)
        seconds = time.perf_counter() - start
        with torch.no_grad():
            rms = (z - rnn(part)[0]).square().mean().sqrt().item()
        scale = len(x) / len(part)
        lap = {key: value * scale for key, value in meter.lap().items()}
        results[name] = {"seconds": seconds * scale, "measured": len(part), "rms_z": rms, **lap}

    write_text(OUT, json.dumps({**vars(given), **environment(), "results": results}, indent=1))
    a, b = results.values()
    table = Table(
        title=f"{given.sequences} sequences, {given.steps} steps, {given.shots} shots, closed loop"
    )
    for heading in ("", *results, "ratio"):
        table.add_column(heading, justify="right" if heading else "left")
    for key, label, form in (
        ("seconds", "wall-clock time, s", ".1f"),
        ("simulator_seconds", "of which simulation, s", ".1f"),
        ("jobs", "jobs", ",.0f"),
        ("executions", "executions", ",.0f"),
        ("qpu_seconds", "QPU seconds (IBM's formula)", ",.0f"),
        ("rms_z", "RMS error of z", ".3f"),
    ):
        table.add_row(label, f"{a[key]:{form}}", f"{b[key]:{form}}", f"{b[key] / a[key]:.1f}")
    Console().print(table)
    print(f"qiskit.remote ran {given.peer} of {given.sequences} sequences; its numbers are scaled.")


if __name__ == "__main__":
    main()
