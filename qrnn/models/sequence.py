"""Models: an embedding of tokens, a recurrent network, and the head that reads it."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import nn
from typing_extensions import override

from qrnn.cell.cell import OnDevice
from qrnn.data import Batch
from qrnn.networks import Network, State, n_parameters
from qrnn.utils.checks import share, whole


class Answer(NamedTuple):
    """What a model says of a batch.

    Attributes:
        logits: (B, C) of sequences, or (B, T, C) of steps.
        z: the network's outputs (B, T, R).
        state: behind each sequence's last step.
        kept: share of shots that projections kept up to each step (B, T), nan where a sequence has
            none; None: nothing is projected, or no shots are lost.
    """

    logits: torch.Tensor
    z: torch.Tensor
    state: State
    kept: torch.Tensor | None = None


class SequenceModel(OnDevice):
    """A recurrent network between an embedding and a head.

    Args:
        rnn: a recurrent network, batch first.
        n_classes: number of labels C.
        embed: from what the task gives to inputs (B, T, D); None: the same.
        dropout: probability, in front of the head.
        width: units of the head's hidden layer; None: it is linear.
        norm: whether the head begins with a LayerNorm.
        skip: number of features of x that the head reads beside each step's outputs: D, or 0.
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
    ):
        super().__init__()
        self.embed = nn.Identity() if embed is None else embed
        self.rnn: Any = rnn
        self.dropout = nn.Dropout(share("dropout", dropout))
        self.skip = skip = whole("skip", skip, 0)
        self.head = build_head(rnn.output_size + skip, n_classes, width, norm)

    def answer(self, batch: Batch, state: State | None = None) -> Answer:
        """Return the logits, the outputs of all steps and the last state.

        Args:
            batch: its labels are not read.
            state: of the same sequences, from an earlier call.
        """
        x = self.embed(batch.x)
        z, state = self.rnn(x, state, batch.lengths)
        return Answer(self.logits(self.read(z, state), x), z, state)

    def recurrent_parameters(self) -> int:
        """Return the number of parameters without embedding and head."""
        return n_parameters(self.rnn)

    def read(self, z: torch.Tensor, state: State) -> torch.Tensor:
        """Return what the head reads."""
        raise NotImplementedError

    def forward(self, x: torch.Tensor, lengths: torch.Tensor | None = None) -> torch.Tensor:
        """Return the logits alone."""
        x = self.embed(x)
        z, state = self.rnn(x, None, lengths)
        return self.logits(self.read(z, state), x)

    def logits(self, read: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
        """Return the logits of what `read` returned, for the embedded inputs (B, T, D)."""
        return self.head(self.dropout(torch.cat([read, x], -1) if self.skip else read))


def build_head(size: int, n_classes: int, width: int | None, norm: bool) -> nn.Module:
    """Return the layers from `size` outputs to logits.

    Readouts are in [-1, 1] and few: a hidden layer gives the logits of many classes more than R
    directions, and scales them as fast as it learns.

    Args:
        size: number of the network's outputs R.
        n_classes: number of labels C.
        width: units of a hidden layer (GELU); None: none.
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
    """One label a sequence, from the last outputs.

    Shape:
        x (B, T, D) or tokens (B, T); logits (B, C).
    """

    @override
    def read(self, z: torch.Tensor, state: State) -> torch.Tensor:
        return state.z


class SequenceLabeller(SequenceModel):
    """One label a step: the next token of a language model, say.

    Shape:
        x (B, T, D) or tokens (B, T); logits (B, T, C).
    """

    @override
    def read(self, z: torch.Tensor, state: State) -> torch.Tensor:
        return z
