"""The results page as Markdown: a table of all tasks with a plot, then a section for each."""

from __future__ import annotations

import re
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path

from qrnn.utils.environment import PACKAGES
from qrnn.utils.files import write_text

from .grid import Grid, Section
from .plot import draw
from .records import Record
from .rows import (
    Comparison,
    Row,
    comparison,
    difference_text,
    mean_text,
    metric_name,
    rows_of,
)
from .runs import Run
from .tables import table, without_constants

PLOT = Path("images/results.svg")


def write_page(grid: Grid, runs: Sequence[Run], records: Mapping[str, Record], path: Path) -> None:
    """Write the page, and its plot beside it.

    Args:
        grid: the sections and their texts.
        runs: all runs, done or not.
        records: the records by the names of their runs.
        path: the Markdown file.
    """
    rows = {name: rows_of(name, runs, records) for name in grid.sections}
    found = {
        name: one
        for name, section in grid.sections.items()
        if (one := comparison(section, rows[name])) is not None
    }
    parts = [f"# {grid.title}", grid.text.strip()]
    if found:
        parts += [_summary(grid, found), f"![quantum networks and their classical twins]({PLOT})"]
        draw(
            {grid.sections[name].title: (found[name], rows[name]) for name in found},
            path.parent / PLOT,
        )
    shown = [
        record for several in rows.values() for row in several for record in row.records.values()
    ]
    parts += [grid.below.strip(), _environments(shown), _costs(grid, found)]
    for name, section in grid.sections.items():
        parts += [f"## {section.title}", section.text.strip(), _results(rows[name])]
        parts += [
            _notes(section, rows[name]),
            difference_text(found[name]) if name in found else "",
        ]
        parts += [_signatures(rows[name]), _details(rows[name])]
    write_text(path, "\n\n".join(part for part in parts if part) + "\n")


def _summary(grid: Grid, found: Mapping[str, Comparison]) -> str:
    """Return the table of all tasks."""
    lines = []
    for name, one in found.items():
        section = grid.sections[name]
        task = f"[{section.title}](#{_anchor(section.title)})<br>{metric_name(one.ours.metric)}"
        twin = "none" if one.twin is None else f"{one.twin.name}<br>{_value(one.twin)}"
        paper = section.paper or "none found"
        lines.append([task, _value(one.ours), twin, paper, f"**{one.verdict}**"])
    return table(["task", "quantum", "best twin", "papers", "verdict"], lines).replace(
        "---:", "---"
    )


def _value(row: Row) -> str:
    n = len(row.records)
    seeds = f"{n} seeds" if n > 1 else "1 seed"
    value = mean_text(row.metric, list(row.values.values())).replace(" ± ", "<br>± ")
    return f"{value}<br>{seeds}"


def _anchor(title: str) -> str:
    """Return the anchor of a heading, as MkDocs makes it."""
    return re.sub(r"\s+", "-", re.sub(r"[^\w\s-]", "", title).strip().lower())


COSTS = """## Time and memory

An epoch of training: seconds, and peak memory of the process (some 640 MB of it are the packages).
Medians over seeds, each pair on the same number of threads; batches may differ, see the settings.
Other work on the machine made times of one row's seeds differ by up to four times, so that most
ratios of times are within chance."""


def _costs(grid: Grid, found: Mapping[str, Comparison]) -> str:
    """Return a section on time and memory of the pairs that ran on as many threads."""
    units = {"seconds_per_epoch": "s", "peak_memory_mb": "MB"}
    lines = []
    for name, one in found.items():
        if one.twin is None:
            continue
        pair = [list(row.records.values()) for row in (one.ours, one.twin)]
        shared = set.intersection(*({record["threads"] for record in row} for row in pair))
        if not shared:
            continue
        pair = [[record for record in row if record["threads"] == min(shared)] for row in pair]
        cells = []  # of each unit: ours, the twin's, their ratio
        for field, unit in units.items():
            values = [[record[field] for record in row if field in record] for row in pair]
            if all(values):
                ours, twin = map(statistics.median, values)
                texts = [f"{x:,.0f}" if x >= 100 else f"{x:.3g}" for x in (ours, twin)]
                cells.append([*(f"{text}&nbsp;{unit}" for text in texts), f"{ours / twin:.2f}"])
        title = grid.sections[name].title
        task = f"[{title}](#{_anchor(title)})<br>{one.twin.name}"
        lines.append([task, *map("<br>".join, zip(*cells, strict=True))])
    headings = ["task, twin", "quantum", "twin", "ratio"]
    return f"{COSTS}\n\n{table(headings, lines)}" if lines else ""


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


