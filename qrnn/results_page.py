"""The results page: what `qrnn table` measured, as Markdown."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from qrnn.environment import PACKAGES
from qrnn.files import write_text
from qrnn.grid import TableConfig
from qrnn.metrics import METRICS, shown
from qrnn.table import Run

HEADINGS = (
    "model", "test {metric}", "recurrent parameters", "all", "layers", "dropout", "optimiser",
    "epochs", "seeds", "time per epoch", "peak memory",
)  # fmt: skip


def write_page(grid: TableConfig, runs: Sequence[Run], path: str | Path) -> None:
    """Write the page.

    Args:
        grid: the sections and what is told of them.
        runs: all runs, done or not.
        path: the Markdown file.
    """
    parts = ["# Results", grid.text.strip(), surroundings(runs)]
    for name, section in grid.sections.items():
        mine = [run for run in runs if run.section == name]
        if mine:
            parts += [f"## {section.title}", section.text.strip(), _table(mine)]
            parts += [_notes(section.rows), _signatures(mine), _commands(mine)]
    write_text(path, "\n\n".join(part for part in parts if part) + "\n")


def surroundings(runs: Sequence[Run]) -> str:
    """Return where the runs were made, a sentence each."""
    places: dict[str, None] = {}  # in order
    for run in runs:
        result = run.result
        if result is not None and (told := result["environment"]) is not None:
            packages = ", ".join(f"{name} {told[name]}" for name in PACKAGES if name in told)
            places[f"Measured on {told['processor']} with {packages}."] = None
    return "\n".join(places)


def by_row(runs: Sequence[Run]) -> dict[str, list[Run]]:
    """Return the runs of each row."""
    rows: dict[str, list[Run]] = {}
    for run in runs:
        rows.setdefault(run.row, []).append(run)
    return rows


def _table(runs: Sequence[Run]) -> str:
    results = [run.result for run in runs]
    metric = next((METRICS[result["metric"]][0] for result in results if result), "metric")
    headings = [heading.format(metric=metric) for heading in HEADINGS]
    if limit := next((at for result in results if result and (at := stops_below(result))), None):
        headings += ["test loss", f"seeds below {limit:g}", "steps to it, median"]
    lines = [headings, ["---"] + ["---:"] * (len(headings) - 1)]
    for row, mine in by_row(runs).items():
        done = [result for run in mine if (result := run.result) is not None]
        lines.append([row, *(_cells(done, len(mine)) if done else ["not run"])])
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _cells(done: list[dict[str, Any]], asked: int) -> list[str]:
    """Return a row's cells for its finished seeds."""
    first = done[0]
    model, trainer = first["model"], first["trainer"]
    values = [result["value"] for result in done]
    spread = ""
    if len(values) > 1:
        scale = 100 if first["metric"] == "accuracy" else 1
        spread = f" ± {scale * statistics.stdev(values):.2g}"
    optimiser = f"{trainer['optimizer']} {trainer['lr']:g}, batch {trainer['batch_size']}"
    peaks = [peak for result in done if (peak := result["peak_memory_mb"]) is not None]
    threads = f"{first['threads']} thread{'s' if first['threads'] > 1 else ''}"
    depth = f"{model['num_layers']}{' x 2' if model['bidirectional'] else ''}"
    dropouts = [model.get("dropout", 0), model["embedding_dropout"], model["head_dropout"]]
    cells = [
        precise(first["metric"], statistics.mean(values)) + spread,
        f"{first['parameters']:,}",
        f"{first['all_parameters']:,}",
        depth,
        "/".join(f"{dropout:g}" for dropout in dropouts) if any(dropouts) else "0",
        optimiser,
        str(trainer["epochs"]),
        str(asked) if len(done) == asked else f"{len(done)} of {asked}",
        f"{statistics.median(result['seconds_per_epoch'] for result in done):.1f} s, {threads}",
        f"{max(peaks):,.0f} MB" if peaks else "",
    ]
    if stops_below(first):
        cells += _threshold(done)
    return cells


def stops_below(result: dict[str, Any]) -> float | None:
    """Return the validation loss at which a run was to stop, or None."""
    return result["trainer"].get("stop_below")


def _threshold(done: list[dict[str, Any]]) -> list[str]:
    """Return the median test loss, how many seeds got below the threshold, and in how many steps.

    A seed that did not counts as one that takes longer than any.
    """
    ends = [result["steps"] if result["reached"] else math.inf for result in done]
    middle = statistics.median(ends)
    steps = f"{middle:,g}" if middle < math.inf else "not reached"
    loss = statistics.median(result["loss"] for result in done)
    return [f"{loss:.1e}", f"{sum(map(math.isfinite, ends))} of {len(ends)}", steps]


def precise(metric: str, value: float) -> str:
    """Return a metric's value with a digit more for accuracies."""
    return f"{100 * value:.2f}%" if metric == "accuracy" else shown(metric, value)


def _notes(rows: dict[str, Any]) -> str:
    return "\n".join(f"- {name}: {row.note}" for name, row in rows.items() if row.note)


def _signatures(runs: Sequence[Run]) -> str:
    """Return how the metric was computed, where its package says so."""
    told = {result["signature"]: None for run in runs if (result := run.result) is not None}
    return "\n".join(f"`{signature}`" for signature in told if signature)


def _commands(runs: Sequence[Run]) -> str:
    first = [mine[0] for mine in by_row(runs).values()]
    train = []
    for run in first:
        data = [] if run.data is None else [f"task.data_dir={run.data}"]
        train.append("    qrnn train " + " ".join([*run.train, *data]))
    evaluate = " ".join(["    qrnn evaluate checkpoint=.../best.ckpt", *runs[0].evaluate])
    head, tail = "<details><summary>Commands</summary>\n", "\n</details>"
    return "\n".join([head, *train, evaluate, tail])
