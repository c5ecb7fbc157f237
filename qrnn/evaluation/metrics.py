"""The metrics of the tasks."""

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
}
"""Each metric's name in tables, and whether higher or lower is better."""


class Score(NamedTuple):
    """A metric's value.

    Attributes:
        value: the number.
        signature: sacreBLEU's signature; None for other metrics.
    """

    value: float
    signature: str | None = None


@dataclass(frozen=True)
class Judge:
    """The metric of a split, with the data that it needs.

    Attributes:
        metric: a key of `METRICS`.
        vocabulary: text of each target token; `bleu` only.
        references: the sentences to compare translations with; `bleu` only.
        split: `test`, `val` or `train`; None: not recorded.
        limit: number of sequences, the first of the split; None: all.
    """

    metric: str = "accuracy"
    vocabulary: tuple[str, ...] = ()
    references: tuple[str, ...] = ()
    split: str | None = None
    limit: int | None = None

    def score(self, loss: float, accuracy: float, translations: Sequence[str] = ()) -> Score:
        """Return the metric's value, and how it was computed.

        Args:
            loss: mean cross entropy per label, nats.
            accuracy: fraction of labels predicted correctly.
            translations: one sentence per reference; `bleu` only.

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
    """Return the judge of a split, or of its first sequences.

    Args:
        data: the task's data.
        split: `test`, `val` or `train`.
        limit: number of sequences; None: all.
    """
    if data.references is None:
        return Judge(data.metric, split=split, limit=limit)
    return Judge(data.metric, data.classes, data.references[split][:limit], split, limit)


def bleu(translations: Sequence[str], references: Sequence[str]) -> Score:
    """Return sacreBLEU's corpus BLEU of lower-cased text, in percent, and its signature.

    Raises:
        MissingExtraError: sacreBLEU is not installed.
    """
    try:
        from sacrebleu.metrics import BLEU
    except ImportError as error:
        raise require_extra("sacrebleu", "data", "the metric BLEU") from error
    metric = BLEU(lowercase=True)
    value = metric.corpus_score(list(translations), [list(references)]).score
    return Score(value, f"sacreBLEU {metric.get_signature()}")


def shown(metric: str, value: float) -> str:
    """Return a metric's value as text, for tables."""
    if metric == "accuracy":
        return f"{100 * value:.1f}%"
    if value >= 1:
        return f"{value:.2f}"
    return f"{value:.4f}" if value >= 1e-3 or value == 0 else f"{value:.1e}"
