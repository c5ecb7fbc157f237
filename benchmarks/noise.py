"""Noise on the fused device, exact and by trajectories, against default.mixed and no noise.

    python benchmarks/noise.py [ROUNDS]

On one thread, interleaved; prints the median processor time per sequence in milliseconds, of a
forward pass and of a training step (forward and backward), and writes docs/benchmarks/noise.json.
default.mixed runs one sequence of the batch; its readouts must agree with ours.
"""

import json
import os
import sys
import time
from pathlib import Path
from statistics import median

os.environ["OMP_NUM_THREADS"] = os.environ["NUMBA_NUM_THREADS"] = "1"

import torch

from qrnn import QRNN
from qrnn.utils.files import write_text

OUT = Path(__file__).resolve().parent.parent / "docs" / "benchmarks" / "noise.json"
STEPS, FEATURES, NOISE = 8, 8, {"noise": "depolarizing", "strength": 0.002}
# Qubits, sequences, trajectories, and repeats in a round.
CASES = [(4, 32, 8, 10), (6, 32, 8, 10), (6, 256, 8, 10), (8, 32, 8, 10)]
LARGE = [(14, 8, 100, 1), (16, 8, 100, 1)]  # no density matrices


def forward(model: QRNN, x: torch.Tensor) -> None:
    """Run a batch."""
    with torch.no_grad():
        model(x)


def train(model: QRNN, x: torch.Tensor) -> None:
    """Run a batch, and the backward pass of a loss."""
    model.zero_grad()
    model(x)[0].square().sum().backward()


def measure(n: int, batch: int, count: int, repeats: int, rounds: int) -> dict[str, float]:
    """Return the median milliseconds per sequence of each system and pass."""
    torch.manual_seed(0)
    pure = QRNN(FEATURES, n)
    x = torch.rand(STEPS, batch, FEATURES)
    systems = {
        f"{count} trajectories": (pure.on("fused", **NOISE, trajectories=count, seed=0), x),
        "fused": (pure, x),
    }
    if (n, batch, count, repeats) in CASES:
        noisy, mixed = pure.on("fused", **NOISE), pure.on("default.mixed", **NOISE)
        with torch.no_grad():
            torch.testing.assert_close(noisy(x)[0][:, :1], mixed(x[:, :1])[0], rtol=0, atol=1e-5)
        systems |= {"fused with noise": (noisy, x), "default.mixed": (mixed, x[:, :1])}
    found: dict[str, list[float]] = {}
    for _ in range(rounds):
        for name, (model, given) in systems.items():
            for run in (forward, train):
                for _ in range(1 if name == "default.mixed" else repeats):
                    start = time.process_time()
                    run(model, given)
                    spent = time.process_time() - start
                    found.setdefault(f"{name}, {run.__name__}", []).append(spent)
    return {
        key: 1e3 * median(values) / systems[key.partition(",")[0]][1].shape[1]
        for key, values in found.items()
    }


def main() -> None:
    """Measure all cases."""
    torch.set_num_threads(1)
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 3
    rows = []
    for n, batch, count, repeats in CASES + LARGE:
        times = measure(n, batch, count, repeats, rounds)
        rows.append(
            {
                "n": n,
                "batch": batch,
                "steps": STEPS,
                "trajectories": count,
                "milliseconds": times,
            }
        )
        print(f"n = {n}, B = {batch}, T = {STEPS}")
        for key, value in times.items():
            print(f"  {key:26} {value:9.3f} ms a sequence")
    write_text(
        OUT,
        json.dumps({"noise": NOISE, "torch": torch.__version__, "cases": rows}, indent=1) + "\n",
    )


if __name__ == "__main__":
    main()
