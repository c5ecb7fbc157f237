"""The figures of a page."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from qrnn.circuit.step import StepCircuit
from qrnn.circuit.threads import one_at_a_time
from qrnn.evaluation.evaluation import Evaluation
from qrnn.reporting.parts import Figure
from qrnn.reporting.svg import drawing, inline
from qrnn.reporting.words import difference, loss, percent
from qrnn.utils.figure_style import (
    BLUE,
    DASHED,
    DOTTED,
    GREEN,
    ORANGE,
    PURPLE,
    SKY,
    VERMILLION,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Series = Sequence[tuple[int, float]]
SIZE = (3.1, 2.0)  # inches, of the axes: with it, three figures fit on a row, and one on a phone
COLOURS = (BLUE, ORANGE, GREEN, VERMILLION, PURPLE, SKY)
STYLES = ("-", DASHED, DOTTED, "-.")
QUANTITIES = {
    "loss": "cross entropy (nats)",
    "accuracy": "share of right labels",
    "gradient": "norm of the gradient",
}
CAPTIONS = {
    "loss": "Loss",
    "accuracy": "Accuracy",
    "gradient": "Gradient's norm before clipping",
}
DECADES = 30.0  # a range beyond this is drawn by powers of ten
NUMBERED = 12  # classes up to which a confusion matrix shows its numbers
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\ud800-\udfff\ufffe\uffff]")  # no SVG can hold them


def _new(size: tuple[float, float] = SIZE) -> tuple[Any, Any]:
    """Return a figure and its axes, which fill it: what is beside them is added on writing."""
    from matplotlib.figure import Figure as Drawing

    figure = Drawing(figsize=size)
    return figure, figure.add_axes((0.0, 0.0, 1.0, 1.0))


def word(name: str) -> str:
    """Return a name that a figure can hold."""
    return _CONTROL.sub("\ufffd", name)


def look(index: int) -> dict[str, Any]:
    """Return colour and style of the k-th line of a figure."""
    cycle = index // len(COLOURS)
    return {
        "color": COLOURS[index % len(COLOURS)],
        "linestyle": STYLES[(index + cycle) % len(STYLES)],
    }


def curves(history: Mapping[str, Series]) -> list[Figure]:
    """Return the training's curves: loss, accuracy, and the gradient's norm."""
    drawn = []
    for quantity, label in QUANTITIES.items():
        lines = {
            shown: history[f"{part}/{quantity}"]
            for part, shown in (("train", "training"), ("val", "validation"))
            if history.get(f"{part}/{quantity}")
        }
        if not lines:
            continue
        last = ", ".join(f"{name} {loss(line[-1][1])}" for name, line in lines.items())
        drawn.append(over_epochs(lines, label, CAPTIONS[quantity], f"at the end: {last}"))
    return drawn


def over_epochs(lines: Mapping[str, Series], label: str, caption: str, told: str) -> Figure:
    """Return lines over the epochs.

    Args:
        lines: (epoch, value) pairs by the lines' names.
        label: of the axis of values.
        caption: of the figure.
        told: the main numbers, for those who cannot see it.
    """
    with drawing():
        figure, axes = _new()
        for index, (name, line) in enumerate(lines.items()):
            axes.plot(
                [epoch + 1 for epoch, _ in line],
                [value for _, value in line],
                label=word(name),
                marker="o" if len(line) < 4 else None,
                markersize=4,
                **look(index),
            )
        by_decades(axes, [value for line in lines.values() for _, value in line])
        axes.set(xlabel="epoch", ylabel=label)
        _whole(axes, max(len(line) for line in lines.values()))
        axes.grid(True)
        if len(lines) > 1 and len(lines) <= 8:
            axes.legend()
        caption = f"{caption}, over the epochs"
        alt = f"{caption}; {told}"
        return Figure(inline(figure, alt), caption)


def _whole(axes: Axes, number: int) -> None:
    """Mark whole numbers only, below points that are counted from 1."""
    from matplotlib.ticker import MaxNLocator

    axes.xaxis.set_major_locator(MaxNLocator("auto", steps=[1, 2, 5, 10], integer=True))
    if number == 1:
        axes.set(xlim=(0.5, 1.5), xticks=[1])


def by_decades(axes: Axes, values: Sequence[float]) -> None:
    """Choose an axis by powers of ten for values that span several."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    known = [value for value in values if np.isfinite(value)]
    if known and min(known) > 0 and max(known) > DECADES * min(known):
        axes.set_yscale("log")
        few = max(known) < 1000 * min(known)
        axes.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0) if few else (1.0,)))
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axes.yaxis.set_minor_formatter(NullFormatter())


def _shaded(axes: Axes, shares: np.ndarray) -> None:
    """Fill the cells of a table by shares in [0, 1], on whatever colour the page has."""
    from matplotlib.colors import to_rgba

    rows, columns = shares.shape
    colours = np.array([to_rgba(BLUE, float(share)) for share in shares.flat])
    axes.pcolormesh(
        np.arange(columns + 1) - 0.5,
        np.arange(rows + 1) - 0.5,
        colours.reshape(rows, columns, 4),
    )
    axes.set(xlim=(-0.5, columns - 0.5), ylim=(rows - 0.5, -0.5))
    axes.tick_params(length=0)
    for spine in axes.spines.values():
        spine.set_visible(True)


