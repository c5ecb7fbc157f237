"""The metrics of a run by epochs, in its `metrics.csv`."""

from __future__ import annotations

import csv
import math
from pathlib import Path
from typing import Any

from lightning.pytorch.loggers import CSVLogger
from lightning.pytorch.utilities import rank_zero_only

from qrnn.files import replacing


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
    before = [] if resume is None else _before(Path(resume).parent, steps)
    logger = _Logger(run_dir, "", "")
    logger.begin(before)
    return logger


class _Writer:
    """Writes all metrics at once: Lightning's removes the old file, and appends to a new one."""

    def __init__(self, path: Path):
        self.path = path
        self.metrics: list[dict[str, float]] = []

    def log_metrics(self, metrics: dict[str, Any], step: int | None = None) -> None:
        """Keep the metrics of a step."""
        numbers = {k: v.item() if hasattr(v, "item") else v for k, v in metrics.items()}
        self.metrics.append({**numbers, "step": len(self.metrics) if step is None else step})

    def save(self) -> None:
        """Replace the file."""
        if not self.metrics:
            return
        with replacing(self.path) as temporary, open(temporary, "w", newline="") as file:
            writer = csv.DictWriter(file, sorted(set().union(*self.metrics)))
            writer.writeheader()
            writer.writerows(self.metrics)


class _Logger(CSVLogger):
    """Lightning's logger, with this writer."""

    @rank_zero_only  # those of other processes write nothing
    def begin(self, rows: list[dict[str, float]]) -> None:
        """Begin with these rows."""
        self._experiment: Any = _Writer(Path(self.save_dir) / "metrics.csv")
        self._experiment.metrics.extend(rows)
        self._experiment.save()


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
