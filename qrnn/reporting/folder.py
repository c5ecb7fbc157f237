"""What the files of a run say, without building its model."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, TypeVar

from qrnn.errors import DataError, QRNNError
from qrnn.evaluation.evaluation import Evaluation, describe
from qrnn.evaluation.hardware import Cost
from qrnn.evaluation.metrics import METRICS
from qrnn.training.checkpoint import checkpoint_identity, read_checkpoint
from qrnn.training.history import history
from qrnn.utils.plain import check_plain, read_text, read_yaml

T = TypeVar("T")
GROUPS = ("task", "model", "device", "trainer")
HIDDEN = "(left out)"
_SECRET = re.compile(
    r"(^|_)(token|secret|passwo?r?d|credentials?|key|instance|crn|auth\w*)$", re.IGNORECASE
)


@dataclass(frozen=True)
class RunFolder:
    """The files of a run.

    Attributes:
        folder: where they are.
        config: the whole configuration, as plain values; what may be secret is left out.
        summary: what the training took; None: it has not ended.
        environment: processor and versions of the training; None: not on record.
        history: each metric as (epoch, value) pairs.
        evaluations: of this checkpoint on devices, the device that trained first.
        stale: evaluations of other models: of an earlier checkpoint, say, or of none that they
            name, as older versions wrote them.
        checkpoint: the best one, else the last; None: there is none.
        missing: a sentence for each file that is damaged or not there.
    """

    folder: Path
    config: dict[str, Any]
    summary: dict[str, Any] | None
    environment: dict[str, str] | None
    history: dict[str, list[tuple[int, float]]]
    evaluations: tuple[Evaluation, ...]
    stale: tuple[Evaluation, ...]
    checkpoint: Path | None
    missing: tuple[str, ...]

    def name_of(self, group: str) -> str:
        """Return the name of the task, model or device."""
        return str(self.config[group].get("name", f"unnamed {group}"))

    @property
    def main(self) -> Evaluation | None:
        """The evaluation that stands for the run: where it was trained, of most sequences."""
        return self.evaluations[0] if self.evaluations else None


def read_folder(folder: str | Path) -> RunFolder:
    """Return what a run's files say; those that are damaged are told in `missing`.

    Args:
        folder: of `qrnn train`.

    Raises:
        DataError: it is no such folder.
    """
    folder = Path(folder)
    if not folder.is_dir():
        what = "a file" if folder.is_file() else "not there"
        raise DataError(f"run must be a folder that `qrnn train` wrote, but {folder} is {what}")
    missing: list[str] = []

    def attempt(path: Path, read: Callable[[Path], T]) -> T | None:
        if not path.exists():
            return None
        try:
            return read(path)
        except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
            reason = str(error).splitlines()[0][:120] if str(error) else type(error).__name__
            missing.append(f"{path.name} is damaged and left out: {reason}")
            return None

    checkpoints = [path for name in ("best", "last") if (path := folder / f"{name}.ckpt").is_file()]
    sources = {folder / "config.yaml": _of_yaml, folder / "summary.json": _of_summary}
    sources |= dict.fromkeys(checkpoints, _of_checkpoint)
    config = None
    for path, read in sources.items():
        config = config or attempt(path, read)
    if config is None:
        raise _no_run(folder, missing)
    summary = attempt(folder / "summary.json", _summary)
    found = [attempt(path, _evaluation) for path in sorted(folder.glob("evaluation-*.json"))]
    evaluations = [one for one in found if one is not None]
    evaluations.sort(key=lambda one: (one.device != one.reference, -one.sequences))
    identity = attempt(checkpoints[0], _identity) if evaluations and checkpoints else None
    own = [identity is not None and one.checkpoint == identity for one in evaluations]
    valid = tuple(one for one, ours in zip(evaluations, own, strict=True) if ours)
    stale = tuple(one for one, ours in zip(evaluations, own, strict=True) if not ours)
    environment = attempt(folder / "environment.json", _environment)
    curves = attempt(folder / "metrics.csv", lambda path: history(path.parent))
    if summary is None and not (folder / "summary.json").exists():
        missing.append("summary.json is not there: the training has not ended")
    return RunFolder(
        folder,
        hide(config),
        summary,
        environment,
        curves or {},
        valid,
        stale,
        checkpoints[0] if checkpoints else None,
        tuple(missing),
    )


def hide(value: Any, name: str = "") -> Any:
    """Return plain values without those whose name says that they are nobody else's business."""
    if isinstance(value, dict):
        return {key: hide(one, str(key)) for key, one in value.items()}
    if isinstance(value, list):
        return [hide(one, name) for one in value]
    return HIDDEN if value is not None and _SECRET.search(name) else value


