"""The fused device on a GPU: checks against the CPU, then times, each point in its own process.

    python benchmarks/gpu.py [--seconds 30] [--rehearse]          (make bench-gpu)

Checks compare losses and gradients with the CPU's, for n = 2..14 in float32 and float64. Times are
of forward and backward passes: batches of n qubits, also of TorchQuantum if it is installed, and
training steps on sequences of 784 steps, scaled to an epoch of 60,000. Each point has a limit in
seconds and is written to docs/benchmarks/gpu.json as it ends, so that no failure loses the rest.
`--rehearse` runs a few small points through Triton's interpreter, without a GPU.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

OUT = Path("docs/benchmarks/gpu.json")
EPOCH = {"n": 8, "sequences": 60_000, "batch": 1024, "steps": 784}
SIZES = {4: 4096, 6: 2048, 8: 1024, 10: 1024, 11: 512, 12: 512, 13: 256, 14: 256}  # n: batch
REPEATS, WARM_UP = 5, 2
TOLERANCE = {"float32": 1e-3, "float64": 1e-9}


def points(rehearse: bool) -> list[dict[str, Any]]:
    """Return all points: checks first, then times."""
    found: list[dict[str, Any]] = [
        {"what": "check", "n": n, "dtype": dtype, "batch": 5, "steps": 6}
        for n in range(2, 15)
        for dtype in TOLERANCE
    ]
    if rehearse:
        return [{**one, "steps": 1} for one in found[:3]]
    timed = [("fused", n) for n in SIZES] + [("torchquantum", n) for n in (8, 14)]
    found += [
        {"what": "time", "system": system, "n": n, "batch": SIZES[n], "steps": 20}
        for system, n in timed
    ]
    found.insert(-2, {"what": "epoch", **EPOCH})
    return found


def gradients(module: Any, x: Any) -> list[Any]:
    """Return the loss and the gradients of the parameters, on the CPU."""
    module.zero_grad()
    loss = module.loss(x)
    loss.backward()
    return [loss.detach().cpu(), *(p.grad.cpu() for p in module.parameters())]


def check(point: dict[str, Any], device: str) -> dict[str, Any]:
    """Compare loss and gradients with those of the CPU's kernels.

    Raises:
        SystemExit: they differ by more than the tolerance, relative to the largest of each.
    """
    import torch
    from systems import build, data

    dtype = getattr(torch, point["dtype"])
    x = data(point["batch"], point["steps"]).to(dtype)
    expected = gradients(build("fused", point["n"]).to(dtype), x)
    use_triton(device)
    found = gradients(build("fused", point["n"]).to(device, dtype), x.to(device))
    worst = max(
        ((a - b).abs().max() / b.abs().max().clamp(min=1e-12)).item()
        for a, b in zip(found, expected, strict=True)
    )
    if not worst <= TOLERANCE[point["dtype"]]:
        sys.exit(f"loss or gradients differ by {worst:.1e}")
    return {"difference": worst}


def use_triton(device: str) -> None:
    """Use the Triton kernels on a device, which is the CPU in a rehearsal."""
    from qrnn.memory import backends

    backends.BACKENDS[device] = backends.BACKENDS["cuda"]


def measured(work: Callable[[], object], device: str) -> dict[str, Any]:
    """Return median, minimum and maximum seconds, and peak GPU memory in bytes."""
    import torch

    def finish() -> None:
        if device == "cuda":
            torch.cuda.synchronize()

    times = []
    for repeat in range(WARM_UP + REPEATS):
        if repeat == WARM_UP and device == "cuda":
            torch.cuda.reset_peak_memory_stats()
        finish()
        start = time.perf_counter()
        work()
        finish()
        times.append(time.perf_counter() - start)
    times = times[WARM_UP:]
    return {
        "first": times[0],
        "median": statistics.median(times),
        "min": min(times),
        "max": max(times),
        "memory": torch.cuda.max_memory_allocated() if device == "cuda" else None,
    }


def timed(point: dict[str, Any], device: str) -> dict[str, Any]:
    """Time forward and backward passes of one batch."""
    from systems import build, data

    use_triton(device)
    model = build(point["system"], point["n"]).to(device)
    x = data(point["batch"], point["steps"]).to(device)
    found = measured(lambda: gradients(model, x), device)
    return {**found, "us": 1e6 * found["median"] / (point["batch"] * point["steps"])}


def epoch(point: dict[str, Any], device: str) -> dict[str, Any]:
    """Time training steps on data of the shape of MNIST, pixel by pixel."""
    import torch
    from torch import nn
    from torch.nn.functional import cross_entropy

    from qrnn import QRNN

    torch.manual_seed(0)
    rnn = QRNN(1, point["n"]).to(device)
    head = nn.Linear(rnn.cell.n_readouts, 10).to(device)
    optimizer = torch.optim.AdamW([*rnn.parameters(), *head.parameters()], lr=1e-3)
    x = torch.rand(point["steps"], point["batch"], 1, device=device)
    y = torch.randint(10, (point["batch"],), device=device)

    def step() -> None:
        optimizer.zero_grad()
        cross_entropy(head(rnn(x)[0][-1]), y).backward()
        optimizer.step()

    found = measured(step, device)
    return {**found, "epoch": point["sequences"] / point["batch"] * found["median"]}


KINDS = {"check": check, "time": timed, "epoch": epoch}


def in_a_process(point: dict[str, Any], device: str, seconds: float) -> dict[str, Any]:
    """Return the result of a point, or why it failed."""
    command = [sys.executable, __file__, "--point", json.dumps(point), "--device", device]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=seconds, check=False)
    except subprocess.TimeoutExpired:
        return {"failed": f"more than {seconds:.0f} s"}
    if done.returncode:
        lines = done.stderr.strip().splitlines() or [f"status {done.returncode}"]
        return {"failed": lines[-1][:300]}
    return json.loads(done.stdout.splitlines()[-1])


def main() -> None:
    """Measure all points."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=30, help="limit for a point (%(default)g)")
    parser.add_argument("--total", type=float, help="start no point after this many seconds")
    parser.add_argument("--output", type=Path, default=OUT, help="JSON file (%(default)s)")
    parser.add_argument("--rehearse", action="store_true", help="without a GPU, small points")
    parser.add_argument("--point", help=argparse.SUPPRESS)
    parser.add_argument("--device", default="cuda", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.point:
        point = json.loads(asked.point)
        print(json.dumps(KINDS[point["what"]](point, asked.device)))
        return
    import torch
    from environment import environment

    from qrnn.utils.files import write_text

    if asked.rehearse:
        os.environ["TRITON_INTERPRET"] = "1"
    elif not torch.cuda.is_available():
        print("benchmarks/gpu.py needs a GPU, and torch sees none", file=sys.stderr)
        sys.exit(2)
    name = "Triton's interpreter" if asked.rehearse else torch.cuda.get_device_name()
    result: dict[str, Any] = {**environment(), "gpu": name, "points": []}
    device, start = "cpu" if asked.rehearse else "cuda", time.monotonic()
    for point in points(asked.rehearse):
        if asked.total is not None and time.monotonic() - start > asked.total:
            found = {"failed": "not started: no time left"}
        else:
            found = in_a_process(point, device, asked.seconds)
        result["points"].append({**point, **found})
        print(json.dumps(result["points"][-1]), flush=True)
        if not asked.rehearse:
            write_text(asked.output, json.dumps(result, indent=1) + "\n")
    failed = [one for one in result["points"] if "failed" in one]
    print(f"{name}: {len(result['points'])} points, {len(failed)} failed")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
