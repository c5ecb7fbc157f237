"""Scaling of columns, fitted on the training part alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from qrnn.errors import DataError
from qrnn.utils.registry import unknown_name

SCALES = ("standard", "minmax", "none")
LARGEST, SMALLEST = 1e37, 1e-37  # of values and their range; metrics are logged in float32
COARSE = 0.03  # rounding over a change, which adds 0.1% to an error as large as the change
SAME = 1e-12  # differences over values that only rounding in float64 makes


@dataclass(frozen=True)
class Scaling:
    """(values - offset) / scale, for each column.

    Attributes:
        offset: of each of D columns.
        scale: of each, positive.
    """

    offset: tuple[float, ...]
    scale: tuple[float, ...]

    @classmethod
    def fit(cls, values: np.ndarray, how: str, names: Sequence[str]) -> Scaling:
        """Return the scaling of columns.

        A column that is constant is only shifted.

        Args:
            values: (N, D), NaN where a value is missing.
            how: `standard` (mean 0, standard deviation 1), `minmax` (0 to 1) or `none`.
            names: of the columns (D), for messages.

        Raises:
            ConfigError: another name.
            DataError: float32 cannot hold a column's values, or not tell them apart.
        """
        if how not in SCALES:
            raise unknown_name("task.scale", how, SCALES)
        for name, column in zip(names, values.T, strict=True):
            _check_column(name, column[~np.isnan(column)], how)
        zero, one = np.zeros(values.shape[1]), np.ones(values.shape[1])
        offset, scale = zero, one
        known = ~np.isnan(values).all(0)  # of the others nothing is known
        if how == "standard":
            offset[known] = np.nanmean(values[:, known], 0)
            scale[known] = np.nanstd(values[:, known], 0)
        elif how == "minmax":
            offset[known] = np.nanmin(values[:, known], 0)
            scale[known] = np.nanmax(values[:, known], 0) - offset[known]
        constant = scale <= SAME * np.maximum(np.abs(offset), 1e-300)
        scale = np.where(constant, 1.0, scale)
        return cls(tuple(offset.tolist()), tuple(scale.tolist()))

    def __call__(self, values: np.ndarray) -> np.ndarray:
        """Return scaled values (..., D)."""
        return (values - np.array(self.offset)) / np.array(self.scale)

    def head(self, columns: int) -> Scaling:
        """Return the scaling of the first columns."""
        return Scaling(self.offset[:columns], self.scale[:columns])


def _check_column(name: str, values: np.ndarray, how: str) -> None:
    """Refuse a column (N,) that float32 cannot hold as it is scaled.

    Raises:
        DataError: its values are too large, too close, or rounded where they are not scaled.
    """
    if len(values) < 2:
        return
    size, span = float(np.abs(values).max()), float(np.ptp(values))
    if size > LARGEST:
        raise DataError(
            f"{name} must have numbers of at most {LARGEST:g}, got {size:.3g}: change its unit"
        )
    if 0 < span < SMALLEST:
        raise DataError(
            f"{name} must have numbers that differ by at least {SMALLEST:g}, got {span:.3g}: "
            f"change its unit"
        )
    # Few rows are the first of a series, where numbers may jump.
    change = float(np.quantile(np.abs(np.diff(values)), 0.9))
    rounding = float(np.sqrt(np.square(values.astype(np.float32) - values).mean()))
    if how == "none" and change > SAME * size and rounding > COARSE * change:
        raise DataError(
            f"{name} must have changes that float32 holds, got {change:.3g} from row to row of "
            f"numbers up to {size:.3g}: set task.scale=standard"
        )
