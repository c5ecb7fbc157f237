"""Training with PyTorch Lightning."""

from __future__ import annotations

import json
import logging
import math
import statistics
import sys
import warnings
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import torch

from qrnn.config import TrainConfig, to_plain
from qrnn.data import TaskData
from qrnn.devices import DeviceOptions
from qrnn.devices.ibm.cost import Cost
from qrnn.errors import ConfigError, QRNNError
from qrnn.models.cells import reference_device, refuse_options
from qrnn.networks import n_parameters
from qrnn.training.alarms import Alarms, data_warnings, warn
from qrnn.training.baselines import baseline_configs, baseline_folder, check_baselines
from qrnn.training.callbacks import (
    AtomicCheckpointIO,
    BestCheckpoint,
    EpochTimes,
    Interrupts,
    LastCheckpoint,
    Stopper,
)
from qrnn.training.checkpoint import (
    checkpoint_errors,
    encoder_of,
    load_task,
    read_checkpoint,
    weights_of,
)
from qrnn.training.checks import (
    batches_of_epoch,
    check_device,
    check_same_folder,
    check_trainer,
)
from qrnn.training.history import Best, Metrics, best_of, history
from qrnn.training.jobs import Jobs, job_price, recorded_jobs
from qrnn.training.learner import Learner, TaskDataModule
from qrnn.training.loggers import check_loggers, loggers
from qrnn.training.origins import config_of, program_of
from qrnn.training.progress import progress
from qrnn.training.reservoir import Reservoir
from qrnn.training.resume import (
    check_resumable,
    check_shapes,
    check_state,
    check_structure,
    check_unchanged,
)
from qrnn.training.run_folder import check_free, locked
from qrnn.training.seeding import one_training_at_a_time
from qrnn.utils.checks import typed
from qrnn.utils.environment import environment
from qrnn.utils.files import name_in_errors, write_text
from qrnn.utils.weights import check_weights


@dataclass(frozen=True)
class TrainResult:
    """The result of a training run.

    Attributes:
        run_dir: folder of the run.
        best: checkpoint of the epoch with the lowest validation loss.
        last: checkpoint of the last epoch.
        metric: name of the metric that is shown beside the loss: `accuracy`, `rmse` or `nrmse`.
        value: its value on the validation part, of `best`.
        best_epoch: the epoch of `best`, counted from 1; 0: there is none yet.
        epochs: number of epochs run.
        steps: number of optimiser steps, including those before a resume.
        reached: whether the validation loss fell below `trainer.stop_below`; None: it is null.
        interrupted: whether the run was stopped with Ctrl-C.
        first_process: whether this is the first process of a distributed training.
        parameters: number of recurrent parameters.
        reference: a device of PennyLane that runs the model, as in `device=...`.
        failure: why the last epoch failed, in one line; None: it did not.
        stopped: why the budget of QPU seconds stopped the run, in one line; None: it did not.
        cost: what the run used on an IBM backend, real or fake; None on other devices.
        baselines: the results of `trainer.baselines`, by their names.
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
    parameters: int
    reference: str
    failure: str | None = None
    stopped: str | None = None
    cost: Cost | None = None
    baselines: dict[str, TrainResult] = field(default_factory=dict)


PATIENCE = 60.0  # seconds to wait for IBM's meter after a training


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


@one_training_at_a_time
def train(config: TrainConfig, run_dir: str | Path, *, data: TaskData | None = None) -> TrainResult:
    """Train a model; write checkpoints, configuration and logs to `run_dir`.

    Args:
        config: the full configuration. `config.resume` names a checkpoint to resume from; the
            losses are then those of an uninterrupted run. The best checkpoint and the metrics so
            far are read from the checkpoint's folder. `config.finetune` names one whose weights
            the training begins with.
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
    check_baselines(config.trainer.baselines, config.model.name, config.trainer.processes)
    check_device(config)
    run_dir = Path(run_dir)
    check_same_folder(config, run_dir)
    check_free(run_dir, config.resume)
    quiet_lightning()
    saved = {} if config.resume is None else read_checkpoint(config.resume, "resume")
    if saved:
        check_resumable(saved, config.resume)
    typed(config.task, "task")
    data = data if data is not None else load_task(config.task)
    limit = batches_of_epoch(data, config.trainer)
    pl.seed_everything(config.trainer.seed, workers=True, verbose=False)
    module = (Learner if config.model.frozen is None else Reservoir)(config, data)
    refuse_options(module.model, config.device)
    for text in data_warnings(data, config):
        warn(text)
    if saved:
        check_unchanged(config_of(saved), config)
        check_shapes(saved["state_dict"], module.state_dict())
        with checkpoint_errors(config.resume):
            encoder_of(saved)
            check_weights(saved["state_dict"], module.state_dict())
            check_structure(saved, {"global_step": 0}, "")
    elif config.finetune is not None:
        weights = weights_of(read_checkpoint(config.finetune, "finetune"))
        check_shapes(weights, module.model.state_dict(), "finetune")
        with checkpoint_errors(config.finetune):
            check_weights(weights, module.model.state_dict())
        module.model.load_state_dict(weights)
    baselines = baseline_configs(config, module.model, data.shape)
    for name in baselines:
        check_free(baseline_folder(run_dir, name), _baseline_resume(name, config.resume))
    price = job_price(module, data)
    with locked(run_dir, config.resume), recorded_jobs(module, run_dir, price) as jobs:
        result = _fit(module, data, limit, run_dir, saved, jobs)
    for name, one in baselines.items():
        if result.interrupted or result.failure is not None:
            break
        one.resume = _baseline_resume(name, config.resume)
        found = train(one, baseline_folder(run_dir, name), data=replace(data, warnings=()))
        result.baselines[name] = found
        if found.interrupted:
            break
    return result


