"""Format numbers and names for a reader."""

from __future__ import annotations

import math
from typing import Any

from qrnn.evaluation.evaluation import Evaluation
from qrnn.evaluation.metrics import METRICS, shown

PARTS = {"train": "training", "val": "validation", "test": "test"}


def result(one: Evaluation) -> str:
    """Return a metric with its value: "96.1% accuracy"."""
    return f"{shown(one.metric, one.value)} {METRICS[one.metric][0]}"


def sequences(one: Evaluation) -> str:
    """Return how much was evaluated: "360 test sequences", "20,000 tokens"."""
    unit = "token" if one.metric in ("perplexity", "bits_per_character") else "sequence"
    return count(one.sequences, f"{PARTS.get(one.split or '', '')} {unit}".strip())


def count(number: float, unit: str) -> str:
    """Return a number with its unit: "1 epoch", "1,257 sequences"."""
    return f"{number:,} {unit}{'s' * (number != 1)}"


def named(metric: str, value: float) -> str:
    """Return a metric's name and its value: "RMSE 57.65"."""
    return f"{METRICS[metric][0]} {shown(metric, value)}"


def percent(share: float) -> str:
    """Return a fraction as a percentage: "96.1%"."""
    return f"{100 * share:.1f}%"


def small(value: float) -> str:
    """Return a loss or a difference to three digits: "0.512", "3.1e-05"."""
    return f"{value:.3f}" if abs(value) >= 0.1 or value == 0 else f"{value:.3g}"


def duration(seconds: float) -> str:
    """Return a time: "0.5 s", "12 s", "3.4 min", "2.1 h"."""
    if not math.isfinite(seconds) or seconds < 10:
        return f"{seconds:.1f} s"
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.1f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


def flat(config: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return a configuration's values by their full keys: "trainer.lr"."""
    values: dict[str, Any] = {}
    for name, value in config.items():
        key = f"{prefix}{name}"
        if isinstance(value, dict) and value and not prefix.count("."):
            values |= flat(value, f"{key}.")
        else:
            values[key] = value
    return values
