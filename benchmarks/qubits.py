"""Time per step of the fused device from few qubits to many, at small batches.

    python benchmarks/qubits.py [N_QUBITS ...]

Prints, for one sequence and for 16, the processor milliseconds of one step, forward and backward,
on one thread.
"""

import sys
import time

import torch
from systems import N_FEATURES

from qrnn import QRNN

BATCHES = (1, 16)
SECONDS = 1.0


def step_time(n: int, batch: int) -> float:
    """Return the processor seconds per step, forward and backward: the least of several runs."""
    torch.manual_seed(0)
    rnn = QRNN(N_FEATURES, n)
    steps = 4 if n < 18 else 1
    x = torch.randn(steps, batch, N_FEATURES)
    best, spent = float("inf"), 0.0
    rnn(x)[0].sum().backward()
    while spent < SECONDS or best == float("inf"):
        start = time.process_time()
        rnn(x)[0].sum().backward()
        best = min(best, time.process_time() - start)
        spent += time.process_time() - start
    return best / steps


def main() -> None:
    """Time each size and print a table."""
    torch.set_num_threads(1)
    print("n  " + "".join(f"{f'B = {batch}':>12}" for batch in BATCHES) + "  (ms a step)")
    for n in [int(n) for n in sys.argv[1:]] or range(8, 23, 2):
        times = [f"{1e3 * step_time(n, batch):12.3f}" for batch in BATCHES]
        print(f"{n:<3}" + "".join(times), flush=True)


if __name__ == "__main__":
    main()
