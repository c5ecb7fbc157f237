"""Text about an inspection: titles of figures, and the summary that the command prints."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from qrnn.inspection.result import NONE, Inspection

ROUNDING = 1e-4  # largest RMS difference of readouts due to single-precision rounding


def name_of(device: str | None) -> str:
    """Return a device's name without its options."""
    return (device or "").split(",")[0]


def parting(rms_z: np.ndarray) -> int | None:
    """Return the step (1, 2, ...) in which the difference between two devices (T,) rises most.

    None: they differ only by rounding.
    """
    if rms_z.max() < ROUNDING:
        return None
    return 1 + int(np.diff(rms_z, prepend=0.0).argmax())


def title_of(one: Inspection) -> str:
    """Return the sequence with its true and predicted labels as text."""
    title = f"{one.split} sequence {int(one.index)}"
    found = one.trace.predictions
    assert found is not None
    if not one.classes:  # numbers
        if len(one.labels) > 1:
            rmse = float(np.sqrt(np.nanmean((one.labels - found) ** 2)))
            return f"{title}, RMSE {rmse:.3g}"
        return f"{title}, true {one.labels[0]:.4g}, predicted {found[0]:.4g}"
    if len(one.labels) > 1:
        labelled = one.labels != NONE
        correct = int((one.labels == found)[labelled].sum())
        return f"{title}, {correct} of {int(labelled.sum())} labels correct"

    def named(label: int) -> str:
        return one.classes[label] if 0 <= label < len(one.classes) else str(label)

    title += f", true {named(int(one.labels[0]))}, predicted {named(int(found[0]))}"
    if one.beside is not None and one.beside.predictions is not None:
        title += f" ({name_of(one.device_beside)}: {named(int(one.beside.predictions[0]))})"
    return title


def heading(one: Inspection) -> str:
    """Return a figure's title."""
    where = f"cell {one.cell} ({one.cell_name}) on {one.device}"
    second = f", compared with {one.device_beside}" if one.device_beside is not None else ""
    return f"{title_of(one)}\n{where}{second}"


def summary(found: Inspection) -> Iterator[str]:
    """Yield a table for each sequence, and a line for each device without states."""
    for row in range(len(found.index)):
        yield from summary_of(found.sequence(row))
    for device, seen in ((found.device, found.trace), (found.device_beside, found.beside)):
        if seen is not None and seen.bloch is None:
            yield f"{name_of(device)} provides no state, only readouts and angles"


def summary_of(one: Inspection) -> Iterator[str]:
    """Yield the lines of a table for one sequence, as `Inspection.sequence` returns it."""
    found = one.trace
    yield title_of(one)
    yield f"{len(found.z)} steps of cell {one.cell} ({one.cell_name}) on {one.device}"
    rows = {
        "half-chain entropy, bits": found.half_chain_entropy,
        "fidelity with the start": found.fidelity_start,
        "damping, mean of qubits": None if found.damping is None else found.damping.mean(1),
        f"gradient norm{', nats' if one.classes else ''}": found.gradient_norm,
    }
    beside = {"RMS difference of z": one.rms_z, "fidelity of the states": one.fidelity}
    yield row_of("", "first", "min", "max", "last")
    yield from (row_of(name, *span(values)) for name, values in rows.items() if values is not None)
    if one.rms_z is None:
        return
    yield f"compared with {one.device_beside}"
    yield from (row_of(name, *span(v)) for name, v in beside.items() if v is not None)
    step = parting(one.rms_z)
    if step is None:
        yield "  the devices differ only by rounding"
    else:
        yield f"  the difference rises most in step {step}"


def row_of(name: str, *cells: str) -> str:
    """Return a row of the table."""
    return f"  {name:<26}" + "".join(f"{cell:>10}" for cell in cells)


def span(values: np.ndarray) -> list[str]:
    """Return the first, smallest, largest and last value as text."""
    return [f"{value:.3g}" for value in (values[0], values.min(), values.max(), values[-1])]
