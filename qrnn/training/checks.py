"""Checks of the trainer's options, by themselves and against the data."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import torch

from qrnn.config import TrainConfig, TrainerConfig
from qrnn.config.commands import LBFGS, SPSA
from qrnn.config.commands import OPTIMIZERS as CLASSES
from qrnn.data import TaskData
from qrnn.devices import device_spec
from qrnn.errors import ConfigError
from qrnn.training import lbfgs
from qrnn.utils.checks import typed
from qrnn.utils.overrides import argument

SCHEDULES = ("cosine", "constant", "power")
OPTIMIZERS: dict[str, Any] = {name: getattr(torch.optim, cls) for name, cls in CLASSES.items()}
OPTIMIZERS[LBFGS] = lbfgs.LBFGS


def check_trainer(config: TrainerConfig) -> None:
    """Check the trainer's options.

    Raises:
        ConfigError: a value is out of range; the message names the key and the allowed values.
    """
    typed(config, "trainer")
    limits: dict[str, tuple[bool, str]] = {
        "epochs": (config.epochs >= 1, "at least 1"),
        "batch_size": (config.batch_size >= 1, "at least 1"),
        "lr": (config.lr > 0 and math.isfinite(config.lr), "positive"),
        "optimizer": (config.optimizer in OPTIMIZERS, " or ".join(OPTIMIZERS)),
        "weight_decay": (config.weight_decay >= 0, "at least 0"),
        "directions": (config.directions is None or config.directions >= 1, "at least 1"),
        "perturbation": (
            config.perturbation is None or 0 < config.perturbation < math.inf,
            "positive",
        ),
        "schedule": (config.schedule in SCHEDULES, " or ".join(SCHEDULES)),
        "clip": (config.clip > 0, "positive"),
        "patience": (config.patience is None or config.patience >= 1, "null or at least 1"),
        "stop_below": (
            config.stop_below is None or 0 < config.stop_below < math.inf,
            "null or positive",
        ),
        "steps_per_epoch": (
            config.steps_per_epoch is None or config.steps_per_epoch >= 1,
            "null or at least 1",
        ),
        "processes": (
            config.processes >= 1 and config.batch_size % max(1, config.processes) == 0,
            f"at least 1 and divide trainer.batch_size={config.batch_size}",
        ),
        "seed": (0 <= config.seed < 2**32, "in 0..2^32-1"),
    }
    for key, (holds, allowed) in limits.items():
        if not holds:
            raise ConfigError(f"trainer.{key} must be {allowed}, got {getattr(config, key)}")
    if config.optimizer != SPSA:
        for key in ("directions", "perturbation"):
            if (given := getattr(config, key)) is not None:
                raise ConfigError(
                    f"trainer.{key} must be left out with trainer.optimizer={config.optimizer}, "
                    f"got {given}: it is for spsa"
                )
    # The processes of a line search would take different steps, by the losses of their shares.
    refused = {SPSA: ("processes", "baselines"), LBFGS: ("processes",)}
    for key in refused.get(config.optimizer, ()):
        if (given := getattr(config, key)) != getattr(TrainerConfig(), key):
            raise ConfigError(
                f"trainer.{key} must be left out with trainer.optimizer={config.optimizer}, got "
                f"{given}"
            )


def check_device(config: TrainConfig) -> None:
    """Check that a device can train a model.

    Raises:
        ConfigError: the device would ignore an option; the optimiser needs gradients, which the
            device does not give; or the device runs jobs, and the network is frozen or the ledger
            is not in the run's folder.
        DeviceError: the device is not installed.
    """
    device = config.device
    spec = device_spec(device.name)
    if not spec.submits_jobs:
        spec.check(device)
        learns = config.model.frozen is None and config.trainer.optimizer != SPSA
        if learns and spec.strategy(device) == "replayed" and spec.gradient(device) is None:
            raise ConfigError(
                f"trainer.optimizer must be spsa on device {device.name!r} without gradients, got "
                f"{config.trainer.optimizer}: set trainer=spsa, or another device.gradient"
            )
        return
    if config.model.frozen is not None:
        raise ConfigError(
            f"device must be a simulator to train a frozen network, got {device.name}: train on "
            f"fused, e.g. with device.noise=fake_fez, and evaluate on the device"
        )
    if config.trainer.optimizer != SPSA:
        raise ConfigError(
            f"trainer.optimizer must be spsa on device {device.name!r}, which gives no gradients, "
            f"got {config.trainer.optimizer}"
        )
    if device.ledger is not None:
        raise ConfigError(
            "device.ledger must be left out in training, which records its jobs in the run's "
            f"folder, got {device.ledger}"
        )


def check_same_folder(config: TrainConfig, run_dir: Path) -> None:
    """Check that a run on a device that runs jobs goes on where they are recorded.

    Raises:
        ConfigError: it would be resumed in another folder, where its budget would begin anew.
    """
    if config.resume is None or not device_spec(config.device.name).submits_jobs:
        return
    if Path(config.resume).resolve().parent != run_dir.resolve():
        raise ConfigError(
            f"resume must go on in its own folder on device {config.device.name!r}, as jobs and "
            f"budget are there: name its last.ckpt and no hydra.run.dir, or begin anew with "
            f"{argument('finetune', config.resume)}"
        )


def batches_of_epoch(data: TaskData, config: TrainerConfig) -> int | float:
    """Return the number of batches in an epoch, or 1.0 (a float) for all of them.

    Raises:
        ConfigError: the training data has fewer batches, or is a text, which is always read to its
            end.
    """
    steps = config.steps_per_epoch
    if steps is None:
        return 1.0
    if data.train.is_text:
        raise ConfigError(
            f"trainer.steps_per_epoch must be null for a text, which would be read only in part, "
            f"got {steps}: leave it out"
        )
    most = -(-len(data.train) // config.batch_size)
    if steps > most:
        raise ConfigError(
            f"trainer.steps_per_epoch must be at most {most}, the number of batches in the "
            f"training data, got {steps}: choose fewer, or a smaller trainer.batch_size"
        )
    return steps
