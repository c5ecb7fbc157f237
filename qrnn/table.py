"""`qrnn table`: all runs of the results page, one after another, resumed where they stopped."""

from __future__ import annotations

import json
import os
import re
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout
from rich.console import Console
from rich.table import Table

from qrnn.errors import ConfigError, DataError, QRNNError
from qrnn.files import naming, write_text
from qrnn.grid import TableConfig
from qrnn.plain import read_text
from qrnn.registry import unknown_name

SUMMARY = {
    "steps", "reached", "seconds_per_epoch", "minutes", "threads", "peak_memory_mb", "parameters",
    "all_parameters",
}  # fmt: skip
EVALUATION = {"metric", "value", "loss", "accuracy", "sequences", "signature"}
RESULT = SUMMARY | EVALUATION | {"train", "model", "trainer", "environment"}


def read_json(path: Path, keys: Collection[str] = ()) -> Any:
    """Return the content of a file that a command wrote.

    Args:
        path: the file.
        keys: what must be there at least; if any, it is a mapping.

    Raises:
        DataError: it is missing or damaged.
    """
    try:
        content = json.loads(read_text(path))
    except (OSError, ValueError, RecursionError) as error:
        reason = str(error).splitlines()[0]
        raise DataError(f"{path} must be JSON, but is missing or damaged: {reason}") from error
    if keys and not (isinstance(content, dict) and content.keys() >= set(keys)):
        raise DataError(f"{path} must have the keys {' '.join(sorted(keys))}: remove it")
    return content


def read_store(path: Path) -> dict[str, Any]:
    """Return all results by the runs' names; of a file that is not there, none.

    Raises:
        DataError: the file is damaged.
    """
    store = read_json(path) if path.is_file() else {}
    for result in store.values() if isinstance(store, dict) else [None]:
        if not (isinstance(result, dict) and result.keys() >= RESULT):
            raise DataError(f"{path} must hold results of qrnn table, but is damaged: remove it")
    return store


@dataclass(frozen=True)
class Run:
    """One training run with its evaluation.

    Attributes:
        section: short name of its task.
        row: name of its model.
        seed: of the training.
        folder: where its checkpoints are kept.
        store: file of all results.
        train: arguments of `qrnn train` but for folders.
        data: folder of the task's files; None: it has none.
        evaluate: arguments of `qrnn evaluate` but for the checkpoint.
        minutes: what it is expected to take.
    """

    section: str
    row: str
    seed: int
    folder: Path
    store: Path
    train: tuple[str, ...]
    data: str | None
    evaluate: tuple[str, ...]
    minutes: float

    @property
    def key(self) -> str:
        """Its name in the store."""
        return f"{self.section}/{self.row}/{self.seed}"

    @property
    def result(self) -> dict[str, Any] | None:
        """What is kept of it, or None if it is not done, or was done with other arguments."""
        kept = read_store(self.store).get(self.key)
        return kept if kept and kept["train"] == list(self.train) else None

    def keep(self, result: dict[str, Any]) -> None:
        """Enter its result into the store."""
        with FileLock(self.store.with_name(f".{self.store.name}.lock")):
            everything = read_store(self.store) | {self.key: result}
            write_text(self.store, json.dumps(everything, indent=1, sort_keys=True) + "\n")

    def attempts(self) -> list[Path]:
        """Return the folders of the trainings so far, in order."""
        found = [one for one in self.folder.glob("train-*") if one.name[6:].isdecimal()]
        return sorted(found, key=lambda one: int(one.name[6:]))

    def last(self) -> Path | None:
        """Return the checkpoint to go on from."""
        kept = [one / "last.ckpt" for one in self.attempts() if (one / "last.ckpt").is_file()]
        return kept[-1] if kept else None

    def check_begun(self) -> None:
        """Refuse to go on with what was begun as something else.

        Raises:
            QRNNError: it was begun with other arguments.
            DataError: what tells them is missing or damaged.
        """
        if self.attempts() and read_json(self.folder / "arguments.json") != list(self.train):
            raise QRNNError(
                f"{self.key} was begun with other arguments: remove {os.path.relpath(self.folder)}"
            )

    @property
    def status(self) -> str:
        """`done`, `resume`, `to do`, or `remove`: begun with other arguments."""
        if self.result is not None:
            return "done"
        try:
            self.check_begun()
        except QRNNError:
            return "remove"
        return "to do" if self.last() is None else "resume"


