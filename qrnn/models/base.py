"""What all models have in common, whatever they are asked for."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable, Sequence
from typing import Any, ClassVar, NamedTuple

import torch
from pennylane.tape import QuantumScript
from torch import nn

from qrnn.cell.cell import OnDevice
from qrnn.data import Batch, Objective, Split
from qrnn.models.cells import cells_of
from qrnn.networks import State


class Answer(NamedTuple):
    """What a model says of a batch.

    Attributes:
        logits: outputs of the head, (B, C) of sequences, or (B, T, C) of steps.
        z: the network's outputs (B, T, R).
        state: behind each sequence's last step.
        kept: share of shots that projections kept up to each step (B, T), nan where a sequence has
            none; None: nothing is projected, or no shots are lost.
    """

    logits: torch.Tensor
    z: torch.Tensor
    state: State
    kept: torch.Tensor | None = None


class Recurrent(NamedTuple):
    """A recurrent network of a model.

    Attributes:
        name: what it reads, where a model has several: `encoder`; else empty.
        rnn: the network.
        embed: what its inputs go through first; None: nothing.
    """

    name: str
    rnn: Any
    embed: nn.Module | None


class Model(OnDevice):
    """Recurrent networks between embeddings and a head.

    Attributes:
        objective: what the outputs mean, and the loss.
        translates: whether it gives sentences beside labels.
        projects: whether its outputs are projected on tokens, and nothing is fed back.
    """

    objective: Objective

    translates: ClassVar[bool] = False
    projects: ClassVar[bool] = False

    @abstractmethod
    def answer(self, batch: Batch, state: State | None = None) -> Answer:
        """Return the logits, the outputs of all steps and the last state.

        Args:
            batch: its labels are read only where the model is told the last token.
            state: of the same sequences, from an earlier call.
        """

    @abstractmethod
    def networks(self) -> list[Recurrent]:
        """Return the recurrent networks, in the order in which they run."""

    @abstractmethod
    def recurrent_parameters(self) -> int:
        """Return the number of parameters without embedding and head."""

    def cell_steps(self, batch: Batch) -> int:
        """Return how many steps the hybrid cells take over a batch, together."""
        return len(cells_of(self)) * batch.x.shape[1]

    def sentences(self, batch: Batch, words: Sequence[str]) -> list[str]:
        """Return a translation of each sequence; of a model that does not translate, none.

        Args:
            batch: the sequences.
            words: the target vocabulary.
        """
        return []

    def executions(
        self, part: Split, feedback: str, batch_size: int | None
    ) -> Iterable[list[QuantumScript]]:
        """Return the tapes of each execution that an evaluation takes, in order.

        Their angles do not matter: this is for a price.

        Args:
            part: the sequences.
            feedback: `closed` or `open`.
            batch_size: sequences that run at once; None: all.
        """
        raise NotImplementedError(f"{type(self).__name__} runs no circuits on its own")
