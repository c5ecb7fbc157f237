"""Networks of step-by-step cells: layers, directions and the loop over time."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from qrnn.cell.rnn import StackedCells
from qrnn.cell.state import CellState, describe_state
from qrnn.config.models import ModelConfig
from qrnn.errors import ConfigError
from qrnn.utils.checks import whole


class StepCell(nn.Module, ABC):
    """A recurrent cell defined by a single step; `sequence` applies it along time.

    Args:
        input_size: number of input features D.
        n_readouts: number of outputs R.

    Raises:
        ConfigError: a size is below 1.
    """

    def __init__(self, input_size: int, n_readouts: int):
        super().__init__()
        self.input_size = at_least_one("input_size", input_size)
        self.n_readouts = at_least_one("n_readouts", n_readouts)

    @abstractmethod
    def start(self, batch: int, like: torch.Tensor) -> CellState:
        """Return the start state of `batch` sequences, with the dtype and device of `like`."""

    def prepare(self, x: torch.Tensor) -> tuple[torch.Tensor, Any]:
        """Compute what can be computed once for all steps.

        Args:
            x: inputs (T, B, D).

        Returns:
            The input of each step (T, B, ...), and a value that all steps share.
        """
        return x, None

    @abstractmethod
    def step(self, x: torch.Tensor, state: CellState, shared: Any) -> CellState:
        """Advance by one step.

        Args:
            x: the step's input from `prepare` (B, ...).
            state: the state of B sequences.
            shared: the shared value from `prepare`.
        """

    def sequence(
        self, x: torch.Tensor, state: CellState | None = None, active: torch.Tensor | None = None
    ) -> tuple[torch.Tensor, CellState]:
        """Advance by T steps.

        Args:
            x: inputs (T, B, D).
            state: the state that the last call returned; None: the start state.
            active: (T, B) bool; inactive sequences keep their state and outputs. None: all are
                active.

        Returns:
            z (T, B, R), and the new state.

        Raises:
            ConfigError: x is not (T, B, D), or the state is from another batch.
        """
        state = self.checked(x, state)
        inputs, shared = self.prepare(x)
        some = [] if active is None else (~active.all(1)).tolist()  # steps with inactive sequences
        out = []
        for t, x_t in enumerate(inputs.unbind()):
            moved = self.step(x_t, state, shared)
            state = keep(active[t], moved, state) if active is not None and some[t] else moved
            out.append(state.z)
        return torch.stack(out), state

    def checked(self, x: torch.Tensor, state: CellState | None) -> CellState:
        """Return the initial state, checked, for inputs (T, B, D)."""
        if x.ndim != 3 or x.shape[2] != self.input_size:
            raise ConfigError(f"x must have shape (T, B, {self.input_size}), got {tuple(x.shape)}")
        start = self.start(x.shape[1], x)
        if state is None:
            return start
        if not isinstance(state, CellState) or state.shapes != start.shapes:
            raise ConfigError(
                f"state must be from this cell's last call, {x.shape[1]} sequences with "
                f"{self.n_readouts} outputs, got {describe_state(state)}: start from None"
            )
        return state


def keep(active: torch.Tensor, moved: CellState, state: CellState) -> CellState:
    """Return the new state of active sequences (B,), and the old state of the others."""

    def choose(new: torch.Tensor, old: torch.Tensor) -> torch.Tensor:
        return torch.where(active.reshape(-1, *[1] * (new.ndim - 1)), new, old)

    carried = tuple(map(choose, moved.carried, state.carried))
    return CellState(choose(moved.z, state.z), carried)


def at_least_one(name: str, size: int) -> int:
    """Return a size that must be at least 1.

    Raises:
        ConfigError: the size is below 1.
    """
    return whole(name, size, 1)


class Layers(StackedCells):
    """Layers and directions of any cells, like `QRNN` for its own.

    Args:
        build: function of the number of input features that returns a cell with `sequence` and
            `n_readouts`.
        input_size: number of input features D.
        config: sets `num_layers` and `bidirectional`.

    Shape:
        x (B, T, D), z (B, T, R), or 2R if bidirectional.

    Raises:
        ConfigError: there is no layer.
    """

    def __init__(self, build: Callable[[int], nn.Module], input_size: int, config: ModelConfig):
        super().__init__(build, input_size, config.num_layers, config.bidirectional, True)
