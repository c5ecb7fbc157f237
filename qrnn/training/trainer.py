"""Training with PyTorch Lightning."""

from __future__ import annotations

import json
import logging
import math
import statistics
import sys
import warnings
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import torch
from torch.utils.data import DataLoader
from torchmetrics import MeanMetric
from typing_extensions import override

from qrnn.config import TrainConfig, TrainerConfig, to_plain
from qrnn.data import Batch, Objective, TaskData, loader
from qrnn.errors import ConfigError, QRNNError
from qrnn.models.build import build_model
from qrnn.models.cells import refuse_options
from qrnn.networks import n_parameters
from qrnn.training.callbacks import (
    BestCheckpoint,
    EpochTimes,
    Interrupts,
    LastCheckpoint,
    RunProgress,
    Stopper,
)
from qrnn.training.checkpoint import (
    AtomicCheckpointIO,
    check_weights,
    checkpoint_errors,
    load_task,
    read_checkpoint,
)
from qrnn.training.checks import OPTIMIZERS, batches_of_epoch, check_trainer
from qrnn.training.groups import param_groups
from qrnn.training.history import Metrics, at_best
from qrnn.training.loggers import check_loggers, loggers
from qrnn.training.origins import config_of, modules_of
from qrnn.training.resume import (
    check_shapes,
    check_state,
    check_structure,
    check_unchanged,
    set_rates,
)
from qrnn.training.run_folder import check_free, locked
from qrnn.training.seeding import epoch_seed, seed_all
from qrnn.utils.checks import typed
from qrnn.utils.environment import environment
from qrnn.utils.files import name_in_errors, write_text

WARM_UP = 0.1  # fraction of the steps; without it, lr 1e-2 sometimes ends at chance level
EVAL_BATCH = 512


class Shown(MeanMetric):
    """The metric that is shown beside the loss.

    Args:
        objective: what it is of.
    """

    def __init__(self, objective: Objective):
        super().__init__()
        self.objective = objective

    def compute(self) -> torch.Tensor:
        """Return the metric of the epoch."""
        return self.objective.metric_of(super().compute())


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
        self.train_metric, self.val_metric = (Shown(self.model.objective) for _ in range(2))

    def _step(self, batch: Batch, index: int, part: str) -> torch.Tensor:
        fresh = self.read.resets_state(index)
        answer = self.model.answer(batch, None if fresh else self.states[part])
        if self.read.is_text:
            self.states[part] = answer.state.detach()
        objective = self.model.objective
        outputs, y = objective.asked(answer.logits, batch.y)
        loss = objective.losses(outputs, y).mean()
        options: dict[str, Any] = {
            "on_step": False,
            "on_epoch": True,
            "batch_size": len(y),
            "sync_dist": True,
        }
        self.log(f"{part}/loss", loss, **options)
        metric = self.train_metric if part == "train" else self.val_metric
        metric.update(objective.measure(outputs.detach(), y))
        self.log(f"{part}/{objective.shown}", metric, on_step=False, on_epoch=True)
        return loss

    def on_train_batch_start(self, batch: Batch, batch_index: int) -> None:
        """Seed each epoch from its number, so that a resumed run draws the same random numbers.

        Saving the random state would not suffice: a resumed run creates the loaders' iterators,
        which also draw, at other times, and all processes share one checkpoint.
        """
        if batch_index == 0:
            rank, epoch = self.trainer.global_rank, self.current_epoch
            seed_all(epoch_seed(self.config.trainer.seed, epoch, rank), self.model)

    @override
    def training_step(self, batch: Batch, batch_index: int) -> torch.Tensor:
        return self._step(batch, batch_index, "train")

    @override
    def validation_step(self, batch: Batch, batch_index: int) -> None:
        self._step(batch, batch_index, "val")

    def on_before_optimizer_step(self, optimizer: torch.optim.Optimizer) -> None:
        """Log the gradient norm before clipping, and skip a gradient that is not finite.

        Over hundreds of feedback steps a single batch can overflow; clipping would then turn all
        weights into NaN.
        """
        norms = [p.grad.norm() for p in self.parameters() if p.grad is not None]
        norm = torch.stack(norms).norm()
        options: dict[str, Any] = {"on_step": False, "on_epoch": True, "batch_size": 1}
        finite = bool(norm.isfinite())
        self.log("train/skipped", float(not finite), **options)
        if finite:
            self.log("train/gradient", norm, **options)
        else:
            self.zero_grad(set_to_none=True)

    def configure_optimizers(self) -> Any:
        """Return the optimiser, and a schedule that advances every step.

        A parameter's attribute `lr_scale` multiplies its learning rate.
        """
        optimizer = self.optimizer()
        if self.config.trainer.schedule == "constant":
            return optimizer
        steps = int(self.trainer.estimated_stepping_batches)
        warm_up = max(1, int(WARM_UP * steps))

        def factor(step: int) -> float:
            if step < warm_up:
                return (step + 1) / warm_up
            return 0.5 * (
                1 + math.cos(math.pi * min(1.0, (step - warm_up) / max(1, steps - warm_up)))
            )

        # Not OneCycleLR: its state fixes the number of steps, but a resumed run may take more.
        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, factor)
        return [optimizer], [{"scheduler": schedule, "interval": "step"}]

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
        checkpoint["qrnn"] = {
            "config": to_plain(self.config),
            "modules": modules_of(self.config),
            "shape": asdict(self.shape),
            "objective": self.model.objective.plain(),
            "table": None if self.encoder is None else self.encoder.plain(),
        }

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


