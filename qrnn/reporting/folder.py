"""What the files of a run say, without building its model."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

from qrnn.errors import DataError, QRNNError
from qrnn.evaluation.evaluation import Evaluation, describe
from qrnn.evaluation.hardware import Cost
from qrnn.evaluation.metrics import METRICS
from qrnn.training.checkpoint import checkpoint_identity, read_checkpoint
from qrnn.training.history import history
from qrnn.utils.safe_yaml import check_plain, read_text, read_yaml

T = TypeVar("T")
HIDDEN = "(left out)"
_SECRET = re.compile(
    r"(^|_)(token|secret|passwo?r?d|credentials?|key|instance|crn|auth\w*)$", re.IGNORECASE
)
DAMAGED = (QRNNError, OSError, ValueError, TypeError, LookupError, AttributeError, RecursionError)


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
        stale: evaluations of other models, or of none that they name.
        checkpoint: the best one, else the last; None: there is none.
        missing: a sentence for each file that is damaged or not there.
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

    def name_of(self, group: str) -> str:
        """Return the name of the task, model or device."""
        return str(self.config[group].get("name", f"unnamed {group}"))

    @property
    def main(self) -> Evaluation | None:
        """The evaluation that stands for the run: where it was trained, of most sequences."""
        return self.evaluations[0] if self.evaluations else None

    @property
    def best(self) -> tuple[int, float, float] | None:
        """Epoch (from 1), loss and accuracy of the best validation; None: no epoch has ended."""
        if not (losses := self.history.get("val/loss")):
            return None
        epoch, loss = min(losses, key=lambda point: point[1])
        return epoch + 1, loss, dict(self.history.get("val/accuracy", [])).get(epoch, float("nan"))


def read_folder(folder: str | Path) -> RunFolder:
    """Return what the files of a folder of `qrnn train` say; `missing` names damaged ones.

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
        except DAMAGED as error:
            said = str(error).removeprefix(f"{path} ")
            reason = said.splitlines()[0][:120] if said else type(error).__name__
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
        raise _no_run(folder, missing)
    summary = attempt(folder / "summary.json", _summary)
    found = [attempt(path, _evaluation) for path in sorted(folder.glob("evaluation-*.json"))]
    evaluations = [one for one in found if one is not None]
    evaluations.sort(key=lambda one: (one.device != one.reference, -one.sequences))
    identity = None
    if evaluations and checkpoints:
        identity = attempt(checkpoints[0], lambda path: checkpoint_identity(read_checkpoint(path)))
    own = [one for one in evaluations if identity is not None and one.checkpoint == identity]
    environment = attempt(folder / "environment.json", _object)
    curves = attempt(folder / "metrics.csv", lambda path: history(path.parent))
    if not (folder / "summary.json").exists():
        missing.append("summary.json is not there: the training has not ended")
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
    if below := sorted(str(path.parent) for path in folder.glob("*/config.yaml")):
        message += f": choose of the {len(below)} in it, e.g. run=[{','.join(below[:3])}]"
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
    evaluation = _typed(Evaluation, saved)
    if len(evaluation.labels) != len(evaluation.predictions):
        raise ValueError("labels and predictions must be as many")
    if evaluation.metric not in METRICS:
        raise ValueError(f"metric must be one of {', '.join(METRICS)}")
    describe(evaluation)  # so that what it needs is there
    return replace(evaluation, options=hide(evaluation.options))


def _typed(kind: type[T], saved: dict[str, Any]) -> T:
    """Return a dataclass of saved values, if they have its types; others are left out."""
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
    if get_args(hint):
        return any(_has_type(value, one) for one in get_args(hint))
    return type(value) in ((int, float) if hint is float else (hint,))


def _object(path: Path) -> dict[str, Any]:
    values = json.loads(read_text(path))
    if not isinstance(values, dict):
        raise ValueError("it must hold names and values")
    return values
