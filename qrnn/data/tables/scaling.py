"""Scaling of columns, fitted on the training part alone."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from qrnn.utils.registry import unknown_name

SCALES = ("standard", "minmax", "none")


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
    def fit(cls, values: np.ndarray, how: str) -> Scaling:
        """Return the scaling of columns.

        A column that is constant is only shifted.

        Args:
            values: (N, D), NaN where a value is missing.
            how: `standard` (mean 0, standard deviation 1), `minmax` (0 to 1) or `none`.

        Raises:
            ConfigError: another name.
        """
        if how not in SCALES:
            raise unknown_name("task.scale", how, SCALES)
        zero, one = np.zeros(values.shape[1]), np.ones(values.shape[1])
        offset, scale = zero, one
        known = ~np.isnan(values).all(0)  # of the others nothing is known
        if how == "standard":
            offset[known] = np.nanmean(values[:, known], 0)
            scale[known] = np.nanstd(values[:, known], 0)
        elif how == "minmax":
            offset[known] = np.nanmin(values[:, known], 0)
            scale[known] = np.nanmax(values[:, known], 0) - offset[known]
        # Rounding leaves a spread to constant columns.
        constant = scale <= 1e-12 * np.maximum(np.abs(offset), 1e-300)
        scale = np.where(constant, 1.0, scale)
        return cls(tuple(offset.tolist()), tuple(scale.tolist()))

    def __call__(self, values: np.ndarray) -> np.ndarray:
        """Return scaled values (..., D)."""
        return (values - np.array(self.offset)) / np.array(self.scale)

    def head(self, columns: int) -> Scaling:
        """Return the scaling of the first columns."""
        return Scaling(self.offset[:columns], self.scale[:columns])
