"""The page of several runs: what differs between them, and what came of it."""

from __future__ import annotations

import os
import statistics
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from qrnn.evaluation.evaluation import Evaluation, describe
from qrnn.evaluation.metrics import METRICS, shown
from qrnn.reporting import figures
from qrnn.reporting.commands import IDLE, commands, left_out
from qrnn.reporting.devices import headings, row
from qrnn.reporting.folder import RunFolder
from qrnn.reporting.page import best_epoch, footer
from qrnn.reporting.parts import Code, Figures, Page, Part, Section, Table, Text
from qrnn.reporting.words import (
    count,
    duration,
    flat,
    loss,
    metric_name,
    percent,
    plain,
    result,
    sequences,
)

SEED = "trainer.seed"
CURVES = {
    "val/loss": "Validation loss",
    "val/accuracy": "Validation accuracy",
    "train/loss": "Training loss",
}
UNLIKE = ("resume", *IDLE)  # keys that say nothing of what was run


def comparison_of(runs: Sequence[RunFolder]) -> Page:
    """Return the page of several runs."""
    names = short_names([run.folder for run in runs])
    different = differences(runs)
    sections = [
        Section("metrics", "Metrics", list(metrics(runs, names, different))),
        Section("differences", "What differs", list(configurations(different, names))),
        Section("training", "Training", list(training(runs, names))),
        Section("devices", "Devices", list(devices(runs, names))),
        Section(
            "commands",
            "Commands",
            [
                Code(commands(run, [None] * len(run.evaluations)), title=name)
                for run, name in zip(runs, names, strict=True)
            ],
        ),
    ]
    tasks = list(dict.fromkeys(run.name_of("task") for run in runs))
    return Page(
        title=f"{count(len(runs), 'run')}: {', '.join(tasks)}",
        lead=lead(runs, names),
        tiles=[],
        sections=sections,
        footer=footer(", ".join(str(run.folder) for run in runs)),
        missing=[
            f"{name}: {one}"
            for run, name in zip(runs, names, strict=True)
            for one in (*run.missing, *left_out(run))
        ],
    )


def short_names(folders: Sequence[Path]) -> list[str]:
    """Return the folders' paths below the one that they share."""
    whole = [os.path.abspath(folder) for folder in folders]
    shared = os.path.commonpath(whole)
    return [os.path.relpath(path, shared) for path in whole]


def differences(runs: Sequence[RunFolder]) -> dict[str, list[str]]:
    """Return each key whose values differ, with the value of each run."""
    configs = [flat(run.config) for run in runs]
    keys = list(dict.fromkeys(key for config in configs for key in config))
    values = {key: [config.get(key, "") for config in configs] for key in keys}
    return {
        key: [
            plain(value) if key in config else "—"
            for value, config in zip(each, configs, strict=True)
        ]
        for key, each in values.items()
        if key not in UNLIKE
        and any(one != each[0] for one in each)
        and any(
            value is not None for value, config in zip(each, configs, strict=True) if key in config
        )
    }


def kind(one: Evaluation) -> tuple[Any, ...]:
    """Return what evaluations must share to be compared: the measure, the data and the reading."""
    where = "" if one.device == one.reference else one.device
    return (one.metric, one.split, one.limit, one.sequences, where, describe(one))


def alike(runs: Sequence[RunFolder]) -> list[Evaluation]:
    """Return an evaluation of each run, all of one kind; none if the runs share no kind."""
    kinds = [{kind(one): one for one in run.evaluations} for run in runs]
    shared = next((key for key in kinds[0] if all(key in each for each in kinds)), None)
    return [] if shared is None else [each[shared] for each in kinds]


