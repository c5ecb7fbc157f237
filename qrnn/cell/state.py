"""The state of cells that carry tensors from step to step."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import torch

from qrnn.utils.rows import Rows


@dataclass(frozen=True)
class CellState(Rows):
    """The hidden state of B sequences.

    Attributes:
        z: the last outputs (B, R).
        carried: other tensors that are carried from step to step, each (B, ...).
        origin: plain values that must match those of the cell that gets the state; None: none.
    """

    z: torch.Tensor
    carried: tuple[torch.Tensor, ...] = ()
    origin: Any = None

    @property
    def shapes(self) -> list[tuple[int, ...]]:
        """Shapes of z and of the carried tensors."""
        return [tuple(part.shape) for part in (self.z, *self.carried)]

    def detach(self) -> CellState:
        """Return the state detached from the autograd graph (truncated backpropagation)."""
        return replace(
            self, z=self.z.detach(), carried=tuple(part.detach() for part in self.carried)
        )

    def select(self, rows: torch.Tensor) -> CellState:
        """Return the states of some sequences, by their indices (K,); one may be repeated."""
        carried = tuple(part[rows.to(part.device)] for part in self.carried)
        return replace(self, z=self.z[rows], carried=carried)


def describe_state(state: Any) -> str:
    """Describe a state of the wrong kind, for messages."""
    if isinstance(state, CellState):
        return f"shapes {', '.join(map(str, state.shapes))}"
    return type(state).__name__
