"""The angles that kernels take, as functions of the gates' parameters."""

from __future__ import annotations

from collections.abc import Sequence

import torch


class Slots:
    """S angles, each a multiple of a gate parameter plus a constant.

    Args:
        columns: for each angle, the index of its gate parameter.
        factors: for each, the factor of that parameter; 0 for a constant.
        offsets: for each, the constant; None: 0.
    """

    def __init__(
        self,
        columns: Sequence[int],
        factors: Sequence[float],
        offsets: Sequence[float] | None = None,
    ):
        self._columns = torch.tensor(columns, dtype=torch.long, device="cpu")
        self._factors = torch.tensor(factors, dtype=torch.float64, device="cpu")
        self._offsets = torch.tensor(
            [0.0] * len(columns) if offsets is None else offsets, dtype=torch.float64, device="cpu"
        )
        self._constant = not any(factors)

    def affine(
        self, of_angles: tuple[torch.Tensor, torch.Tensor] | None
    ) -> tuple[torch.Tensor, torch.Tensor] | None:
        """Return M (S, P) and b (S,), float64, with angles M theta + b; None if not affine.

        Args:
            of_angles: the same for the gate parameters; see `StepCircuit.affine`.
        """
        if of_angles is None:
            return None
        matrix, offset = of_angles
        factors, offsets = self._factors.to(matrix.device), self._offsets.to(matrix.device)
        if self._constant:
            return matrix.new_zeros(len(offsets), matrix.shape[1]), offsets
        columns = self._columns.to(matrix.device)
        return factors[:, None] * matrix[columns], factors * offset[columns] + offsets

    def angles(self, parameters: torch.Tensor) -> torch.Tensor:
        """Return the angles (B, S) for gate parameters (B, n_parameters)."""
        offsets = self._offsets.to(parameters)
        if self._constant:  # there may be no parameters
            return offsets.expand(len(parameters), -1)
        columns = self._columns.to(parameters.device)
        return parameters[:, columns] * self._factors.to(parameters) + offsets
