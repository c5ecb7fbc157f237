"""The panels of figures over time; each draws one quantity."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from qrnn.inspection.result import Inspection
from qrnn.inspection.summary import name_of, parting
from qrnn.utils.figure_style import (
    AMOUNTS,
    BLACK,
    BLUE,
    DASHED,
    DOTTED,
    GREEN,
    ORANGE,
    VALUES,
    VERMILLION,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes

FEW = 40  # largest number of steps with a marker or a token at each
IMAGES = 8  # largest number of images in a panel
LETTERS = 14  # characters shown of a token
MANY = 200  # number of steps above which lines are thin, or heat maps
ROWS = 26  # largest number of rows of a heat map that all have a label
XYZ = ((BLUE, "-"), (ORANGE, DASHED), (GREEN, DOTTED))


@dataclass(frozen=True)
class Strip:
    """The axes of a panel.

    Attributes:
        axes: axes over the time steps 1..T.
        side: empty axes to their right, for a legend or a colour bar.
    """

    axes: Axes
    side: Axes


@dataclass(frozen=True)
class Panel:
    """One quantity over time.

    Attributes:
        draw: draws one sequence into a strip.
        height: height, inches.
    """

    draw: Callable[[Strip, Inspection], None]
    height: float = 1.5


def line(
    axes: Axes, values: np.ndarray, colour: str, style: Any, label: str, **options: Any
) -> None:
    """Draw values (T,) at steps 1..T."""
    steps = len(values)
    if steps <= FEW:
        options = {"marker": "o", "markersize": 2.8, **options}
    elif steps > MANY:
        options = {"linewidth": 0.9, **options}
    t = np.arange(1, steps + 1)
    axes.plot(t, values, color=colour, linestyle=style, label=label, **options)


def legend(strip: Strip) -> None:
    """Draw the legend to the right of the panel."""
    handles, labels = strip.axes.get_legend_handles_labels()
    strip.side.legend(handles, labels, loc="upper left", borderaxespad=0, bbox_to_anchor=(0, 1))


def heat(
    strip: Strip,
    values: np.ndarray,
    names: Sequence[str] | None,
    label: str,
    limits: tuple[float, float],
    colours: str = VALUES,
) -> None:
    """Draw values (T, K) as a heat map of K rows, the first on top.

    If values are outside the limits, the colour bar ends in an arrow.
    """
    rows = values.shape[1]
    beyond = values.min() < limits[0], values.max() > limits[1]
    extend = {(1, 1): "both", (1, 0): "min", (0, 1): "max", (0, 0): "neither"}[beyond]
    shown = strip.axes.imshow(
        values.T,
        aspect="auto",
        cmap=colours,
        vmin=limits[0],
        vmax=limits[1],
        extent=(0.5, len(values) + 0.5, rows - 0.5, -0.5),
    )
    every = -(-rows // ROWS)
    ticks = range(0, rows, every)
    size = 8 if rows <= 10 else 6.5
    names = [str(k) for k in range(rows)] if names is None else names
    strip.axes.set_yticks(list(ticks), [names[k] for k in ticks], fontsize=size)
    strip.axes.tick_params(axis="y", length=0 if rows > 10 else 2)
    strip.axes.spines[["top", "right"]].set_visible(True)
    # Inset axes keep the bar and its label readable at any panel height.
    bar = strip.axes.figure.colorbar(
        shown, cax=strip.side.inset_axes((0.0, 0.02, 0.09, 0.96)), extend=extend
    )
    bar.set_label(label)
    bar.outline.set_linewidth(0.5)
    bar.ax.tick_params(labelsize=7)
    bar.ax.locator_params(nbins=5)


def height_of(rows: int) -> float:
    """Return the height of a heat map with a number of rows, inches."""
    return max(1.25, 0.125 * min(rows, ROWS) + 0.25)


def reach(values: np.ndarray, least: float = 0.5) -> float:
    """Return the end of a colour scale: 1, or less if almost all values are small.

    Otherwise readouts that are all near 0 would give a uniform grey area.
    """
    usual = float(np.quantile(np.abs(values), 0.995))
    if usual <= least:
        return max(usual, 1e-9)
    return max(1.0, float(np.abs(values).max()))  # estimates from shots may lie outside [-1, 1]


def short(word: str) -> str:
    """Return a Pauli word without its identities: "X0", "Z0 Z1"."""
    return " ".join(f"{letter}{q}" for q, letter in enumerate(word) if letter != "I")


def inputs(strip: Strip, one: Inspection) -> None:
    """Draw the cell's inputs as tokens, a line or a heat map."""
    from matplotlib.ticker import MaxNLocator

    axes, steps = strip.axes, len(one.trace.x)
    if one.tokens is not None:
        tokens = one.tokens.astype(int)
        if steps <= FEW and one.vocabulary is not None:
            texts = [one.vocabulary[token] for token in tokens]
            for t, text in enumerate(texts, 1):
                shown = text if len(text) <= LETTERS else text[: LETTERS - 1] + "…"
                turned = 90 if max(map(len, texts)) > 2 else 0
                axes.text(
                    t,
                    0.06,
                    shown,
                    rotation=turned,
                    ha="center",
                    va="bottom",
                    fontsize=8,
                    parse_math=False,
                )
            axes.set(ylim=(0, 1), yticks=[], ylabel="input")
            axes.spines["left"].set_visible(False)
            return
        axes.plot(
            np.arange(1, steps + 1), tokens, color=BLACK, drawstyle="steps-mid", linewidth=0.8
        )
        axes.yaxis.set_major_locator(MaxNLocator(integer=True, nbins=4))
        axes.set_ylabel("input\n(token)")
        return
    if one.image:
        images(axes, one)
        return
    x = one.trace.x
    if x.shape[1] == 1:
        axes.plot(
            np.arange(1, steps + 1), x[:, 0], color=BLACK, drawstyle="steps-mid", linewidth=0.8
        )
        axes.set_ylabel("input x")
        return
    low = min(float(x.min()), 0.0)
    heat(strip, x, None, "input x", (low, max(float(x.max()), low + 1e-9)), AMOUNTS)
    axes.set_ylabel("feature")


