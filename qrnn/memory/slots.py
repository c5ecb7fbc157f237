"""The angles that noisy kernels take, as functions of the gates' parameters."""

from __future__ import annotations

from collections.abc import Sequence

import torch


class Slots:
    """S angles, each a multiple of a gate parameter plus a constant.

    Args:
        columns: for each angle, the index of its gate parameter.
        factors: for each, the factor of that parameter; 0 for a constant.
        offsets: for each, the constant.
    """

    def __init__(self, columns: Sequence[int], factors: Sequence[float], offsets: Sequence[float]):
        self._columns = torch.tensor(columns, dtype=torch.long, device="cpu")
        self._factors = torch.tensor(factors, dtype=torch.float64, device="cpu")
        self._offsets = torch.tensor(offsets, dtype=torch.float64, device="cpu")
        self._constant = not any(factors)

    def angles(self, parameters: torch.Tensor) -> torch.Tensor:
        """Return the angles (B, S) for gate parameters (B, n_parameters)."""
        offsets = self._offsets.to(parameters)
        if self._constant:  # there may be no parameters
            return offsets.expand(len(parameters), -1)
        columns = self._columns.to(parameters.device)
        return parameters[:, columns] * self._factors.to(parameters) + offsets
