"""Compare the fused device with other simulators: forward and backward passes of one cell.

    python benchmarks/speed.py [--quick | --sweep n]          (make bench)

The cell has n qubits, two RY-RZ-CZ layers, X, Y and Z of every qubit as readouts, and a controller
with one hidden layer of 64 units. Losses and gradients of all quantum systems must agree. Peers:
matrix products by hand in torch and JAX, TensorCircuit-NG, TorchQuantum and PennyLane's simulators.
Writes docs/benchmarks/speed.json, docs/benchmarks/speed.md and docs/images/speed.svg.
"""

import argparse
import json
import statistics
import subprocess
import sys
from pathlib import Path

from environment import environment
from matplotlib.figure import Figure
from peak import kernel_flops, peak_flops
from rich.progress import track
from systems import QUANTUM, SYSTEMS, build, data

from qrnn.utils.figure_style import styled, write
from qrnn.utils.files import write_text

HERE, DOCS = Path(__file__).parent, Path("docs")
BASE = {"n": 8, "batch": 256, "steps": 20, "threads": 1}
SWEEPS = {
    "n": (4, 6, 8, 10, 12, 14),
    "batch": (1, 8, 32, 128, 256, 512),
    "steps": (10, 20, 100, 400, 800),
    "threads": (1, 2),
}
# For large n or T, a batch of 256 would take the other systems minutes and all memory.
SMALLER = {"n": {10: 64, 12: 32, 14: 32}, "steps": {400: 32, 800: 32}}
LIMIT, TIMEOUT = 10.0, 300.0  # torch compiles for minutes
# lightning runs one sequence after the other, so part of a large batch is enough to time it.
ONE_BY_ONE = {"lightning.qubit": 400}
COLOURS = {
    "fused": "#0072B2",
    "torch GEMM": "#CC79A7",
    "jax GEMM": "#882255",
    "tensorcircuit": "#DDAA33",
    "torchquantum": "#D55E00",
    "default.qubit": "#E69F00",
    "lightning.qubit": "#009E73",
    "lstm": "#888888",
}


def check_agreement() -> dict[str, float]:
    """Return the largest difference of losses and gradients from fused, relative to its largest.

    Raises:
        SystemExit: a system differs by more than 1e-4.
    """
    found = {}
    for system in QUANTUM:
        model = build(system, 4)
        found[system] = model.gradients(data(8, 5))
    loss, gradients = found["fused"]
    differences = {}
    for system, (other, theirs) in found.items():
        worst = max(
            ((theirs[k] - g).abs().max() / g.abs().max()).item() for k, g in gradients.items()
        )
        differences[system] = max(abs(other - loss) / loss, worst)
        if differences[system] > 1e-4:
            sys.exit(f"{system} differs by {differences[system]:.1e}: nothing was timed")
    return differences


