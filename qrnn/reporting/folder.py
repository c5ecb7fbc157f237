"""Read the files of a run, without building its model."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

import numpy as np

from qrnn.errors import DataError, QRNNError
from qrnn.evaluation.damping import Damping
from qrnn.evaluation.evaluation import Evaluation, describe
from qrnn.evaluation.hardware import Cost
from qrnn.evaluation.metrics import METRICS
from qrnn.training.checkpoint import checkpoint_identity, read_checkpoint
from qrnn.training.history import Best, best_of, history
from qrnn.utils.overrides import argument, shell_quoted
from qrnn.utils.private import hide
from qrnn.utils.program import python, shown_path, started
from qrnn.utils.safe_yaml import check_plain, read_text, read_yaml

T = TypeVar("T")
DAMAGED = (QRNNError, OSError, ValueError, TypeError, LookupError, AttributeError, RecursionError)


@dataclass(frozen=True)
class RunFolder:
    """The files of a run.

    Attributes:
        folder: the run's folder.
        config: the full configuration, as plain values; secrets are hidden.
        summary: time, memory and size of the training; None: it has not finished.
        environment: processor and versions used in training; None: not recorded.
        history: each metric as (epoch, value) pairs.
        evaluations: evaluations of the checkpoint, those on the training device first.
        stale: evaluations of other models, or of models not recorded.
        checkpoint: the best checkpoint, else the last; None: the folder has neither.
        missing: a sentence for each damaged or missing file.
        program: what runs the commands: what runs this one, or the program that defines a part of
            the model.
    """

    folder: Path
    config: dict[str, Any]
    summary: dict[str, Any] | None
    environment: dict[str, Any] | None
    history: dict[str, list[tuple[int, float]]]
    evaluations: tuple[Evaluation, ...]
    stale: tuple[Evaluation, ...]
    checkpoint: Path | None
    missing: tuple[str, ...]
    program: str = "qrnn"

    def name_of(self, group: str) -> str:
        """Return the name of the task, model or device."""
        return str(self.config[group].get("name", f"unnamed {group}"))

    @property
    def main(self) -> Evaluation | None:
        """The main result: the evaluation on the training device with the most sequences."""
        return self.evaluations[0] if self.evaluations else None

    @property
    def best(self) -> Best | None:
        """The epoch of the lowest validation loss; None: no epoch yet."""
        return best_of(self.history)


def read_folder(folder: str | Path) -> RunFolder:
    """Return the files of a run; damaged ones are listed in `missing`.

    Raises:
        DataError: the folder is not that of a run.
    """
    folder = Path(folder)
    if not folder.is_dir():
        what = "is a file" if folder.is_file() else "does not exist"
        raise DataError(f"run must be a folder that `qrnn train` wrote, but {folder} {what}")
    missing: list[str] = []

    def attempt(path: Path, read: Callable[[Path], T]) -> T | None:
        if not path.exists():
            return None
        try:
            return read(path)
        except DAMAGED as error:
            message = str(error).removeprefix(f"{path} ")
            reason = message.splitlines()[0][:120] if message else type(error).__name__
            missing.append(f"{path.name} is damaged and left out: {reason}")
            return None

    checkpoints = [path for name in ("best", "last") if (path := folder / f"{name}.ckpt").is_file()]
    sources: dict[Path, Callable[[Path], Any]] = {
        folder / "config.yaml": read_yaml,
        folder / "summary.json": lambda path: _object(path).get("config"),
    }
    sources |= dict.fromkeys(checkpoints, lambda path: read_checkpoint(path)["qrnn"]["config"])
    config = None
    for path, read in sources.items():
        config = config or attempt(path, partial(_config, read))
    if config is None:
        raise _not_a_run(folder, missing)
    summary = attempt(folder / "summary.json", _summary)
    found = [attempt(path, _evaluation) for path in sorted(folder.glob("evaluation-*.json"))]
    evaluations = [one for one in found if one is not None]
    evaluations.sort(key=lambda one: (one.device != one.reference, -one.sequences))
    environment = attempt(folder / "environment.json", _object)
    recorded = (environment or {}).pop("program", "")
    identity: str | None = None
    modules: list[str] = []
    if checkpoints and (found_in := attempt(checkpoints[0], _checkpoint)) is not None:
        identity, modules = found_in
    own = [one for one in evaluations if identity is not None and one.checkpoint == identity]
    curves = attempt(folder / "metrics.csv", lambda path: history(path.parent))
    if not (folder / "summary.json").exists():
        missing.append("summary.json is missing: the training has not finished")
    return RunFolder(
        folder,
        hide(config),
        summary,
        environment,
        curves or {},
        tuple(own),
        tuple(one for one in evaluations if one not in own),
        checkpoints[0] if checkpoints else None,
        tuple(missing),
        _program(folder, modules, str(recorded)),
    )


def _not_a_run(folder: Path, missing: list[str]) -> DataError:
    """Return the error for a folder without a configuration; it suggests runs in subfolders."""
    if missing:
        return DataError(f"run {folder} must hold a readable configuration: {missing[0]}")
    message = f"run must be a folder that `qrnn train` wrote, but {folder} holds no config.yaml"
    if below := sorted(str(path.parent) for path in folder.glob("*/config.yaml")):
        some = argument("run", below[:3])
        message += f": choose from the {len(below)} runs in it, e.g. {some}"
    return DataError(message)


def _config(read: Callable[[Path], Any], path: Path) -> dict[str, Any]:
    config = read(path)
    if not isinstance(config, dict):
        raise ValueError("it must hold groups of keys")
    for group in ("task", "model", "device", "trainer"):
        if not isinstance(config.get(group), dict):
            raise ValueError(f"it must hold the group {group}")
        if not isinstance(config[group].get("name", ""), str):
            raise ValueError(f"{group}.name must be a string")
    check_plain(config)
    return config


def _checkpoint(path: Path) -> tuple[str, list[str]]:
    """Return the identity of a checkpoint's model, and the modules that define its parts."""
    content = read_checkpoint(path)
    return checkpoint_identity(content), [*map(str, content["qrnn"].get("modules", {}).values())]


