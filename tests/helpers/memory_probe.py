"""Print the peak memory of one forward and backward pass; run as a fresh process a case.

    python -m helpers.memory_probe DEVICE STEPS [stepwise] [keep]

`stepwise` calls the cell at each step, as own controllers need it. `keep` plants the fault that the
measurement must show: every step's amplitudes are held.
"""

import sys

import torch

from qrnn import QRNN
from qrnn.memory.snapshot import Snapshot

B, N = 64, 10


def peak():
    """Return this process's own peak resident memory in bytes.

    Not getrusage's ru_maxrss: Linux hands the parent's peak on to a process that it starts.
    """
    with open("/proc/self/status") as status:
        line = next(line for line in status if line.startswith("VmHWM"))
    return int(line.split()[1]) * 1024


def run(rnn, steps):
    x = torch.randn(steps, B, 1)
    z, _ = rnn(x)
    z.square().mean().backward()


if __name__ == "__main__":
    device, steps = sys.argv[1], int(sys.argv[2])
    if "keep" in sys.argv:
        Snapshot.follow = lambda self, undo: setattr(self, "follower", undo)
        Snapshot.release = lambda self: None
    torch.manual_seed(0)
    rnn = QRNN(1, N, layers=1, readout="Z", controller="linear", depth=0, device=device)
    if "stepwise" in sys.argv:
        rnn.cell.register_forward_hook(lambda *_: None)
    run(rnn, 2)  # kernels, libraries and scratch memory
    run(rnn, steps)
    print(peak())