def measure(system: str, case: dict, repeats: int) -> dict:
    """Return the result of one case, or why it failed."""
    batch = case["batch"]
    if system in ONE_BY_ONE:
        batch = min(batch, max(1, ONE_BY_ONE[system] // case["steps"]))
    numbers = [case["n"], batch, case["steps"], case["threads"], repeats, LIMIT]
    command = [sys.executable, HERE / "case.py", system, *map(str, numbers)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT, check=False)
    except subprocess.TimeoutExpired:
        return {"failed": f"more than {TIMEOUT:.0f} s"}
    if done.returncode:
        lines = done.stderr.strip().splitlines() or ["killed (memory)"]
        return {"failed": lines[-1][:200]}
    result = json.loads(done.stdout.splitlines()[-1])
    per, processor = (
        [1e6 * s / (batch * case["steps"]) for s in result[key]] for key in ("seconds", "processor")
    )
    return {
        "repeats": len(per),
        "processor": statistics.median(processor),
        "median": statistics.median(per),
        "min": min(per),
        "max": max(per),
        "sequences": batch,
        "memory": result["memory"],
    }


def cases(quick: bool) -> list[tuple[str, dict]]:
    """Return (sweep, case) pairs, which vary one parameter of the base case at a time."""
    if quick:
        return [("base", BASE)]
    out = []
    for sweep, values in SWEEPS.items():
        for value in values:
            case = {**BASE, sweep: value}
            case["batch"] = SMALLER.get(sweep, {}).get(value, case["batch"])
            out.append((sweep, case))
    return out


@styled()
def plot(rows: list[dict]) -> None:
    """Plot the time per sequence and step over each parameter."""
    figure = Figure(figsize=(5, 7.5), layout="constrained")
    axes = figure.subplots(3, 1, sharey=True)
    for axis, sweep in zip(axes, ("n", "batch", "steps"), strict=True):
        for system in SYSTEMS:
            points = [
                (r[sweep], r["median"])
                for r in rows
                if r["sweep"] == sweep and r["system"] == system and "median" in r
            ]
            if points:
                axis.plot(*zip(*points, strict=True), "o-", color=COLOURS[system], label=system)
        axis.set_yscale("log")
        if sweep != "n":
            axis.set_xscale("log", base=2)
        axis.set_xlabel({"n": "qubits", "batch": "batch B", "steps": "steps T"}[sweep])
        axis.grid(alpha=0.3)
        axis.set_ylabel("µs per sequence and step")
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside upper center", ncols=2)
    write(figure, DOCS / "images/speed.svg")


def table(rows: list[dict], key: str = "median") -> str:
    """Return a Markdown table: microseconds per sequence and step, and the ratio to fused.

    Args:
        rows: the results.
        key: `median` (wall-clock time) or `processor`.
    """
    lines = [
        "| n | B | T | threads | " + " | ".join(SYSTEMS) + " |",
        "|---" * (4 + len(SYSTEMS)) + "|",
    ]
    seen = []
    order = ["base", *SWEEPS]
    for row in sorted(rows, key=lambda row: order.index(row["sweep"])):
        case = tuple(row[k] for k in BASE)
        if case not in seen:
            seen.append(case)
    for case in seen:
        here = {r["system"]: r for r in rows if tuple(r[k] for k in BASE) == case}
        ours = here["fused"].get(key)
        cells = []
        for system in SYSTEMS:
            one = here.get(system, {})
            if key not in one:
                cells.append("-")
            elif system == "fused" or not ours:
                cells.append(f"{one[key]:.2f}")
            else:
                cells.append(f"{one[key]:.3g} ({one[key] / ours:.3g}x)")
        lines.append("| " + " | ".join([*map(str, case), *cells]) + " |")
    return "\n".join(lines) + "\n"


def ranges(rows: list[dict]) -> str:
    """Return a sentence with the range of the ratios to fused at batches of 16 and more."""
    found: dict[str, list[float]] = {}
    for row in rows:
        same = {k: row[k] for k in BASE}
        ours = next(r for r in rows if r["system"] == "fused" and same.items() <= r.items())
        if "processor" in row and "processor" in ours and row["batch"] >= 16:
            found.setdefault(row["system"], []).append(row["processor"] / ours["processor"])
    strongest = [min(r) for s, r in found.items() if s not in ("fused", "lstm")]
    parts = [f"{s} {min(r):.3g} to {max(r):.3g}" for s, r in found.items() if s != "fused"]
    return (
        f"With batches of 16 and more, the fused device is at least {min(strongest):.3g} times as "
        f"fast as any other quantum system, in processor time. Times of the others relative to "
        f"it, smallest and largest: {', '.join(parts)}."
    )


def memory(rows: list[dict]) -> str:
    """Return a Markdown table of the peak memory in MB over T."""
    lines = ["| T | B | " + " | ".join(SYSTEMS) + " |", "|---" * (2 + len(SYSTEMS)) + "|"]
    for steps in SWEEPS["steps"]:
        here = {r["system"]: r for r in rows if r["sweep"] == "steps" and r["steps"] == steps}
        if here:
            cells = [
                f"{here[s]['memory'] / 1e6:,.0f}" if "memory" in here[s] else "-" for s in SYSTEMS
            ]
            lines.append(f"| {steps} | {here['fused']['batch']} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def main() -> None:
    """Check, measure and save."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--quick", action="store_true", help="measure the base case only")
    parser.add_argument("--sweep", choices=SWEEPS, help="measure this sweep again, keep the others")
    options = parser.parse_args()
    agreement = check_agreement()
    print("agreement:", ", ".join(f"{k} {v:.0e}" for k, v in agreement.items()))
    wanted = [c for c in cases(options.quick) if options.sweep in (None, c[0])]
    todo = [(system, *case) for case in wanted for system in SYSTEMS]
    rows: list[dict] = []
    if options.sweep is not None:
        saved = json.loads((DOCS / "benchmarks/speed.json").read_text())["rows"]
        rows = [row for row in saved if row["sweep"] != options.sweep]
    for system, sweep, case in track(todo, "measuring"):
        repeats = 9 if system in ("fused", "lstm") else 5
        rows.append({"system": system, "sweep": sweep, **case, **measure(system, case, repeats)})
    ours = [r for r in rows if r["system"] == "fused"]
    base = next(r for r in reversed(ours) if all(r[k] == v for k, v in BASE.items()))
    flops = kernel_flops(BASE["n"])
    peak = peak_flops()
    share = flops / (1e-6 * base["median"]) / (BASE["threads"] * peak)
    facts = {
        "flops_per_sequence_step": flops,
        "peak_flops_per_thread": peak,
        "fraction_of_peak": share,
    }
    result = {**environment(), "agreement": agreement, **facts, "rows": rows}
    print(table(rows))
    if options.quick:
        return
    write_text(DOCS / "benchmarks/speed.json", json.dumps(result, indent=1) + "\n")
    text = (
        f"{result['cpu']}, commit {result['commit']}. Microseconds per sequence and step, forward "
        f"and backward, median; in brackets, relative to fused. lightning, which runs one sequence "
        f"after the other, was timed on part of large batches. GEMM: the same circuit by hand as "
        f"matrix products, compiled by torch and by JAX.\n\n{ranges(rows)}\n\n"
        f"Processor time:\n\n{table(rows, 'processor')}\n"
        f"Wall-clock time:\n\n{table(rows)}\n"
        f"Peak memory in MB, relative to the start:\n\n{memory(rows)}"
    )
    write_text(DOCS / "benchmarks/speed.md", text)
    plot(rows)


if __name__ == "__main__":
    main()