@dataclass(frozen=True)
class TrainResult:
    """The result of a training run.

    Attributes:
        run_dir: folder of the run.
        best: checkpoint of the epoch with the lowest validation loss.
        last: checkpoint of the last epoch.
        metric: name of the metric that is shown beside the loss: `accuracy`, or `rmse`.
        value: its value on the validation part, of `best`.
        best_epoch: the epoch of `best`, counted from 1; 0: there is none yet.
        epochs: number of epochs run.
        steps: number of optimiser steps, including those before a resume.
        reached: whether the validation loss fell below `trainer.stop_below`; None: it is null.
        interrupted: whether the run was stopped with Ctrl-C.
        first_process: whether this is the first process of a distributed training.
        failure: why the last epoch failed, in one line; None: it did not.
    """

    run_dir: Path
    best: Path
    last: Path
    metric: str
    value: float
    best_epoch: int
    epochs: int
    steps: int
    reached: bool | None
    interrupted: bool
    first_process: bool
    failure: str | None = None


def quiet_lightning() -> None:
    """Silence Lightning's notices that do not concern the user."""
    for name in ("lightning.pytorch", "lightning.fabric"):
        logging.getLogger(name).setLevel(logging.ERROR)
    for text in (
        ".*does not have many workers.*",
        ".*in the `DataLoader`.*",
        ".*smaller than the logging interval.*",
        ".*isinstance.*LeafSpec.*",
        ".*exists and is not empty.*",
        ".*The dirpath has changed.*",
    ):
        warnings.filterwarnings("ignore", text)


def train(config: TrainConfig, run_dir: str | Path, *, data: TaskData | None = None) -> TrainResult:
    """Train a model; write checkpoints, configuration and logs to `run_dir`.

    Args:
        config: the full configuration. `config.resume` names a checkpoint to resume from; the
            losses are then those of an uninterrupted run. The best checkpoint and the metrics so
            far are read from the checkpoint's folder.
        run_dir: folder of the run, created if missing. It must not hold another run.
        data: the task's data; None: loaded from `config.task`.

    Raises:
        ConfigError: a value is out of range, a name is unknown, or the folder holds another run or
            is in use by another process.
        DataError: the data, or the checkpoint to resume from, is missing or damaged.
        DeviceError: the device cannot run the model.
    """
    check_trainer(config.trainer)
    check_loggers(config.trainer.loggers)
    run_dir = Path(run_dir)
    check_free(run_dir, config.resume)
    quiet_lightning()
    saved = {} if config.resume is None else read_checkpoint(config.resume)
    typed(config.task, "task")
    data = data if data is not None else load_task(config.task)
    limit = batches_of_epoch(data, config.trainer)
    pl.seed_everything(config.trainer.seed, workers=True, verbose=False)
    module = Learner(config, data)
    refuse_options(module.model, config.device)
    if saved:
        check_unchanged(config_of(saved).trainer, config.trainer)
        check_shapes(saved["state_dict"], module.state_dict())
        with checkpoint_errors(config.resume):
            check_weights(saved["state_dict"], module.state_dict())
            check_structure(saved, {"global_step": 0}, "")
    with locked(run_dir, config.resume):
        return _fit(module, data, limit, run_dir, saved)


