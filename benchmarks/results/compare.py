"""Comparison of two models over the seeds that both have."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping
from dataclasses import dataclass

from scipy.special import stdtrit

RATIOS = {"cross_entropy", "perplexity", "steps"}
"""Metrics that are compared by ratio: positive, with a spread that grows with their size."""
LEAST = 1e-12  # for a ratio; a cross entropy can be 0 in float32
CONFIDENCE = 0.95


@dataclass(frozen=True)
class Difference:
    """Difference between two models in a metric, paired by seed.

    Attributes:
        mean: mean of a - b, or geometric mean of a / b.
        low, high: its 95% interval; None: one seed.
        seeds: number of seeds that both have.
        ratio: whether a / b is meant.
    """

    mean: float
    low: float | None
    high: float | None
    seeds: int
    ratio: bool

    @property
    def beyond_chance(self) -> bool:
        """Whether the interval excludes equality."""
        equal = 1.0 if self.ratio else 0.0
        if self.low is None or self.high is None:
            return False
        return not self.low <= equal <= self.high


def interval(values: list[float]) -> tuple[float, float]:
    """Return Student's 95% interval of the mean of at least two values."""
    mean = statistics.mean(values)
    quantile = float(stdtrit(len(values) - 1, (1 + CONFIDENCE) / 2))
    half = quantile * statistics.stdev(values) / math.sqrt(len(values))
    return mean - half, mean + half


def paired(a: Mapping[int, float], b: Mapping[int, float], metric: str) -> Difference | None:
    """Compare two models by the seeds that both have.

    Args:
        a: the metric by seed; steps may be infinite.
        b: that of the other model.
        metric: a key of METRICS, or `steps`.

    Returns:
        The difference; its interval is that of a paired t test, of the logarithms for the metrics
        in `RATIOS`. None: no common seed, or a seed needed infinitely many steps.
    """
    ratio = metric in RATIOS
    pairs = [(a[seed], b[seed]) for seed in sorted(a.keys() & b.keys())]
    if not pairs or not all(math.isfinite(value) for pair in pairs for value in pair):
        return None
    if not ratio:
        changes = [one - other for one, other in pairs]
    else:
        changes = [math.log(max(x, LEAST)) - math.log(max(y, LEAST)) for x, y in pairs]
    shown = math.exp if ratio else float
    ends = interval(changes) if len(changes) > 1 else None
    low, high = (shown(ends[0]), shown(ends[1])) if ends else (None, None)
    return Difference(shown(statistics.mean(changes)), low, high, len(changes), ratio)


def verdict(difference: Difference | None, better: str) -> str:
    """Return how a does compared with b: `ahead`, `behind` or `no significant difference`.

    Args:
        difference: see `paired`.
        better: `higher` or `lower` values.
    """
    if difference is None:
        return "not comparable"
    if difference.seeds == 1:
        return "not tested, one seed"
    if not difference.beyond_chance:
        return "no significant difference"
    equal = 1.0 if difference.ratio else 0.0
    return "ahead" if (difference.mean > equal) == (better == "higher") else "behind"
