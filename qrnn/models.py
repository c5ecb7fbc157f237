"""Models: an embedding of tokens, a recurrent network, and the head that reads it."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import nn

from qrnn.cell import OnDevice
from qrnn.config import TrainConfig
from qrnn.data import Shape
from qrnn.errors import ConfigError
from qrnn.networks import NETWORKS, Network, State, solve_width


class Answer(NamedTuple):
    """What a model says of a batch.

    Attributes:
        logits: (B, C) of sequences, or (B, T, C) of steps.
        z: the network's outputs (B, T, R).
        state: behind each sequence's last step.
    """

    logits: torch.Tensor
    z: torch.Tensor
    state: State


class SequenceModel(OnDevice):
    """A recurrent network between an embedding and a linear head.

    Args:
        rnn: a recurrent network, batch first.
        n_classes: number of labels C.
        embed: from what the task gives to inputs (B, T, D); None: the same.
        dropout: probability, in front of the head.
    """

    def __init__(
        self, rnn: Network, n_classes: int, embed: nn.Module | None = None, dropout: float = 0.0
    ):
        super().__init__()
        self.embed = nn.Identity() if embed is None else embed
        self.rnn: Any = rnn
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(rnn.output_size, n_classes)

    def answer(
        self, x: torch.Tensor, lengths: torch.Tensor | None = None, state: State | None = None
    ) -> Answer:
        """Return the logits, the outputs of all steps and the last state.

        Args:
            x: inputs (B, T, D), or tokens (B, T).
            lengths: (B,) number of steps of each sequence; None: all T.
            state: of the same sequences, from an earlier call.
        """
        z, state = self.rnn(self.embed(x), state, lengths)
        return Answer(self.head(self.dropout(self.read(z, state))), z, state)

    def read(self, z: torch.Tensor, state: State) -> torch.Tensor:
        """Return what the head reads."""
        raise NotImplementedError

    def forward(self, x: torch.Tensor, lengths: torch.Tensor | None = None) -> torch.Tensor:
        """Return the logits alone."""
        return self.answer(x, lengths).logits


class SequenceClassifier(SequenceModel):
    """One label a sequence, from the last outputs.

    Shape:
        x (B, T, D) or tokens (B, T); logits (B, C).
    """

    def read(self, z: torch.Tensor, state: State) -> torch.Tensor:
        """See `SequenceModel.read`."""
        return state.z


class SequenceLabeller(SequenceModel):
    """One label a step: the next token of a language model, say.

    Shape:
        x (B, T, D) or tokens (B, T); logits (B, T, C).
    """

    def read(self, z: torch.Tensor, state: State) -> torch.Tensor:
        """See `SequenceModel.read`."""
        return z


KINDS = {"classify": SequenceClassifier, "label": SequenceLabeller}


def build_model(
    config: TrainConfig, shape: Shape, vectors: torch.Tensor | None = None
) -> SequenceModel:
    """Return the untrained model of a configuration.

    Args:
        config: the whole configuration.
        shape: what the task asks for.
        vectors: pretrained embedding (V, E) to begin with; None: a random one.

    Raises:
        ConfigError: a value out of range, or a budget that no width meets.
    """
    model = config.model
    embed, input_size = None, shape.input_size
    if shape.tokens:
        embed = embedding(shape.input_size, model.embedding, model.embedding_dropout, vectors)
        input_size = model.embedding
    model = solve_width(model, input_size, config.device)
    rnn: Any = NETWORKS[model.name].build(model, input_size, config.device)
    return KINDS[shape.kind](rnn, shape.n_classes, embed, model.head_dropout)


def embedding(
    n_tokens: int, size: int, dropout: float, vectors: torch.Tensor | None = None
) -> nn.Module:
    """Return the embedding of tokens (B, T) as (B, T, E), with dropout behind it.

    Raises:
        ConfigError: pretrained vectors of another size.
    """
    table = nn.Embedding(n_tokens, size)
    if vectors is not None:
        if vectors.shape[1] != size:
            raise ConfigError(
                f"model.embedding must be {vectors.shape[1]}, as task.vectors are, got {size}"
            )
        table = nn.Embedding.from_pretrained(vectors, freeze=False)
    return nn.Sequential(table, nn.Dropout(dropout))
