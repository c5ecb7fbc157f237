"""The figures of an inspection: panels over a shared time axis, and Bloch spheres."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from qrnn.errors import ConfigError
from qrnn.inspection import panels
from qrnn.inspection.panels import Panel, Strip
from qrnn.inspection.result import Inspection
from qrnn.inspection.spheres import spheres
from qrnn.inspection.summary import heading, name_of
from qrnn.utils.figure_style import FORMATS, styled, write_all
from qrnn.utils.progress import progress_bar

if TYPE_CHECKING:
    from matplotlib.figure import Figure

WIDTH = 7.0  # inches: two columns of a journal
SIDE = 0.24  # fraction of the width for legends and colour bars
QUBITS = 10  # largest number of qubits drawn as lines


def check_formats(formats: Sequence[str]) -> None:
    """Check the formats of the figures.

    Raises:
        ConfigError: a format is not supported, or there is none.
    """
    if not formats or set(formats) - set(FORMATS):
        raise ConfigError(f"formats must be among {', '.join(FORMATS)}, got {list(formats)}")


def folder_name(found: Inspection) -> str:
    """Return the folder name of an inspection: "test-12", "val-3-12-cell1-default.mixed"."""
    index = [str(k) for k in found.index.tolist()]
    if len(index) > 6:
        index = [*index[:5], f"and-{len(index) - 5}-more"]
    parts = [found.split, *index]
    if found.cell:
        parts.append(f"cell{found.cell}")
    if found.device_beside is not None:
        parts.append(name_of(found.device_beside))
    return "-".join(parts)


def draw(
    found: Inspection,
    folder: str | Path,
    *,
    formats: Sequence[str] = ("svg", "png"),
    progress: bool = False,
) -> list[Path]:
    """Draw all figures of an inspection, separately for each sequence; return their paths.

    Args:
        found: the inspection.
        folder: folder for the figures, which are named NAME-INDEX.FORMAT.
        formats: any of `svg`, `pdf` and `png`.
        progress: whether to show a progress bar.

    Raises:
        ConfigError: a format is not supported, or there is none.
    """
    check_formats(formats)
    sequences = [found.sequence(row) for row in range(len(found.index))]
    todo = [(one, name, make) for one in sequences for name, make in figures(one)]
    paths = []
    with styled(), progress_bar("figures", progress) as bar:
        for one, name, make in bar.track(todo, description="draw"):
            paths += write_all(make(one), Path(folder) / f"{name}-{int(one.index)}", formats)
    return paths


def figures(one: Inspection) -> Iterator[tuple[str, Callable[[Inspection], Figure]]]:
    """Yield the name and drawing function of each figure for which there is data."""
    found = one.trace
    read = Panel(panels.readouts, panels.height_of(len(one.words)))
    given = Panel(panels.inputs, input_height(one))
    half = Panel(panels.half_chain)
    overview = [given, read]
    if found.bloch is not None:
        overview += [half, Panel(panels.fidelity)]
    forgets = []
    if found.damping is not None:
        forgets.append(Panel(panels.damping, panels.height_of(found.damping.shape[1])))
    overview += forgets
    if found.gradient_norm is not None:
        overview.append(Panel(panels.gradient, 1.3))
    yield "overview", partial(over_time, parts=overview)
    yield "readouts", partial(over_time, parts=[given, read])
    theta = Panel(panels.angles, panels.height_of(len(one.angles)))
    yield "angles", partial(over_time, parts=[theta, Panel(panels.angle_changes, 1.2)])
    if forgets:
        yield "damping", partial(over_time, parts=[given, *forgets])
    if found.entropy is not None:
        rows_height = panels.height_of(found.entropy.shape[1])
        yield "bloch", bloch
        yield "spheres", spheres
        entropy = [Panel(panels.qubit_entropies, rows_height)]
        if one.beside is not None and one.beside.entropy is not None:
            entropy.append(Panel(partial(panels.qubit_entropies, beside=True), rows_height))
        yield "entropy", partial(over_time, parts=[*entropy, half])
        yield "fidelity", partial(over_time, parts=[Panel(panels.fidelity, 2.2)])
    if found.gradient_norm is not None:
        yield "gradient", partial(over_time, parts=[Panel(panels.gradient, 2.2)])
    if one.rms_z is not None:
        apart = [Panel(panels.device_error)]
        if one.fidelity is not None:
            apart.append(Panel(panels.device_fidelity))
        apart.append(Panel(panels.readout_difference, panels.height_of(len(one.words))))
        yield "devices", partial(over_time, parts=apart)


def input_height(one: Inspection) -> float:
    """Return the height of the input panel, inches."""
    if one.tokens is None:
        features = one.trace.x.shape[1]
        if one.image:
            return 0.7
        return 0.9 if features == 1 else min(1.6, panels.height_of(features))
    if one.vocabulary is None or len(one.tokens) > panels.FEW:
        return 0.9
    longest = max(len(one.vocabulary[int(token)]) for token in one.tokens)
    return 0.15 + 0.07 * min(longest, panels.LETTERS)


def over_time(one: Inspection, parts: Sequence[Panel], side: float = SIDE) -> Figure:
    """Return a figure of stacked panels over a shared time axis.

    Args:
        one: the inspection of one sequence.
        parts: the panels.
        side: fraction of the width for legends and colour bars.
    """
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    heights = [part.height for part in parts]
    figure = Figure(figsize=(WIDTH, sum(heights) + 0.25 * len(parts) + 0.5), layout="constrained")
    grid = figure.subplots(
        len(parts), 2, squeeze=False, width_ratios=[1 - side, side], height_ratios=heights
    )
    for part, (axes, beside) in zip(parts, grid, strict=True):
        beside.set_axis_off()
        part.draw(Strip(axes, beside), one)
        axes.set_xlim(0.5, len(one.trace.z) + 0.5)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=9, min_n_ticks=1))
        axes.tick_params(labelbottom=axes is grid[-1, 0])
    grid[-1, 0].set_xlabel(time_label(one))
    figure.align_ylabels(grid[:, 0])
    figure.suptitle(heading(one), parse_math=False)  # a class may be called "$"
    return figure


def time_label(one: Inspection) -> str:
    """Return the label of the time axis."""
    reads_back = len(one.position) > 1 and one.position[0] > one.position[-1]
    return "time step t" + (" of the cell, which reads from the end" if reads_back else "")


def bloch(one: Inspection) -> Figure:
    """Return a figure of each qubit's Bloch vector over time, as lines or, for many, heat maps."""
    assert one.trace.bloch is not None
    steps, qubits = one.trace.bloch.shape[:2]
    if steps > panels.MANY or qubits > QUBITS:
        height = panels.height_of(qubits)
        parts = [Panel(partial(panels.bloch_component, component=k), height) for k in range(3)]
        parts.append(Panel(panels.bloch_length, height))
        if one.beside is not None and one.beside.bloch is not None:
            parts.append(Panel(partial(panels.bloch_length, beside=True), height))
        return over_time(one, parts)
    parts = [Panel(partial(panels.bloch, qubit=q), 1.0) for q in range(qubits)]
    figure = over_time(one, parts, 0.19)
    panels.legend(Strip(*figure.axes[:2]))  # one legend for all panels
    return figure
