"""The metrics of a run by epoch, in its `metrics.csv`."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import lightning.pytorch as pl
from typing_extensions import override

from qrnn.data.objectives import SHOWN
from qrnn.utils.files import write_text

FILE = "metrics.csv"


def _rows(run_dir: Path) -> list[dict[str, str]]:
    if not (run_dir / FILE).is_file():  # stopped before its first epoch ended
        return []
    with open(run_dir / FILE, newline="") as file:
        return list(csv.DictReader(file))


def history(run_dir: str | Path) -> dict[str, list[tuple[int, float]]]:
    """Return each metric of a run as (epoch, value) pairs."""
    series: dict[str, list[tuple[int, float]]] = {}
    for row in _rows(Path(run_dir)):
        for name, value in row.items():
            if value and name not in ("epoch", "step"):
                series.setdefault(name, []).append((int(row["epoch"]), float(value)))
    return series


def metric_of(series: Mapping[str, Any]) -> str:
    """Return the metric that a run's history has beside the loss, of `SHOWN`."""
    return next((name for name in SHOWN if f"val/{name}" in series), SHOWN[0])


class Best(NamedTuple):
    """The epoch of the lowest validation loss.

    Attributes:
        epoch: counted from 1.
        loss: the validation loss.
        metric: name of the metric that is shown beside it.
        value: its validation value; NaN: not recorded.
    """

    epoch: int
    loss: float
    metric: str
    value: float


def best_of(series: Mapping[str, Sequence[tuple[int, float]]]) -> Best | None:
    """Return the best epoch of a history; None: no epoch has finished."""
    if not (losses := series.get("val/loss")):
        return None
    known = [one for one in losses if not math.isnan(one[1])]
    epoch, loss = min(known or losses, key=lambda point: point[1])
    metric = metric_of(series)
    return Best(epoch + 1, loss, metric, dict(series.get(f"val/{metric}", ())).get(epoch, math.nan))


class Metrics(pl.Callback):
    """Writes one row of metrics per epoch, including the epochs before a resume.

    The file is replaced before the epoch's checkpoints are written, so that every checkpoint has
    the metrics of its epochs, even if the process is killed. Lightning's logger writes later, and
    line by line.

    Args:
        run_dir: folder of the run.
        resume: the checkpoint to resume from; its metrics are next to it. None: a new run.
        steps: number of optimiser steps that the resumed checkpoint has taken.
    """

    def __init__(self, run_dir: Path, resume: str | None, steps: int):
        self.path = run_dir / FILE
        self.rows = [] if resume is None else _before(Path(resume).parent, steps)

    @override
    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        """Write the file also for a finished run, which has no epoch left."""
        if self.rows:
            self._write(trainer)

    @override
    def on_train_epoch_end(self, trainer: pl.Trainer, *_: Any) -> None:
        """Lightning calls this before the callbacks that write checkpoints."""
        row = {name: float(value) for name, value in trainer.callback_metrics.items()}
        if row.get("train/skipped") == 1:  # Lightning keeps the value of an earlier epoch
            row.pop("train/gradient", None)
        place = {"epoch": trainer.current_epoch, "step": trainer.global_step - 1}
        self.rows.append(place | dict(sorted(row.items())))
        self._write(trainer)

    def _write(self, trainer: pl.Trainer) -> None:
        if not trainer.is_global_zero:
            return
        text = io.StringIO()
        names = list(dict.fromkeys(name for row in self.rows for name in row))
        writer = csv.DictWriter(text, names, lineterminator="\n")
        writer.writeheader()
        writer.writerows(self.rows)
        write_text(self.path, text.getvalue())


def _before(run_dir: Path, steps: int) -> list[dict[str, float]]:
    """Return a run's rows up to a number of steps; damaged rows are skipped."""
    try:
        rows = _rows(run_dir)
    except (ValueError, csv.Error):  # not text, or not CSV
        return []
    found = []
    for row in rows:
        try:
            numbers: dict[str, float] = {name: float(row[name]) for name in row if row[name]}
            numbers |= {name: int(row[name]) for name in ("epoch", "step")}
        except (KeyError, TypeError, ValueError):  # a line that a crash cut off
            continue
        if numbers["step"] < steps:
            found.append(numbers)
    return found
