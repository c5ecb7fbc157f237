"""Sequence classification and labelling: an embedding, a recurrent network and a head."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

import torch
from torch import nn
from typing_extensions import override

from qrnn.data import Batch, Labels, Numbers
from qrnn.errors import ConfigError
from qrnn.models.base import Answer, Model, Recurrent
from qrnn.networks import Network, State, n_parameters
from qrnn.utils.checks import probability, whole
from qrnn.utils.registry import unknown_name

POOLINGS = ("last", "mean")


class SequenceModel(Model):
    """A recurrent network between an embedding and a head.

    Args:
        rnn: a recurrent network, batch first.
        n_classes: number of labels C.
        embed: maps the task's inputs to (B, T, D); None: identity.
        dropout: dropout probability before the head.
        width: units of the head's hidden layer; None: a linear head.
        norm: whether the head begins with a LayerNorm.
        skip: number of features of x that the head also reads at each step, D or 0.
        residual: number of inputs that are the targets' past, to which the head's outputs are
            added: the network then predicts the change since the last step.
        relative: whether the network also reads their past as differences from the last step.
    """

    def __init__(
        self,
        rnn: Network,
        n_classes: int,
        embed: nn.Module | None = None,
        dropout: float = 0.0,
        width: int | None = None,
        norm: bool = False,
        skip: int = 0,
        residual: int = 0,
        relative: bool = False,
    ):
        super().__init__()
        self.objective = Labels(n_classes)
        self.embed = nn.Identity() if embed is None else embed
        self.rnn: Any = rnn
        self.dropout = nn.Dropout(probability("dropout", dropout))
        self.skip = skip = whole("skip", skip, 0)
        self.residual = whole("residual", residual, 0)
        self.relative = relative
        if relative:
            self.embed = nn.Sequential(Relative(residual), self.embed)
        self.head = build_head(rnn.output_size + skip, n_classes, width, norm)

    @override
    def answer(self, batch: Batch, state: State | None = None) -> Answer:
        x = self.embed(batch.x)
        z, state = self.rnn(x, state, batch.lengths)
        if z.shape != (*x.shape[:2], self.rnn.output_size):
            raise ConfigError(
                f"a network must return outputs of shape (B, T, output_size), here "
                f"{(*x.shape[:2], self.rnn.output_size)}, got {tuple(z.shape)}"
            )
        read = self.read(z, state, batch.lengths)
        return Answer(self.outputs(read, x, batch.x, batch.lengths), z, state)

    @override
    def networks(self) -> list[Recurrent]:
        return [Recurrent("", self.rnn, self.embed)]

    @override
    def recurrent_parameters(self) -> int:
        return n_parameters(self.rnn)

    @abstractmethod
    def read(
        self, z: torch.Tensor, state: State, lengths: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Return what the head reads.

        Args:
            z: the network's outputs (B, T, R).
            state: the state after each sequence's last step.
            lengths: (B,) number of steps of each sequence; None: all T.
        """

    @abstractmethod
    def at_last(self, z: torch.Tensor) -> torch.Tensor:
        """Return what the head reads of outputs that end with those of `steps_read`."""

    @abstractmethod
    def last(self, x: torch.Tensor, lengths: torch.Tensor | None) -> torch.Tensor:
        """Return the inputs of the step that each of the outputs follows: (B, D) or (B, T, D)."""

    def forward(self, x: torch.Tensor, lengths: torch.Tensor | None = None) -> torch.Tensor:
        """Return the outputs of the head alone."""
        embedded = self.embed(x)
        z, state = self.rnn(embedded, None, lengths)
        return self.outputs(self.read(z, state, lengths), embedded, x, lengths)

    def outputs(
        self,
        read: torch.Tensor,
        embedded: torch.Tensor,
        x: torch.Tensor,
        lengths: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """Return the outputs of the head, added to the targets' last values where it is residual.

        Args:
            read: what `read` returned.
            embedded: inputs (B, T, D) of the network.
            x: what they were before.
            lengths: (B,) number of steps of each sequence; None: all T.
        """
        found = self.logits(read, embedded)
        if not self.residual:
            return found
        assert isinstance(self.objective, Numbers)
        if self.relative and lengths is not None:
            raise ConfigError(
                "model.residual=relative must have sequences of one length, got lengths: use "
                "model.residual=last"
            )
        return found + self.objective.repeated(self.last(x, lengths)[..., : self.residual])

    def logits(self, read: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
        """Return the head's outputs for what `read` returned, and embedded inputs (B, T, D)."""
        return self.head(self.dropout(torch.cat([read, x], -1) if self.skip else read))


class Relative(nn.Module):
    """Subtracts the last step's values of the first features.

    A level that the training has not seen is then none to the network (NLinear; Zeng et al., "Are
    Transformers Effective for Time Series Forecasting?", AAAI 2023).

    Args:
        features: number of them, K.
    """

    def __init__(self, features: int):
        super().__init__()
        self.features = features

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the differences and the other features (B, T, D)."""
        past, others = x[..., : self.features], x[..., self.features :]
        return torch.cat([past - past[:, -1:], others], -1)


def build_head(size: int, n_classes: int, width: int | None, norm: bool) -> nn.Module:
    """Return the layers from `size` outputs to logits.

    Readouts are few and in [-1, 1]. With many classes, a hidden layer lifts the limit of R
    directions for the logits, and learns their scale quickly.

    Args:
        size: number of the network's outputs R.
        n_classes: number of labels C.
        width: units of a hidden layer (GELU); None: no hidden layer.
        norm: whether a LayerNorm comes first.
    """
    n_classes = whole("n_classes", n_classes, 1)
    width = None if width is None else whole("width", width, 1)
    first: list[nn.Module] = [nn.LayerNorm(size)] if norm else []
    if width is not None:
        first += [nn.Linear(size, width), nn.GELU()]
    last = nn.Linear(width or size, n_classes)
    return nn.Sequential(*first, last) if first else last


class SequenceClassifier(SequenceModel):
    """One label a sequence, or several numbers, from the last outputs or the mean of all.

    Args:
        *args, **kwargs: those of `SequenceModel`.
        pooling: `last` or `mean`: the outputs that the head reads.

    Shape:
        x (B, T, D) or tokens (B, T); logits (B, C).

    Raises:
        ConfigError: the pooling is unknown.
    """

    def __init__(self, *args: Any, pooling: str = "last", **kwargs: Any):
        super().__init__(*args, **kwargs)
        if pooling not in POOLINGS:
            raise unknown_name("pooling", pooling, POOLINGS)
        self.pooling = pooling

    @override
    def read(
        self, z: torch.Tensor, state: State, lengths: torch.Tensor | None = None
    ) -> torch.Tensor:
        if self.pooling == "last":
            return state.z
        return z.mean(1) if lengths is None else z.sum(1) / lengths[:, None]  # 0 in the padding

    @override
    def steps_read(self, steps: int) -> range:
        return range(steps - 1 if self.pooling == "last" else 0, steps)

    @override
    def at_last(self, z: torch.Tensor) -> torch.Tensor:
        return z[:, -1] if self.pooling == "last" else z.mean(1)

    @override
    def last(self, x: torch.Tensor, lengths: torch.Tensor | None) -> torch.Tensor:
        return x[:, -1] if lengths is None else x[torch.arange(len(x)), lengths - 1]


class SequenceLabeller(SequenceModel):
    """One label per step, such as the next token of a language model.

    Shape:
        x (B, T, D) or tokens (B, T); logits (B, T, C).
    """

    @override
    def read(
        self, z: torch.Tensor, state: State, lengths: torch.Tensor | None = None
    ) -> torch.Tensor:
        return z

    @override
    def at_last(self, z: torch.Tensor) -> torch.Tensor:
        return z

    @override
    def last(self, x: torch.Tensor, lengths: torch.Tensor | None) -> torch.Tensor:
        return x