def runs_of(
    grid: TableConfig,
    folder: str | Path,
    store: str | Path,
    data: str = "DATA",
    only: list[str] | None = None,
) -> list[Run]:
    """Return all runs of a grid, in its order.

    Args:
        grid: the sections.
        folder: where all checkpoints are kept.
        store: file of all results.
        data: folder that holds the data sets' folders.
        only: short names of sections, or `section/row`; None: all.

    Raises:
        ConfigError: a name in `only` that there is not, or two rows with one folder.
    """
    names = {*grid.sections, *(f"{s}/{r}" for s in grid.sections for r in grid.sections[s].rows)}
    for name in only or ():
        if name not in names:
            raise unknown_name("only", name, names)
    runs = []
    for name, section in grid.sections.items():
        where = None if section.data is None else f"{data}/{section.data}"
        folders = {row: folder_name(row) for row in section.rows}
        if len(set(folders.values())) < len(folders):
            raise ConfigError(f"rows of {name} must differ in letters, digits, dots or dashes")
        for row, config in section.rows.items():
            if only and name not in only and f"{name}/{row}" not in only:
                continue
            for seed in config.seeds:
                kept = Path(folder) / name / folders[row] / f"seed-{seed}"
                train = (*section.set, *config.set, f"trainer.seed={seed}")
                run = Run(
                    name, row, seed, kept, Path(store), train, where, tuple(section.evaluate),
                    config.minutes,
                )  # fmt: skip
                runs.append(run)
    return runs


def folder_name(row: str) -> str:
    """Return a row's name as one of a folder, without what a shell or Hydra would read."""
    return re.sub(r"[^\w.-]+", "-", row)


def execute(run: Run) -> None:
    """Train and evaluate; a training that was stopped before goes on.

    Raises:
        QRNNError: a command failed; its last line, and the log that has the rest.
        DataError: what an earlier command left is damaged.
    """
    run.check_begun()
    attempts = run.attempts()
    finished = [one for one in attempts if (one / "summary.json").is_file()]
    write_text(run.folder / "arguments.json", json.dumps(list(run.train)))
    if not finished:
        number = 1 + int(attempts[-1].name[6:]) if attempts else 0
        into = run.folder / f"train-{number}"
        # A resumed run takes its configuration from the checkpoint.
        last = run.last()
        what = list(run.train) if last is None else [_path("resume", last)]
        where = [] if run.data is None else [_path("task.data_dir", run.data)]
        into_it = _path("hydra.run.dir", into)
        _command(run, ["train", *what, *where, "trainer.progress=false", into_it])
        finished = [into]
    summary = read_json(finished[-1] / "summary.json", SUMMARY | {"best", "config"})
    place = finished[-1] / "environment.json"
    result = {
        "train": list(run.train),
        **_shortened(summary),
        **_evaluation(run, summary["best"]),
        "environment": read_json(place) if place.is_file() else None,
    }
    run.keep(result)


def _shortened(summary: dict[str, Any]) -> dict[str, Any]:
    """Return what the page needs of a summary; a path of this machine is not kept."""
    config = summary["config"]
    told = {name: value for name, value in summary.items() if name not in ("best", "config")}
    return {**told, "model": config["model"], "trainer": config["trainer"]}


