"""An inspection in words: a figure's title, and the lines that the command prints."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from qrnn.inspection.result import NONE, Inspection

ROUNDING = 1e-4  # root mean square of what rounding in single precision may do to readouts


def name_of(device: str | None) -> str:
    """Return a device's name without its options."""
    return (device or "").split(",")[0]


def parting(rms_z: np.ndarray) -> int | None:
    """Return the step (1, 2, ...) in which the difference of two devices (T,) rises most.

    None: they do not part, but by rounding.
    """
    if rms_z.max() < ROUNDING:
        return None
    return 1 + int(np.diff(rms_z, prepend=0.0).argmax())


def title_of(one: Inspection) -> str:
    """Return which sequence it is, and its label, in words."""
    title = f"{one.split} sequence {int(one.index)}"
    found = one.trace.predictions
    assert found is not None
    if len(one.labels) > 1:
        asked = one.labels != NONE
        right = int((one.labels == found)[asked].sum())
        return f"{title}, {right} of {int(asked.sum())} labels right"

    def named(label: int) -> str:
        return one.classes[label] if 0 <= label < len(one.classes) else str(label)

    title += f", label {named(int(one.labels[0]))}, predicted {named(int(found[0]))}"
    if one.beside is not None and one.beside.predictions is not None:
        title += f" ({name_of(one.device_beside)}: {named(int(one.beside.predictions[0]))})"
    return title


def heading(one: Inspection) -> str:
    """Return a figure's title."""
    where = f"cell {one.cell} ({one.cell_name}) on {one.device}"
    beside = f", beside {one.device_beside}" if one.device_beside is not None else ""
    return f"{title_of(one)}\n{where}{beside}"


def summary(found: Inspection) -> Iterator[str]:
    """Yield some lines on each sequence, and what could not be shown."""
    for row in range(len(found.index)):
        yield from summary_of(found.sequence(row))
    for device, seen in ((found.device, found.trace), (found.device_beside, found.beside)):
        if seen is not None and seen.bloch is None:
            yield f"{name_of(device)} shows no state: of it there are readouts and angles alone"


def summary_of(one: Inspection) -> Iterator[str]:
    """Yield a small table on one sequence, as `Inspection.sequence` returns it."""
    found = one.trace
    yield title_of(one)
    yield f"{len(found.z)} steps of cell {one.cell} ({one.cell_name}) on {one.device}"
    rows = {
        "half-chain entropy, bits": found.half_chain_entropy,
        "fidelity with the start": found.fidelity_start,
        "gradient norm, nats": found.gradient_norm,
    }
    beside = {"RMS difference of z": one.rms_z, "fidelity of the states": one.fidelity}
    yield row_of("", "first", "least", "most", "last")
    yield from (row_of(name, *span(values)) for name, values in rows.items() if values is not None)
    if one.rms_z is None:
        return
    yield f"beside {one.device_beside}"
    yield from (row_of(name, *span(v)) for name, v in beside.items() if v is not None)
    step = parting(one.rms_z)
    rises = "nowhere but by rounding" if step is None else f"in step {step}"
    yield f"  the difference rises most {rises}"


def row_of(name: str, *cells: str) -> str:
    """Return a row of the table."""
    return f"  {name:<26}" + "".join(f"{cell:>10}" for cell in cells)


def span(values: np.ndarray) -> list[str]:
    """Return the first, smallest, largest and last of some values in words."""
    return [f"{value:.3g}" for value in (values[0], values.min(), values.max(), values[-1])]
