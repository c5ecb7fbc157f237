"""The recurrent networks that a config can name, and what each must offer."""

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
        name: a registered network.
        num_layers: networks stacked; each reads the outputs of the one below.
        bidirectional: whether a second network reads each layer's input backwards.
        budget: number of parameters of the recurrent network (of encoder and decoder each; without
            embedding and head) to meet within 2%: its width is then solved and not read; None: the
            width is as given.
        input_scale: factor of inputs that are no tokens. An optimiser whose steps do not depend on
            the gradient's size then moves what reads them faster than what reads the state.
        embedding: size of a token's embedding E; tasks of tokens only.
        embedding_dropout: probability, behind the embedding; tasks of tokens only.
        head_width: units of a hidden layer (GELU) of the head; None: the head is linear.
        head_norm: whether the head begins with a LayerNorm. Readouts of a random state are as small
            as 2^(-n/2), and the head would learn to see them for thousands of steps.
        head_dropout: probability, in front of the head.
        skip: whether head and attention read a step's embedded token beside the outputs, past the
            recurrent network; language models and translation only.
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
    attention: str = "additive"


class State(Protocol):
    """What a network carries from one call to the next.

    Attributes:
        z: the last outputs (B, R): of the last layer, forward and backward side by side.
    """

    z: torch.Tensor

    def detach(self) -> State:
        """Return the state cut from the autograd graph (truncated backpropagation)."""


class Network(Protocol):
    """A recurrent network, batch first.

    Attributes:
        output_size: number of outputs R.
    """

    output_size: int

    def __call__(
        self, x: torch.Tensor, state: Any = None, lengths: torch.Tensor | None = None
    ) -> tuple[torch.Tensor, State]:
        """Return outputs (B, T, R), 0 behind a sequence's length, and the last state."""


@dataclass(frozen=True)
class NetworkEntry:
    """A registered network.

    Attributes:
        schema: dataclass of its keys in the config.
        build: from such a config, the number of input features and a device to the network.
        width: name of the key that is solved for `budget`.
        tokens: whether it reads tokens themselves and gives the probabilities of the next one,
            without embedding and head; its `input_size` is the number of tokens.
    """

    schema: type[ModelConfig]
    build: Callable[[Any, int, DeviceOptions], nn.Module]
    width: str
    tokens: bool = False


NETWORKS: Registry[NetworkEntry] = Registry("model")


def network(
    schema: type[ModelConfig], *, width: str, tokens: bool = False
) -> Callable[[Callable], Callable]:
    """Register the decorated builder under its own name, with the schema of its keys."""

    def decorate(build: Callable) -> Callable:
        NETWORKS.add(build.__name__, NetworkEntry(schema, build, width, tokens))
        return build

    return decorate


def refuse_unread(config: ModelConfig, keys: Iterable[str], why: str) -> None:
    """Raise the error for a key that was set but that nothing would read.

    Args:
        config: of a registered network.
        keys: the shared ones that are not read.
        why: words behind "must be left out".

    Raises:
        ConfigError: one of them is not as it is by default.
    """
    defaults = ModelConfig()
    for key in keys:
        if (given := getattr(config, key)) != getattr(defaults, key):
            raise ConfigError(f"model.{key} must be left out {why}, got {given}")


def n_parameters(module: nn.Module) -> int:
    """Return the number of trainable numbers of a module."""
    return sum(p.numel() for p in module.parameters() if p.requires_grad)


def solve_width(config: ModelConfig, input_size: int, device: DeviceOptions) -> ModelConfig:
    """Return the configuration with the width that meets its budget, and no budget left.

    Args:
        config: of a registered network.
        input_size: number of input features D.
        device: where its circuits run.

    Raises:
        ConfigError: no width meets the budget within 2%; the nearest are named.
    """
    budget = config.budget
    if budget is None:
        return config
    entry = NETWORKS[config.name]
    # In float32; the search builds networks of up to twice the size.
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
    if abs(near[best] - budget) > BUDGET_TOLERANCE * budget:
        shown = " or ".join(f"{entry.width}={width} ({n})" for width, n in near.items())
        raise ConfigError(
            f"model.budget={budget} must be met within 2%, but the nearest of "
            f"{config.name} are {shown}: choose one of them, or another size"
        )
    return at(best)
