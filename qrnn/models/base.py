"""The base class of all models."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar, NamedTuple

import torch
from torch import nn

from qrnn.cell.on_device import OnDevice
from qrnn.data import Batch, Objective
from qrnn.models.cells import cells_of
from qrnn.networks import State


class Answer(NamedTuple):
    """A model's output for a batch.

    Attributes:
        logits: outputs of the head, (B, C) of sequences, or (B, T, C) of steps.
        z: the network's outputs (B, T, R).
        state: state after each sequence's last step.
        kept: fraction of shots that projections kept up to each step (B, T), NaN in the padding;
            None: nothing is projected, or no shots are lost.
    """

    logits: torch.Tensor
    z: torch.Tensor
    state: State
    kept: torch.Tensor | None = None


class Recurrent(NamedTuple):
    """A recurrent network of a model.

    Attributes:
        name: `encoder` or `decoder` in a model with both; else empty.
        rnn: the network.
        embed: embedding of its inputs, or None.
    """

    name: str
    rnn: Any
    embed: nn.Module | None


class Model(OnDevice):
    """Recurrent networks between embeddings and a head.

    Attributes:
        objective: meaning of the outputs, and the loss.
        translates: whether it also returns sentences.
        projects: whether its outputs are projected on tokens, without feedback.
    """

    objective: Objective

    translates: ClassVar[bool] = False
    projects: ClassVar[bool] = False

    @abstractmethod
    def answer(self, batch: Batch, state: State | None = None) -> Answer:
        """Return the logits, the outputs of all steps and the last state.

        Args:
            batch: the inputs; the labels are read only for teacher forcing and projections.
            state: state of the same sequences after an earlier call.
        """

    @abstractmethod
    def networks(self) -> list[Recurrent]:
        """Return the recurrent networks, in the order in which they run."""

    @abstractmethod
    def recurrent_parameters(self) -> int:
        """Return the number of parameters without embedding and head."""

    def cell_steps(self, batch: Batch) -> int:
        """Return the total number of steps that the hybrid cells take for a batch."""
        return len(cells_of(self)) * batch.x.shape[1]

    def sentences(
        self, batch: Batch, vocabulary: Sequence[str], *, longest: bool = False
    ) -> list[str]:
        """Return the translation of each sequence; nothing if the model does not translate.

        Args:
            batch: the sequences.
            vocabulary: text of each target token.
            longest: whether no sentence may end early, for an estimate of the cost.
        """
        return []

    def real_steps(self, batch: Batch) -> torch.Tensor | None:
        """Return which steps of `Answer.z` are not padding (B, T), bool; None: all are real."""
        if batch.lengths is None:
            return None
        return torch.arange(batch.x.shape[1]) < batch.lengths[:, None].cpu()

    def steps_read(self, steps: int) -> range:
        """Return the steps that the head reads, from 0, of sequences of a number of steps."""
        return range(steps)
