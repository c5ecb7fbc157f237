"""A model and its data as PyTorch Lightning trains them."""

from __future__ import annotations

import math
from dataclasses import asdict
from typing import Any

import lightning.pytorch as pl
import torch
from torch.utils.data import DataLoader
from typing_extensions import override

from qrnn.config import TrainConfig, TrainerConfig
from qrnn.config.commands import LBFGS, SPSA
from qrnn.data import Batch, TaskData, loader
from qrnn.models.build import build_model
from qrnn.models.cells import device_of
from qrnn.training.checkpoint import plain_model
from qrnn.training.checks import OPTIMIZERS
from qrnn.training.groups import param_groups
from qrnn.training.lbfgs import check_lbfgs
from qrnn.training.means import Means
from qrnn.training.resume import set_rates
from qrnn.training.seeding import epoch_seed, seed_all
from qrnn.training.spsa import DIRECTIONS, PERTURBATION, Spsa, check_spsa, gain

WARM_UP = 0.1  # fraction of the steps; without it, lr 1e-2 sometimes ends at chance level
EVAL_BATCH = 512


class Learner(pl.LightningModule):
    """Learns a task by its objective.

    Args:
        config: the full configuration, saved in every checkpoint.
        data: the task's data; its shape is saved as well.
    """

    def __init__(self, config: TrainConfig, data: TaskData):
        super().__init__()
        self.config, self.shape = config, data.shape
        self.read = data.train
        self.encoder = data.encoder
        self.model = build_model(config, data.shape, data.vectors, data.objective)
        self.states: dict[str, Any] = {}  # of the texts of training and validation
        self.means = {part: Means() for part in ("train", "val")}
        self.evaluations = 0  # of the current batch; line searches take several
        self.before: Any = None  # state of the texts before the current batch
        if config.trainer.optimizer == LBFGS:
            check_lbfgs(self.model)
        self.spsa: Spsa | None = None
        if config.trainer.optimizer == SPSA:
            check_spsa(self.model, data)
            own = device_of(self.model)
            assert own is not None
            self.run_on(self.model.on(own))

    def run_on(self, model: Any) -> None:
        """Run the circuits of training and validation by a copy of the model, with SPSA.

        Dropout and simulated readout noise are off, since the copies of a step are compared.

        Args:
            model: the copy, which shares the weights.
        """
        trainer = self.config.trainer
        options = (trainer.directions or DIRECTIONS, trainer.perturbation or PERTURBATION)
        self.spsa = Spsa(model.eval(), *options, trainer.seed)

    def _step(self, batch: Batch, index: int, part: str) -> torch.Tensor:
        again = part == "train" and self.evaluations > 1
        if self.spsa is not None and part == "train":
            batch, logits = self.spsa.answer(batch, self.global_step)
        else:
            fresh = self.read.resets_state(index)
            model = self.model if self.spsa is None else self.spsa.model
            before = self.before if part == "train" else self.states.get(part)
            answer = model.answer(batch, None if fresh else before)
            logits = answer.logits
            if self.read.is_text and not again:
                self.states[part] = answer.state.detach()
        objective = self.model.objective
        outputs, y = objective.asked(logits, batch.y)
        losses = objective.losses(outputs, y)
        loss = losses.mean()
        if self.spsa is not None and part == "train":
            loss = self.spsa.loss(losses)
        if again:
            return loss
        measured = objective.measure(outputs.detach(), y)
        means = self.means[part]
        means.add("loss", loss.detach() * len(y), len(y))
        means.add(objective.shown, measured.nansum(0), (~measured.isnan()).sum(0))
        return loss

    def _log(self, part: str) -> None:
        """Log the means of an epoch."""
        objective = self.model.objective
        options: dict[str, Any] = {"on_step": False, "on_epoch": True, "sync_dist": True}
        found = self.means[part].take(
            lambda one: self.trainer.strategy.reduce(one, reduce_op="sum")
        )
        for name, mean in found.items():
            value = objective.metric_of(mean) if name == objective.shown else mean
            self.log(f"{part}/{name}", value, batch_size=1, **options)

    def on_train_batch_start(self, batch: Batch, batch_index: int) -> None:
        """Seed each epoch from its number, so that a resumed run draws the same random numbers.

        Saving the random state would not suffice: a resumed run creates the loaders' iterators,
        which also draw, at other times, and all processes share one checkpoint.
        """
        if batch_index == 0:
            rank, epoch = self.trainer.global_rank, self.current_epoch
            seed_all(epoch_seed(self.config.trainer.seed, epoch, rank), self.model)
        self.evaluations, self.before = 0, self.states.get("train")

    @override
    def training_step(self, batch: Batch, batch_index: int) -> torch.Tensor:
        """Return the loss; a line search evaluates a batch several times, and is counted once."""
        if self.config.trainer.optimizer == LBFGS:  # each time with the same dropout and noise
            rank, epoch = self.trainer.global_rank, self.current_epoch
            seed_all(epoch_seed(self.config.trainer.seed, epoch, rank, batch_index), self.model)
        self.evaluations += 1
        return self._step(batch, batch_index, "train")

    @override
    def validation_step(self, batch: Batch, batch_index: int) -> None:
        self._step(batch, batch_index, "val")

    def on_train_batch_end(self, *_: Any) -> None:
        """Log the epoch's means here, where callbacks still see them at its end."""
        if self.trainer.is_last_batch:
            self._log("train")

    def on_validation_epoch_end(self) -> None:
        """Log the epoch's means."""
        self._log("val")

    def configure_gradient_clipping(
        self,
        optimizer: torch.optim.Optimizer,
        gradient_clip_val: float | None = None,
        gradient_clip_algorithm: str | None = None,
    ) -> None:
        """Clip the gradient, note its norm before, and skip a gradient that is not finite.

        Over hundreds of feedback steps a single batch can overflow; clipping would then turn all
        weights into NaN.
        """
        assert gradient_clip_val is not None  # ours to `Trainer`
        parameters = [p for group in optimizer.param_groups for p in group["params"]]
        norm = torch.nn.utils.clip_grad_norm_(parameters, gradient_clip_val)
        finite = bool(norm.isfinite())
        first = self.evaluations == 1
        self.means["train"].add("skipped", norm.new_tensor(float(not finite)), int(first))
        if finite and first:
            self.means["train"].add("gradient", norm, 1)
        if not finite:
            self.zero_grad(set_to_none=True)

    def configure_optimizers(self) -> Any:
        """Return the optimiser, and a schedule that advances every step.

        Some parameters have a learning rate of their own; see `param_groups`.
        """
        optimizer = self.optimizer()
        schedule = self.config.trainer.schedule
        if schedule == "constant":
            return optimizer
        steps = int(self.trainer.estimated_stepping_batches)
        warm_up = max(1, int(WARM_UP * steps))

        def factor(step: int) -> float:
            if schedule == "power":
                return gain(step, steps)
            if step < warm_up:
                return (step + 1) / warm_up
            return 0.5 * (
                1 + math.cos(math.pi * min(1.0, (step - warm_up) / max(1, steps - warm_up)))
            )

        # Not OneCycleLR: its state fixes the number of steps, but a resumed run may take more.
        rates = torch.optim.lr_scheduler.LambdaLR(optimizer, factor)
        return [optimizer], [{"scheduler": rates, "interval": "step"}]

    def optimizer(self) -> torch.optim.Optimizer:
        """Return a new optimiser, with one parameter group per learning rate."""
        trainer = self.config.trainer
        return OPTIMIZERS[trainer.optimizer](
            param_groups(self, trainer.lr),
            lr=trainer.lr,
            weight_decay=trainer.weight_decay,
        )

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Add what rebuilds the model and reads its tables."""
        checkpoint["qrnn"] = plain_model(
            self.config, asdict(self.shape), self.model.objective, self.encoder
        )

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Use the learning rates and weight decay of the current configuration."""
        set_rates(checkpoint, self.optimizer())


class TaskDataModule(pl.LightningDataModule):
    """A task's training and validation data."""

    def __init__(self, data: TaskData, config: TrainerConfig):
        super().__init__()
        self.data, self.config = data, config

    def train_dataloader(self) -> DataLoader:
        """Shuffled batches of the current epoch, this process's share of them."""
        rank, world, epoch = 0, 1, 0
        if self.trainer:
            rank, world = self.trainer.global_rank, self.trainer.world_size
            epoch = self.trainer.current_epoch
        part, size = self.data.train_of(epoch), self.config.batch_size // world
        return loader(part, size, shuffle=True, seed=self.config.seed, rank=rank, world=world)

    def val_dataloader(self) -> DataLoader:
        """Batches in order."""
        size = self.config.batch_size if self.data.val.is_text else EVAL_BATCH
        return loader(self.data.val, size, shuffle=False)
