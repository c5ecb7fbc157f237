"""SPSA: gradients of the loss from its values alone, for devices that give no gradients.

Simultaneous perturbation stochastic approximation: with M random directions Delta_m of entries
+1 and -1, and a perturbation c_k = c / (k + 1)^0.101 at step k,

    g = 1/M sum_m (L(theta + c_k Delta_m) - L(theta - c_k Delta_m)) / (2 c_k) Delta_m

estimates the gradient with 2 M losses, whatever the number of parameters theta. Source: Spall,
Implementation of the simultaneous perturbation algorithm for stochastic optimization, IEEE
Transactions on Aerospace and Electronic Systems 34, 817 (1998). Adam takes the steps, so that the
size of the first one is the learning rate, without a calibration of Spall's a.

theta is everything that precedes the circuits: embedding, controllers and biases. The head's
gradient is exact, of the mean loss, since the head reads numbers that are known by then, as in
arXiv 2512.12710. The 2 M copies of the model are one batch of 2 M B sequences, whose angles come
from other weights, so that they share the device's executions: a job per time step on IBM's.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import nn
from torch.func import functional_call

from qrnn.cell.cell import QRNNCell
from qrnn.cell.on_device import shallow_copy
from qrnn.cell.rnn import QRNN
from qrnn.data import Batch, TaskData
from qrnn.errors import ConfigError
from qrnn.models.base import Model
from qrnn.models.sequence import SequenceModel

DIRECTIONS, PERTURBATION = 4, 0.02  # unless they are set
DECAY = 0.101  # of the perturbation; Spall's
GAIN = 0.602  # of the learning rate
STABILITY = 0.1  # Spall's A, as a fraction of all steps


def gain(step: int, steps: int) -> float:
    """Return Spall's learning rate at a step relative to that of the first.

    a_k = a / (k + 1 + A)^0.602, with A a tenth of all steps.

    Args:
        step: the step k, from 0.
        steps: number of all steps.
    """
    stability = STABILITY * steps
    return ((1 + stability) / (step + 1 + stability)) ** GAIN


def theta(model: SequenceModel) -> dict[str, nn.Parameter]:
    """Return the parameters that are perturbed, by their names: all but the head's."""
    return {name: p for name, p in model.named_parameters() if not name.startswith("head.")}


def check_spsa(model: Model, data: TaskData) -> None:
    """Check that SPSA can train a model.

    Raises:
        ConfigError: the data are a text; or the model runs no circuits, is not one hybrid network
            with a head, or its ansatz has weights of its own.
    """
    data.train.sequences("trainer.optimizer=spsa")
    if not isinstance(model, SequenceModel) or not isinstance(model.rnn, QRNN):
        raise ConfigError(
            "trainer.optimizer=spsa must have a hybrid model that labels or forecasts sequences, "
            "got another one: leave it out for exact gradients"
        )
    for cell in model.rnn.cells:
        assert isinstance(cell, QRNNCell)
        if cell.circuit.weights.names:
            raise ConfigError(
                "trainer.optimizer=spsa must have an ansatz without weights of its own, got "
                f"{', '.join(cell.circuit.weights.names)}: make them angles of the controller"
            )


class PerCopy(nn.Module):
    """A module that is applied with other weights to each of C equal parts of a batch.

    Args:
        module: from a batch to a batch.
        weights: its parameters, by name, (C, ...) each.
        shift: added to what each part returns, (C, P); None: nothing.
    """

    def __init__(
        self, module: nn.Module, weights: dict[str, torch.Tensor], shift: torch.Tensor | None = None
    ):
        super().__init__()
        self.module, self.weights, self.shift = module, weights, shift

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the module's output for the whole batch (C B, ...)."""
        copies = len(next(iter(self.weights.values()), self.shift if self.shift is not None else x))
        out = []
        for i, part in enumerate(x.chunk(copies)):
            weights = {name: values[i] for name, values in self.weights.items()}
            found = functional_call(self.module, weights, (part,))
            out.append(found if self.shift is None else found + self.shift[i])
        return torch.cat(out)


def copies(model: SequenceModel, weights: dict[str, torch.Tensor]) -> SequenceModel:
    """Return C copies of a model as one, for a batch of C equal parts.

    Args:
        model: the model.
        weights: the copies' values of `theta`, (C, ...) each.
    """

    def of(prefix: str) -> dict[str, torch.Tensor]:
        return {k.removeprefix(prefix): v for k, v in weights.items() if k.startswith(prefix)}

    clone = shallow_copy(model)
    if own := of("embed."):
        clone.embed = PerCopy(model.embed, own)
    clone.rnn = shallow_copy(model.rnn)
    clone.rnn.cells = nn.ModuleList()
    for i, cell in enumerate(model.rnn.cells):
        one = shallow_copy(cell)
        shift = weights[f"rnn.cells.{i}.quantum.bias"] - cell.quantum.bias.detach()
        one.controller = PerCopy(cell.controller, of(f"rnn.cells.{i}.controller."), shift)
        clone.rnn.cells.append(one)
    return clone


def repeated(batch: Batch, times: int) -> Batch:
    """Return a batch of several copies of a batch, one after the other."""

    def many(values: torch.Tensor) -> torch.Tensor:
        return values.repeat(times, *[1] * (values.ndim - 1))

    lengths = None if batch.lengths is None else many(batch.lengths)
    return Batch(many(batch.x), many(batch.y), lengths)


class Spsa:
    """Estimates the gradient of a model's loss on a device.

    Args:
        model: the model on its device.
        directions: number of directions M.
        perturbation: perturbation c of the first step.
        seed: seed of the directions, which depend on it and the step alone.
    """

    def __init__(self, model: SequenceModel, directions: int, perturbation: float, seed: int):
        self.model = model
        self.directions, self.perturbation, self.seed = directions, perturbation, seed

    def answer(self, batch: Batch, step: int) -> tuple[Batch, torch.Tensor]:
        """Return the batch of all copies, and the outputs of their head.

        Args:
            batch: B sequences.
            step: the step k, from 0.
        """
        self.deltas = self._draw(step)
        self.size = self.perturbation / (step + 1) ** DECAY
        weights = {
            name: torch.cat([p + self.size * self.deltas[name], p - self.size * self.deltas[name]])
            for name, p in ((name, p.detach()) for name, p in theta(self.model).items())
        }
        clone, batch = copies(self.model, weights), repeated(batch, 2 * self.directions)
        with torch.no_grad():
            x = clone.embed(batch.x)
            z, state = clone.rnn(x, None, batch.lengths)
            read = clone.read(z, state, batch.lengths)
        return batch, clone.outputs(read, x, batch.x, batch.lengths)

    def _draw(self, step: int) -> dict[str, torch.Tensor]:
        """Return the directions (M, ...) of each parameter."""
        seed = int(np.random.SeedSequence([self.seed, step]).generate_state(1)[0])
        generator = torch.Generator().manual_seed(seed)
        return {
            name: (2 * torch.randint(2, (self.directions, *p.shape), generator=generator) - 1).to(p)
            for name, p in theta(self.model).items()
        }

    def loss(self, losses: torch.Tensor) -> torch.Tensor:
        """Return the mean loss, whose gradient is the estimate.

        Args:
            losses: of the copies that `answer` ran last, (2 M N,).
        """
        plus, minus = losses.detach().view(2, self.directions, -1).mean(2)
        slopes = (plus - minus) / (2 * self.size * self.directions)
        out = losses.mean()
        for name, p in theta(self.model).items():
            along = (torch.tensordot(slopes.to(p), self.deltas[name], 1) * p).sum()
            out = out + along - along.detach()
        return out
