"""What the tasks are judged by."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from qrnn.data import TaskData
from qrnn.errors import require_extra

METRICS: dict[str, tuple[str, str]] = {
    "accuracy": ("accuracy", "higher"),
    "cross_entropy": ("cross entropy", "lower"),
    "perplexity": ("perplexity", "lower"),
    "bits_per_character": ("bits/char", "lower"),
    "bleu": ("BLEU", "higher"),
    "rmse": ("RMSE", "lower"),
    "mae": ("MAE", "lower"),
    "nrmse": ("NRMSE", "lower"),
    "mase": ("MASE", "lower"),
    "r2": ("R2", "higher"),
    "pinball": ("pinball loss", "lower"),
    "coverage": ("coverage", "higher"),
}
"""In words, and which way is better."""


class Score(NamedTuple):
    """A metric's value.

    Attributes:
        value: the number.
        signature: how it was computed, as sacreBLEU says it; None: its definition says all.
    """

    value: float
    signature: str | None = None


@dataclass(frozen=True)
class Judge:
    """What a part of a task's data is judged by.

    Attributes:
        metric: a key of `METRICS`.
        words: target tokens in words; `bleu` only.
        references: the sentences to compare translations with; `bleu` only.
        split: the part: `test`, `val` or `train`; None: it is not said.
        limit: number of its first sequences; None: all.
    """

    metric: str = "accuracy"
    words: tuple[str, ...] = ()
    references: tuple[str, ...] = ()
    split: str | None = None
    limit: int | None = None

    def score(self, loss: float, accuracy: float, translations: Sequence[str] = ()) -> Score:
        """Return the metric's value, and how it was computed.

        Args:
            loss: mean cross entropy of a label, nats.
            accuracy: share of right labels.
            translations: a sentence for each reference; `bleu` only.

        Raises:
            MissingExtraError: sacreBLEU is not installed; `bleu` only.
        """
        if self.metric == "bleu":
            return bleu(translations, self.references)
        values = {
            "accuracy": accuracy,
            "cross_entropy": loss,
            "perplexity": math.exp(min(loss, 700.0)),  # a float's largest exponent
            "bits_per_character": loss / math.log(2),
        }
        return Score(values[self.metric])


def judge(data: TaskData, split: str, limit: int | None = None) -> Judge:
    """Return what the first sequences of a part of a task's data are judged by."""
    if data.references is None:
        return Judge(data.metric, split=split, limit=limit)
    return Judge(data.metric, data.classes, data.references[split][:limit], split, limit)


def bleu(translations: Sequence[str], references: Sequence[str]) -> Score:
    """Return sacreBLEU's corpus BLEU in per cent, of lower-case text, and its version string.

    Raises:
        MissingExtraError: it is not installed.
    """
    try:
        from sacrebleu.metrics import BLEU
    except ImportError as error:
        raise require_extra("sacrebleu", "data", "the metric BLEU") from error
    metric = BLEU(lowercase=True)
    value = metric.corpus_score(list(translations), [list(references)]).score
    return Score(value, f"sacreBLEU {metric.get_signature()}")


def shown(metric: str, value: float) -> str:
    """Return a metric's value for a table."""
    if metric in ("accuracy", "coverage"):
        return f"{100 * value:.1f}%"
    if value >= 1:
        return f"{value:.2f}"
    return f"{value:.4f}" if value >= 1e-3 or value == 0 else f"{value:.1e}"
