"""The state of a cell that carries tensors from step to step."""

from __future__ import annotations

from dataclasses import dataclass

import torch


@dataclass(frozen=True)
class CellState:
    """The hidden state of B sequences.

    Attributes:
        z: the last outputs (B, R).
        carried: whatever else goes from step to step, each (B, ...).
    """

    z: torch.Tensor
    carried: tuple[torch.Tensor, ...] = ()

    def detach(self) -> CellState:
        """Return the state cut from the autograd graph (truncated backpropagation)."""
        return CellState(self.z.detach(), tuple(part.detach() for part in self.carried))
