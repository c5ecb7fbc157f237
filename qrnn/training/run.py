"""Training from Python, with the command line's own configuration."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException
from omegaconf import OmegaConf

from qrnn.config import TrainConfig, compose, to_typed
from qrnn.data import TaskData
from qrnn.errors import ConfigError
from qrnn.training.checkpoint import read_checkpoint
from qrnn.training.origins import config_of
from qrnn.training.trainer import TrainResult
from qrnn.training.trainer import train as train_in
from qrnn.utils.files import own_folder


def train(
    config: TrainConfig | Sequence[str] = (),
    run_dir: str | Path | None = None,
    *,
    data: TaskData | None = None,
) -> TrainResult:
    """Train a model; write checkpoints, configuration and metrics to a folder.

    Args:
        config: the configuration, or what stands after `qrnn train` on the command line, such as
            `["resume=runs/digits/<time>/last.ckpt"]`.
        run_dir: folder of the run; None: `runs/<task>/<time>`, or that of the `last.ckpt` to resume
            from.
        data: the task's data, if it is loaded already.

    Returns:
        Where the checkpoints are, and the validation metric of the best one.

    Raises:
        ConfigError: an unknown key or a value out of range.
        DataError: the task's data is missing or damaged.
        DeviceError: the device cannot run the model.

    Examples:
        >>> done = qrnn.train(["task=forecast", "task.horizon=6"])  # doctest: +SKIP
        >>> qrnn.load(done.best).evaluate("default.qubit")  # doctest: +SKIP
    """
    if isinstance(config, TrainConfig):
        typed = config
    else:
        typed = compose("train", config, checkpoint_groups(config))
        if typed.resume is not None:
            typed = resumed(typed, config)
        elif typed.finetune is not None:
            typed = fine_tuned(typed, config)
    if run_dir is None:
        new = f"runs/{typed.task.name}/{datetime.now():%Y-%m-%d_%H-%M-%S}"
        run_dir = own_folder(typed.resume, new)
    return train_in(typed, run_dir, data=data)


def checkpoint_groups(overrides: Sequence[str]) -> dict[str, str]:
    """Return the task and model of the checkpoint that a training begins with.

    With them, Hydra knows the keys that may be set beside `resume` or `finetune`.

    Args:
        overrides: what stands after `qrnn train`; those that it chooses itself are left out.

    Raises:
        ConfigError: the checkpoint's configuration does not fit this version.
        DataError: the file to begin with is not a checkpoint.
    """
    found = [one for one in overrides if re.match(r"\+*(resume|finetune)=", one)]
    if len(found) != 1 or _chosen("experiment", overrides):
        return {}
    try:
        path = OverridesParser.create().parse_override(found[0]).value()
    except HydraException:  # Hydra reports it
        return {}
    if not isinstance(path, str):  # a sweep, or null
        return {}
    if "resume=" in found[0]:
        _refuse_groups(overrides)
    saved = config_of(read_checkpoint(path))
    names = {group: getattr(saved, group).name for group in ("task", "model")}
    return {group: name for group, name in names.items() if not _chosen(group, overrides)}


def resumed(config: TrainConfig, overrides: Sequence[str]) -> TrainConfig:
    """Return a checkpoint's configuration with the given overrides, to resume from it.

    Args:
        config: as the overrides compose it; its `resume` names the checkpoint.
        overrides: such as `trainer.epochs=40`.

    Raises:
        ConfigError: `resume` is combined with the choice of a group, such as `task=mnist`.
        DataError: the file to resume from is not a checkpoint.
    """
    _refuse_groups(overrides)
    assert config.resume is not None
    if config.finetune is not None:
        raise ConfigError("finetune must be left out with resume, which goes on with a training")
    return _with(config_of(read_checkpoint(config.resume)), config, overrides)


def fine_tuned(config: TrainConfig, overrides: Sequence[str]) -> TrainConfig:
    """Return the configuration of a training that begins with a checkpoint's weights.

    Args:
        config: as the overrides compose it, whose device and trainer are used. Task and model are
            the checkpoint's, with the overrides, unless they are chosen.
        overrides: such as `trainer.epochs=3`.

    Raises:
        ConfigError: an experiment is chosen as well.
        DataError: the file to begin with is not a checkpoint.
    """
    if _chosen("experiment", overrides):
        raise ConfigError(
            "experiment must be left out with finetune, whose checkpoint sets task and model"
        )
    assert config.finetune is not None
    saved = config_of(read_checkpoint(config.finetune))
    found = {}
    for group in ("task", "model"):
        if not _chosen(group, overrides):
            keys = [item for item in overrides if item.lstrip("+").startswith(f"{group}.")]
            found[group] = getattr(_with(saved, config, keys), group)
    return replace(config, **found)


def _refuse_groups(overrides: Sequence[str]) -> None:
    """Raise ConfigError if a group is chosen beside `resume`."""
    for group in ("task", "model", "device", "trainer", "experiment"):
        if _chosen(group, overrides):
            others = ("device", "trainer")
            remedy = ", or use finetune=FILE for a new training" if group in others else ""
            raise ConfigError(
                f"{group} must be left out with resume: the checkpoint sets it{remedy}"
            )


def _chosen(group: str, overrides: Sequence[str]) -> bool:
    return any(item.lstrip("+").split("=")[0] == group for item in overrides)


def _with(saved: TrainConfig, config: TrainConfig, overrides: Sequence[str]) -> TrainConfig:
    """Return a saved configuration with the overrides of a composed one."""
    given, found = OmegaConf.structured(config), OmegaConf.structured(saved)
    for item in overrides:
        key = item.lstrip("+").split("=")[0]
        OmegaConf.update(found, key, OmegaConf.select(given, key))
    return to_typed(found)
