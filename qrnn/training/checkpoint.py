"""Checkpoints: the weights and the full configuration, as plain data in one file."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, get_type_hints

import torch

from qrnn.config import TrainConfig, to_plain
from qrnn.data import KINDS, TASKS, Objective, Shape, TaskConfig, TaskData
from qrnn.data.objectives import objective_from
from qrnn.data.tables.base import Encoder, encoder_from
from qrnn.errors import ConfigError, DataError, MissingExtraError
from qrnn.models.base import Model
from qrnn.models.build import build_model
from qrnn.models.identity import identity, made_of
from qrnn.training.origins import config_of, modules_of
from qrnn.utils.checkpoints import checkpoint_file
from qrnn.utils.registry import unknown_name
from qrnn.utils.safe_yaml import check_plain
from qrnn.utils.weights import check_weights, errors_about

PREFIX = "model."
MOST_CLASSES = 1 << 24  # limit for numbers of labels, tokens and input features


def read_checkpoint(path: str | Path, key: str = "checkpoint") -> dict[str, Any]:
    """Return a checkpoint's content, loaded without running any code from the file.

    Args:
        path: the file, or the name of a shipped one.
        key: what it was given as, for the message if it is missing.

    Raises:
        DataError: the file is missing, damaged, or was not written by `qrnn train`.
    """
    file = checkpoint_file(path, key)
    try:
        content = torch.load(file, map_location="cpu", weights_only=True)
    except PermissionError:
        raise
    except Exception as error:  # the unpickler may raise anything for a damaged file
        raise DataError(
            f"checkpoint {path} is damaged or not a checkpoint: use a run's best.ckpt or last.ckpt"
        ) from error
    if not isinstance(content, dict) or "qrnn" not in content:
        raise DataError(f"checkpoint {path} must come from `qrnn train`: it holds no configuration")
    with checkpoint_errors(path):
        check_content(content)
    return content


def weights_of(content: dict[str, Any]) -> dict[str, torch.Tensor]:
    """Return the model's weights from a checkpoint's content, by their names in the model."""
    saved = content["state_dict"].items()
    return {name.removeprefix(PREFIX): value for name, value in saved if name.startswith(PREFIX)}


def checkpoint_identity(content: dict[str, Any]) -> str:
    """Return the identity of the model in a checkpoint's content."""
    ours = content["qrnn"]
    return identity(weights_of(content), made_of(ours["config"], ours["shape"]))


def checkpoint_errors(path: str | Path | None) -> AbstractContextManager[None]:
    """Turn a `ConfigError` about a checkpoint's content into a `DataError` that names the file."""
    return errors_about(f"checkpoint {path}")


def check_content(content: dict[str, Any]) -> None:
    """Check the structure of a checkpoint.

    Whether the configuration fits the schemas, and the weights the model, is checked where they
    are used: a report can show the configuration of a task that is not registered here.

    Raises:
        ConfigError: the configuration, the shape or the weights are missing or malformed.
    """
    ours, weights = content["qrnn"], content.get("state_dict")
    if not isinstance(ours, dict) or not isinstance(ours.get("config"), dict):
        raise ConfigError("qrnn.config must hold a configuration")
    check_plain(ours["config"], "qrnn.config")
    for name in ("objective", "table"):  # older ones have neither
        if ours.get(name) is not None:
            check_plain(ours[name], f"qrnn.{name}")
            if not isinstance(ours[name], dict):
                raise ConfigError(f"qrnn.{name} must hold values by name")
    modules = ours.get("modules", {})
    if not isinstance(modules, dict) or not all(type(one) is str for one in modules.values()):
        raise ConfigError("qrnn.modules must hold names of modules")
    shape, hints = ours.get("shape"), get_type_hints(Shape)
    if not isinstance(shape, dict) or not shape.keys() <= hints.keys():
        raise ConfigError(f"qrnn.shape must have the keys {', '.join(hints)}")
    for name, kind in hints.items():
        value: Any = shape.get(name, getattr(Shape, name, None))
        least = 0 if getattr(Shape, name, None) == 0 else 1
        if type(value) is not kind or (kind is int and not least <= value <= MOST_CLASSES):
            allowed = f"in {least}..{MOST_CLASSES}" if kind is int else f"a {kind.__name__}"
            raise ConfigError(f"qrnn.shape.{name} must be {allowed}, got {value!r:.60}")
    if shape["kind"] not in KINDS:
        raise unknown_name("qrnn.shape.kind", shape["kind"], KINDS)
    if not isinstance(weights, dict) or not all(isinstance(name, str) for name in weights):
        raise ConfigError("state_dict must hold weights by name")


