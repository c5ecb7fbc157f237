"""What all estimators share: from flat parameters to a configuration, and from data to a model."""

from __future__ import annotations

import copy
import random
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import fields
from tempfile import TemporaryDirectory
from typing import Any, TypeVar

import numpy as np
import torch
from sklearn.utils import check_random_state

from qrnn.config import MOST_WHOLE, TrainConfig, compose
from qrnn.data import TASKS, TaskData
from qrnn.devices import Device, DeviceOptions, open_device
from qrnn.errors import ConfigError, NumericsError
from qrnn.evaluation.trained import TrainedModel, load
from qrnn.training.seeding import one_training_at_a_time
from qrnn.training.trainer import train
from qrnn.utils.checks import shown
from qrnn.utils.registry import unknown_name

Estimator = TypeVar("Estimator")

# The parameters that are keys of these groups; those of the task depend on it.
KEYS = {
    "model": ("n_qubits", "layers", "width", "readout", "bias_range", "output_lr", "residual"),
    "trainer": ("epochs", "batch_size", "lr", "patience"),
}
# Overrides that an estimator sets itself, or whose result it does not return.
UNREAD = {"trainer.seed", "task.seed", "trainer.baselines", "resume"}


def config_of(estimator: Any, task: str, reads: Sequence[str], *fixed: str) -> TrainConfig:
    """Return the configuration of an estimator's parameters.

    Args:
        estimator: with parameters that are keys, `device`, `random_state` and `overrides`. What is
            None is left to the configuration.
        task: name of the task whose keys are read.
        reads: those of its keys that are read.
        fixed: overrides that the estimator needs.

    Raises:
        ConfigError: a key is unknown, or would have no effect.
    """
    given = estimator.overrides
    if isinstance(given, str) or not all(isinstance(one, str) for one in given):
        raise ConfigError(
            f"overrides must be a tuple of texts such as ('trainer.clip=0.5',), got {shown(given)}"
        )
    settled = [f"task={task}", "trainer.progress=false", "trainer.loggers=[]", *fixed]
    for key in (_key_of(one) for one in given):
        if key in UNREAD | {_key_of(one) for one in settled} or key.startswith("hydra."):
            why = (
                "set random_state" if key.endswith(".seed") else "which an estimator does not read"
            )
            raise ConfigError(f"overrides must be without {key}, got {shown(given)}: {why}")
    config = compose("train", [*given, *settled])
    for group, names in {**KEYS, "task": reads}.items():
        for name in names:
            value = getattr(estimator, name, None)
            if value is None:
                continue
            options = getattr(config, group)
            if not hasattr(options, name):
                raise unknown_name("parameter", name, [one.name for one in fields(options)])
            setattr(options, name, value.item() if isinstance(value, np.generic) else value)
    for name, default in vars(TASKS[task].schema()).items():
        if name not in reads and getattr(config.task, name) != default:
            value = getattr(config.task, name)
            raise ConfigError(f"task.{name} must be left out of overrides, got {shown(value)}")
    if estimator.device is not None:
        config.device = open_device(estimator.device).options
    drawn = check_random_state(estimator.random_state).randint(MOST_WHOLE // 2)
    is_seed = isinstance(estimator.random_state, int | np.integer)
    config.trainer.seed = int(estimator.random_state) if is_seed else int(drawn)
    return config


def _key_of(override: str) -> str:
    """Return the key of an override such as `+task.seed=3`."""
    return override.split("=")[0].strip().lstrip("+~").split("@")[0]


@one_training_at_a_time
def fitted(config: TrainConfig, data: TaskData) -> TrainedModel:
    """Train in a temporary folder; return the model of the best epoch.

    Raises:
        NumericsError: the training diverged.
    """
    with TemporaryDirectory(prefix="qrnn-") as folder, random_numbers_kept():
        result = train(config, folder, data=data)
        if result.interrupted:
            raise KeyboardInterrupt
        if result.failure is not None:
            raise NumericsError(result.failure)
        model = load(result.best)
    model.folder = None
    return model


@contextmanager
def random_numbers_kept() -> Iterator[None]:
    """Restore the global random numbers, which a training seeds, at the end."""
    of_python, of_numpy = random.getstate(), np.random.get_state()
    try:
        with torch.random.fork_rng():
            yield
    finally:
        random.setstate(of_python)
        np.random.set_state(of_numpy)


def moved(
    estimator: Estimator, device: str | DeviceOptions | Device, options: dict[str, Any]
) -> Estimator:
    """Return a fitted estimator of the same model, its circuits on another device.

    Raises:
        ConfigError: the device or one of its options is unknown.
        DeviceError: it is not installed.
    """
    other: Any = copy.copy(estimator)
    other.device = open_device(device, **options).options
    return other