def _fit(
    module: Learner, data: TaskData, limit: Any, run_dir: Path, saved: dict[str, Any]
) -> TrainResult:
    """Train after all checks, in a locked folder; see `train`.

    Args:
        module: the module to train.
        data: the task's data.
        limit: batches per epoch, for Lightning's `limit_train_batches`.
        run_dir: folder of the run.
        saved: content of the checkpoint to resume from; empty for a new run.
    """
    config = module.config
    checkpoints = BestCheckpoint(run_dir, config.resume)
    interrupts, times = Interrupts(), EpochTimes()
    last_checkpoint = LastCheckpoint(run_dir / "last.ckpt")
    callbacks: list[pl.Callback] = [
        interrupts,
        times,
        Metrics(run_dir, config.resume, saved.get("global_step", 0)),
        checkpoints,
        last_checkpoint,
    ]
    stopper = Stopper(config.trainer.stop_below, config.trainer.patience)
    if not (config.trainer.stop_below is None and config.trainer.patience is None):
        callbacks.append(stopper)
    if config.trainer.progress:
        callbacks.append(RunProgress())
    trainer = pl.Trainer(
        max_epochs=config.trainer.epochs,
        limit_train_batches=limit,
        accelerator=accelerator(config.device.name),
        devices=config.trainer.processes,
        strategy="ddp" if config.trainer.processes > 1 else "auto",
        gradient_clip_val=config.trainer.clip,
        callbacks=callbacks,
        plugins=[AtomicCheckpointIO()],
        logger=False,  # those of `loggers` are set below
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        use_distributed_sampler=False,
        reload_dataloaders_every_n_epochs=1 if data.curriculum else 0,
        log_every_n_steps=10,
    )
    if saved:
        with checkpoint_errors(config.resume):
            check_state(saved, trainer, module.optimizer())
    write_text(run_dir / "config.yaml", config_yaml(config))
    write_text(run_dir / "environment.json", json.dumps(environment(), indent=1) + "\n")
    try:
        # A logger's errors name no file.
        with interrupts, name_in_errors(run_dir), loggers(config, run_dir) as trainer.loggers:
            trainer.fit(
                module,
                datamodule=TaskDataModule(data, config.trainer),
                ckpt_path=config.resume,
                weights_only=True,
            )
    except Exception as error:
        # Before the first batch of a resumed run, errors are about the checkpoint.
        if not saved or last_checkpoint.begun or isinstance(error, QRNNError | OSError):
            raise
        with checkpoint_errors(config.resume):
            raise ConfigError(str(error)) from error
    except SystemExit:  # raised by Lightning on Ctrl-C
        if not trainer.interrupted:
            raise
    metric = module.model.objective.shown
    best_epoch, value = at_best(run_dir, metric)
    last = run_dir / "last.ckpt"
    best = Path(checkpoints.best_model_path or last)
    reached = stopper.reached
    failure = failure_of(trainer.callback_metrics)
    if trainer.is_global_zero and not trainer.interrupted and failure is None:
        write_summary(run_dir, module, best, times.seconds, reached)
    return TrainResult(
        run_dir=run_dir,
        best=best,
        last=last,
        metric=metric,
        value=value,
        best_epoch=best_epoch,
        epochs=trainer.current_epoch,
        steps=trainer.global_step,
        reached=reached,
        interrupted=trainer.interrupted,
        first_process=trainer.is_global_zero,
        failure=failure,
    )


def failure_of(metrics: Mapping[str, torch.Tensor]) -> str | None:
    """Return why a run's last epoch failed, or None.

    Args:
        metrics: the metrics logged for the epoch.
    """
    remedy = "lower trainer.lr or model.output_lr"
    if float(metrics.get("train/skipped", 0.0)) >= 1:
        return f"gradients must be finite, but no step of the last epoch had one: {remedy}"
    for name in ("train/loss", "val/loss"):
        if not math.isfinite(loss := float(metrics.get(name, 0.0))):
            return f"{name} of the last epoch must be finite, got {loss}: {remedy}"
    return None


def write_summary(
    run_dir: Path, module: Learner, best: Path, seconds: list[float], reached: bool | None
) -> None:
    """Write the time, memory and size of a finished run to `summary.json`.

    Args:
        run_dir: folder of the run.
        module: the trained module.
        best: the best checkpoint.
        seconds: seconds of each epoch.
        reached: see `TrainResult`.
    """
    per_epoch = statistics.median(seconds) if seconds else 0.0
    summary = {
        "best": str(best),
        "epochs": module.current_epoch,
        "steps": module.global_step,
        "reached": reached,
        "seconds_per_epoch": per_epoch,
        "minutes": module.current_epoch * per_epoch / 60,
        "threads": torch.get_num_threads(),
        "peak_memory_mb": peak_memory_mb(),
        "parameters": module.model.recurrent_parameters(),
        "all_parameters": n_parameters(module.model),
        "config": to_plain(module.config),
    }
    write_text(run_dir / "summary.json", json.dumps(summary, indent=1) + "\n")


def peak_memory_mb() -> float | None:
    """Return the peak resident memory of this process, MB; None where the system has no record."""
    try:
        import resource
    except ImportError:  # Windows
        return None
    unit = 1024**2 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit


def accelerator(device: str) -> str:
    """Return Lightning's name of the accelerator to train on."""
    if device != "fused":
        return "auto"
    return "gpu" if torch.cuda.is_available() else "cpu"  # no other has fused kernels


def config_yaml(config: TrainConfig) -> str:
    """Return the configuration as YAML."""
    from omegaconf import OmegaConf

    return OmegaConf.to_yaml(OmegaConf.structured(config))