def _evaluation(run: Run, best: str) -> dict[str, Any]:
    """Evaluate a run's best checkpoint; return what the page needs of it."""
    where = [] if run.data is None else [_path("data_dir", run.data)]
    _command(run, ["evaluate", _path("checkpoint", best), *where, *run.evaluate])
    # Others may lie there, of other devices or parts: this one is the last that was written.
    files = Path(best).parent.glob("evaluation-*.json")
    told = read_json(max(files, key=lambda path: path.stat().st_mtime_ns), EVALUATION)
    return {name: told[name] for name in EVALUATION}


def _path(key: str, path: str | Path) -> str:
    """Return an argument as Hydra reads it whatever signs the path has."""
    escaped = str(path).replace("'", "\\'")
    return f"{key}='{escaped}'"


def _command(run: Run, arguments: list[str]) -> None:
    command = [sys.executable, "-m", "qrnn", *arguments]
    place = run.folder / "log.txt"
    with naming(place), open(place, "a", encoding="utf-8") as log:
        print("$ qrnn", *arguments, file=log, flush=True)
        process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT)
        try:
            status = process.wait()
        except KeyboardInterrupt:  # the command has had it too, and leaves its checkpoint
            process.send_signal(signal.SIGINT)
            process.wait()
            raise KeyboardInterrupt("interrupted: the same command goes on") from None
    if status:
        lines = (run.folder / "log.txt").read_text(encoding="utf-8").strip().splitlines()
        raise QRNNError(
            f"{run.section}/{run.row}, seed {run.seed}: {lines[-1]} (all of it in "
            f"{os.path.relpath(run.folder / 'log.txt')})"
        )


def expected_minutes(run: Run, runs: list[Run]) -> float:
    """Return what a run will take: what another seed took, or else what its row says."""
    done = [
        other.result["minutes"]
        for other in runs
        if (other.section, other.row) == (run.section, run.row) and other.result is not None
    ]
    return statistics.median(done) if done else run.minutes


def listing(runs: list[Run]) -> Table:
    """Return the runs with their state and expected time."""
    out = Table(title="Runs of the results page", title_style="bold")
    for heading in ("section", "model", "seed", "state"):
        out.add_column(heading, no_wrap=heading != "model")
    out.add_column("minutes", justify="right")
    total = 0.0
    for run in runs:
        minutes = 0.0 if run.status == "done" else expected_minutes(run, runs)
        total += minutes
        shown = f"{minutes:.0f}" if minutes else ""
        out.add_row(run.section, run.row, str(run.seed), run.status, shown)
    out.caption = f"to do: about {total:.0f} minutes"
    return out


def execute_all(runs: list[Run], minutes: float | None = None) -> int:
    """Run what is not done, in order; return how many runs failed.

    Args:
        runs: all runs.
        minutes: begin none that is expected to end later than so many from now; None: no limit.

    Two processes may share the work: a run that the other has begun is left to it.
    """
    console = Console()
    end = None if minutes is None else time.monotonic() + 60 * minutes
    failed = 0
    todo = [run for run in runs if run.status != "done"]
    for i, run in enumerate(todo):
        if run.status == "done":  # by another process, meanwhile
            continue
        name = f"{run.section}/{run.row}, seed {run.seed}"
        expected = expected_minutes(run, runs)
        left = sum(expected_minutes(other, runs) for other in todo[i:])
        if end is not None and time.monotonic() + 60 * expected > end:
            console.print(f"{name}: not begun, it would take {expected:.0f} minutes")
            continue
        place = f"{i + 1} of {len(todo)}, about {expected:.0f} of {left:.0f} minutes"
        console.print(f"{name}: {place} ...", soft_wrap=True)
        run.folder.mkdir(parents=True, exist_ok=True)
        try:
            with FileLock(run.folder / "lock", blocking=False):
                execute(run)
        except Timeout:
            console.print("  skipped: another process is at it")
            continue
        except QRNNError as error:
            failed += 1
            console.print(f"  failed: {error}", markup=False)
            continue
        result = run.result
        assert result is not None
        console.print(f"  {result['metric']} {result['value']:.4g}")
    return failed
