"""Lightning's loggers by name, for `trainer.loggers`."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from lightning.pytorch.loggers import (
    CSVLogger,
    Logger,
    MLFlowLogger,
    TensorBoardLogger,
    WandbLogger,
)

from qrnn.config import TrainConfig, to_plain
from qrnn.config.devices import options_where
from qrnn.errors import ConfigError, require_extra
from qrnn.utils.registry import unknown_name


def _mlflow(config: TrainConfig, run_dir: Path) -> Logger:
    import mlflow

    uri = mlflow.get_tracking_uri()  # Lightning's default are files, which MLflow 3.7 refuses
    return MLFlowLogger(f"qrnn-{config.task.name}", str(run_dir), uri)


def _wandb(config: TrainConfig, run_dir: Path) -> Logger:
    return WandbLogger(str(run_dir), run_dir, project="qrnn", group=config.task.name)


LOGGERS: dict[str, Callable[[TrainConfig, Path], Logger]] = {
    "csv": lambda _, run_dir: CSVLogger(run_dir, "csv"),
    "tensorboard": lambda _, run_dir: TensorBoardLogger(run_dir, "tensorboard", ""),
    "wandb": _wandb,
    "mlflow": _mlflow,
}
EXTRAS = ("wandb", "mlflow")  # each is also the name of its package


def check_loggers(names: Sequence[str]) -> None:
    """Check the names of loggers.

    Raises:
        ConfigError: a name is unknown, or given twice.
        MissingExtraError: a package is not installed; the message has the command that does.
    """
    for name in names:
        if name not in LOGGERS:
            raise unknown_name("trainer.loggers", name, LOGGERS)
        if name in EXTRAS and importlib.util.find_spec(name) is None:
            raise require_extra(name, name, f"trainer.loggers=[{name}]")
    if len({*names}) < len(names):
        raise ConfigError(f"trainer.loggers must be different names, got {list(names)}")


@contextmanager
def loggers(config: TrainConfig, run_dir: Path) -> Iterator[list[Logger]]:
    """Yield the loggers of a run.

    Their files are in the run's folder; but MLflow has one database for all runs, `mlflow.db` or
    what `MLFLOW_TRACKING_URI` names. Weights & Biases uploads a run unless `WANDB_MODE=offline`.

    Args:
        config: the configuration, which they log, too, without accounts and paths.
        run_dir: folder of the run.
    """
    shown = to_plain(config)
    for option in options_where(lambda one: not one.recorded):
        shown["device"].pop(option)
    made = {name: LOGGERS[name](config, run_dir) for name in config.trainer.loggers}
    try:
        for name, logger in made.items():
            if name != "tensorboard":  # it would show them as a run of its own
                logger.log_hyperparams(shown)
        yield [*made.values()]
    finally:
        if (wandb := sys.modules.get("wandb")) is not None and "wandb" in made:
            wandb.finish()  # the next run of a sweep would go on with this one
