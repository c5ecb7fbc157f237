"""Training from Python, with the command line's own configuration."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

from qrnn.config import TrainConfig, compose
from qrnn.data import TaskData
from qrnn.training.trainer import TrainResult
from qrnn.training.trainer import train as train_in


def train(
    config: TrainConfig | Sequence[str] = (),
    run_dir: str | Path | None = None,
    *,
    data: TaskData | None = None,
) -> TrainResult:
    """Train a model; write checkpoints, configuration and metrics to a folder.

    Args:
        config: the configuration, or what stands after `qrnn train` on the command line.
        run_dir: folder of the run; None: `runs/<task>/<time>`.
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
    typed = config if isinstance(config, TrainConfig) else compose("train", config)
    if run_dir is None:
        run_dir = Path("runs") / typed.task.name / f"{datetime.now():%Y-%m-%d_%H-%M-%S}"
    return train_in(typed, run_dir, data=data)
