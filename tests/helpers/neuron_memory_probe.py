"""Print by how much a longer run's peak memory exceeds a short one's, and its full states' size."""

import torch

from qrnn.neurons import QuantumNeuronCell

W, IO, B, SHORT, LONG = 6, 4, 64, 100, 400


def peak():
    """Return this process's peak resident memory in bytes."""
    with open("/proc/self/status") as status:
        line = next(line for line in status if line.startswith("VmHWM"))
    return int(line.split()[1]) * 1024


def run(cell, steps):
    x, targets = torch.randint(2**IO, (2, steps, B))
    log_p, _ = cell.sequence(x, targets=targets)
    log_p.gather(2, targets[..., None]).sum().backward()
    return peak()


if __name__ == "__main__":
    torch.manual_seed(0)
    cell = QuantumNeuronCell(W, IO, degree=1)
    short = run(cell, SHORT)
    print(run(cell, LONG) - short, (LONG - SHORT) * B * 2 ** (W + IO) * 4)
