"""The page of several runs: their metrics, and the keys that differ."""

from __future__ import annotations

import json
import math
import os
import statistics
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from qrnn.evaluation.evaluation import Evaluation, describe
from qrnn.evaluation.metrics import METRICS, shown
from qrnn.reporting.commands import UNRELATED, left_out
from qrnn.reporting.folder import RunFolder
from qrnn.reporting.formats import count, duration, flat, named, result, sequences, small
from qrnn.reporting.parts import Page, Part, Table, Text

SAME_DATA = ("task.data_dir", "task.loss", "task.quantiles")  # which leave the sequences alone
HEADINGS = ("run", "model", "result", "loss", "evaluated", "validation", "parameters", "training")


def comparison_of(runs: Sequence[RunFolder]) -> Page:
    """Return the page of several runs."""
    names = short_names([run.folder for run in runs])
    different = differences(runs)
    judged = alike(runs)
    shown_of: Sequence[Evaluation | None] = judged or [run.main for run in runs]
    rows = list(map(row, runs, names, shown_of))
    caption = (
        "Result and loss: of the sequences that were evaluated. Validation: metric of the best "
        "checkpoint. Parameters: recurrent parameters only."
    )
    if judged and all(one.baselines == judged[0].baselines for one in judged):
        empty = [""] * 5
        rows += [
            [name, "baseline", result(replace(judged[0], value=value)), *empty]
            for name, value in judged[0].baselines.items()
        ]
    parts: list[Part] = [Table(HEADINGS, rows, (2, 3, 5, 6, 7), caption)]
    if set(different) == {"trainer.seed"} and judged:
        metric, values = judged[0].metric, [one.value for one in judged]
        mean, deviation = (shown(metric, f(values)) for f in (statistics.mean, statistics.stdev))
        name = f"{METRICS[metric][0]} (mean and standard deviation)"
        parts.append(Text(f"Only the seed differs: {mean} ± {deviation} {name}."))
    keys = [[key, *values] for key, values in different.items()]
    tasks = dict.fromkeys(run.name_of("task") for run in runs)
    return Page(
        title=f"{count(len(runs), 'run')}: {', '.join(tasks)}",
        lead=lead(runs, names),
        sections={
            "Metrics": parts,
            "What differs": [Table(["key", *names], keys) if keys else Text("No key differs.")],
        },
        missing=[
            f"{name}: {line}"
            for run, name in zip(runs, names, strict=True)
            for line in (*run.missing, *left_out(run))
        ],
    )


def short_names(folders: Sequence[Path]) -> list[str]:
    """Return the folders' paths relative to their common parent."""
    paths = [os.path.abspath(folder) for folder in folders]
    return [os.path.relpath(path, os.path.commonpath(paths)) for path in paths]


def differences(runs: Sequence[RunFolder]) -> dict[str, list[str]]:
    """Return each key whose values differ, with the value in each run; "—" where it is not set."""
    configs = [flat(run.config) for run in runs]
    found = {}
    for key in dict.fromkeys(key for config in configs for key in config):
        values = [config.get(key) for config in configs]
        if key not in UNRELATED and any(value != values[0] for value in values):
            found[key] = [_shown(c[key]) if key in c else "—" for c in configs]
    return found


def _shown(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def kind(one: Evaluation) -> tuple[Any, ...]:
    """Return what comparable evaluations share: metric, labels, device and readout."""
    device = "" if one.device == one.reference else one.device
    return (one.metric, one.split, json.dumps(one.labels), device, describe(one))


def alike(runs: Sequence[RunFolder]) -> list[Evaluation]:
    """Return one comparable evaluation of each run; an empty list if there are none."""
    kinds = [{kind(one): one for one in run.evaluations} for run in runs]
    shared = next((key for key in kinds[0] if all(key in each for each in kinds)), None)
    return [] if shared is None else [each[shared] for each in kinds]


def lead(runs: Sequence[RunFolder], names: Sequence[str]) -> str:
    """Return a sentence that names the best run, or says why the runs cannot be ranked."""
    if len({run.name_of("task") for run in runs}) != 1:
        return "The runs cannot be ranked: they are of several tasks."
    if judged := alike(runs):
        better = max if METRICS[judged[0].metric][1] == "higher" else min
        one, name = better(zip(judged, names, strict=True), key=lambda pair: pair[0].value)
        return f"Best: {name}, with {result(one)} on {sequences(one)}, device {one.device}."
    without = [name for run, name in zip(runs, names, strict=True) if not run.evaluations]
    unlike = "the runs were not evaluated on the same sequences in the same way"
    if without:
        unlike = f"{', '.join(without)} {'is' if len(without) == 1 else 'are'} not evaluated"
    best = [(run.best, name) for run, name in zip(runs, names, strict=True) if run.best]
    if len(best) < len(runs):
        return f"The runs cannot be ranked: {unlike}, and some have not finished an epoch."
    if none := [name for one, name in best if math.isnan(one.value)]:
        return (
            f"The runs cannot be ranked: {unlike}, and the validation metric of "
            f"{', '.join(none)} is not a number."
        )
    if len({one.metric for one, _ in best}) > 1:
        return f"The runs cannot be ranked: {unlike}, and their validation metrics differ."
    # By the metric: losses may be different ones.
    sign = -1 if METRICS[best[0][0].metric][1] == "higher" else 1
    at, name = min(best, key=lambda pair: (sign * pair[0].value, pair[0].loss))
    told = f"Best on the validation split: {name}, with {named(at.metric, at.value)}"
    told += f" in epoch {at.epoch}; {unlike}."
    keys = [key for key in differences(runs) if key.startswith("task.") and key not in SAME_DATA]
    if keys:
        told += f" The validation sequences may differ, as {', '.join(keys)} does."
    return told


def row(run: RunFolder, name: str, one: Evaluation | None) -> list[str]:
    """Return a run's row of the table, with one of its evaluations."""
    best, summary = run.best, run.summary
    return [
        name,
        run.name_of("model"),
        "" if one is None else result(one),
        "" if one is None else small(one.loss),
        "no" if one is None else f"{sequences(one)}, {one.device}",
        "" if best is None else named(best.metric, best.value),
        "" if summary is None else f"{summary['parameters']:,}",
        "" if summary is None else duration(60 * summary["minutes"]),
    ]
