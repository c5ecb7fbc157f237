"""The metrics of a run by epochs, in its `metrics.csv`."""

from __future__ import annotations

import csv
import math
from pathlib import Path

from lightning.pytorch.loggers import CSVLogger


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
    rows = [] if resume is None else _rows(Path(resume).parent)
    logger = CSVLogger(run_dir, "", "")
    for row in rows:
        if int(row["step"]) < steps:
            told = {name: float(value) for name, value in row.items() if value}
            counts = {name: int(row[name]) for name in ("epoch", "step")}
            logger.experiment.metrics.append(told | counts)
    logger.experiment.save()
    return logger
