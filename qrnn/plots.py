"""Pictures of a run: training curves, the step circuit, the confusion matrix."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from qrnn.circuit import StepCircuit
from qrnn.files import replacing
from qrnn.training import history

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Two colours that differ for colour-blind readers and in grey (Okabe and Ito).
TRAIN, VAL = "#0072B2", "#E69F00"


def _save(figure: Figure, path: str | Path) -> Path:
    with replacing(path) as temporary:
        figure.savefig(temporary, dpi=150, bbox_inches="tight")
    return Path(path)


def training_curves(run_dir: str | Path, path: str | Path) -> Path:
    """Draw loss and accuracy over the epochs of a run; return the picture's path."""
    from matplotlib.figure import Figure

    series = history(run_dir)
    figure = Figure(figsize=(8, 3))
    for axes, quantity in zip(figure.subplots(1, 2), ("loss", "accuracy"), strict=True):
        for part, colour in (("train", TRAIN), ("val", VAL)):
            points = series.get(f"{part}/{quantity}", [])
            axes.plot(
                [epoch + 1 for epoch, _ in points], [value for _, value in points],
                color=colour, linestyle="-" if part == "train" else "--", label=part,
            )  # fmt: skip
        axes.set(xlabel="epoch", ylabel="cross entropy (nats)" if quantity == "loss" else quantity)
        axes.grid(alpha=0.3)
        axes.legend(frameon=False)
    figure.tight_layout()
    return _save(figure, path)


def circuit(step: StepCircuit, path: str | Path) -> Path:
    """Draw one time step of the circuit; return the picture's path."""
    figure, _ = step.draw_mpl()
    saved = _save(figure, path)
    from matplotlib import pyplot

    pyplot.close(figure)
    return saved


def confusion_matrix(
    labels: Sequence[int],
    predictions: Sequence[int],
    classes: Sequence[str],
    path: str | Path,
    title: str = "",
) -> Path:
    """Draw which class was taken for which; return the picture's path."""
    from matplotlib.figure import Figure
    from sklearn.metrics import ConfusionMatrixDisplay

    figure = Figure(figsize=(5, 4.5))
    axes = figure.subplots()
    ConfusionMatrixDisplay.from_predictions(
        labels, predictions, labels=np.arange(len(classes)), display_labels=list(classes),
        cmap="Blues", colorbar=False, ax=axes,
    )  # fmt: skip
    axes.set(xlabel="predicted class", ylabel="true class", title=title)
    return _save(figure, path)
