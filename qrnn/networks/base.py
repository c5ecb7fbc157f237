"""The registry of recurrent networks, and the interface that each must implement."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any, Protocol

import torch
from torch import nn

from qrnn.config.models import NETWORKS, ModelConfig
from qrnn.devices import DeviceOptions
from qrnn.errors import ConfigError
from qrnn.utils.limits import check_memory, limit_allocations

BUDGET_TOLERANCE = 0.02


class State(Protocol):
    """What a network carries from one call to the next.

    Attributes:
        z: the last outputs (B, R) of the last layer, with both directions concatenated.
    """

    z: torch.Tensor

    def detach(self) -> State:
        """Return the state detached from the autograd graph (truncated backpropagation)."""

    def select(self, rows: torch.Tensor) -> State:
        """Return the states of some sequences, by their indices (K,), which may be repeated.

        Only the beam search of a translation calls it.
        """


class Network(Protocol):
    """A recurrent network, batch first.

    Attributes:
        output_size: number of outputs R.
    """

    output_size: int

    def __call__(
        self, x: torch.Tensor, state: Any = None, lengths: torch.Tensor | None = None
    ) -> tuple[torch.Tensor, State]:
        """Return outputs (B, T, R), 0 after a sequence's end, and the last state."""


def refuse_unread(config: ModelConfig, keys: Iterable[str], why: str) -> None:
    """Raise an error if a key was set that nothing reads.

    Args:
        config: config of a registered network.
        keys: the shared keys that are not read.
        why: reason, for the message: "must be left out WHY".

    Raises:
        ConfigError: one of the keys does not have its default value.
    """
    defaults = ModelConfig()
    for key in keys:
        if (given := getattr(config, key)) != getattr(defaults, key):
            raise ConfigError(f"model.{key} must be left out {why}, got {given}")


def n_parameters(module: nn.Module) -> int:
    """Return the number of trainable parameters of a module."""
    return sum(p.numel() for p in module.parameters() if p.requires_grad)


def solve_width(
    config: ModelConfig,
    input_size: int,
    device: DeviceOptions,
    tolerance: float = BUDGET_TOLERANCE,
) -> ModelConfig:
    """Return the configuration with the width that matches its budget, and without the budget.

    Args:
        config: config of a registered network.
        input_size: number of input features D.
        device: device of its circuits.
        tolerance: largest deviation from the budget, relative to it.

    Raises:
        ConfigError: no width matches the budget within the tolerance; the nearest are named.
    """
    budget = config.budget
    if budget is None:
        return config
    entry = NETWORKS[config.name]
    # float32 parameters; the search builds networks of up to twice the budget.
    check_memory(f"model.budget={budget}", 8.0 * budget, "lower it")

    def at(width: int) -> ModelConfig:
        solved: dict[str, Any] = {"budget": None, entry.width: width}
        return replace(config, **solved)

    def count(width: int) -> int:
        with (
            torch.random.fork_rng(devices=[]),
            limit_allocations(f"model.budget={budget}", "lower it"),
        ):
            return n_parameters(entry.build(at(width), input_size, device))

    low, high = 1, 2
    if count(low) == count(high):
        raise ConfigError(
            f"model.budget must be left out, got {budget}: no {entry.width} changes the "
            f"{count(low)} parameters of this {config.name}"
        )
    while count(high) < budget:
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if count(middle) < budget else (low, middle)
    near = {width: count(width) for width in (low, high)}
    best = min(near, key=lambda width: abs(near[width] - budget))
    if abs(near[best] - budget) > tolerance * budget:
        shown = " or ".join(f"{entry.width}={width} ({n})" for width, n in near.items())
        raise ConfigError(
            f"model.budget={budget} must be met within {tolerance:.0%}, but the nearest sizes of "
            f"{config.name} are {shown}: choose one of them, or another budget"
        )
    return at(best)
