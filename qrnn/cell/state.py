"""The state of a cell that carries tensors from step to step."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import torch


@dataclass(frozen=True)
class CellState:
    """The hidden state of B sequences.

    Attributes:
        z: the last outputs (B, R).
        carried: whatever else goes from step to step, each (B, ...).
        origin: plain values that a state's cell must share, beside its shapes; None: nothing.
    """

    z: torch.Tensor
    carried: tuple[torch.Tensor, ...] = ()
    origin: Any = None

    @property
    def shapes(self) -> list[tuple[int, ...]]:
        """Of z and what is carried."""
        return [tuple(part.shape) for part in (self.z, *self.carried)]

    def detach(self) -> CellState:
        """Return the state cut from the autograd graph (truncated backpropagation)."""
        return replace(
            self, z=self.z.detach(), carried=tuple(part.detach() for part in self.carried)
        )


def describe_state(state: Any) -> str:
    """Return what a state that does not belong is, in a few words."""
    if isinstance(state, CellState):
        return f"shapes {', '.join(map(str, state.shapes))}"
    return type(state).__name__
