"""The page of several runs: what differs between them, and what came of it."""

from __future__ import annotations

import os
import statistics
from collections.abc import Iterator, Sequence
from pathlib import Path

from qrnn.evaluation import Evaluation
from qrnn.metrics import METRICS, shown
from qrnn.reporting import figures
from qrnn.reporting.commands import IDLE, commands
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
    "val/loss": "Validation loss", "val/accuracy": "Validation accuracy",
    "train/loss": "Training loss",
}  # fmt: skip
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
        Section("commands", "Commands", [
            Code(commands(run, [None] * len(run.evaluations)), title=name)
            for run, name in zip(runs, names, strict=True)
        ]),
    ]  # fmt: skip
    tasks = list(dict.fromkeys(run.name_of("task") for run in runs))
    return Page(
        title=f"{count(len(runs), 'run')}: {', '.join(tasks)}",
        lead=lead(runs, names),
        tiles=[],
        sections=sections,
        footer=footer(", ".join(str(run.folder) for run in runs)),
        missing=[
            f"{name}: {one}" for run, name in zip(runs, names, strict=True) for one in run.missing
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


def lead(runs: Sequence[RunFolder], names: Sequence[str]) -> str:
    """Return which run is best, where they can be compared."""
    judged = [(run.main, name) for run, name in zip(runs, names, strict=True) if run.main]
    if len({(run.name_of("task"), run.main.metric) for run in runs if run.main}) != 1:
        return "The runs are of several tasks, or not evaluated: none of them is the best."
    better = max if METRICS[judged[0][0].metric][1] == "higher" else min
    best, name = better(judged, key=lambda pair: pair[0].value)
    return f"Best: {name}, with {result(best)} on {sequences(best)}, device {best.device}."


def metrics(
    runs: Sequence[RunFolder], names: Sequence[str], different: dict[str, list[str]]
) -> Iterator[Part]:
    """Yield the metrics of the runs side by side, and their spread if only the seeds differ."""
    rows = []
    for run, name in zip(runs, names, strict=True):
        one, best, told = run.main, best_epoch(run), run.summary
        rows.append([
            name, run.name_of("model"),
            "not evaluated" if one is None else result(one),
            "" if one is None else loss(one.loss),
            "" if one is None else f"{one.device}, {one.sequences:,}",
            "" if best is None else percent(best[2]),
            "" if told is None else f"{told['parameters']:,}",
            "" if told is None else f"{told['epochs']:,}",
            "" if told is None else duration(60 * told["minutes"]),
            "" if told is None or told.get("peak_memory_mb") is None
            else f"{told['peak_memory_mb']:,.0f} MB",
            plain(run.config["trainer"].get("seed")),
        ])  # fmt: skip
    yield Table(
        ["run", "model", "result", "loss", "on, sequences", "validation", "parameters", "epochs",
         "training", "memory", "seed"], rows, numbers=(2, 3, 5, 6, 7, 8, 9, 10),
        caption="Parameters: recurrent ones. Validation: accuracy of the best epoch.",
    )  # fmt: skip
    judged = [run.main for run in runs if run.main is not None]
    if set(different) == {SEED} and len(judged) == len(runs):
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
