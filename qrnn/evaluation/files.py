"""The files of evaluations: their names, and how they are written."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from itertools import count
from pathlib import Path
from typing import Any

from qrnn.config.devices import option_info
from qrnn.evaluation.evaluation import Evaluation
from qrnn.utils.files import write_text


def file_name(evaluation: Evaluation) -> str:
    """Return the name of an evaluation's file.

    It contains the device and the settings that differ from the default, such as
    `evaluation-fake_fez-open.json`; `limit` counts as one, and noise on `fused` and trajectories.
    Other options are not in it; see `path_of`.
    """
    words = [evaluation.device]
    if evaluation.device == "fused" and (noise := evaluation.options.get("noise")):
        words.append(noise)
        if evaluation.options.get("trajectories"):
            words.append("trajectories")
    words += [
        word
        for word in (evaluation.split, evaluation.feedback, evaluation.readout_mode)
        if word not in (None, "test", "closed", "expval")
    ]
    if evaluation.limit is not None:
        words.append(f"limit{evaluation.limit}")
    return f"evaluation-{'-'.join(words)}.json"


SETTINGS = ("device", "options", "feedback", "readout_mode", "readout_angle", "split", "limit")


def path_of(evaluation: Evaluation, folder: str | Path) -> Path:
    """Return the path of an evaluation's file in a folder.

    Evaluations of the same name with other settings, such as shots, get a number.
    """
    stem = Path(file_name(evaluation)).stem
    wanted = _settings(
        json.loads(json.dumps({name: getattr(evaluation, name) for name in SETTINGS}))
    )

    def is_free(path: Path) -> bool:
        try:
            told = json.loads(path.read_text())
        except (OSError, ValueError):  # no such file, or a damaged one
            return True
        is_one = isinstance(told, dict) and isinstance(told.get("options"), dict)
        return not is_one or _settings(told) == wanted

    names = (stem if number == 1 else f"{stem}-{number}" for number in count(1))
    return next(filter(is_free, (Path(folder) / f"{name}.json" for name in names)))


def _settings(told: dict[str, Any]) -> dict[str, Any]:
    """Return the settings of a saved evaluation, without options such as budgets."""
    infos = option_info()
    given = {
        name: value
        for name, value in told["options"].items()
        if name in infos and (infos[name].identity or infos[name].shown)
    }
    return {name: told.get(name) for name in SETTINGS} | {"options": given}


def save(evaluation: Evaluation, folder: str | Path) -> Path:
    """Write an evaluation as JSON and return the path.

    An earlier one with the same settings is replaced.
    """
    path = path_of(evaluation, folder)
    plain = asdict(replace(evaluation, outcome=None))
    del plain["outcome"]
    write_text(path, json.dumps(plain, indent=1) + "\n")
    return path
