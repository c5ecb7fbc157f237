"""The plot of the results page: a strip for each task, a dot for each seed, better to the right."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from io import StringIO
from pathlib import Path
from typing import Any

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullLocator

from qrnn.utils.figure_style import with_dark
from qrnn.utils.files import write_text

from .compare import LEAST
from .rows import CLASSICAL, Comparison, Row, best_of_models, better_of, metric_name

WIDTH, STRIP, TOP = 4.06, 0.56, 0.42  # inches; 390 pixels wide
# Okabe and Ito's colours, and a marker for each model for greyscale print.
QUANTUM = ("quantum", "#0072B2", "o")
STYLES = {
    "lstm": ("#D55E00", "s"),
    "gru": ("#CC79A7", "^"),
    "scornn": ("#009E73", "D"),
    "rnn": ("#7F7F7F", "v"),
}
# Text stays text, and the same records give the same file.
SETTINGS: dict[Any, Any] = {"svg.fonttype": "none", "svg.hashsalt": "results", "font.size": 8}
LOGARITHMIC = {"cross_entropy": (1.0,), "steps": (1.0, 2.0, 5.0)}  # with their ticks in a decade
BESIDE = 0.4  # how far beyond the span of the pair an axis reaches, in spans


def draw(tasks: Mapping[str, tuple[Comparison, Sequence[Row]]], path: Path) -> None:
    """Draw the headline row of each task beside the best row of each classical model.

    Args:
        tasks: each task's comparison and all its rows, by its title.
        path: the SVG file.
    """
    height = TOP + STRIP * len(tasks)
    with rc_context(SETTINGS):
        figure = Figure(figsize=(WIDTH, height), facecolor="white")
        for k, (title, (found, rows)) in enumerate(tasks.items()):
            bottom = (height - TOP - STRIP * (k + 1) + 0.22) / height
            axes = figure.add_axes((0.06, bottom, 0.86, 0.14 / height))
            _strip(axes, title, found, rows)
        name, colour, marker = QUANTUM
        handles = [_dot(name, colour, marker)]
        handles += [_dot(CLASSICAL[model], *style) for model, style in STYLES.items()]
        figure.legend(
            handles=handles,
            loc="upper center",
            ncols=5,
            frameon=False,
            fontsize=8,
            handletextpad=0,
            columnspacing=1,
        )
        image = StringIO()
        figure.savefig(image, format="svg", metadata={"Date": None, "Creator": None})
    write_text(path, with_dark(image.getvalue()))


def _dot(label: str, colour: str, marker: str) -> Line2D:
    return Line2D([], [], linestyle="", marker=marker, color=colour, label=label, markersize=5)


def _strip(axes: Axes, title: str, found: Comparison, rows: Sequence[Row]) -> None:
    """Draw one task; a model whose seeds are beyond the axis is at its left end, as an arrow."""
    metric = found.ours.metric
    logarithmic = metric in LOGARITHMIC

    def place(value: float) -> float:
        return max(value, LEAST) if logarithmic else value * (100 if metric == "accuracy" else 1)

    pair = [place(v) for row in (found.ours, found.twin) if row for v in row.values.values()]
    low, high = _limits([value for value in pair if math.isfinite(value)], logarithmic)
    if logarithmic:
        axes.set_xscale("log")
    axes.set(xlim=(low, high) if better_of(metric) == "higher" else (high, low), ylim=(-1, 1))
    models = [(STYLES[row.model], row) for row in best_of_models(rows)]
    arrows = 0
    for (colour, marker), row in [*models, (QUANTUM[1:], found.ours)]:
        places = [place(value) for value in row.values.values()]
        inside = [value for value in places if low <= value <= high]
        axes.plot(
            inside,
            [0] * len(inside),
            marker,
            color=colour,
            markersize=5,
            markeredgecolor="white",
            markeredgewidth=0.4,
            clip_on=False,
        )
        if len(inside) < len(places):
            axes.plot(
                0.02 * arrows,
                0.5,
                "<",
                color=colour,
                markersize=4,
                clip_on=False,
                transform=axes.transAxes,
            )
            arrows += 1
    unit = ", %" if metric == "accuracy" else ""
    axes.set_title(f"{title}: {metric_name(metric)}{unit}", fontsize=8, loc="left", pad=5)
    axes.yaxis.set_major_locator(NullLocator())
    if logarithmic:
        axes.xaxis.set_major_locator(LogLocator(subs=LOGARITHMIC[metric], numticks=6))
    else:
        axes.xaxis.set_major_locator(MaxNLocator(5))
    if metric == "steps":
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.tick_params(axis="x", labelsize=7, length=2, pad=1)
    for side in ("left", "right", "top"):
        axes.spines[side].set_visible(False)


def _limits(values: Sequence[float], logarithmic: bool) -> tuple[float, float]:
    """Return the ends of an axis around the values of the pair."""
    scaled = [math.log10(value) for value in values] if logarithmic else list(values)
    low, high = min(scaled), max(scaled)
    beside = BESIDE * (high - low) or 0.5
    ends = (low - beside, high + beside)
    return (10 ** ends[0], 10 ** ends[1]) if logarithmic else ends