def _results(rows: Sequence[Row]) -> str:
    """Return the table of a section, and what is the same in all its rows."""
    done = [row for row in rows if row.records]
    if not done:
        return table(["model", "test metric"], [[row.name, "not run"] for row in rows])
    devices = list(dict.fromkeys(name for row in done for name in row.one.get("devices", {})))
    limit = next((row.one["stop_below"] for row in done if "stop_below" in row.one), None)
    headings = ["model", f"test {metric_name(done[0].one['metric'])}"]
    headings += [f"on {name}" for name in devices]
    if limit is not None:
        headings += [f"median steps to a loss of {limit:g}", "seeds that reach it"]
    headings += ["recurrent parameters", *(["seeds", TIME] if limit is None else [])]
    cells = []
    for row in done:
        several = list(row.records.values())
        metric = several[0]["metric"]
        value = mean_text(metric, [record["value"] for record in several])
        line = [row.name, f"{value} (stale: {row.stale})" if row.stale else value]
        for name in devices:
            on = [one["devices"][name] for one in several if name in one.get("devices", {})]
            line.append(mean_text(metric, on) if on else "")
        if limit is not None:
            steps = list(row.values.values())
            reached = sum(record["reached"] for record in several)
            line += [mean_text("steps", [statistics.median(steps)]), f"{reached} of {len(steps)}"]
        seeds = str(row.seeds) if len(several) == row.seeds else f"{len(several)} of {row.seeds}"
        line.append(f"{row.one['parameters']:,}")
        cells.append([*line, *([seeds, _seconds(row)] if limit is None else [])])
    keep = headings[:2] if len(cells) > 1 else headings
    headings, cells, same = without_constants(headings, cells, keep)
    by_name = {line[0]: line for line in cells}
    cells = [by_name.get(row.name, [row.name, "not run"]) for row in rows]
    for name, value in done[0].one.get("baselines", {}).items():
        cells.append([f"{name} (no training)", mean_text(done[0].one["metric"], [value])])
    cells = [line + [""] * (len(headings) - len(line)) for line in cells]
    return "\n\n".join(part for part in (table(headings, cells), same) if part)


def _seconds(row: Row) -> str:
    return f"{statistics.median(one['seconds_per_epoch'] for one in row.records.values()):.1f}"


def _notes(section: Section, rows: Sequence[Row]) -> str:
    notes = []
    for row in rows:
        config = section.rows[row.name]
        shipped = f"shipped as [`{config.ship}`](pretrained.md)." if config.ship else ""
        if said := " ".join(filter(None, [config.note, shipped])):
            notes.append(f"- {row.name}: {said}")
    return "\n".join(notes)


def _signatures(rows: Sequence[Row]) -> str:
    """Return the signatures of the metrics, as given by their packages."""
    records = [record for row in rows for record in row.records.values()]
    signatures = dict.fromkeys(r["signature"] for r in records if "signature" in r)
    return "\n".join(f"`{signature}`" for signature in signatures)


TIME = "seconds per epoch"
SETTINGS = (
    "model",
    "optimiser",
    "learning rate",
    "batch",
    "epochs",
    "layers",
    "dropout",
    "threads",
    "all parameters",
    "peak memory",
    TIME,
)


def _details(rows: Sequence[Row]) -> str:
    """Return the settings of the finished rows and the commands of all, folded up."""
    cells = [settings(row) for row in rows if row.records]
    parts = ["<details><summary>Settings and commands</summary>"]
    if cells:
        headings, cells, same = without_constants(SETTINGS, cells)
        parts += [table(headings, cells) if len(headings) > 1 else "", same]
    runs = [row.first for row in rows]
    lines = [" ".join(["    qrnn train", *run.command]) for run in runs]
    evaluations = (runs[0].evaluate, *(overrides for _, overrides in runs[0].devices))
    start = "    qrnn evaluate checkpoint=.../best.ckpt"
    lines += [" ".join([start, *overrides]) for overrides in dict.fromkeys(evaluations)]
    return "\n\n".join(part for part in [*parts, "\n".join(lines), "</details>"] if part)


def settings(row: Row) -> list[str]:
    """Return a row's cells in the table of settings."""
    one = row.one
    peaks = [r["peak_memory_mb"] for r in row.records.values() if "peak_memory_mb" in r]
    return [
        row.name,
        one["optimizer"],
        f"{one['lr']:g}",
        str(one["batch_size"]),
        str(one["max_epochs"]),
        f"{one['layers']}{' x 2' if 'bidirectional' in one else ''}",
        "/".join(f"{dropout:g}" for dropout in one["dropout"]) if "dropout" in one else "none",
        str(one["threads"]),
        f"{one['all_parameters']:,}",
        f"{max(peaks):,.0f} MB" if peaks else "",
        _seconds(row) if row.metric == "steps" else "",  # else in the first table
    ]
