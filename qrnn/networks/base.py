"""The registry of recurrent networks, and the interface that each must implement."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Any, Protocol

import torch
from omegaconf import MISSING
from torch import nn

from qrnn.devices import DeviceOptions
from qrnn.errors import ConfigError
from qrnn.utils.limits import check_memory, limit_allocations
from qrnn.utils.registry import Registry

BUDGET_TOLERANCE = 0.02


@dataclass
class ModelConfig:
    """The `model` group of the config; each network adds its own keys.

    Attributes:
        name: name of a registered network.
        num_layers: number of stacked layers; each reads the outputs of the one below.
        bidirectional: whether a second network reads each layer's input backwards.
        budget: number of parameters of the recurrent network (encoder and decoder each; without
            embedding and head) to match within 2% by choosing its width, whose own value is then
            not read; None: the width is used as given.
        input_scale: factor for inputs that are not tokens. With optimisers whose step size does not
            depend on the gradient's, weights that read scaled inputs effectively learn faster than
            those that read the state.
        embedding: size of a token's embedding E; token tasks only.
        embedding_dropout: dropout probability after the embedding; token tasks only.
        head_width: units of the head's hidden layer (GELU); None: the head is linear.
        head_norm: whether the head begins with a LayerNorm. Readouts of a random state are as small
            as 2^(-n/2), and without it the head needs thousands of steps to adapt.
        head_dropout: dropout probability before the head.
        skip: whether head and attention also read a step's embedded token directly, as a skip
            connection; language models and translation only.
        residual: `last`: the head predicts the change since the targets' last values, of a
            forecast; None: the values themselves.
        attention: `additive` or `dot`, over the encoder's outputs; translation only.
    """

    name: str = MISSING
    num_layers: int = 1
    bidirectional: bool = False
    budget: int | None = None
    input_scale: float = 1.0
    embedding: int = 64
    embedding_dropout: float = 0.0
    head_width: int | None = None
    head_norm: bool = False
    head_dropout: float = 0.0
    skip: bool = False
    residual: str | None = None
    attention: str = "additive"


class State(Protocol):
    """What a network carries from one call to the next.

    Attributes:
        z: the last outputs (B, R) of the last layer, with both directions concatenated.
    """

    z: torch.Tensor

    def detach(self) -> State:
        """Return the state detached from the autograd graph (truncated backpropagation)."""


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


@dataclass(frozen=True)
class NetworkEntry:
    """A registered network.

    Attributes:
        schema: dataclass of its config keys.
        build: function of such a config, the number of input features and a device; returns the
            network.
        width: the key that `budget` determines.
        tokens: whether it reads tokens directly and returns probabilities of the next one, without
            embedding and head; its `input_size` is the size of the vocabulary.
    """

    schema: type[ModelConfig]
    build: Callable[[Any, int, DeviceOptions], nn.Module]
    width: str
    tokens: bool = False


NETWORKS: Registry[NetworkEntry] = Registry("model", "qrnn.networks")


def network(
    schema: type[ModelConfig], *, width: str, tokens: bool = False
) -> Callable[[Callable], Callable]:
    """Register the decorated builder as a network of the same name, with the schema of its keys."""

    def decorate(build: Callable) -> Callable:
        entry = NetworkEntry(schema, build, width, tokens)
        NETWORKS.add(build.__name__, entry, build.__module__)
        return build

    return decorate


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
