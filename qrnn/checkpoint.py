"""Checkpoints: weights and the whole configuration, as plain data in one file."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch.plugins import TorchCheckpointIO

from qrnn.build import Model, build_model
from qrnn.config import TrainConfig, from_plain
from qrnn.data import TASKS, Shape, TaskData
from qrnn.errors import ConfigError, DataError
from qrnn.files import replacing

PREFIX = "model."


class AtomicCheckpointIO(TorchCheckpointIO):
    """Lightning's checkpoint writer, but the old file stays until the new one is whole."""

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None
    ) -> None:
        """Write a checkpoint; see Lightning's `CheckpointIO`."""
        # torch hides the system's error where it writes a file itself.
        torch.save(checkpoint, buffer := io.BytesIO())
        with replacing(path) as temporary:
            temporary.write_bytes(buffer.getbuffer())


def read_checkpoint(path: str | Path) -> dict[str, Any]:
    """Return a checkpoint's content, loaded without running any code of the file.

    Raises:
        DataError: no such file, or not one that `qrnn train` wrote.
    """
    path = Path(path)
    if not path.is_file():
        raise DataError(f"checkpoint must be a file that `qrnn train` wrote, but {path} is not one")
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # of a damaged file the unpickler may raise anything
        reason = str(error).split("\n")[0][:100]
        raise DataError(f"checkpoint {path} is damaged or not a checkpoint: {reason}") from error
    if not isinstance(content, dict) or "qrnn" not in content:
        raise DataError(f"checkpoint {path} must come from `qrnn train`: it holds no configuration")
    return content


def load_model(path: str | Path) -> tuple[Model, TrainConfig]:
    """Return the trained model, on the device that trained it, and its configuration.

    Raises:
        DataError: not a checkpoint.
        ConfigError: its configuration is not one of this version.
        DeviceError: the device that trained it is not installed.
    """
    content = read_checkpoint(path)
    config = from_plain(content["qrnn"]["config"])
    model = build_model(config, Shape(**content["qrnn"]["shape"]))
    weights = {
        name.removeprefix(PREFIX): value
        for name, value in content["state_dict"].items()
        if name.startswith(PREFIX)
    }
    model.load_state_dict(weights)
    return model.eval(), config


def load_data(config: TrainConfig, data_dir: str | None = None) -> TaskData:
    """Return the data of a checkpoint's task.

    Args:
        config: the checkpoint's.
        data_dir: where the data lies now, if not where the training found it.

    Raises:
        ConfigError: a data folder for a task that reads none.
        DataError: a data file is missing or damaged.
    """
    if data_dir is not None:
        if not hasattr(config.task, "data_dir"):
            raise ConfigError(f"data_dir must be left out: task {config.task.name} reads no files")
        config.task.data_dir = data_dir
    return TASKS[config.task.name].load(config.task)