def lead(runs: Sequence[RunFolder], names: Sequence[str]) -> str:
    """Return which run is best, where they can be compared."""
    if len({run.name_of("task") for run in runs}) != 1:
        return "The runs are of several tasks: none of them is the best."
    if judged := alike(runs):
        better = max if METRICS[judged[0].metric][1] == "higher" else min
        best, name = better(zip(judged, names, strict=True), key=lambda pair: pair[0].value)
        where = sequences(best, best.split)
        return f"Best: {name}, with {result(best)} on {where}, device {best.device}."
    epochs = [best_epoch(run) for run in runs]
    ended = [(told, name) for told, name in zip(epochs, names, strict=True) if told is not None]
    if len(ended) < len(runs):
        return (
            "The runs are not evaluated alike, and not all have ended an epoch: none is the best."
        )
    (epoch, lowest, _), name = min(ended, key=lambda pair: pair[0][1])
    return (
        f"Best by validation: {name}, with loss {loss(lowest)} in epoch {epoch}. The runs are not "
        "evaluated alike: on the same sequences, read in the same way."
    )


def metrics(
    runs: Sequence[RunFolder], names: Sequence[str], different: dict[str, list[str]]
) -> Iterator[Part]:
    """Yield the metrics of the runs side by side, and their spread if only the seeds differ."""
    rows = []
    for run, name in zip(runs, names, strict=True):
        one, best, told = run.main, best_epoch(run), run.summary
        rows.append(
            [
                name,
                run.name_of("model"),
                "not evaluated" if one is None else result(one),
                "" if one is None else loss(one.loss),
                "" if one is None else f"{one.device}, {one.sequences:,}",
                "" if best is None else percent(best[2]),
                "" if told is None else f"{told['parameters']:,}",
                "" if told is None else f"{told['epochs']:,}",
                "" if told is None else duration(60 * told["minutes"]),
                ""
                if told is None or told.get("peak_memory_mb") is None
                else f"{told['peak_memory_mb']:,.0f} MB",
                plain(run.config["trainer"].get("seed")),
            ]
        )
    yield Table(
        [
            "run",
            "model",
            "result",
            "loss",
            "on, sequences",
            "validation",
            "parameters",
            "epochs",
            "training",
            "memory",
            "seed",
        ],
        rows,
        numbers=(2, 3, 5, 6, 7, 8, 9, 10),
        caption="Parameters: recurrent ones. Validation: accuracy of the best epoch.",
    )
    judged = alike(runs)
    if set(different) == {SEED} and judged:
        values = [one.value for one in judged]
        metric = judged[0].metric
        mean, spread = statistics.mean(values), statistics.stdev(values)
        around = f"{100 * spread:.2g}%" if metric == "accuracy" else f"{spread:.2g}"
        yield Text(
            f"Only the seed differs: {shown(metric, mean)} ± {around} {metric_name(metric)}, mean "
            f"and standard deviation of {count(len(values), 'seed')}."
        )


def configurations(different: dict[str, list[str]], names: Sequence[str]) -> Iterator[Part]:
    """Yield the keys that differ."""
    if different:
        yield Table(["key", *names], [[key, *values] for key, values in different.items()])
    else:
        yield Text("All keys have the same values.")


def training(runs: Sequence[RunFolder], names: Sequence[str]) -> Iterator[Part]:
    """Yield the curves of the runs, over each other."""
    drawn = []
    for key, caption in CURVES.items():
        lines = {
            name: run.history[key]
            for run, name in zip(runs, names, strict=True)
            if run.history.get(key)
        }
        if lines:
            label = figures.QUANTITIES[key.rpartition("/")[2]]
            told = ", ".join(f"{name} {loss(line[-1][1])}" for name, line in lines.items())
            drawn.append(figures.over_epochs(lines, label, caption, f"at the end: {told}"))
    yield Figures(drawn) if drawn else Text("No curves: no run has ended an epoch.", True)


def devices(runs: Sequence[RunFolder], names: Sequence[str]) -> Iterator[Part]:
    """Yield all evaluations of all runs."""
    found: list[tuple[str, Evaluation]] = [
        (name, one) for run, name in zip(runs, names, strict=True) for one in run.evaluations
    ]
    if not found:
        yield Text("No device has been evaluated yet.", True)
        return
    alike = {one.metric for _, one in found}
    metric = alike.pop() if len(alike) == 1 else None
    titles = headings(metric or "accuracy")
    rows = []
    for name, one in found:
        cells = row(one)
        if metric is None:
            cells[3] = result(one)
        rows.append([name, *cells])
    titles[3] = titles[3] if metric else "result"
    yield Table(["run", *titles], rows, numbers=range(3, 10))
