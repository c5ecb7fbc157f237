"""Pictures of a run: training curves, the step circuit, the confusion matrix."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from qrnn.circuit.step import StepCircuit
from qrnn.data import Split, TaskData
from qrnn.models.translation import Translator
from qrnn.training.history import history
from qrnn.utils.figure_style import BLUE, ORANGE, styled, write

PICTURED = 3  # sentences in a picture of attention


@styled()
def training_curves(run_dir: str | Path, path: str | Path) -> Path:
    """Draw loss and accuracy over the epochs of a run; return the picture's path."""
    from matplotlib.figure import Figure

    series = history(run_dir)
    figure = Figure(figsize=(8, 3))
    for axes, quantity in zip(figure.subplots(1, 2), ("loss", "accuracy"), strict=True):
        for part, colour in (("train", BLUE), ("val", ORANGE)):
            points = series.get(f"{part}/{quantity}", [])
            axes.plot(
                [epoch + 1 for epoch, _ in points],
                [value for _, value in points],
                color=colour,
                linestyle="-" if part == "train" else "--",
                label=part,
            )
        axes.set(xlabel="epoch", ylabel="cross entropy (nats)" if quantity == "loss" else quantity)
        axes.grid(True)
        axes.legend()
    figure.tight_layout()
    return write(figure, path)


def circuit(step: StepCircuit, path: str | Path) -> Path:
    """Draw one time step of the circuit; return the picture's path."""
    figure, _ = step.draw_mpl()
    saved = write(figure, path)
    from matplotlib import pyplot

    pyplot.close(figure)
    return saved


@styled()
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
        labels,
        predictions,
        labels=np.arange(len(classes)),
        display_labels=list(classes),
        cmap="Blues",
        colorbar=False,
        ax=axes,
    )
    axes.set(xlabel="predicted class", ylabel="true class", title=title)
    return write(figure, path)


@styled()
def attention(model: Translator, data: TaskData, part: Split, folder: str | Path) -> Path:
    """Draw where the decoder looked while it translated the first sentences of a part.

    Returns:
        The picture's path, `attention.png` in the folder.
    """
    from matplotlib.figure import Figure

    assert data.vocabulary is not None  # as any task of translation has one
    batch = part.batch(slice(0, PICTURED))
    targets, weights = model.translate(batch.x, batch.lengths)
    sources = [
        [data.vocabulary[token] for token in row[: weight.shape[1]]]
        for row, weight in zip(batch.x.tolist(), weights, strict=True)
    ]
    widths = [max(3.0, 0.45 * len(words)) for words in sources]
    height = max(2.5, 0.35 * max(len(target) for target in targets) + 1.5)
    figure = Figure(figsize=(sum(widths) + 1, height), layout="constrained")
    row = figure.subplots(1, len(weights), squeeze=False, width_ratios=widths)[0]
    for axes, weight, source, target in zip(row, weights, sources, targets, strict=True):
        axes.set_xticks(range(len(source)), source, rotation=60, ha="right")
        axes.set_yticks(range(len(target)), [data.classes[token] for token in target])
        axes.set(xlim=(-0.5, len(source) - 0.5), xlabel="source")
        if target:  # a translation can be empty
            shown = axes.imshow(weight.numpy(), cmap="Blues", vmin=0, vmax=1, aspect="auto")
            axes.figure.colorbar(shown, ax=axes, label="attention weight")
    row[0].set_ylabel("translation")
    return write(figure, Path(folder) / "attention.png")
