"""Figures of a run: training curves, step circuit, confusion matrix and attention."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from qrnn.circuit.step import StepCircuit
from qrnn.circuit.threads import one_at_a_time
from qrnn.data import Split, TaskData
from qrnn.evaluation.metrics import METRICS
from qrnn.models.translation import Translator
from qrnn.reporting.formats import PARTS
from qrnn.training.history import metric_of
from qrnn.utils.figure_style import BLUE, GREEN, ORANGE, VERMILLION, styled, svg, write

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

PICTURED = 3  # sentences in a figure of attention
DECADES = 30.0  # ratio of values from which the axis is logarithmic
ABREAST = 6  # layers of gates in one figure of a circuit
PIECES = 8  # most figures of a circuit
NUMBERED = 12  # largest number of classes with numbers in the confusion matrix
_NOT_IN_XML = re.compile(r"[\x00-\x08\x0b-\x1f\ud800-\udfff\ufffe\uffff]")


@contextmanager
def drawing() -> Iterator[None]:
    """Draw in the project's style, without math text: a class may be called "$"."""
    import matplotlib

    with styled(), matplotlib.rc_context({"text.parse_math": False}):
        yield


def printable(names: Sequence[str]) -> list[str]:
    """Return names without characters that SVG cannot hold."""
    return [_NOT_IN_XML.sub("\ufffd", name) for name in names]


def data_url(figure: Figure) -> str:
    """Return a figure as an SVG image in a `data:` URL."""
    with drawing():
        image = svg(figure)
    return f"data:image/svg+xml;base64,{base64.b64encode(image.encode()).decode()}"


Series = Mapping[str, Sequence[tuple[int, float]]]  # of `history`


def curves(series: Series) -> list[Figure]:
    """Plot the loss, the metric and the gradient norm over the epochs, a figure each."""
    figures = []
    for quantity, label in quantities(series).items():
        with drawing():
            figure, axes = _new(3.8, 2.6)
            curve(axes, series, quantity, label)
        figures.append(figure)
    return figures


def quantities(series: Series) -> dict[str, str]:
    """Return the names of what is plotted over the epochs, with the labels of their axes."""
    metric = metric_of(series)
    of_labels = metric == "accuracy" and "ridge" not in series  # of a frozen network: squared error
    return {
        "loss": "cross entropy (nats)" if of_labels else "loss (scaled numbers)",
        metric: METRICS[metric][0],
        "gradient": "gradient norm before clipping",
    }


def curve(axes: Axes, series: Series, quantity: str, label: str) -> None:
    """Plot one quantity of the training and the validation part over the epochs."""
    shown: list[float] = []
    for part, colour, line in (("train", BLUE, "-"), ("val", ORANGE, "--")):
        points = series.get(f"{part}/{quantity}", ())
        epochs, values = [e + 1 for e, _ in points], [value for _, value in points]
        name = PARTS[part] if points else None
        axes.plot(epochs, values, color=colour, linestyle=line, marker=".", label=name)
        shown += values
    _finish(axes, "epoch", label)
    if shown and min(shown) > 0 and max(shown) > DECADES * min(shown):
        axes.set_yscale("log")


@drawing()
def errors_by_step(names: Sequence[str], errors: Sequence[Sequence[float]]) -> Figure:
    """Plot each device's readout error over the time steps."""
    figure, axes = _new(4.6, 2.8)
    axes.set_prop_cycle(color=[BLUE, ORANGE, GREEN, VERMILLION], linestyle=["-", "--", ":", "-."])
    for name, values in zip(printable(names), errors, strict=True):
        axes.plot(range(1, len(values) + 1), values, marker=".", label=name)
    axes.set_ylim(bottom=0)
    _finish(axes, "time step", "RMS error of z")
    axes.legend(loc="lower left", bbox_to_anchor=(0, 1), borderaxespad=0.2)  # names are long
    return figure


@drawing()
def confusion(labels: Sequence[int], predictions: Sequence[int], classes: Sequence[str]) -> Figure:
    """Plot the confusion matrix of integer labels."""
    from sklearn.metrics import ConfusionMatrixDisplay

    names = printable(classes)
    side = min(max(2.4, 0.45 * len(names)), 7.0)
    figure, axes = _new(side, side)
    ConfusionMatrixDisplay.from_predictions(
        labels,
        predictions,
        labels=np.arange(len(names)),
        display_labels=names,
        include_values=len(names) <= NUMBERED,
        xticks_rotation="vertical" if max(map(len, names)) > 3 else "horizontal",
        cmap="Blues",
        colorbar=False,
        ax=axes,
    )
    axes.set(xlabel="predicted class", ylabel="true class")
    return figure


@one_at_a_time
def circuit(step: StepCircuit) -> tuple[list[Figure], int]:
    """Draw the circuit of one time step, with templates expanded into gates.

    Returns:
        Figures of a few gates each, one after the other, which fit a phone and a printed page; and
        the number of layers of gates that are left out, the last ones of a long circuit.
    """
    import pennylane as qml
    import torch
    from matplotlib import pyplot
    from pennylane.drawer.drawable_layers import drawable_layers

    tape = qml.tape.make_qscript(step.replay)(torch.zeros(1, step.n_angles))
    layers = drawable_layers(tape.operations)
    left_out = max(0, len(layers) - PIECES * ABREAST)
    if left_out:
        gates = [gate for layer in layers[: PIECES * ABREAST] for gate in layer]
        tape = qml.tape.QuantumScript(gates)
    with drawing():
        drawn = qml.drawer.tape_mpl(
            tape, wire_order=list(step.wires), fontsize=9, max_length=ABREAST
        )
    figures = [figure for figure, _ in (drawn if isinstance(drawn, list) else [drawn])]
    for figure in figures:
        figure.set_size_inches(0.62 * figure.get_size_inches())  # as small as is readable
        pyplot.close(figure)
    return figures, left_out


@styled()
def attention(model: Translator, data: TaskData, part: Split, folder: str | Path) -> Path:
    """Plot the attention weights of the first translations of a split.

    Returns:
        Path of the figure, `attention.png` in the folder.
    """
    from matplotlib.figure import Figure

    assert data.vocabulary is not None  # every translation task has one
    batch = part.batch(slice(0, PICTURED))
    targets, weights = model.translate(batch.x, batch.lengths)
    sources = [
        [data.vocabulary[token] for token in row[: weight.shape[1]]]
        for row, weight in zip(batch.x.tolist(), weights, strict=True)
    ]
    widths = [max(3.0, 0.45 * len(source)) for source in sources]
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


def _new(width: float, height: float) -> tuple[Figure, Axes]:
    """Return a new figure, with its size in inches, and its axes."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height))
    return figure, figure.subplots()


def _finish(axes: Axes, steps: str, quantity: str) -> None:
    """Label the axes, put ticks at integers, and add a grid and a legend."""
    from matplotlib.ticker import MaxNLocator

    axes.xaxis.set_major_locator(MaxNLocator("auto", integer=True))
    axes.set(xlabel=steps, ylabel=quantity)
    axes.grid(True)
    if axes.get_legend_handles_labels()[1]:
        axes.legend()
