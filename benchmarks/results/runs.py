"""The runs of the results page: performed one after another, each resumed where it stopped."""

from __future__ import annotations

import json
import os
import re
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout
from rich.console import Console
from rich.table import Table

from qrnn.errors import ConfigError, DataError, QRNNError
from qrnn.utils.files import write_text
from qrnn.utils.registry import unknown_name

from .grid import Grid
from .records import EVALUATION, SUMMARY, Record, add_records, make_record, read_records
from .stale import change, defaults_of, digest


@dataclass(frozen=True)
class Run:
    """One training run and its evaluation.

    Attributes:
        section: short name of its task.
        row: name of its model.
        seed: random seed of the training.
        folder: folder of its checkpoints and its log.
        train: overrides of `qrnn train`, without folders.
        data: folder of the task's files, in the place of `{data}` in the overrides, or without one
            for `task.data_dir`; None if the task needs none.
        evaluate: overrides of `qrnn evaluate`, without the checkpoint.
        devices: names and overrides of further evaluations.
        minutes: its expected duration.
    """

    section: str
    row: str
    seed: int
    folder: Path
    train: tuple[str, ...]
    data: str | None
    evaluate: tuple[str, ...]
    devices: tuple[tuple[str, tuple[str, ...]], ...]
    minutes: float

    @property
    def name(self) -> str:
        """Its name among the records."""
        return f"{self.section}/{self.row}/{self.seed}"

    @property
    def command(self) -> list[str]:
        """Its overrides of `qrnn train`, with the folder of its data."""
        if self.finds_data:
            return [one.replace("{data}", self.data or "") for one in self.train]
        return [*self.train, _path("task.data_dir", self.data)]

    @property
    def finds_data(self) -> bool:
        """Whether the checkpoint itself tells where the data are."""
        return self.data is None or any("{data}" in one for one in self.train)

    def change(self, then: Mapping[str, Any]) -> str:
        """Return what changed since a record or an attempt; see `stale.change`."""
        return change(then, self.train, self.data and digest(self.data))

    def record(self, records: Mapping[str, Record]) -> Record | None:
        """Return its record, or None if it is not done or stale."""
        found = records.get(self.name)
        return None if found is None or self.change(found) else found

    def attempts(self) -> list[Path]:
        """Return the folders of its training attempts so far, in order."""
        found = [path for path in self.folder.glob("train-*") if path.name[6:].isdecimal()]
        return sorted(found, key=lambda path: int(path.name[6:]))

    def last_checkpoint(self) -> Path | None:
        """Return the checkpoint to resume from, or None."""
        found = [path for one in self.attempts() if (path := one / "last.ckpt").is_file()]
        return found[-1] if found else None

    def made_with(self) -> dict[str, Any]:
        """Return what it is made with today, as stored with it."""
        found = {"train": " ".join(self.train), "defaults": defaults_of(self.train)}
        data = self.data and digest(self.data)
        return found | ({"data": data} if data else {})

    def started_with(self) -> dict[str, Any] | None:
        """Return what its attempts so far were made with; None: there are none.

        Raises:
            DataError: the file that says so is missing or corrupt.
        """
        if not self.attempts():
            return None
        path = self.folder / "overrides.json"
        found = read_json(path)
        if isinstance(found, list):  # of an older version
            return {"train": " ".join(found)}
        return read_json(path, ["train"])

    def set_aside(self) -> Path:
        """Move what its folder has to a folder in it, and return that."""
        number = len(list(self.folder.glob("old-*")))
        old = self.folder / f"old-{number}"
        paths = [
            path for path in self.folder.iterdir() if not path.name.startswith(("old-", "lock"))
        ]
        old.mkdir()
        for path in paths:
            path.rename(old / path.name)
        return old

    def status(self, records: Mapping[str, Record]) -> str:
        """Return `done`, `resume`, `to do`, `stale` and why, or `remove` (a corrupt folder)."""
        if (found := records.get(self.name)) is not None:
            why = self.change(found)
            return f"stale: {why}" if why else "done"
        try:
            then = self.started_with()
        except DataError:
            return "remove"
        goes_on = then is not None and not self.change(then) and self.last_checkpoint()
        return "resume" if goes_on else "to do"


