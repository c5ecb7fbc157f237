"""Next-token models of networks that return probabilities themselves: training and sampling."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from pennylane.tape import QuantumScript
from typing_extensions import override

from qrnn.data import IGNORED, Batch, Labels
from qrnn.errors import ConfigError
from qrnn.models.base import Answer, Model, Recurrent
from qrnn.networks import State, n_parameters
from qrnn.neurons.rnn import QuantumNeuronRNN
from qrnn.utils.checks import whole


class NextToken(Model):
    """Quantum neurons as a language model.

    In training and evaluation the outputs are projected on the next token (Bausch, arXiv
    2006.14619, postselection on the targets), which is the label where there is one and else the
    next input. The logits are log p, so that their cross entropy is the negative log-likelihood.

    Args:
        rnn: the network, batch first.
    """

    projects: ClassVar[bool] = True

    def __init__(self, rnn: QuantumNeuronRNN):
        super().__init__()
        self.rnn: Any = rnn
        self.objective = Labels(rnn.output_size)

    @override
    def answer(self, batch: Batch, state: State | None = None) -> Answer:
        """Return log p of the next token, p, and the last state.

        Args:
            batch: tokens x and labels y (B, T).
            state: state of the same sequences after an earlier call.

        Raises:
            ConfigError: a sequence's last step has no label to project on.
        """
        targets = next_tokens(batch)
        log_p, state = self.rnn(batch.x, targets, state, batch.lengths)
        kept = self.rnn.cell.kept
        return Answer(log_p, log_p.exp(), state, None if kept is None else kept.T)

    def tapes(self, batch: Batch) -> list[QuantumScript]:
        """Return the circuits that `answer` runs on a circuit device."""
        x, targets = batch.x.T, next_tokens(batch).T
        active = torch.ones_like(x, dtype=torch.bool)
        if batch.lengths is not None:
            active = torch.arange(len(x))[:, None] < batch.lengths
        return self.rnn.cell.tapes(x, targets, active)

    @override
    def networks(self) -> list[Recurrent]:
        return [Recurrent("", self.rnn, None)]

    @override
    def recurrent_parameters(self) -> int:
        return n_parameters(self)

    @torch.no_grad()
    def generate(
        self, start: torch.Tensor, steps: int, generator: torch.Generator | None = None
    ) -> torch.Tensor:
        """Return tokens (B, steps) that continue the given ones, each sampled from p.

        Args:
            start: tokens (B, S), S >= 1; outputs are projected on all but the first.
            steps: number of tokens to sample.
            generator: random generator; None: torch's default.

        Raises:
            ConfigError: `start` is empty, or `steps` is below 1.
        """
        steps = whole("steps", steps, 1)
        if start.ndim != 2 or start.shape[1] < 1:
            raise ConfigError(
                f"start must have shape (B, S) with S of at least 1, got {tuple(start.shape)}"
            )
        cell, state = self.rnn.cell, None
        x = start.T
        if len(x) > 1:
            _, state = cell.sequence(x[:-1], None, None, x[1:])
        token, out = x[-1], []
        for _ in range(steps):
            _, state = cell(token, state, generator=generator)
            assert cell.outcomes is not None
            token = cell.outcomes[0]
            out.append(token)
        return torch.stack(out, 1)


def next_tokens(batch: Batch) -> torch.Tensor:
    """Return the token after each input (B, T): its label or, without one, the next input.

    Raises:
        ConfigError: a sequence's last step has no label.
    """
    x, y = batch.x, batch.y
    follows = torch.cat([x[:, 1:], y[:, -1:]], 1)
    targets = torch.where(y == IGNORED, follows, y)
    if batch.lengths is None:
        last = y[:, -1]
    else:
        last = y.gather(1, batch.lengths[:, None] - 1)[:, 0]
        padding = torch.arange(x.shape[1], device=x.device) >= batch.lengths[:, None]
        targets = targets.masked_fill(padding, 0)
    if (last == IGNORED).any():
        raise ConfigError(
            "model quantum_neuron must have a label at each sequence's last step to project on, "
            "got none: choose a task of next tokens, or another model"
        )
    return targets
