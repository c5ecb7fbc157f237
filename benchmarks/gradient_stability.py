"""Norms of gradients over long sequences, of networks before and after training.

    python benchmarks/gradient_stability.py [STEPS] [--runs DIR]

Untrained networks have about 4,000 parameters and read noise. Trained ones are those of the results
page that are found in DIR (runs/results): copying memory trained with a delay of 100 and applied to
sequences of STEPS steps, and Penn Treebank by characters, where STEPS characters of the test set
are read with the state carried. The loss is that of the last step.

Writes docs/benchmarks/gradient_stability.json and docs/images/gradient_stability.svg.
"""

import argparse
import json
from pathlib import Path
from statistics import median

import torch
from matplotlib.figure import Figure

from qrnn.config import TrainConfig
from qrnn.data import DigitsConfig, Shape
from qrnn.data.copying import LENGTH
from qrnn.inspection.gradients import gradient_norms
from qrnn.models.build import build_model
from qrnn.networks import NETWORKS
from qrnn.training.checkpoint import load_data, load_model
from qrnn.utils.figure_style import (
    BLUE,
    DASHED,
    DOTTED,
    GREEN,
    ORANGE,
    SKY,
    VERMILLION,
    styled,
    write,
)
from qrnn.utils.files import write_text

DOCS = Path(__file__).resolve().parent.parent / "docs"
SEEDS, BATCH, BUDGET = range(5), 8, 4_000
UNTRAINED = {"hybrid": {"n_qubits": 8}, "scornn": {}, "lstm": {}, "rnn": {}}
TRAINED = {
    "copying_100": {"hybrid": "hybrid-8-qubits", "scornn": "scoRNN", "lstm": "LSTM"},
    "ptb_characters": {
        "forgetting": "hybrid-4-qubits-forget-gate",
        "circuits": "hybrid-4-circuits-of-4-qubits-forget-gate",
        "lstm": "LSTM",
    },
}
TITLES = {
    "untrained": "untrained, on noise",
    "copying_100": "trained on copying memory, delay 100",
    "ptb_characters": "trained on Penn Treebank by characters",
}
STYLES = {
    "hybrid": (BLUE, "-", "hybrid, 8 qubits"),
    "forgetting": (BLUE, "-", "hybrid, 4 qubits, forget gate"),
    "circuits": (SKY, "-.", "hybrid, 4 circuits, forget gate"),
    "scornn": (GREEN, DOTTED, "scoRNN"),
    "lstm": (VERMILLION, DASHED, "LSTM"),
    "rnn": (ORANGE, "-.", "RNN"),
}
Norms = list[list[float]]  # of each seed at each of `back`


def untrained(name: str, steps: int) -> list[torch.Tensor]:
    """Return the norms at each step, for each seed, of an untrained network on noise."""
    norms = []
    for seed in SEEDS:
        torch.manual_seed(seed)
        network = NETWORKS[name].schema(budget=BUDGET, **UNTRAINED[name])
        model = build_model(TrainConfig(DigitsConfig(), network), Shape("classify", 10, 1))
        x, y = torch.rand(BATCH, steps, 1), torch.randint(10, (BATCH,))
        norms.append(gradient_norms(model, x, y))
    return norms


def trained(folder: Path, steps: int) -> list[torch.Tensor]:
    """Return the norms at each step, for each finished run of a row, on its test set."""
    norms = []
    for path in sorted(folder.glob("seed-*/train-*/summary.json")):
        model, config = load_model(path.with_name("best.ckpt"))
        if config.task.name == "copying":
            config.task.delay, config.task.curriculum = steps - 2 * LENGTH, []
            config.task.n_train = config.task.n_val = config.task.n_test = BATCH
        else:
            config.task.steps = steps
        batch = load_data(config).test.windows().head(BATCH).batch(slice(None))
        norms.append(gradient_norms(model, batch.x, batch.y))
    return norms


@styled()
def plot(found: dict[str, dict[str, Norms]], back: list[int]) -> None:
    """Plot the median over the seeds of norms relative to that of the last state."""
    figure = Figure(figsize=(4.6, 6.4), layout="constrained")
    grid = figure.subplots(len(found), sharex=True, squeeze=False)
    for axes, (panel, networks) in zip(grid[:, 0], found.items(), strict=True):
        for name, rows in networks.items():
            colour, line, label = STYLES[name]
            axes.loglog(back, relative(rows), ls=line, color=colour, label=label)
        axes.set(title=TITLES[panel], ylabel="relative norm of dL/d(state)", ylim=(1e-16, 1e6))
        axes.grid(True)
        axes.legend()
    axes.set(xlabel="steps before the last")
    write(figure, DOCS / "images" / "gradient_stability.svg")


def relative(rows: Norms) -> list[float]:
    """Return the median over the seeds of the norms relative to the first."""
    return [median(one) for one in zip(*([x / row[0] for x in row] for row in rows), strict=True)]


def main() -> None:
    """Measure, plot and save; print some of the norms."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("steps", nargs="?", type=int, default=1568)
    parser.add_argument("--runs", type=Path, default=Path("runs/results"))
    options = parser.parse_args()
    steps = options.steps
    back = sorted({round((steps - 1) ** (k / 80)) for k in range(81)})
    found: dict[str, dict[str, Norms]] = {}

    def keep(panel: str, name: str, norms: list[torch.Tensor]) -> None:
        if not norms:
            print(f"{panel} {name}: no finished run in {options.runs / panel}")
            return
        rows = [[row[-k].item() for k in back] for row in norms]
        found.setdefault(panel, {})[name] = rows
        values = dict(zip(back, relative(rows), strict=True))
        shown = [min(values, key=lambda k: abs(k - k_shown)) for k_shown in (10, 100, 500, 1500)]
        text = ", ".join(f"{values[k]:.2e} {k} back" for k in shown)
        print(f"{panel} {name}: {len(rows)} seeds, last {median(r[0] for r in rows):.2e}, {text}")

    for name in UNTRAINED:
        keep("untrained", name, untrained(name, steps))
    for panel, rows in TRAINED.items():
        for name, folder in rows.items():
            keep(panel, name, trained(options.runs / panel / folder, steps))
    plot(found, back)
    norms = found.pop("untrained")
    result = {"steps": steps, "batch": BATCH, "parameters": BUDGET, "back": back, "norms": norms}
    write_text(
        DOCS / "benchmarks" / "gradient_stability.json",
        json.dumps(result | {"trained": found}) + "\n",
    )


if __name__ == "__main__":
    main()
