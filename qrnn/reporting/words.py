"""Numbers and names as a reader wants them."""

from __future__ import annotations

import math
from typing import Any

from qrnn.evaluation.evaluation import Evaluation
from qrnn.evaluation.metrics import METRICS, shown

PARTS = {"train": "training", "val": "validation", "test": "test"}


def metric_name(metric: str) -> str:
    """Return what a metric is called: "accuracy", "bits/char"."""
    return METRICS[metric][0]


def result(one: Evaluation) -> str:
    """Return a metric with its value: "96.1% accuracy"."""
    value = shown(one.metric, one.value)
    return f"{value} {metric_name(one.metric)}"


def sequences(one: Evaluation, split: str | None = None) -> str:
    """Return how much was evaluated: "360 test sequences", "20,000 tokens"."""
    unit = "token" if one.metric in ("perplexity", "bits_per_character") else "sequence"
    return count(one.sequences, f"{PARTS[split]} {unit}" if split else unit)


def count(number: float, unit: str) -> str:
    """Return a number of things: "1 epoch", "1,257 sequences"."""
    return f"{number:,} {unit}{'s' * (number != 1)}"


def percent(share: float) -> str:
    """Return a share: "96.1%"."""
    return f"{100 * share:.1f}%"


def loss(value: float) -> str:
    """Return a loss with three digits that count."""
    return f"{value:.3f}" if abs(value) >= 0.1 or value == 0 else f"{value:.3g}"


def difference(rms: float) -> str:
    """Return a root mean square difference of readouts."""
    return f"{rms:.1e}" if 0 < rms < 1e-3 else f"{rms:.3f}"


def duration(seconds: float) -> str:
    """Return a time: "0.5 s", "12 s", "3.4 min", "2.1 h"."""
    if not math.isfinite(seconds):
        return str(seconds)
    if seconds < 10:
        return f"{seconds:.1f} s"
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.1f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


def plain(value: Any) -> str:
    """Return a configuration's value: "null", "true", "0.02", "[1, 3]"."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list):
        return f"[{', '.join(plain(one) for one in value)}]"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{name}: {plain(one)}" for name, one in value.items()) + "}"
    return f"{value:g}" if isinstance(value, float) else str(value)


def flat(config: Any, prefix: str = "") -> dict[str, Any]:
    """Return a configuration's values by their whole keys: "trainer.lr"."""
    values: dict[str, Any] = {}
    for name, value in config.items():
        key = f"{prefix}{name}"
        if isinstance(value, dict) and value and not prefix.count("."):
            values |= flat(value, f"{key}.")
        else:
            values[key] = value
    return values
