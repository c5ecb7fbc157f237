"""The metrics of a run by epochs, in its `metrics.csv`."""

from __future__ import annotations

import csv
import math
from pathlib import Path

from lightning.pytorch.loggers import CSVLogger
from lightning.pytorch.utilities import rank_zero_only


def _rows(run_dir: Path) -> list[dict[str, str]]:
    if not (run_dir / "metrics.csv").is_file():  # stopped before its first epoch ended
        return []
    with open(run_dir / "metrics.csv", newline="") as file:
        return list(csv.DictReader(file))


def history(run_dir: str | Path) -> dict[str, list[tuple[int, float]]]:
    """Return each metric of a run as (epoch, value) pairs."""
    series: dict[str, list[tuple[int, float]]] = {}
    for row in _rows(Path(run_dir)):
        for name, value in row.items():
            if value and name not in ("epoch", "step"):
                series.setdefault(name, []).append((int(row["epoch"]), float(value)))
    return series


def best_accuracy(run_dir: Path) -> float:
    """Return the validation accuracy of the epoch with the lowest validation loss."""
    series = history(run_dir)
    if "val/loss" not in series:
        return math.nan
    epoch = min(series["val/loss"], key=lambda point: point[1])[0]
    return dict(series["val/accuracy"])[epoch]


def metrics_logger(run_dir: Path, resume: str | None, steps: int) -> CSVLogger:
    """Return what writes the metrics; those of the epochs before a resume come first.

    Args:
        run_dir: folder of the run.
        resume: the checkpoint that it goes on from, beside which its metrics lie; None: none.
        steps: number of optimiser steps before.
    """
    # Read first: the logger removes the file, if the run goes on in the same folder.
    before = [] if resume is None else _before(Path(resume).parent, steps)
    logger = CSVLogger(run_dir, "", "")
    _continue(logger, before)
    return logger


@rank_zero_only  # the loggers of other processes write nothing
def _continue(logger: CSVLogger, rows: list[dict[str, float]]) -> None:
    """Let a logger begin with these rows."""
    logger.experiment.metrics.extend(rows)
    logger.experiment.save()


def _before(run_dir: Path, steps: int) -> list[dict[str, float]]:
    """Return a run's rows of the first steps; a damaged one is no reason not to go on."""
    try:
        rows = _rows(run_dir)
    except (ValueError, csv.Error):  # not text, or no CSV
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