def read_json(path: Path, keys: Collection[str] = ()) -> Any:
    """Return the content of a JSON file written by a command.

    Args:
        path: the file.
        keys: required keys; if there are any, the file must contain a mapping.

    Raises:
        DataError: the file is missing or corrupt.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        reason = str(error).splitlines()[0]
        raise DataError(f"{path} must be JSON, but is missing or corrupt: {reason}") from error
    if keys and not (isinstance(content, dict) and content.keys() >= set(keys)):
        raise DataError(f"{path} must have the keys {' '.join(sorted(keys))}: remove it")
    return content


def runs_of(
    grid: Grid, folder: str | Path, data: str = "DATA", only: Sequence[str] | None = None
) -> list[Run]:
    """Return the runs of a grid, in its order.

    Args:
        grid: the sections.
        folder: parent of the folders of the runs.
        data: parent of the folders of the data sets.
        only: short names of sections, or `section/row`; None: all.

    Raises:
        ConfigError: `only` has an unknown name, or two rows would share a folder.
    """
    names = {*grid.sections, *(f"{s}/{r}" for s in grid.sections for r in grid.sections[s].rows)}
    for name in only or ():
        if name not in names:
            raise unknown_name("--only", name, names)
    runs = []
    for name, section in grid.sections.items():
        files = None if section.data is None else f"{data}/{section.data}"
        # Free of characters that a shell or Hydra would interpret.
        folders = {row: re.sub(r"[^\w.-]+", "-", row) for row in section.rows}
        if len(set(folders.values())) < len(folders):
            raise ConfigError(f"rows of {name} must differ in letters, digits, dots or dashes")
        for row, config in section.rows.items():
            if only and name not in only and f"{name}/{row}" not in only:
                continue
            for seed in config.seeds:
                run = Run(
                    section=name,
                    row=row,
                    seed=seed,
                    folder=Path(folder) / name / folders[row] / f"seed-{seed}",
                    train=(*section.set, *config.set, f"trainer.seed={seed}"),
                    data=files,
                    evaluate=tuple(section.evaluate),
                    devices=tuple((k, tuple(v)) for k, v in section.devices.items()),
                    minutes=config.minutes,
                )
                runs.append(run)
    return runs


def execute(run: Run) -> Record:
    """Train or resume, then evaluate; return the record.

    Raises:
        QRNNError: a command failed; the message has its last line and the path of the log.
        DataError: a file of an earlier command is corrupt.
    """
    started = run.started_with()
    if started is not None and run.change(started):
        run.set_aside()
        started = None
    made = started or run.made_with()
    attempts = run.attempts()
    finished = [path for path in attempts if (path / "summary.json").is_file()]
    write_text(run.folder / "overrides.json", json.dumps(made))
    if not finished:
        number = 1 + int(attempts[-1].name[6:]) if attempts else 0
        folder = run.folder / f"train-{number}"
        # A resumed run takes its configuration from the checkpoint.
        last = run.last_checkpoint()
        what = run.command
        if last is not None:
            what = [_path("resume", last), *run.command[len(run.train) :]]
        into = _path("hydra.run.dir", folder)
        _command(run, ["train", *what, "trainer.progress=false", into])
        finished = [folder]
    summary = read_json(finished[-1] / "summary.json", SUMMARY)
    path = finished[-1] / "environment.json"
    environment = read_json(path) if path.is_file() else None
    evaluation = _evaluate(run, summary["best"], run.evaluate)
    record = make_record(run.train, summary, evaluation, environment) | made
    for name, overrides in run.devices:
        found = _evaluate(run, summary["best"], overrides)
        record.setdefault("devices", {})[name] = found["value"]
    return record


def _evaluate(run: Run, checkpoint: str, overrides: Sequence[str]) -> dict[str, Any]:
    """Evaluate a checkpoint; return what the command wrote."""
    data = [] if run.finds_data else [_path("data_dir", run.data or "")]
    _command(run, ["evaluate", _path("checkpoint", checkpoint), *data, *overrides])
    # There may be files of other devices or splits: this one was written last.
    files = Path(checkpoint).parent.glob("evaluation-*.json")
    return read_json(max(files, key=lambda path: path.stat().st_mtime_ns), EVALUATION)


def _path(key: str, path: str | Path) -> str:
    """Return an override that Hydra parses correctly for any characters in the path."""
    if re.fullmatch(r"[\w./-]+", str(path), re.ASCII):
        return f"{key}={path}"
    escaped = str(path).replace("'", "\\'")
    return f"{key}='{escaped}'"


def _command(run: Run, arguments: list[str]) -> None:
    command = [sys.executable, "-m", "qrnn", *arguments]
    with open(run.folder / "log.txt", "a", encoding="utf-8") as log:
        print("$ qrnn", *arguments, file=log, flush=True)
        process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT)
        try:
            status = process.wait()
        except KeyboardInterrupt:  # the command gets it too, and saves a checkpoint
            process.send_signal(signal.SIGINT)
            process.wait()
            raise
    if status:
        lines = (run.folder / "log.txt").read_text(encoding="utf-8").strip().splitlines()
        log_file = os.path.relpath(run.folder / "log.txt")
        raise QRNNError(f"{run.name}: {lines[-1]} (full log: {log_file})")


def expected_minutes(run: Run, runs: Sequence[Run], records: Mapping[str, Record]) -> float:
    """Return the expected duration: the median of its row's finished seeds, or the grid's value."""
    row = [other for other in runs if (other.section, other.row) == (run.section, run.row)]
    done = [record["minutes"] for other in row if (record := other.record(records)) is not None]
    return statistics.median(done) if done else run.minutes


def listing(runs: Sequence[Run], records: Mapping[str, Record]) -> Table:
    """Return the runs with their status and expected time."""
    out = Table(title="Runs of the results page", title_style="bold")
    for heading in ("section", "model", "seed", "status"):
        out.add_column(heading, no_wrap=heading != "model")
    out.add_column("minutes", justify="right")
    total = 0.0
    for run in runs:
        status = run.status(records)
        minutes = 0.0 if status == "done" else expected_minutes(run, runs, records)
        total += minutes
        shown = f"{minutes:.0f}" if minutes else ""
        out.add_row(run.section, run.row, str(run.seed), status, shown)
    out.caption = f"to do: about {total:.0f} minutes"
    return out


def mark_data(runs: Sequence[Run], path: Path) -> None:
    """Note in the records whether their data files have changed, as far as these are here."""
    records, marked = read_records(path), {}
    for run in runs:
        now, record = run.data and digest(run.data), records.get(run.name, {})
        if now and "data" in record:
            new = {key: value for key, value in record.items() if key != "data_changed"}
            if now != record["data"]:
                new["data_changed"] = True
            if new != record:
                marked[run.name] = new
    if marked:
        add_records(path, marked)


def execute_all(runs: Sequence[Run], path: Path, minutes: float | None = None) -> int:
    """Perform all runs that are missing or stale, in order; return how many failed.

    Args:
        runs: all runs.
        path: the file of the records.
        minutes: start no run that would end after this many minutes; None: no limit.

    Several processes may share the work: each skips the runs that another has started.
    """
    console = Console()
    end = None if minutes is None else time.monotonic() + 60 * minutes
    failed = 0
    records = read_records(path)
    todo = [run for run in runs if run.record(records) is None]
    for i, run in enumerate(todo):
        records = read_records(path)
        if run.record(records) is not None:  # by another process, meanwhile
            continue
        expected = expected_minutes(run, runs, records)
        if end is not None and time.monotonic() + 60 * expected > end:
            console.print(f"{run.name}: not started, it would take {expected:.0f} minutes")
            continue
        left = sum(expected_minutes(other, runs, records) for other in todo[i:])
        place = f"{i + 1} of {len(todo)}, about {expected:.0f} of {left:.0f} minutes"
        console.print(f"{run.name}: {place} ...", soft_wrap=True)
        run.folder.mkdir(parents=True, exist_ok=True)
        try:
            with FileLock(run.folder / "lock", blocking=False):
                record = execute(run)
                add_records(path, {run.name: record})
        except Timeout:
            console.print("  skipped: another process is running it")
        except QRNNError as error:
            failed += 1
            console.print(f"  failed: {error}", markup=False)
        else:
            console.print(f"  {record['metric']} {record['value']:.4g}")
    return failed
