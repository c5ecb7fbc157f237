"""The rows of a section: their records, and their comparison with the best classical twin."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from qrnn.evaluation.metrics import METRICS, shown

from .compare import Difference, paired, verdict
from .grid import Section
from .records import Record
from .runs import Run

CLASSICAL = {"lstm": "LSTM", "gru": "GRU", "scornn": "scoRNN", "rnn": "RNN"}
TOLERANCE = 0.05  # of a twin's number of parameters


@dataclass(frozen=True)
class Row:
    """A model on a task, with its finished runs.

    Attributes:
        name: on the page.
        model: the registered network.
        seeds: number of runs, finished or not.
        records: by seed. If only some are stale, these are left out.
        stale: what has changed since, if all are stale; else empty.
        first: its first run.
    """

    name: str
    model: str
    seeds: int
    records: dict[int, Record]
    stale: str
    first: Run

    @property
    def one(self) -> Record:
        """The record of its first finished seed."""
        return next(iter(self.records.values()))

    @property
    def metric(self) -> str:
        """What models are compared by: the task's metric, or `steps` if runs stop at a loss."""
        return "steps" if "stop_below" in self.one else self.one["metric"]

    @property
    def values(self) -> dict[int, float]:
        """The metric by seed; infinitely many steps if a run did not reach the loss."""
        if self.metric == "steps":
            return {s: r["steps"] if r["reached"] else math.inf for s, r in self.records.items()}
        return {seed: record["value"] for seed, record in self.records.items()}

    @property
    def mean(self) -> float:
        """Mean of the metric."""
        return statistics.mean(self.values.values())


@dataclass(frozen=True)
class Comparison:
    """A task's headline row and its best classical twin.

    Attributes:
        ours: the headline row.
        twin: the best classical row of its size, by the test metric; None: there is none.
        difference: between them; None: unknown.
    """

    ours: Row
    twin: Row | None
    difference: Difference | None

    @property
    def verdict(self) -> str:
        """How the headline row does, in words."""
        if self.twin is None:
            return "no twin"
        text = verdict(self.difference, better_of(self.ours.metric))
        return f"{text}, stale" if self.ours.stale or self.twin.stale else text


def better_of(metric: str) -> str:
    """Return whether `higher` or `lower` values are better."""
    return "lower" if metric == "steps" else METRICS[metric][1]


def rows_of(name: str, runs: Sequence[Run], records: Mapping[str, Record]) -> list[Row]:
    """Return the rows of a section, in order."""
    by_row: dict[str, list[Run]] = {}
    for run in runs:
        if run.section == name:
            by_row.setdefault(run.row, []).append(run)
    rows = []
    for row, mine in by_row.items():
        found = {run: records[run.name] for run in mine if run.name in records}
        changes = {run: run.change(record) for run, record in found.items()}
        fresh = [run for run in found if not changes[run]]
        rows.append(
            Row(
                name=row,
                model=next((one[6:] for one in mine[0].train if one.startswith("model=")), ""),
                seeds=len(mine),
                records={run.seed: found[run] for run in fresh or found},
                stale="" if fresh or not found else next(iter(changes.values())),
                first=mine[0],
            )
        )
    return rows


def comparison(section: Section, rows: Sequence[Row]) -> Comparison | None:
    """Compare a section's headline row with its best twin; None: it has no finished run."""
    ours = next((row for row in rows if row.name == section.headline and row.records), None)
    if ours is None:
        return None
    size = ours.one[section.size]
    twins = [
        row
        for row in rows
        if row.model in CLASSICAL and row.records
        if abs(row.one[section.size] - size) <= TOLERANCE * size
    ]
    twin = best_row(twins)
    difference = None if twin is None else paired(ours.values, twin.values, ours.metric)
    return Comparison(ours, twin, difference)


def best_row(rows: Sequence[Row]) -> Row | None:
    """Return the row of the best mean, of those with finished runs."""
    done = [row for row in rows if row.records]
    best = max if done and better_of(done[0].metric) == "higher" else min
    return best(done, key=lambda row: row.mean, default=None)


def best_of_models(rows: Sequence[Row]) -> list[Row]:
    """Return the best row of each classical model."""
    found = [best_row([row for row in rows if row.model == model]) for model in CLASSICAL]
    return [row for row in found if row is not None]


def metric_name(metric: str) -> str:
    """Return a metric's name in tables."""
    return "steps" if metric == "steps" else METRICS[metric][0]


def mean_text(metric: str, values: Sequence[float]) -> str:
    """Return mean and standard deviation, for accuracies with an additional digit."""
    mean = statistics.mean(values)
    if math.isinf(mean):
        return "not reached"
    spread = statistics.stdev(values) if len(values) > 1 else None
    if metric == "steps":
        return f"{mean:,.0f}" + ("" if spread is None else f" ± {spread:,.0f}")
    scale = 100 if metric == "accuracy" else 1
    text = f"{scale * mean:.2f}%" if metric == "accuracy" else shown(metric, mean)
    return text if spread is None else f"{text} ± {scale * spread:.2g}"


def difference_text(found: Comparison) -> str:
    """Return one sentence on the difference between the headline row and its twin."""
    if found.twin is None or found.difference is None:
        return ""
    known, metric = found.difference, found.ours.metric
    scale, unit = (100, " points") if metric == "accuracy" else (1, "")
    numbers = [number for number in (known.mean, known.low, known.high) if number is not None]
    mean, *ends = [f"{scale * x:.3g}" if known.ratio else f"{scale * x:+.2f}" for x in numbers]
    pair = f"{found.ours.name} against {found.twin.name}"
    what = "ratio" if known.ratio else "difference"
    seeds = f"{known.seeds} seeds" if known.seeds > 1 else "one seed"
    inner = f"95% interval {ends[0]} to {ends[1]}, {seeds}" if ends else seeds
    return f"{pair}: {what} {mean}{unit} ({inner}), {found.verdict.removesuffix(', one seed')}."