def images(axes: Axes, one: Inspection) -> None:
    """Draw the image as far as it has been read, below the steps (all, or each of a few)."""
    steps, width = one.trace.x.shape
    axes.set(ylim=(0, 1), yticks=[], ylabel="input\nread so far")
    axes.spines["left"].set_visible(False)
    seen = np.ma.masked_all((steps, width))
    every = -(-steps // IMAGES)
    for t, (row, pixels) in enumerate(zip(one.position, one.trace.x, strict=True), 1):
        seen[row] = pixels
        if t % every and t < steps:
            continue
        place = (t - 0.46 * every, 0.02, 0.92 * every, 0.96)
        panel = axes.inset_axes(place, transform=axes.get_xaxis_transform())
        panel.set_facecolor("0.93")  # of what is not read yet
        panel.imshow(seen.copy(), cmap=AMOUNTS, vmin=0, vmax=1)
        panel.set(xticks=[], yticks=[])
        panel.spines[:].set(visible=True, color="0.6", linewidth=0.5)


def readouts(strip: Strip, one: Inspection) -> None:
    """Draw all readouts."""
    z, most = one.trace.z, reach(one.trace.z)
    heat(strip, z, [short(word) for word in one.words], "readout z", (-most, most))
    strip.axes.set_ylabel("observable")


def qubit_entropies(strip: Strip, one: Inspection, beside: bool = False) -> None:
    """Draw the entropy of each qubit, on the model's device or the second one."""
    trace = one.beside if beside else one.trace
    assert trace is not None
    assert trace.entropy is not None
    heat(strip, trace.entropy, None, "entropy (bits)", (0, largest_entropy(one)))
    strip.axes.set_ylabel(qubit_label(one, beside))


def qubit_label(one: Inspection, beside: bool) -> str:
    """Return the row label of a panel, with the device if there are two."""
    if one.beside is None:
        return "qubit"
    return f"qubit, on\n{name_of(one.device_beside) if beside else one.device}"


def largest_entropy(one: Inspection) -> float:
    """Return the end of the colour scale for the qubit entropies of both devices."""
    both = (trace.entropy for trace in (one.trace, one.beside) if trace is not None)
    return reach(np.concatenate([entropy for entropy in both if entropy is not None]))


def half_chain(strip: Strip, one: Inspection) -> None:
    """Draw the entropy of half the chain, of the whole state, and the mean over the qubits."""
    largest = 0.0
    for trace, device, colour, styles in (
        (one.trace, one.device, BLACK, ("-", DOTTED)),
        (one.beside, name_of(one.device_beside), VERMILLION, (DASHED, "-.")),
    ):
        if trace is None or trace.half_chain_entropy is None or trace.state_entropy is None:
            continue
        tail = f",\n{device}" if one.beside is not None else ""
        line(strip.axes, trace.half_chain_entropy, colour, styles[0], f"half chain{tail}")
        largest = max(largest, float(trace.half_chain_entropy.max()))
        if trace.state_entropy.any():  # a mixed state
            line(
                strip.axes,
                trace.state_entropy,
                colour,
                styles[1],
                f"whole state{tail}",
                markerfacecolor="white",
            )
            largest = max(largest, float(trace.state_entropy.max()))
    if one.beside is None and one.trace.entropy is not None:
        mean = one.trace.entropy.mean(1)
        line(strip.axes, mean, BLUE, DOTTED, "mean of\nthe qubits")
        largest = max(largest, float(mean.max()))
    top = max(0.02, 1.08 * largest)
    strip.axes.set(ylabel="entropy (bits)", ylim=(-0.03 * top, top))
    legend(strip)


def fidelity(strip: Strip, one: Inspection) -> None:
    """Draw the fidelity of each state with the previous one and with the start state."""
    found = one.trace
    assert found.fidelity_previous is not None
    assert found.fidelity_start is not None
    line(strip.axes, found.fidelity_previous, BLUE, "-", "with the\nprevious state")
    line(strip.axes, found.fidelity_start, ORANGE, DASHED, "with the\nstart state")
    strip.axes.set(ylabel="fidelity", ylim=(-0.03, 1.03))
    legend(strip)


def damping(strip: Strip, one: Inspection) -> None:
    """Draw the strength of each qubit's damping."""
    assert one.trace.damping is not None
    heat(strip, one.trace.damping, None, r"damping $\gamma$", (0, 1))
    strip.axes.set_ylabel("qubit")


def angles(strip: Strip, one: Inspection) -> None:
    """Draw all angles of the circuit."""
    theta = one.trace.theta
    most = max(float(np.abs(theta).max()), 1e-9)
    heat(strip, theta, one.angles, r"angle $\theta$ (rad)", (-most, most))
    strip.axes.set_ylabel("gate and qubit")


def angle_changes(strip: Strip, one: Inspection) -> None:
    """Draw the RMS distance of the angles from their mean over time."""
    theta = one.trace.theta
    moved = np.sqrt(((theta - theta.mean(0)) ** 2).mean(1))
    line(strip.axes, moved, BLUE, "-", "RMS distance\nfrom the mean\nover time")
    strip.axes.set(ylabel=r"$\theta$ (rad)", ylim=(0, None))
    legend(strip)


def gradient(strip: Strip, one: Inspection) -> None:
    """Draw the norm of the loss's gradient with respect to the state."""
    from matplotlib.ticker import NullFormatter

    norms = one.trace.gradient_norm
    assert norms is not None
    shown = np.where(norms > 0, norms, np.nan)  # a logarithmic axis cannot show 0
    line(strip.axes, shown, BLUE, "-", r"$\|\partial L/\partial(\psi_t, z_t)\|$")
    if np.isfinite(shown).any():
        low, high = np.nanmin(shown), np.nanmax(shown)
        if high / low < 30:  # extend a short axis, so that it shows a power of ten
            middle = np.sqrt(low * high)
            low, high = min(low, middle / 6), max(high, middle * 6)
        strip.axes.set(yscale="log", ylim=(low / 1.5, high * 1.5))
        strip.axes.yaxis.set_minor_formatter(NullFormatter())
    strip.axes.set_ylabel("gradient (nats)" if one.classes else "gradient")
    legend(strip)


def device_error(strip: Strip, one: Inspection) -> None:
    """Draw the RMS difference of the readouts between the devices."""
    assert one.rms_z is not None
    line(strip.axes, one.rms_z, VERMILLION, "-", "RMS of\nthe readouts'\ndifference")
    if (step := parting(one.rms_z)) is not None:
        strip.axes.axvline(
            step - 0.5,
            color=BLACK,
            linestyle=DOTTED,
            linewidth=1,
            zorder=0,
            label=f"rises most\nin step {step}",
        )
    strip.axes.set(ylabel=r"RMS of $\Delta z$", ylim=(0, None))
    legend(strip)


def device_fidelity(strip: Strip, one: Inspection) -> None:
    """Draw the fidelity between the two devices' states."""
    assert one.fidelity is not None
    line(strip.axes, one.fidelity, BLUE, "-", "of the two\ndevices' states")
    strip.axes.set(ylabel="fidelity", ylim=(-0.03, 1.03))
    legend(strip)


def readout_difference(strip: Strip, one: Inspection) -> None:
    """Draw the difference of each readout between the devices."""
    assert one.beside is not None
    apart = np.abs(one.beside.z - one.trace.z)
    most = max(float(apart.max()), 1e-9)
    heat(strip, apart, [short(word) for word in one.words], "difference of z", (0, most), AMOUNTS)
    strip.axes.set_ylabel("observable")


def bloch(strip: Strip, one: Inspection, qubit: int) -> None:
    """Draw the Bloch vector of one qubit as lines."""
    assert one.trace.bloch is not None
    r = one.trace.bloch[:, qubit]
    # Wide, and behind the other lines: often one component is as long as the vector.
    line(strip.axes, np.linalg.norm(r, axis=1), "0.75", "-", "length", marker=None, linewidth=3.5)
    for letter, values, (colour, style) in zip("XYZ", r.T, XYZ, strict=True):
        line(strip.axes, values, colour, style, rf"$\langle {letter}\rangle$")
    if one.beside is not None and one.beside.bloch is not None:
        length = np.linalg.norm(one.beside.bloch[:, qubit], axis=1)
        line(
            strip.axes,
            length,
            BLACK,
            "-.",
            f"length,\n{name_of(one.device_beside)}",
            marker=None,
            linewidth=1,
        )
    strip.axes.set(ylim=(-1.06, 1.06), yticks=[-1, 0, 1], ylabel=f"qubit {qubit}")
    strip.axes.axhline(0, color="0.85", linewidth=0.6, zorder=0)


def bloch_component(strip: Strip, one: Inspection, component: int) -> None:
    """Draw one component of all qubits' Bloch vectors as a heat map."""
    assert one.trace.bloch is not None
    most = reach(one.trace.bloch)
    label = rf"$\langle {'XYZ'[component]}\rangle$"
    heat(strip, one.trace.bloch[..., component], None, label, (-most, most))
    strip.axes.set_ylabel("qubit")


def bloch_length(strip: Strip, one: Inspection, beside: bool = False) -> None:
    """Draw the lengths of all qubits' Bloch vectors as a heat map."""
    trace = one.beside if beside else one.trace
    assert trace is not None
    assert trace.bloch is not None
    length = np.linalg.norm(trace.bloch, axis=2)
    heat(strip, length, None, "length", (0, 1))
    strip.axes.set_ylabel(qubit_label(one, beside))