def _baseline_resume(name: str, resume: str | None) -> str | None:
    """Return the checkpoint from which a baseline of a resumed run goes on; None: a new one.

    Args:
        name: of the baseline.
        resume: the checkpoint from which the run itself goes on; None: a new run.
    """
    if resume is None:
        return None
    last = baseline_folder(Path(resume).parent, name) / "last.ckpt"
    return str(last) if last.is_file() else None


def _fit(
    module: Learner,
    data: TaskData,
    limit: Any,
    run_dir: Path,
    saved: dict[str, Any],
    jobs: Jobs | None,
) -> TrainResult:
    """Train after all checks, in a locked folder; see `train`.

    Args:
        module: the module to train.
        data: the task's data.
        limit: batches per epoch, for Lightning's `limit_train_batches`.
        run_dir: folder of the run.
        saved: content of the checkpoint to resume from; empty for a new run.
        jobs: of a device that submits jobs; None: it does not.
    """
    config = module.config
    checkpoints = BestCheckpoint(run_dir, config.resume)
    interrupts, times = Interrupts(), EpochTimes()
    last_checkpoint = LastCheckpoint(run_dir / "last.ckpt")
    callbacks: list[pl.Callback] = [
        interrupts,
        times,
        Metrics(run_dir, config.resume, saved.get("global_step", 0)),
        Alarms(math.inf if module.spsa is not None else config.trainer.clip),
        checkpoints,
        last_checkpoint,
    ]
    stopper = Stopper(config.trainer.stop_below, config.trainer.patience)
    if not (config.trainer.stop_below is None and config.trainer.patience is None):
        callbacks.append(stopper)
    if jobs is not None:
        callbacks.append(jobs)
    if config.trainer.progress:
        callbacks.append(progress(times))
    trainer = pl.Trainer(
        max_epochs=config.trainer.epochs if module.automatic_optimization else 1,
        limit_train_batches=limit,
        accelerator=accelerator(config.device),
        devices=config.trainer.processes,
        strategy="ddp" if config.trainer.processes > 1 else "auto",
        gradient_clip_val=config.trainer.clip if module.automatic_optimization else None,
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
    (run_dir / "summary.json").unlink(missing_ok=True)  # a resumed run is not finished
    write_text(run_dir / "config.yaml", config_yaml(config))
    used = environment() | program_of(config, run_dir)
    write_text(run_dir / "environment.json", json.dumps(used, indent=1) + "\n")
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
    shown = best_of(history(run_dir)) or Best(0, math.nan, metric, math.nan)
    last = run_dir / "last.ckpt"
    best = Path(checkpoints.best_model_path or last)
    reached = stopper.reached
    failure = failure_of(trainer.callback_metrics)
    cost = None if jobs is None else jobs.settled(0.0 if trainer.interrupted else PATIENCE)
    if trainer.is_global_zero and not trainer.interrupted and failure is None:
        write_summary(run_dir, module, best, shown, times.seconds, reached, cost)
    return TrainResult(
        run_dir=run_dir,
        best=best,
        last=last,
        metric=metric,
        value=shown.value,
        best_epoch=shown.epoch,
        epochs=trainer.current_epoch,
        steps=trainer.global_step,
        reached=reached,
        interrupted=trainer.interrupted,
        first_process=trainer.is_global_zero,
        parameters=module.model.recurrent_parameters(),
        reference=reference_device(module.model),
        failure=failure,
        stopped=None if jobs is None else jobs.stopped,
        cost=cost,
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
    run_dir: Path,
    module: Learner,
    best: Path,
    shown: Best,
    seconds: list[float],
    reached: bool | None,
    cost: Cost | None,
) -> None:
    """Write the result, time, memory and size of a finished run to `summary.json`.

    Args:
        run_dir: folder of the run.
        module: the trained module.
        best: the best checkpoint.
        shown: its epoch and validation metric.
        seconds: seconds of each epoch.
        reached: see `TrainResult`.
        cost: see `TrainResult`.
    """
    per_epoch = statistics.median(seconds) if seconds else 0.0
    summary = {
        "best": str(best),
        "best_epoch": shown.epoch,
        "metric": shown.metric,
        "value": shown.value if math.isfinite(shown.value) else None,
        "epochs": module.current_epoch,
        "steps": module.global_step,
        "reached": reached,
        "seconds_per_epoch": per_epoch,
        "minutes": module.current_epoch * per_epoch / 60,
        "threads": torch.get_num_threads(),
        "peak_memory_mb": peak_memory_mb(),
        "parameters": module.model.recurrent_parameters(),
        "all_parameters": n_parameters(module.model),
        **({} if cost is None else {"cost": asdict(cost)}),
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


def accelerator(device: DeviceOptions) -> str:
    """Return Lightning's name of the accelerator to train on."""
    if device.name != "fused":
        return "auto"
    # No other has fused kernels, and those with noise run only on the CPU.
    return "gpu" if torch.cuda.is_available() and device.noise is None else "cpu"


def config_yaml(config: TrainConfig) -> str:
    """Return the configuration as YAML."""
    from omegaconf import OmegaConf

    return OmegaConf.to_yaml(OmegaConf.structured(config))
