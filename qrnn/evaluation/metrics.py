"""The metrics of the tasks."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from qrnn.data import Numbers, TaskData
from qrnn.data.sources import sacrebleu
from qrnn.evaluation.baselines import baseline_scores
from qrnn.evaluation.predict import Outcome
from qrnn.evaluation.scores import scores

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
        changes: of the task's data, for MASE.
        baselines: the metric of predictions that need no training, by their names.
    """

    metric: str = "accuracy"
    vocabulary: tuple[str, ...] = ()
    references: tuple[str, ...] = ()
    split: str | None = None
    limit: int | None = None
    changes: tuple[float, ...] = ()
    baselines: dict[str, float] = field(default_factory=dict)

    def score(self, found: Outcome, translations: Sequence[str] = ()) -> Score:
        """Return the metric's value, and how it was computed.

        Args:
            found: the model's predictions.
            translations: one sentence per reference; `bleu` only.

        Raises:
            MissingExtraError: sacreBLEU is not installed; `bleu` only.
        """
        if self.metric == "bleu":
            return bleu(translations, self.references)
        if isinstance(found.objective, Numbers):
            return Score(self.scores(found).get(self.metric, math.nan))
        assert found.accuracy is not None
        values = {
            "accuracy": found.accuracy,
            "cross_entropy": found.loss,
            "perplexity": math.exp(min(found.loss, 700.0)),  # a float's largest exponent
            "bits_per_character": found.loss / math.log(2),
        }
        return Score(values[self.metric])

    def scores(self, found: Outcome) -> dict[str, float]:
        """Return all metrics of predicted numbers; of labels, none."""
        objective = found.objective
        if not isinstance(objective, Numbers):
            return {}
        levels = objective.levels(found.outputs).numpy() if objective.quantiles else None
        return scores(
            found.predictions.numpy(),
            found.labels.numpy(),
            changes=np.array(self.changes) if self.changes else None,
            levels=levels,
            quantiles=objective.quantiles,
        )


def judge(data: TaskData, split: str, limit: int | None = None) -> Judge:
    """Return the judge of a split, or of its first sequences.

    Args:
        data: the task's data.
        split: `test`, `val` or `train`.
        limit: number of sequences; None: all.

    Raises:
        MissingExtraError: sacreBLEU is not installed, for a metric that needs it.
    """
    if data.references is None:
        return Judge(
            data.metric,
            split=split,
            limit=limit,
            changes=data.changes,
            baselines=baseline_scores(data, split, limit),
        )
    sacrebleu()  # before anything is translated
    return Judge(data.metric, data.classes, data.references[split][:limit], split, limit)


def bleu(translations: Sequence[str], references: Sequence[str]) -> Score:
    """Return sacreBLEU's corpus BLEU of lower-cased text, in percent, and its signature.

    Raises:
        MissingExtraError: sacreBLEU is not installed.
    """
    metric = sacrebleu()(lowercase=True)
    value = metric.corpus_score(list(translations), [list(references)]).score
    return Score(value, f"sacreBLEU {metric.get_signature()}")


def shown(metric: str, value: float) -> str:
    """Return a metric's value for a table."""
    if metric in ("accuracy", "coverage"):
        return f"{100 * value:.1f}%"
    if abs(value) >= 1:
        return f"{value:.2f}"
    return f"{value:.4f}" if abs(value) >= 1e-3 or value == 0 else f"{value:.1e}"
