"""Norms of gradients over long sequences, for untrained networks of about 4,000 parameters.

    python benchmarks/gradient_stability.py [STEPS]

Writes docs/benchmarks/gradient_stability.json and docs/images/gradient_stability.svg.
"""

import json
import sys
from pathlib import Path

import torch
from matplotlib.figure import Figure

from qrnn.config import TrainConfig
from qrnn.data import DigitsConfig, Shape
from qrnn.inspection.gradients import gradient_norms
from qrnn.models.build import build_model
from qrnn.networks import NETWORKS
from qrnn.utils.figure_style import styled, write
from qrnn.utils.files import write_text

DOCS = Path(__file__).resolve().parent.parent / "docs"
SEEDS, BATCH, BUDGET = range(5), 8, 4_000
# Okabe and Ito's colours, and a line style for each network for greyscale print.
STYLES = {
    "hybrid": ("#0072B2", "-"),
    "scornn": ("#009E73", ":"),
    "lstm": ("#D55E00", "--"),
    "rnn": ("#E69F00", "-."),
}
OPTIONS = {"hybrid": {"n_qubits": 8}}


def measure(name: str, steps: int) -> list[list[float]]:
    """Return the norms at each step, for each seed, of an untrained network on noise."""
    norms = []
    for seed in SEEDS:
        torch.manual_seed(seed)
        network = NETWORKS[name].schema(budget=BUDGET, **OPTIONS.get(name, {}))
        model = build_model(TrainConfig(DigitsConfig(), network), Shape("classify", 10, 1))
        x, y = torch.rand(BATCH, steps, 1), torch.randint(10, (BATCH,))
        norms.append(gradient_norms(model, x, y).tolist())
    return norms


@styled()
def plot(found: dict[str, list[list[float]]], every: int) -> None:
    """Plot the median over the seeds of norms at every so many steps."""
    figure = Figure(figsize=(5, 3), layout="constrained")
    axes = figure.subplots()
    for name, (colour, line) in STYLES.items():
        norms = torch.tensor(found[name]).median(0).values.clamp(min=1e-30)
        axes.semilogy(range(0, every * len(norms), every), norms, line, color=colour, label=name)
    axes.set(xlabel="time step t", ylabel="norm of dL/d(state at t)", ylim=(1e-16, 1e2))
    axes.grid(True)
    axes.legend()
    write(figure, DOCS / "images" / "gradient_stability.svg")


def main() -> None:
    """Measure, plot and save; print the norms at the first, middle and last step."""
    steps = int(sys.argv[1]) if len(sys.argv) > 1 else 1568
    found = {name: measure(name, steps) for name in STYLES}
    plot(found, 1)
    for name, rows in found.items():
        norms = torch.tensor(rows).median(0).values
        print(
            f"{name:<8} first step {norms[0]:.2e}, middle {norms[steps // 2]:.2e}, "
            f"last {norms[-1]:.2e}"
        )
    thinned = {name: [row[:: max(1, steps // 98)] for row in rows] for name, rows in found.items()}
    result = {"steps": steps, "batch": BATCH, "parameters": BUDGET, "norms": thinned}
    write_text(DOCS / "benchmarks" / "gradient_stability.json", json.dumps(result) + "\n")


if __name__ == "__main__":
    main()
