"""The fused device on a GPU: an epoch of pixel-by-pixel MNIST, and 14 qubits against TorchQuantum.

    python benchmarks/gpu.py          (make bench-gpu)

Two cases, with forward and backward passes: training steps with AdamW on sequences of 784 steps and
one feature, 8 qubits, in batches of 1,024, of which a few are timed and scaled to 60,000 sequences;
and 14 qubits, 256 sequences, 20 steps, also for TorchQuantum if it is installed. Values and
gradients are compared first. Writes docs/benchmarks/gpu.json. Without a GPU, exits with status 2.
"""

import json
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch
from environment import environment
from systems import N_FEATURES, build, data
from torch import nn
from torch.nn.functional import cross_entropy

from qrnn import QRNN
from qrnn.utils.files import write_text

OUT = Path("docs/benchmarks/gpu.json")
EPOCH = {"n": 8, "sequences": 60_000, "batch": 1024, "steps": 784}
LARGE = {"n": 14, "batch": 256, "steps": 20}
REPEATS, WARM_UP = 5, 2
TOLERANCE = 1e-3


class Classifier(nn.Module):
    """A QRNN that reads pixels, with a linear head on its last readouts."""

    def __init__(self, n: int):
        super().__init__()
        self.rnn = QRNN(1, n)
        self.head = nn.Linear(self.rnn.cell.n_readouts, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return logits (B, 10) for x (T, B, 1)."""
        return self.head(self.rnn(x)[0][-1])


def seconds_of(work: Callable[[], object], device: str) -> list[float]:
    """Return the seconds of each repeat, after warm-up."""
    times = []
    for repeat in range(WARM_UP + REPEATS):
        if device == "cuda":
            torch.cuda.synchronize()
        start = time.perf_counter()
        work()
        if device == "cuda":
            torch.cuda.synchronize()
        if repeat >= WARM_UP:
            times.append(time.perf_counter() - start)
    return times


def measured(work: Callable[[], object], device: str) -> dict:
    """Return median, minimum and maximum seconds, and peak GPU memory in bytes."""
    if device == "cuda":
        torch.cuda.reset_peak_memory_stats()
    times = seconds_of(work, device)
    peak = torch.cuda.max_memory_allocated() if device == "cuda" else None
    return {
        "repeats": len(times),
        "median": statistics.median(times),
        "min": min(times),
        "max": max(times),
        "memory": peak,
    }


def difference(one: nn.Module, other: nn.Module, loss: Callable, x: torch.Tensor) -> float:
    """Return the largest difference of losses and gradients, relative to the largest of each.

    Raises:
        SystemExit: the difference exceeds the tolerance.
    """
    found = []
    for module in (one, other):
        place = next(module.parameters()).device
        module.zero_grad()
        value = loss(module, x.to(place))
        value.backward()
        gradients = [p.grad.cpu() for p in module.parameters()]
        found.append([value.detach().cpu(), *gradients])
        module.zero_grad()
    worst = max(
        ((a - b).abs().max() / b.abs().max().clamp(min=1e-12)).item()
        for a, b in zip(*found, strict=True)
    )
    if worst > TOLERANCE:
        sys.exit(f"values or gradients differ by {worst:.1e}: nothing was timed")
    return worst


def epoch(device: str) -> dict:
    """Time training steps on data of the shape of MNIST, pixel by pixel."""
    torch.manual_seed(0)
    here, there = Classifier(EPOCH["n"]), Classifier(EPOCH["n"])
    there.load_state_dict(here.state_dict())
    model = there.to(device)
    y = torch.randint(10, (EPOCH["batch"],))
    x = torch.rand(EPOCH["steps"], EPOCH["batch"], 1)

    def loss(module: nn.Module, x: torch.Tensor) -> torch.Tensor:
        return cross_entropy(module(x), y[: x.shape[1]].to(x.device))

    agreement = difference(model, here, loss, x[:28, :32])
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    x = x.to(device)

    def step() -> None:
        optimizer.zero_grad()
        loss(model, x).backward()
        optimizer.step()

    result = measured(step, device)
    batches = EPOCH["sequences"] / EPOCH["batch"]
    return {**EPOCH, "difference": agreement, **result, "epoch": batches * result["median"]}


def large(device: str) -> dict:
    """Time a large state, for the fused device and TorchQuantum."""
    ours = build("fused", LARGE["n"]).to(device)
    x = data(LARGE["batch"], LARGE["steps"]).to(device)
    result = {**LARGE, "features": N_FEATURES}

    def run(module: nn.Module) -> None:
        module.zero_grad()
        module.loss(x).backward()

    result["fused"] = measured(lambda: run(ours), device)
    try:
        peer = build("torchquantum", LARGE["n"]).to(device)
        result["difference"] = difference(ours, peer, lambda m, x: m.loss(x), x[:8, :3])
        result["torchquantum"] = measured(lambda: run(peer), device)
    except ImportError as error:
        result["torchquantum"] = {"failed": str(error)}
    except torch.cuda.OutOfMemoryError:
        result["torchquantum"] = {"failed": "out of memory"}
    return result


def main(device: str = "cuda") -> None:
    """Measure, save and print."""
    if device == "cuda" and not torch.cuda.is_available():
        print("benchmarks/gpu.py needs a GPU, and torch sees none", file=sys.stderr)
        sys.exit(2)
    name = torch.cuda.get_device_name() if device == "cuda" else device
    result = {**environment(), "gpu": name, "epoch": epoch(device), "large": large(device)}
    write_text(OUT, json.dumps(result, indent=1) + "\n")
    one, many = result["epoch"], result["large"]
    print(f"{name}, commit {result['commit']}")
    print(
        f"{one['sequences']:,} sequences x {one['steps']} steps, n = {one['n']}: "
        f"{one['epoch']:.1f} s per epoch ({one['repeats']} batches of {one['batch']:,} timed, "
        f"{1e3 * one['median']:.1f} ms each)"
    )
    for system in ("fused", "torchquantum"):
        found = many[system]
        text = found.get("failed") or f"{1e3 * found['median']:.1f} ms"
        print(f"n = {many['n']}, B = {many['batch']}, T = {many['steps']}, {system}: {text}")


if __name__ == "__main__":
    main()
