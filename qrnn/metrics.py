"""What the tasks are judged by."""

from __future__ import annotations

import math

METRICS: dict[str, tuple[str, str]] = {
    "accuracy": ("accuracy", "higher"),
    "cross_entropy": ("cross entropy", "lower"),
    "perplexity": ("perplexity", "lower"),
    "bits_per_character": ("bits/char", "lower"),
    "bleu": ("BLEU", "higher"),
}
"""In words, and which way is better."""


def from_loss(metric: str, loss: float, accuracy: float) -> float:
    """Return a metric's value.

    Args:
        metric: any of `METRICS` but `bleu`, which needs sentences.
        loss: mean cross entropy of a label, nats.
        accuracy: share of right labels.
    """
    values = {
        "accuracy": accuracy,
        "cross_entropy": loss,
        "perplexity": math.exp(min(loss, 700.0)),  # a float's largest exponent
        "bits_per_character": loss / math.log(2),
    }
    return values[metric]


def shown(metric: str, value: float) -> str:
    """Return a metric's value for a table."""
    if metric == "accuracy":
        return f"{100 * value:.1f}%"
    return f"{value:.2f}" if value >= 1 else f"{value:.4f}"
