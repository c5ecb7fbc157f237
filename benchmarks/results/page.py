"""The results page as Markdown."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path

from qrnn.evaluation.metrics import METRICS, shown
from qrnn.utils.environment import PACKAGES
from qrnn.utils.files import write_text

from .grid import Grid, Row
from .records import Record
from .runs import Run

HEADINGS = (
    "model",
    "test {metric}",
    "recurrent parameters",
    "all parameters",
    "layers",
    "dropout",
    "optimiser",
    "epochs",
    "seeds",
    "time per epoch",
    "peak memory",
)


def write_page(grid: Grid, runs: Sequence[Run], records: Mapping[str, Record], path: Path) -> None:
    """Write the page.

    Args:
        grid: the sections and their texts.
        runs: all runs, done or not.
        records: the records by the names of their runs.
        path: the Markdown file.
    """
    found = {run: record for run in runs if (record := run.record(records)) is not None}
    parts = [f"# {grid.title}", grid.text.strip(), _environments(list(found.values()))]
    for name, section in grid.sections.items():
        rows: dict[str, list[Run]] = {}
        for run in runs:
            if run.section == name:
                rows.setdefault(run.row, []).append(run)
        done = {row: [found[run] for run in mine if run in found] for row, mine in rows.items()}
        seeds = {row: len(mine) for row, mine in rows.items()}
        parts += [f"## {section.title}", section.text.strip(), _table(done, seeds)]
        parts += [_notes(section.rows), _signatures(done)]
        parts += [_commands([mine[0] for mine in rows.values()])]
    write_text(path, "\n\n".join(part for part in parts if part) + "\n")


def _environments(records: Sequence[Record]) -> str:
    """Return one sentence for each environment in which runs were performed."""
    sentences: dict[str, None] = {}  # in order
    for record in records:
        if (environment := record.get("environment")) is not None:
            packages = ", ".join(
                f"{name} {environment[name]}" for name in ("qrnn", *PACKAGES) if name in environment
            )
            sentences[f"Measured on {environment['processor']} with {packages}."] = None
    return "\n".join(sentences)


def _table(done: dict[str, list[Record]], seeds: dict[str, int]) -> str:
    """Return the table of a section.

    Args:
        done: records of the finished runs, by row.
        seeds: number of runs, finished or not, by row.
    """
    records = [record for row in done.values() for record in row]
    metric = METRICS[records[0]["metric"]][0] if records else "metric"
    headings = [heading.format(metric=metric) for heading in HEADINGS]
    if limits := [record["stop_below"] for record in records if "stop_below" in record]:
        headings += ["test loss", f"seeds below {limits[0]:g}", "median steps to it"]
    devices = list(dict.fromkeys(name for one in records for name in one.get("devices", {})))
    headings[2:2] = [f"on {name}" for name in devices]
    lines = [headings, ["---"] + ["---:"] * (len(headings) - 1)]
    for row, finished in done.items():
        cells = _cells(finished, seeds[row]) if finished else ["not run"]
        for name in reversed(devices if finished else []):
            values = [one["devices"][name] for one in finished if name in one.get("devices", {})]
            cells.insert(1, _mean(finished[0]["metric"], values) if values else "")
        lines.append([row, *cells])
    for name, value in (records[0].get("baselines", {}) if records else {}).items():
        lines.append([f"{name} (no training)", _mean(records[0]["metric"], [value])])
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _cells(done: list[Record], seeds: int) -> list[str]:
    """Return the cells of a row with finished runs."""
    first = done[0]
    peaks = [record["peak_memory_mb"] for record in done if "peak_memory_mb" in record]
    seconds = statistics.median(record["seconds_per_epoch"] for record in done)
    cells = [
        _mean(first["metric"], [record["value"] for record in done]),
        f"{first['parameters']:,}",
        f"{first['all_parameters']:,}",
        f"{first['layers']}{' x 2' if 'bidirectional' in first else ''}",
        "/".join(f"{dropout:g}" for dropout in first.get("dropout", [0])),
        f"{first['optimizer']} {first['lr']:g}, batch {first['batch_size']}",
        str(first["max_epochs"]),
        str(seeds) if len(done) == seeds else f"{len(done)} of {seeds}",
        f"{seconds:.1f} s, {first['threads']} thread{'s' if first['threads'] > 1 else ''}",
        f"{max(peaks):,.0f} MB" if peaks else "",
    ]
    if "stop_below" in first:
        cells += _threshold(done)
    return cells


def _mean(metric: str, values: list[float]) -> str:
    """Return mean and standard deviation, for accuracies with an additional digit."""
    mean = statistics.mean(values)
    scale = 100 if metric == "accuracy" else 1
    text = f"{scale * mean:.2f}%" if metric == "accuracy" else shown(metric, mean)
    return text + (f" ± {scale * statistics.stdev(values):.2g}" if len(values) > 1 else "")


def _threshold(done: list[Record]) -> list[str]:
    """Return the median test loss, the number of seeds below the threshold, and the median steps.

    A seed that did not get below counts as slower than any that did.
    """
    steps = [record["steps"] if record["reached"] else math.inf for record in done]
    median = statistics.median(steps)
    loss = statistics.median(record["loss"] for record in done)
    reached = sum(map(math.isfinite, steps))
    time = f"{median:,g}" if median < math.inf else "not reached"
    return [f"{loss:.1e}", f"{reached} of {len(steps)}", time]


def _notes(rows: dict[str, Row]) -> str:
    return "\n".join(f"- {name}: {row.note}" for name, row in rows.items() if row.note)


def _signatures(done: dict[str, list[Record]]) -> str:
    """Return the signatures of the metrics, as given by their packages."""
    records = [record for row in done.values() for record in row]
    signatures = dict.fromkeys(r["signature"] for r in records if "signature" in r)
    return "\n".join(f"`{signature}`" for signature in signatures)


def _commands(runs: list[Run]) -> str:
    """Return the commands of a section, with one `qrnn train` per row."""
    lines = [" ".join(["    qrnn train", *run.command]) for run in runs]
    evaluations = (runs[0].evaluate, *(overrides for _, overrides in runs[0].devices))
    start = "    qrnn evaluate checkpoint=.../best.ckpt"
    lines += [" ".join([start, *overrides]) for overrides in dict.fromkeys(evaluations)]
    return "\n".join(["<details><summary>Commands</summary>\n", *lines, "\n</details>"])
