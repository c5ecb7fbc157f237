"""Convert bits to PennyLane's results.

Shapes and types are those of default.qubit with the same shots, because PennyLane's
`process_samples` makes the results; only expectation values of Pauli words are computed directly,
as the mean of a parity.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from pennylane.measurements import CountsMP, SampleMeasurement, Shots
from pennylane.wires import Wires

from qrnn.devices.ibm.readout import MidBit, Recipe
from qrnn.errors import DeviceError

# For each setting, an array (B, shots, bits) of 0 and 1, and the wire or `MidBit` of each bit.
Bits = Sequence[np.ndarray]
Labels = Sequence[Sequence[Any]]
# For each setting, an array (2, bits) that corrects readout errors, or None: `Calibration`.
Corrections = Sequence[np.ndarray | None]


def results(
    recipes: Sequence[Recipe],
    bits: Bits,
    labels: Labels,
    corrections: Corrections,
    shots: Shots,
    batch_size: int | None,
) -> Any:
    """Return the result of a tape in the form of default.qubit.

    Args:
        recipes: the recipe of each measurement.
        bits: for each setting, an array (B, shots, bits); B = 1 without a batch.
        labels: for each setting, the wire or `MidBit` of each bit.
        corrections: for each setting, its readout corrections, or None.
        shots: the tape's shots; the bits contain all partitions in order.
        batch_size: B, or None.
    """
    parts = []
    for lower, upper in shots.bins():
        cut = [b[:, lower:upper] if batch_size else b[0, lower:upper] for b in bits]
        values = tuple(
            _evaluate(recipe, cut, labels, corrections, batch_size) for recipe in recipes
        )
        parts.append(values if len(values) > 1 else values[0])
    return tuple(parts) if shots.has_partitioned_shots else parts[0]


def postselected_results(
    recipes: Sequence[Recipe],
    bits: Bits,
    labels: Labels,
    corrections: Corrections,
    shots: Shots,
    batch_size: int | None,
    wanted: Mapping[int, int],
) -> tuple[Any, np.ndarray]:
    """Return the result of a tape from the postselected shots, and their fraction.

    Args:
        recipes: see `results`.
        bits: see `results`.
        labels: see `results`.
        corrections: see `results`.
        shots: see `results`.
        batch_size: see `results`.
        wanted: mid-circuit bit -> the outcome to postselect.

    Returns:
        The result, NaN where no shot is kept, and the fractions (B,) of shots kept, averaged over
        the settings.

    Raises:
        DeviceError: samples are measured, and the rows of the batch keep different numbers of
            shots.
    """
    kept = [_kept(b, label, wanted) for b, label in zip(bits, labels, strict=True)]
    parts = []
    for lower, upper in shots.bins():
        table = []  # one value per row and recipe, since each row keeps other shots
        for row in range(batch_size or 1):
            chosen = [
                b[row, lower:upper][k[row, lower:upper]] for b, k in zip(bits, kept, strict=True)
            ]
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", RuntimeWarning)  # the mean of no shots is nan
                table.append([_evaluate(r, chosen, labels, corrections, None) for r in recipes])
        columns = zip(*table, strict=True)
        values = tuple(_stack(list(c)) if batch_size else c[0] for c in columns)
        parts.append(values if len(values) > 1 else values[0])
    share = np.mean([k.mean(axis=1) for k in kept], axis=0)
    return tuple(parts) if shots.has_partitioned_shots else parts[0], share


def _kept(bits: np.ndarray, labels: Sequence[Any], wanted: Mapping[int, int]) -> np.ndarray:
    """Return which shots (B, shots) have the wanted outcomes."""
    kept = np.ones(bits.shape[:2], dtype=bool)
    for bit, outcome in wanted.items():
        kept &= bits[..., labels.index(MidBit(bit))] == outcome
    return kept


def _stack(values: list[Any]) -> Any:
    """Return the values of the rows of a batch as one result."""
    if isinstance(values[0], dict):
        return values
    sizes = sorted({np.shape(value) for value in values})
    if len(sizes) > 1:
        raise DeviceError(
            "Samples of a batch must be equally many in each row, but postselection kept "
            f"{', '.join(str(size[0]) for size in sizes)}: run the rows separately, or use counts"
        )
    return np.stack(values)


def _process(process: SampleMeasurement, samples: np.ndarray, wires: Sequence[Any]) -> Any:
    if isinstance(process, CountsMP) and not samples.shape[-2]:
        return {}  # PennyLane's counts need at least one shot
    return process.process_samples(samples, Wires(wires))


def _evaluate(
    recipe: Recipe,
    bits: Bits,
    labels: Labels,
    corrections: Corrections,
    batch_size: int | None,
) -> Any:
    if not recipe.terms:
        return np.squeeze(np.full(batch_size or (), recipe.constant))[()]
    values = []
    for term in recipe.terms:
        columns = [labels[term.setting].index(w) for w in term.wires]
        chosen = bits[term.setting][..., columns]
        if term.process is None:
            correction = corrections[term.setting]
            if correction is None:
                parity = np.bitwise_xor.reduce(chosen, axis=-1)
                value = 1.0 - 2.0 * parity.mean(axis=-1)
            else:
                a, c = correction[:, columns]
                value = np.prod((1.0 - 2.0 * chosen - a) / c, axis=-1).mean(axis=-1)
            values.append(np.squeeze(value)[()])
        else:
            values.append(_process(term.process, chosen.astype(np.int64), term.wires))
    if recipe.constant == 0.0 and len(values) == 1 and recipe.terms[0].coefficient == 1.0:
        return values[0]
    total = sum(t.coefficient * v for t, v in zip(recipe.terms, values, strict=True))
    return np.asarray(recipe.constant + total)[()]
