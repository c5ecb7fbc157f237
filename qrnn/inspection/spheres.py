"""Trajectories of each qubit's Bloch vector, drawn in projected Bloch spheres."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from qrnn.inspection.result import Inspection
from qrnn.inspection.summary import heading
from qrnn.utils.figure_style import BLACK, DASHED, GREY, VALUES

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.colors import Normalize
    from matplotlib.figure import Figure

COLUMNS = 4  # largest number of spheres in a row
SIZE = 1.75  # size of a sphere, inches
DOTS = 100  # largest number of steps with a dot at each
AZIMUTH, ELEVATION = np.radians(-50), np.radians(22)  # viewing direction
EDGE = "0.45"
NAMES: dict[str, Any] = {"ha": "center", "va": "center", "fontsize": 8, "color": "0.35"}


def flat(points: np.ndarray) -> np.ndarray:
    """Return points (..., 3) in the viewer's coordinates: right, up and towards the viewer."""
    a, e = AZIMUTH, ELEVATION
    right = [-np.sin(a), np.cos(a), 0]
    up = [-np.sin(e) * np.cos(a), -np.sin(e) * np.sin(a), np.cos(e)]
    towards = [np.cos(e) * np.cos(a), np.cos(e) * np.sin(a), np.sin(e)]
    return points @ np.array([right, up, towards]).T


def spheres(one: Inspection) -> Figure:
    """Return a figure with one sphere per qubit; the colour of the path is the time step."""
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import Normalize
    from matplotlib.figure import Figure

    assert one.trace.bloch is not None
    steps, qubits = one.trace.bloch.shape[:2]
    rows = -(-qubits // COLUMNS)
    columns = -(-qubits // rows)
    figure = Figure(
        figsize=(max(4.0, SIZE * columns + 0.9), SIZE * rows + 0.7), layout="constrained"
    )
    grid = figure.subplots(rows, columns, squeeze=False)
    scale = Normalize(1, max(steps, 2))
    for q, axes in enumerate(grid.flat):
        axes.set_axis_off()
        if q < qubits:
            sphere(axes)
            path(axes, one.trace.bloch[:, q], scale)
            axes.set_title(f"qubit {q}", pad=2)
    bar = figure.colorbar(ScalarMappable(scale, VALUES), ax=grid, shrink=0.7, aspect=25)
    bar.set_label("time step t")
    bar.outline.set_linewidth(0.5)
    figure.supxlabel(f"ring: after step 1, square: after step {steps}; thin: far", fontsize=8)
    figure.suptitle(heading(one), parse_math=False)  # a class may be called "$"
    return figure


def sphere(axes: Axes) -> None:
    """Draw an empty sphere: outline, equator, two meridians, the axes and their names.

    What is on the far side is thinner.
    """
    turn = np.linspace(0, 2 * np.pi, 91)
    zero = np.zeros_like(turn)
    axes.fill(np.cos(turn), np.sin(turn), facecolor="0.97", edgecolor=GREY, linewidth=0.8, zorder=0)
    circles = (
        (np.cos(turn), np.sin(turn), zero),
        (np.cos(turn), zero, np.sin(turn)),
        (zero, np.cos(turn), np.sin(turn)),
    )
    for circle in circles:
        seen = flat(np.stack(circle, -1))
        front = seen[:, 2] >= 0
        for which, colour, width in ((~front, "0.85", 0.4), (front, "0.65", 0.9)):
            shown = np.where(which[:, None], seen[:, :2], np.nan)
            axes.plot(*shown.T, color=colour, linewidth=width, zorder=1)
    for name, end in (("x", (1, 0, 0)), ("y", (0, 1, 0)), (r"$|0\rangle$", (0, 0, 1))):
        right, up, _ = flat(np.array(end))
        axes.plot([0, right], [0, up], color="0.4", linewidth=0.6, linestyle=DASHED, zorder=1)
        # Beyond the outline, so that no path runs through a name.
        beyond = 1.17 / np.hypot(right, up)
        axes.text(beyond * right, beyond * up, name, **NAMES)
    axes.text(0, -1.17, r"$|1\rangle$", **NAMES)
    axes.set(xlim=(-1.3, 1.3), ylim=(-1.35, 1.35), aspect="equal")


def path(axes: Axes, r: np.ndarray, scale: Normalize) -> None:
    """Draw Bloch vectors (T, 3) as a path from a ring to a square."""
    from matplotlib.collections import LineCollection

    seen = flat(r)
    points, near = seen[:, :2], 0.7 + 0.6 * np.clip((seen[:, 2] + 1) / 2, 0, 1)
    steps = len(points)
    # A long path is drawn in fewer pieces of one colour each, to keep the file small.
    ends = np.unique(np.linspace(0, steps - 1, min(steps, DOTS) + 1).round().astype(int))
    pieces = [points[a : b + 1] for a, b in pairwise(ends)]
    width = 1.5 if steps <= DOTS else 0.6
    # What is near is thicker.
    widths = width * np.array([near[a : b + 1].mean() for a, b in pairwise(ends)])
    lines = LineCollection(pieces, cmap=VALUES, norm=scale, linewidths=widths, zorder=3)
    lines.set_array((ends[:-1] + ends[1:]) / 2 + 1)
    axes.add_collection(lines)
    # An outline, as the ends of the scale are close to white and to black.
    axes.add_collection(LineCollection(pieces, colors=EDGE, linewidths=widths + 0.8, zorder=2))
    if steps <= DOTS:
        axes.scatter(
            points[:, 0],
            points[:, 1],
            14 * near**2,
            np.arange(1, steps + 1),
            cmap=VALUES,
            norm=scale,
            edgecolors=EDGE,
            linewidths=0.4,
            zorder=4,
        )
    axes.plot(*points[0], "o", color="white", markeredgecolor=BLACK, markersize=5, zorder=5)
    axes.plot(*points[-1], "s", color=BLACK, markersize=4.5, zorder=5)
