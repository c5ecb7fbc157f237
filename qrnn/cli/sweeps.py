"""Jobs under Hydra's sweepers and launchers: errors that can be passed on, a value to improve."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode

from qrnn.cli.errors import fail, fault_line, is_user_error, one_line
from qrnn.config import TrainConfig
from qrnn.errors import ConfigError, QRNNError

if TYPE_CHECKING:
    from qrnn.data import TaskData


def is_basic(part: str) -> bool:
    """Return whether Hydra's own sweeper or launcher is used, or neither, for a single run."""
    hydra = HydraConfig.get()
    if hydra.mode != RunMode.MULTIRUN:  # then it may be anything
        return True
    return str(getattr(hydra, part)._target_).endswith(f"Basic{part.capitalize()}")


def alone() -> bool:
    """Return whether the failure of this job ends the command; else the sweeper decides."""
    return is_basic("sweeper") and is_basic("launcher")


@contextmanager
def errors_for_the_sweeper() -> Iterator[None]:
    """Raise errors as Hydra's sweepers and launchers can pass them on: in one line, and picklable.

    Raises:
        QRNNError: any error but those that exit.
    """
    try:
        yield
    except Exception as error:
        raise QRNNError(one_line(error) if is_user_error(error) else fault_line(error)) from None


def task_data(config: TrainConfig) -> TaskData | None:
    """Return the task's data if the sweeper's direction has to be checked against its metric.

    Raises:
        ConfigError: a sweeper with a direction, such as Optuna's, would look for the worst run.
    """
    hydra = HydraConfig.get()
    given = hydra.sweeper.get("direction") if hydra.mode == RunMode.MULTIRUN else None
    if given is None:
        return None
    from qrnn.training.checkpoint import load_task

    data = load_task(config.task)
    right = "minimize" if data.goal.lower_is_better else "maximize"
    if (name := str(getattr(given, "name", given))) != right:
        line = (
            f"hydra.sweeper.direction must be {right} for the validation {data.goal.shown}, "
            f"got {name}"
        )
        if is_basic("launcher"):
            fail(line)  # all trials would fail
        raise ConfigError(line)
    return data


def to_improve(value: float, better: str) -> float:
    """Return a metric for the sweeper; NaN, of a run without a best epoch, as the worst value.

    Args:
        value: the metric.
        better: `lower` or `higher`.
    """
    if not math.isnan(value):
        return value
    return math.inf if better == "lower" else -math.inf
