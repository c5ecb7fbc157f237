"""The section on the 27 forecasts of Fellner et al., as Markdown."""

from __future__ import annotations

import statistics
from dataclasses import dataclass
from typing import Any

from .fellner import (
    HYBRIDS,
    LSTM,
    TASKS,
    Task,
    best_setting,
    published,
    ridges,
    task_of,
    validation,
)

NAMES = {"lstm": "LSTM, published", "le-qlstm": "LE-QLSTM, published", "qrnn": "QRNN, published"}
HERE, OURS = "LSTM, here", "hybrid"
ROUNDING = 1e-15  # squared errors below it differ between processors
SERIES = {"henon": "Hénon", "mackey": "Mackey-Glass", "lorenz": "Lorenz"}
TEXT = """## The 27 forecasts of Fellner et al.

arXiv 2504.12416 compares networks on three chaotic series of 1,000 points: windows of L points,
the point k steps ahead. Test error (MSE) of all columns scaled to 0..1, by their protocol:
windows by index 60/20/20, Adam of rate 1e-3, batches of 64, their rule for when to stop, the
weights of the lowest validation loss. The hybrid network has 8 qubits and one of six settings
(theirs: nine): plain, or deep (a controller of two hidden layers, inputs times 2), with or
without a hidden layer of 32 units in the head, inputs times 4, or predicting the change; for each
task, the one with the lowest validation loss of one seed. The six were put together after trials
on the validation parts of four tasks. "Published" are the means of their tables; the LSTM is also
run here, in their best setting for each task. Means over seeds, in brackets the median. Ridge
regression on the window needs no training; it is not in the ranking in the last line, only in the
one in brackets. The lowest error of the networks is in bold."""


def section(runs: list[dict[str, Any]]) -> str:
    """Return the section with the table of all tasks."""
    rows = [row_of(task, runs) for task in TASKS]
    models = [*NAMES.values(), HERE, OURS]
    headings = ["series", "L", "k", "ridge 1", "ridge 2", *models, "seeds", "setting", "parameters"]
    lines = [headings, ["---", *["---:"] * (len(headings) - 1)]]
    for task, row in zip(TASKS, rows, strict=True):
        means = {name: row.means[name] for name in models if name in row.means}
        best = min(means, key=lambda name: means[name])
        cells = [SERIES[task[0]], str(task[1]), str(task[2])]
        cells += [
            f"{value:.1e}" if (value := row.means[name]) > ROUNDING else f"< {ROUNDING:.0e}"
            for name in ("ridge 1", "ridge 2")
        ]
        for name in models:
            text = row.texts.get(name, "")
            cells.append(f"**{text}**" if name == best else text)
        lines.append([*cells, row.seeds, row.setting, row.parameters])
    models = [name for name in models if any(name in row.means for row in rows)]
    whole = [row.means for row in rows if row.means.keys() >= set(models)]
    if whole and OURS in models:
        without, including = ranks(whole, models), ranks(whole, ["ridge 1", "ridge 2", *models])
        cells = [f"({including[name]:.2f})" for name in ("ridge 1", "ridge 2")]
        cells += [
            f"{without[name]:.2f} ({including[name]:.2f})" if name in models else ""
            for name in [*NAMES.values(), HERE, OURS]
        ]
        title = "mean rank" if len(whole) == len(rows) else f"mean rank, {len(whole)} tasks"
        lines.append([title, "", "", *cells, "", "", mean_parameters(runs)])
    return TEXT + "\n\n" + "\n".join("| " + " | ".join(line) + " |" for line in lines)


@dataclass
class Row:
    """The errors of a task.

    Attributes:
        means: mean test error by the names of the columns.
        texts: what the table says.
        seeds: number of seeds of the hybrid network.
        setting: of the hybrid network.
        parameters: of the hybrid network and of the LSTM.
    """

    means: dict[str, float]
    texts: dict[str, str]
    seeds: str = ""
    setting: str = ""
    parameters: str = ""


def row_of(task: Task, runs: list[dict[str, Any]]) -> Row:
    """Return the row of a task."""
    known = {one.model: one for one in published() if task_of(one) == task}
    means = ridges(task) | {NAMES[name]: known[name].mse for name in NAMES}
    row = Row(means, {name: f"{value:.1e}" for name, value in means.items()})
    setting = best_setting(runs, task)
    for column, name in ((HERE, LSTM), (OURS, setting)):
        made = [one for one in runs if one["task"] == list(task) and one["setting"] == name]
        if not made:
            continue
        errors = [one["test"] for one in made]
        row.means[column] = statistics.mean(errors)
        spread = f" ± {statistics.stdev(errors):.0e}" if len(errors) > 1 else ""
        row.texts[column] = f"{row.means[column]:.1e}{spread} ({statistics.median(errors):.1e})"
        if column == OURS:
            row.seeds, row.setting = str(len(made)), str(name)
            if (tried := len(validation(runs, task))) < len(HYBRIDS):
                row.setting += f" ({tried} of {len(HYBRIDS)} tried)"
            row.parameters = f"{made[0]['parameters']:,} ({known['lstm'].parameters:,})"
    return row


def ranks(rows: list[dict[str, float]], models: list[str]) -> dict[str, float]:
    """Return the mean rank of each model, 1 for the lowest error."""
    found = dict.fromkeys(models, 0.0)
    for row in rows:
        ordered = sorted(models, key=lambda name: row[name])
        for rank, name in enumerate(ordered, 1):
            found[name] += rank / len(rows)
    return found


def mean_parameters(runs: list[dict[str, Any]]) -> str:
    """Return the mean number of parameters, of the hybrid networks and of the published LSTMs."""
    chosen = [best_setting(runs, task) for task in TASKS]
    sizes = [
        one["parameters"]
        for one in runs
        if one["seed"] == 0
        and one["setting"] in HYBRIDS
        and one["setting"] == chosen[TASKS.index(tuple(one["task"]))]
    ]
    theirs = [one.parameters for one in published() if one.model == "lstm"]
    return f"{statistics.mean(sizes):,.0f} ({statistics.mean(theirs):,.0f})" if sizes else ""