def confusion(counts: np.ndarray, classes: Sequence[str], where: str) -> Figure:
    """Return the confusion matrix.

    Args:
        counts: how often a class (row) was taken for another one (column), (C, C).
        classes: their names.
        where: task, part and device, for the caption.
    """
    size = len(classes)
    shares = counts / np.maximum(counts.sum(1, keepdims=True), 1)
    with drawing():
        side = min(max(1.6, 0.34 * size), 4.4)
        figure, axes = _new((side, side))
        _shaded(axes, shares)
        if size <= NUMBERED:
            for row, column in np.argwhere(counts):
                axes.text(
                    column,
                    row,
                    str(counts[row, column]),
                    ha="center",
                    va="center",
                    color="#FFFFFF" if shares[row, column] > 0.75 else "#000000",
                    fontsize=8,
                )
        step = 1 if size <= 30 else 5
        names = [word(name) for name in classes]
        turn = 90 if max(map(len, names)) > 3 and size > 3 else 0
        axes.set_xticks(range(0, size, step), names[::step], rotation=turn)
        axes.set_yticks(range(0, size, step), names[::step])
        axes.set(xlabel="predicted class", ylabel="true class", aspect="equal")
        right = percent(np.trace(counts) / max(counts.sum(), 1))
        alt = f"Confusion matrix; {where}; {right} on the diagonal"
        caption = f"Which class was taken for which: {where}. Shade: share of the true class."
        return Figure(inline(figure, alt), caption)


def examples(pictures: Sequence[np.ndarray], titles: Sequence[str], caption: str) -> Figure:
    """Return some sequences as images, a row a time step, or as curves.

    Args:
        pictures: values (T, D), or the pixels of an image.
        titles: what is above each.
        caption: which sequences they are.
    """
    from matplotlib.figure import Figure as Drawing

    columns = 4
    rows = -(-len(pictures) // columns)
    with drawing():
        figure = Drawing(figsize=(SIZE[0], 0.95 * rows))
        grid = figure.subplots(
            rows,
            columns,
            squeeze=False,
            gridspec_kw={"left": 0, "right": 1, "bottom": 0, "top": 1, "hspace": 0.25},
        )
        for axes in grid.flat:
            axes.axis("off")
        for axes, values, title in zip(grid.flat, pictures, titles, strict=False):
            axes.set_title(word(title), pad=2)
            if values.shape[1] > 1:
                axes.imshow(values, cmap="gray", interpolation="none")
            else:
                axes.plot(values[:, 0], color=BLUE)
        alt = f"{caption}: {'; '.join(titles)}"
        return Figure(inline(figure, alt), caption)


def attention(weights: np.ndarray, source: Sequence[str], target: Sequence[str]) -> Figure:
    """Return where the decoder looked in a sentence, (target, source) weights in [0, 1]."""
    with drawing():
        width = min(max(1.2, 0.28 * len(source)), 5.0)
        height = min(max(0.8, 0.24 * len(target)), 5.0)
        figure, axes = _new((width, height))
        _shaded(axes, weights / weights.max())
        axes.set_xticks(range(len(source)), map(word, source), rotation=60, ha="right")
        axes.set_yticks(range(len(target)), map(word, target))
        axes.set(xlabel="source", ylabel="translation")
        alt = f"Attention while translating: {' '.join(source)}"
        caption = f"Where the decoder looked. Full shade: a weight of {weights.max():.2f}."
        return Figure(inline(figure, alt), caption)


def errors_by_step(evaluations: Sequence[Evaluation], names: Sequence[str]) -> Figure:
    """Return the readouts' errors against the device that trained, step by step."""
    with drawing():
        figure, axes = _new()
        for index, (one, name) in enumerate(zip(evaluations, names, strict=True)):
            steps = range(1, len(one.rms_z_steps) + 1)
            marker = "o" if len(one.rms_z_steps) < 16 else None
            axes.plot(
                steps, one.rms_z_steps, label=word(name), marker=marker, markersize=3, **look(index)
            )
        axes.set(xlabel="time step", ylabel="RMS error of z", ylim=(0, None))
        _whole(axes, max(len(one.rms_z_steps) for one in evaluations))
        axes.grid(True)
        if len(evaluations) <= 8:
            axes.legend()
        told = ", ".join(
            f"{name} {difference(one.rms_z)}" for one, name in zip(evaluations, names, strict=True)
        )
        alt = f"Error of the readouts at each time step; over all steps: {told}"
        caption = "How far the readouts are from those of the device that trained, step by step"
        return Figure(inline(figure, alt), caption)


@one_at_a_time
def circuit(step: StepCircuit) -> Figure:
    """Return the drawing of one time step: of its traced gates, not of the templates around."""
    import pennylane as qml
    import torch
    from matplotlib import pyplot

    start = torch.zeros(1, step.n_angles)
    with drawing():
        figure, axes = qml.draw_mpl(lambda: step.replay(start), wire_order=list(step.wires))()
        try:
            told = step.specs()
            (left, right), (low, _) = axes.get_xlim(), axes.get_ylim()
            axes.set(xlim=(left + 0.1, right - 0.4), ylim=(low - 0.3, -0.6))  # without its margins
            figure.set_size_inches(right - left - 0.5, low + 0.3)
            alt = (
                f"Circuit of one time step: {told['wires']} wires, {told['gates']} gates, "
                f"depth {told['depth']}"
            )
            caption = "One time step, from left to right; a wire each qubit"
            return Figure(inline(figure, alt), caption, wide=True)
        finally:
            pyplot.close(figure)
