"""A frozen network: only the head is trained, by ridge regression, in one pass over the data."""

from __future__ import annotations

import json
from typing import Any, cast

import torch
from torch import nn
from typing_extensions import override

from qrnn.config import TrainConfig, TrainerConfig
from qrnn.config.commands import LBFGS, SPSA
from qrnn.data import Batch, TaskData
from qrnn.errors import ConfigError, NumericsError
from qrnn.training.alarms import warn
from qrnn.training.learner import Learner

# The strengths to choose from on the validation part; see `ridge`.
STRENGTHS = tuple(10.0**power for power in range(-8, 2))
UNREAD = {
    "model": ("head_width", "head_dropout", "embedding_dropout", "dropout"),
    "trainer": ("patience", "stop_below", "steps_per_epoch", "processes"),
}
OF_PROBABILITIES = ("cross_entropy", "perplexity", "bits_per_character")


def ridge(
    features: torch.Tensor, targets: torch.Tensor, weights: torch.Tensor, strength: float
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the linear map of least squared error, with a penalty on its size.

    It minimises sum_mc w_mc (y_mc - (x_m A_c + b_c))^2 / sum_m w_mc + strength |A_c|^2 for each
    output c: scikit-learn's `Ridge` with alpha = strength M, where all weights are equal.

    Args:
        features: x (M, F), float64.
        targets: y (M, C), float64.
        weights: w (M, C), at least 0.
        strength: of the penalty, above 0.

    Returns:
        A (F, C) and b (C,).
    """
    alike = bool((weights == weights[:, :1]).all())
    maps, biases = [], []
    for outputs in [slice(None)] if alike else [slice(c, c + 1) for c in range(targets.shape[1])]:
        y, w = targets[:, outputs], weights[:, outputs][:, :1]
        w = w / w.sum()
        x_mean, y_mean = (w * features).sum(0), (w * y).sum(0)
        x = (features - x_mean) * w
        penalty = strength * torch.eye(features.shape[1], dtype=x.dtype)
        found = torch.linalg.solve(x.T @ (features - x_mean) + penalty, x.T @ (y - y_mean))
        maps.append(found)
        biases.append(y_mean - x_mean @ found)
    return torch.cat(maps, 1), torch.cat(biases)


class Collected:
    """What the head's last layer read of a part of the data, and the outputs without it."""

    def __init__(self) -> None:
        self.features: list[torch.Tensor] = []
        self.offsets: list[torch.Tensor] = []
        self.y: list[torch.Tensor] = []

    def joined(self) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Return features (M, F) and offsets (M, C) as float64, and targets (M, ...)."""
        features, offsets = (torch.cat(one).double() for one in (self.features, self.offsets))
        return features, offsets, torch.cat(self.y)


class Reservoir(Learner):
    """Trains the head alone, in closed form; Lightning runs it as one epoch of one step.

    The readouts of the training and the validation part are computed once. Then the head's linear
    layer is solved for each of `STRENGTHS`, and the one of the lowest validation loss is kept.
    Both have the model's readout noise, if it is set: the head is then one for noisy readouts.

    Args:
        config: the full configuration, with `model.frozen`.
        data: the task's data.

    Raises:
        ConfigError: the task or an option does not fit a closed form.
    """

    def __init__(self, config: TrainConfig, data: TaskData):
        check_frozen(config, data)
        super().__init__(config, data)
        self.automatic_optimization = False
        head = self.model.head
        self.solved = cast(nn.Linear, head[-1] if isinstance(head, nn.Sequential) else head)
        self.parts = {name: Collected() for name in self.means}

    @override
    def on_train_start(self) -> None:
        """Begin with a head of zeros, also where the weights are those of a checkpoint."""
        nn.init.zeros_(self.solved.weight)
        nn.init.zeros_(self.solved.bias)

    @override
    def _step(self, batch: Batch, index: int, part: str) -> torch.Tensor:
        """Collect a batch; the outputs are those of a head of zeros."""
        self.model.train()  # with the readout noise, also where the strength is chosen
        read: list[torch.Tensor] = []
        hook = self.solved.register_forward_pre_hook(lambda _, inputs: read.append(inputs[0]))
        try:
            with torch.no_grad():
                logits = self.model.answer(batch).logits
        finally:
            hook.remove()
        objective, into = self.model.objective, self.parts[part]
        offsets, y = objective.asked(logits, batch.y)
        into.features.append(objective.asked(read[0], batch.y)[0])
        into.offsets.append(offsets)
        into.y.append(y)
        return offsets.new_zeros(())

    @override
    def training_step(self, batch: Batch, batch_index: int) -> torch.Tensor:
        nothing = self._step(batch, batch_index, "train")
        if self.trainer.is_last_batch:  # counts the step; without gradients nothing moves
            optimizer: Any = self.optimizers()
            optimizer.step()
        return nothing

    @override
    def on_train_batch_end(self, *_: Any) -> None:
        """Nothing can be logged yet."""

    @override
    def on_validation_epoch_end(self) -> None:
        """Solve the head, and log the metrics of both parts."""
        objective = self.model.objective
        parts = {name: found.joined() for name, found in self.parts.items()}
        self.parts = {name: Collected() for name in self.parts}
        features, offsets, y = parts["train"]
        targets, weights = objective.least_squares(y)

        def judged(part: str, a: torch.Tensor, b: torch.Tensor) -> tuple[torch.Tensor, Any]:
            features, offsets, y = parts[part]
            outputs = (features @ a + b + offsets).to(self.solved.weight.dtype)
            means = objective.measure(outputs, y).double().nanmean(0)
            return objective.losses(outputs, y).double().mean(), objective.metric_of(means)

        maps = {one: ridge(features, targets - offsets, weights, one) for one in STRENGTHS}
        losses = {one: float(judged("val", *found)[0]) for one, found in maps.items()}
        strength = min(losses, key=losses.__getitem__)
        a, b = maps[strength]
        if not (a.isfinite().all() and b.isfinite().all()):
            raise NumericsError(
                "readouts must be finite to solve the head, got NaN or infinity: check the inputs"
            )
        with torch.no_grad():
            self.solved.weight.copy_(a.T)
            self.solved.bias.copy_(b)
        for part in parts:
            loss, shown = judged(part, a, b)
            self.log(f"{part}/loss", loss.float())
            self.log(f"{part}/{objective.shown}", shown.float())
        self.log("ridge", strength)


def check_frozen(config: TrainConfig, data: TaskData) -> None:
    """Check that the head can be solved in closed form, and that no option of a loop is set.

    Recipes set the learning rate, and experiments the number of epochs, of which it warns alone.

    Raises:
        ConfigError: a translation, a metric of probabilities, a curriculum, a hidden layer in the
            head, dropout, or an option of a loop.
    """
    if data.kind == "translate":
        raise ConfigError("model.frozen must be left out of a translation: its decoder is learned")
    if data.metric in OF_PROBABILITIES:
        raise ConfigError(
            f"model.frozen must be left out of a task with the metric {data.metric}: least squares "
            f"gives scores, not probabilities"
        )
    if (chosen := config.trainer.optimizer) in (SPSA, LBFGS):
        raise ConfigError(
            f"trainer.optimizer={chosen} must be left out with model.frozen, whose head is solved"
        )
    if data.curriculum:
        raise ConfigError("task.curriculum must be left out with model.frozen, which has one epoch")
    for group, names in UNREAD.items():
        options = getattr(config, group)
        for name in names:
            given, default = getattr(options, name, None), getattr(type(options), name, None)
            if given != default:
                raise ConfigError(
                    f"{group}.{name} must be {json.dumps(default)} with model.frozen, whose head "
                    f"is solved in one pass, got {given}"
                )
    if (epochs := config.trainer.epochs) not in (1, TrainerConfig.epochs):
        warn(f"trainer.epochs={epochs} has no effect with model.frozen: one pass solves the head")