def _no_run(folder: Path, missing: list[str]) -> DataError:
    """Return the error for a folder without a configuration; it names runs below, if there are."""
    if missing:
        return DataError(f"run {folder} must hold a readable configuration: {missing[0]}")
    message = f"run must be a folder that `qrnn train` wrote, but {folder} holds no config.yaml"
    below = sorted(path.parent for path in folder.glob("*/config.yaml"))
    if below:
        shown = ",".join(str(path) for path in below[:3])
        message += f": choose of the {len(below)} in it, e.g. run=[{shown}]"
    return DataError(message)


def _checked_config(config: Any) -> dict[str, Any]:
    if not isinstance(config, dict):
        raise ValueError("it must hold groups of keys")
    for group in GROUPS:
        if not isinstance(config.get(group), dict):
            raise ValueError(f"it must hold the group {group}")
        if not isinstance(config[group].get("name", ""), str):
            raise ValueError(f"{group}.name must be a string")
    check_plain(config)
    return config


def _of_yaml(path: Path) -> dict[str, Any]:
    return _checked_config(read_yaml(path))


def _of_summary(path: Path) -> dict[str, Any]:
    return _checked_config(_object(path).get("config"))


def _of_checkpoint(path: Path) -> dict[str, Any]:
    return _checked_config(_content(path)["qrnn"]["config"])


def _identity(path: Path) -> str:
    return checkpoint_identity(_content(path))


def _content(path: Path) -> dict[str, Any]:
    try:
        return read_checkpoint(path)
    except QRNNError as error:
        raise ValueError(str(error)) from error


NUMBERS = (
    "epochs",
    "steps",
    "seconds_per_epoch",
    "minutes",
    "threads",
    "parameters",
    "all_parameters",
)


def _summary(path: Path) -> dict[str, Any]:
    """Return what a training took.

    Raises:
        ValueError: a number is missing.
    """
    told = _object(path)
    for name in NUMBERS:
        _number(told, name)
    if told.get("peak_memory_mb") is not None:  # there are systems that do not record it
        _number(told, "peak_memory_mb")
    return told


def _environment(path: Path) -> dict[str, str]:
    return {str(name): str(value) for name, value in _object(path).items()}


def _evaluation(path: Path) -> Evaluation:
    """Return a kept evaluation.

    Raises:
        ValueError: a value is missing, or of another type.
    """
    told = _object(path)
    for name in ("sequences", "value", "loss", "accuracy", "agreement", "rms_z", "seconds"):
        _number(told, name)
    for name in ("rms_z_steps", "predictions", "labels", "translations"):
        kind = str if name == "translations" else (int, float)
        if not isinstance(told.get(name), list) or not all(
            isinstance(one, kind) for one in told[name]
        ):
            raise ValueError(f"{name} must be a list")
    if told.get("metric") not in METRICS:
        raise ValueError(f"metric must be one of {', '.join(METRICS)}")
    known = {field.name for field in fields(Evaluation)}
    values = {name: value for name, value in told.items() if name in known}
    values["options"] = hide(dict(told["options"]))
    for name in ("device", "reference"):
        values[name] = str(told[name])
    if told.get("cost") is not None:
        values["cost"] = _cost(told["cost"])
    evaluation = Evaluation(**values)
    describe(evaluation)  # so that what it needs is there
    return evaluation


def _cost(told: dict[str, Any]) -> Cost:
    names = [field.name for field in fields(Cost)]
    for name in ("jobs", "submitted", "executions", "estimated_seconds", "metered_seconds"):
        _number(told, name)
    return Cost(**{name: told[name] for name in names})


def _object(path: Path) -> dict[str, Any]:
    told = json.loads(read_text(path))
    if not isinstance(told, dict):
        raise ValueError("it must hold names and values")
    return told


def _number(told: dict[str, Any], name: str) -> None:
    value = told.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError(f"{name} must be a number, got {value!r}")