def _program(folder: Path, modules: list[str], recorded: str) -> str:
    """Return the program that knows the parts of a run's model, as the shell runs it.

    Args:
        folder: the run's folder.
        modules: those that define the parts; a program is a file, `mine.py`.
        recorded: its path from the run's folder; of an older run empty: it is then looked for
            around the run's folder, and in the shell's.
    """
    program = started().program
    name = next((module for module in modules if module.endswith(".py")), None)
    if name is None or Path(shlex.split(program)[-1]).name == name:
        return program
    folder, shell = folder.resolve(), Path(started().folder or Path.cwd())
    files = [folder / recorded, *(one / name for one in (*folder.parents, shell))]
    found = next((file for file in files if file.name == name and file.is_file()), shell / name)
    return f"{python()} {shell_quoted(shown_path(found))}"


def _summary(path: Path) -> dict[str, Any]:
    saved = _object(path)
    names = ("epochs", "steps", "seconds_per_epoch", "minutes", "threads")
    for name in (*names, "parameters", "all_parameters"):
        _check(name, saved.get(name), float)
    _check("peak_memory_mb", saved.get("peak_memory_mb"), float | None)
    return saved


def _evaluation(path: Path) -> Evaluation:
    saved = _object(path)
    if saved.get("cost") is not None:
        saved["cost"] = _typed(Cost, saved["cost"])
    if saved.get("damping") is not None:
        saved["damping"] = _typed(Damping, saved["damping"])
    evaluation = _typed(Evaluation, saved)
    _check_predictions(evaluation)
    if evaluation.metric not in METRICS:
        raise ValueError(f"metric must be one of {', '.join(METRICS)}")
    describe(evaluation)  # fails if an option that it reads is missing
    return replace(evaluation, options=hide(evaluation.options))


def _check_predictions(one: Evaluation) -> None:
    kind = list[int] if one.accuracy is not None else list[list[list[float]]]
    for name in ("labels", "predictions"):
        _check(name, getattr(one, name), kind)
    shape = np.shape(one.labels)
    if np.shape(one.predictions) != shape:
        raise ValueError("labels and predictions must have the same length")
    if one.levels and np.shape(one.levels)[:-1] != shape:
        raise ValueError("levels must have the quantiles of each prediction")


def _typed(kind: type[T], saved: dict[str, Any]) -> T:
    """Return a dataclass of saved values, checking their types and ignoring unknown keys."""
    hints = get_type_hints(kind)
    known = {name: value for name, value in saved.items() if name in hints}
    for name, value in known.items():
        _check(name, value, hints[name])
    return kind(**known)


def _check(name: str, value: Any, hint: Any) -> None:
    if not _has_type(value, hint):
        raise ValueError(f"{name} must be {getattr(hint, '__name__', hint)}, got {value!r:.40}")


def _has_type(value: Any, hint: Any) -> bool:
    if get_origin(hint) is list:
        return isinstance(value, list) and all(_has_type(one, get_args(hint)[0]) for one in value)
    if get_origin(hint) is dict:
        return isinstance(value, dict) and all(
            _has_type(one, kind)
            for pair in value.items()
            for one, kind in zip(pair, get_args(hint), strict=True)
        )
    if get_args(hint):
        return any(_has_type(value, one) for one in get_args(hint))
    return type(value) in ((int, float) if hint is float else (hint,))


def _object(path: Path) -> dict[str, Any]:
    values = json.loads(read_text(path))
    if not isinstance(values, dict):
        raise ValueError("it must be a JSON object")
    return values