def load_checkpoint(path: str | Path) -> tuple[Model, TrainConfig, Encoder | None]:
    """Return the trained model, on the device that trained it, and its configuration.

    Raises:
        DataError: the file is not a checkpoint, or its weights do not fit its model.
        ConfigError: the configuration does not fit this version, or needs a module that is not
            there.
        DeviceError: the device that trained the model is not installed.
    """
    return built(read_checkpoint(path), f"checkpoint {path}")


def built(content: dict[str, Any], source: str) -> tuple[Model, TrainConfig, Encoder | None]:
    """Return the trained model of a checkpoint's content; see `load_checkpoint`.

    Args:
        content: the content, checked by `check_content`.
        source: where it comes from, for messages.
    """
    config = config_of(content)
    ours, objective = content["qrnn"], None
    with errors_about(source):
        if ours.get("objective") is not None:
            objective = objective_from(ours["objective"])
        encoder = encoder_of(content)
    model = build_model(config, Shape(**ours["shape"]), objective=objective)
    weights = weights_of(content)
    with errors_about(source):
        check_weights(weights, model.state_dict())
    model.load_state_dict(weights)
    model.made_of = made_of(ours["config"], ours["shape"])
    return model.eval(), config, encoder


def encoder_of(content: dict[str, Any]) -> Encoder | None:
    """Return what reads tables, of a checkpoint's content; None: nothing does.

    Raises:
        ConfigError: its network learned what this version reads differently.
    """
    table = content["qrnn"].get("table")
    return None if table is None else encoder_from(table)


def plain_model(
    config: TrainConfig, shape: Mapping[str, Any], objective: Objective, encoder: Encoder | None
) -> dict[str, Any]:
    """Return what rebuilds a model and reads its tables, besides its weights, as plain values.

    Args:
        config: the full configuration.
        shape: the fields of `Shape`.
        objective: meaning of the outputs.
        encoder: what reads tables; None: nothing does.
    """
    return {
        "config": to_plain(config),
        "modules": modules_of(config),
        "shape": dict(shape),
        "objective": objective.plain(),
        "table": None if encoder is None else encoder.plain(),
    }


def load_model(path: str | Path) -> tuple[Model, TrainConfig]:
    """Return the trained model and its configuration; see `load_checkpoint`."""
    return load_checkpoint(path)[:2]


def load_data(config: TrainConfig, data_dir: str | None = None) -> TaskData:
    """Return the data of a checkpoint's task.

    Args:
        config: the checkpoint's configuration.
        data_dir: folder of the data, if it has moved since training; None: as in training.

    Raises:
        ConfigError: `data_dir` is given, but the task reads no files.
        DataError: a data file is missing or damaged.
    """
    if data_dir is not None:
        if not hasattr(config.task, "data_dir"):
            raise ConfigError(f"data_dir must be left out: task {config.task.name} reads no files")
        config.task.data_dir = data_dir
    try:
        return load_task(config.task)
    except (DataError, MissingExtraError) as error:  # the key of who has a checkpoint
        raise type(error)(str(error).replace("task.data_dir", "data_dir")) from error


def load_task(config: TaskConfig) -> TaskData:
    """Return the data of a task.

    Raises:
        ConfigError: a value is out of range, or the task's function returns something else.
        DataError: a data file is missing or damaged.
    """
    data = TASKS[config.name].load(config)
    if not isinstance(data, TaskData):
        raise ConfigError(
            f"task {config.name!r} must return qrnn.data.TaskData, got {type(data).__name__}"
        )
    return data
