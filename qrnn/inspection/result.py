"""The result of an inspection, and its file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from qrnn.inspection.tracing import Trace
from qrnn.utils.files import atomic_write

NONE = -1  # marks a missing token, label or step


Part = TypeVar("Part", "Inspection", Trace)


@dataclass(frozen=True)
class Inspection:
    """The states and readouts of one hybrid cell over N sequences.

    Arrays are padded with NaN after the end of a sequence, integer arrays with -1.

    Attributes:
        split: `test`, `val` or `train`.
        cell: number of the cell.
        cell_name: position of the cell in the model, such as "layer 1, forward".
        device: the device that the model was trained on.
        device_beside: the second device, with noise and shots, or None.
        words: Pauli words of the R readouts.
        angles: names of the P angles, such as "RY 0".
        index: index of each sequence in its split (N,).
        length: number of steps of each sequence (N,).
        position: index in the sequence of the step that the cell reads (N, T): 0, 1, ..., or
            reversed for a backward cell.
        tokens: tokens whose embeddings the cell reads (N, T), or None.
        labels: the true labels (N, U), of the sequence (U = 1) or of each step.
        trace: the cell on the model's own device.
        beside: the cell on the second device, or None.
        rms_z: root mean square difference of the readouts between the devices (N, T), or None.
        fidelity: fidelity between the states on the two devices (N, T), or None.
        vocabulary: text of each token, or None.
        classes: text of each label.
        checkpoint: identity of the model (`qrnn.models.identity`), or None.
        image: whether the cell reads the rows of an image.
    """

    split: str
    cell: int
    cell_name: str
    device: str
    device_beside: str | None
    words: tuple[str, ...]
    angles: tuple[str, ...]
    index: np.ndarray
    length: np.ndarray
    position: np.ndarray
    tokens: np.ndarray | None
    labels: np.ndarray
    trace: Trace
    beside: Trace | None = None
    rms_z: np.ndarray | None = None
    fidelity: np.ndarray | None = None
    vocabulary: tuple[str, ...] | None = None
    classes: tuple[str, ...] = ()
    checkpoint: str | None = None
    image: bool = False

    def sequence(self, row: int) -> Inspection:
        """Return the inspection of one of the N sequences, with unpadded arrays (T, ...)."""
        steps = int(self.length[row])

        def cut(name: str, value: Any) -> Any:
            if isinstance(value, Trace):
                return replace(
                    value, **{f.name: cut(f.name, getattr(value, f.name)) for f in fields(value)}
                )
            if not isinstance(value, np.ndarray):
                return value
            mine = value[row]
            return mine if not mine.ndim or name in ("labels", "predictions") else mine[:steps]

        return replace(self, **{f.name: cut(f.name, getattr(self, f.name)) for f in fields(self)})

    def arrays(self) -> dict[str, np.ndarray]:
        """Return all arrays by name; those of the second device have the prefix `beside_`."""
        found: dict[str, Any] = {}
        for one in fields(self):
            if not isinstance(value := getattr(self, one.name), Trace):
                found[one.name] = value
                continue
            prefix = "beside_" if one.name == "beside" else ""
            found.update({prefix + part.name: getattr(value, part.name) for part in fields(value)})
        return {name: np.asarray(value) for name, value in found.items() if value is not None}

    def save(self, path: str | Path) -> Path:
        """Write the arrays as a compressed .npz file, which `numpy.load` reads."""
        with atomic_write(path) as temporary:
            np.savez_compressed(temporary, **self.arrays())  # type: ignore[arg-type]
        return Path(path)


def joined(parts: Sequence[Part]) -> Part:
    """Join N inspections (or traces) of one sequence each; the inverse of `sequence`."""

    def join(values: list[Any]) -> Any:
        if isinstance(values[0], Trace):
            return joined(values)
        return stack(values) if isinstance(values[0], np.ndarray) else values[0]

    names = [f.name for f in fields(parts[0])]
    found: dict[str, Any] = {name: join([getattr(one, name) for one in parts]) for name in names}
    return replace(parts[0], **found)


def stack(parts: Sequence[np.ndarray]) -> np.ndarray:
    """Stack the arrays (T_k, ...) of N sequences to (N, T, ...), padded with NaN or -1."""
    first = parts[0]
    if not first.ndim:
        return np.stack(parts)
    shape = (len(parts), max(map(len, parts)), *first.shape[1:])
    whole = np.issubdtype(first.dtype, np.integer)
    out = np.full(shape, NONE if whole else np.nan, first.dtype)
    for row, part in enumerate(parts):
        out[row, : len(part)] = part
    return out
