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
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException
from rich.console import Console
from rich.table import Table
from yaml import YAMLError

from qrnn.errors import ConfigError, DataError, QRNNError
from qrnn.files import write_text
from qrnn.registry import unknown_name


@dataclass
class RowConfig:
    """A model on a task.

    Attributes:
        set: overrides of `qrnn train`, `model=NAME` first.
        seeds: each is a run.
        minutes: what one run is expected to take, until one has been timed.
        note: a remark for the page.
    """

    set: list[str] = field(default_factory=list)
    seeds: list[int] = field(default_factory=lambda: [0])
    minutes: float = 1.0
    note: str = ""


@dataclass
class SectionConfig:
    """A task and the models that are compared on it.

    Attributes:
        title: its heading on the page.
        text: what is told below it.
        data: folder of the task's files below the one that holds all data; None: it has none.
        set: overrides of `qrnn train` that all rows share, `task=NAME` first.
        evaluate: overrides of `qrnn evaluate`.
        rows: models by the names that the table shows.
    """

    title: str = ""
    text: str = ""
    data: str | None = None
    set: list[str] = field(default_factory=list)
    evaluate: list[str] = field(default_factory=list)
    rows: dict[str, RowConfig] = field(default_factory=dict)


@dataclass
class TableConfig:
    """`configs/table.yaml`.

    Attributes:
        text: what is told at the top of the page.
        sections: tasks by short names.
    """

    text: str = ""
    sections: dict[str, SectionConfig] = field(default_factory=dict)


def read_grid(path: str | Path | None = None) -> TableConfig:
    """Return the runs of the results page, or of another file like it.

    Raises:
        ConfigError: no such file, or a key that it cannot have.
    """
    source: Any = files("qrnn.configs") / "table.yaml" if path is None else Path(path)
    try:
        plain = OmegaConf.create(source.read_text(encoding="utf-8"))
        typed = OmegaConf.merge(OmegaConf.structured(TableConfig), plain)
        return OmegaConf.to_object(typed)  # type: ignore[return-value]
    except (OSError, ValueError, YAMLError, OmegaConfBaseException) as error:
        reason = str(error).splitlines()[0]
        raise ConfigError(f"grid must be a YAML file of sections and rows: {reason}") from error


def read_store(path: Path) -> dict[str, Any]:
    """Return all results by the runs' names; of a file that is not there, none.

    Raises:
        DataError: the file is damaged.
    """
    if not path.is_file():
        return {}
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise DataError(f"{path} must be JSON, but is damaged: {error}") from error


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
        data: argument that names the data's folder, or none.
        evaluate: arguments of `qrnn evaluate` but for the checkpoint.
        minutes: what it is expected to take.
    """

    section: str
    row: str
    seed: int
    folder: Path
    store: Path
    train: tuple[str, ...]
    data: tuple[str, ...]
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
        with FileLock(self.folder.parents[1] / "store.lock"):
            everything = read_store(self.store) | {self.key: result}
            write_text(self.store, json.dumps(everything, indent=1, sort_keys=True) + "\n")

    def attempts(self) -> list[Path]:
        """Return the folders of the trainings so far, in order."""
        return sorted(self.folder.glob("train-*"))

    @property
    def status(self) -> str:
        """`done`, `resume` or `to do`."""
        if self.result is not None:
            return "done"
        return (
            "resume" if any((one / "last.ckpt").is_file() for one in self.attempts()) else "to do"
        )


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
        ConfigError: a name in `only` that there is not.
    """
    names = {*grid.sections, *(f"{s}/{r}" for s in grid.sections for r in grid.sections[s].rows)}
    for name in only or ():
        if name not in names:
            raise unknown_name("only", name, names)
    runs = []
    for name, section in grid.sections.items():
        where = () if section.data is None else (f"task.data_dir={data}/{section.data}",)
        for row, config in section.rows.items():
            if only and name not in only and f"{name}/{row}" not in only:
                continue
            for seed in config.seeds:
                # Hydra reads a comma in a folder's name as a list.
                kept = Path(folder) / name / re.sub(r"[^\w.-]+", "-", row) / f"seed-{seed}"
                train = (*section.set, *config.set, f"trainer.seed={seed}")
                run = Run(
                    name, row, seed, kept, Path(store), train, where, tuple(section.evaluate),
                    config.minutes,
                )  # fmt: skip
                runs.append(run)
    return runs


def execute(run: Run) -> None:
    """Train and evaluate; a training that was stopped before goes on.

    Raises:
        QRNNError: a command failed; its last line, and the log that has the rest.
    """
    attempts = run.attempts()
    finished = [one for one in attempts if (one / "summary.json").is_file()]
    arguments = run.folder / "arguments.json"
    if attempts and json.loads(arguments.read_text()) != list(run.train):
        raise QRNNError(
            f"{run.key} was begun with other arguments: remove {os.path.relpath(run.folder)}"
        )
    write_text(arguments, json.dumps(list(run.train)))
    if not finished:
        last = [one / "last.ckpt" for one in attempts if (one / "last.ckpt").is_file()]
        into = run.folder / f"train-{len(attempts)}"
        # A resumed run takes its configuration from the checkpoint.
        what = [f"resume={last[-1]}"] if last else [*run.train, *run.data]
        _command(run, ["train", *what, "trainer.progress=false", f"hydra.run.dir={into}"])
        finished = [into]
    summary = json.loads((finished[-1] / "summary.json").read_text())
    best = summary["best"]
    _command(run, ["evaluate", f"checkpoint={best}", *run.evaluate])
    evaluation = next(Path(best).parent.glob("evaluation-*.json"))
    told = json.loads(evaluation.read_text())
    config = summary.pop("config")
    del summary["best"]  # a path of this machine
    for key in ("metric", "value", "loss", "accuracy", "sequences"):
        summary[key] = told[key]
    configs = {"model": config["model"], "trainer": config["trainer"]}
    run.keep({"train": list(run.train), **summary, **configs})


def _command(run: Run, arguments: list[str]) -> None:
    command = [sys.executable, "-m", "qrnn", *arguments]
    with open(run.folder / "log.txt", "a", encoding="utf-8") as log:
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
