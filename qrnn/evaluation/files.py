"""The files of evaluations: their names, and how they are written."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from itertools import count
from pathlib import Path

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
    wanted = json.loads(json.dumps({name: getattr(evaluation, name) for name in SETTINGS}))
    for number in count(1):
        path = Path(folder) / f"{stem}{'' if number == 1 else f'-{number}'}.json"
        try:
            told = json.loads(path.read_text())
            settings = {name: told.get(name) for name in SETTINGS}
        except (OSError, ValueError, AttributeError):  # no such file, or a damaged one
            return path
        if settings == wanted:
            return path
    raise AssertionError


def save(evaluation: Evaluation, folder: str | Path) -> Path:
    """Write an evaluation as JSON and return the path.

    An earlier one with the same settings is replaced.
    """
    path = path_of(evaluation, folder)
    plain = asdict(replace(evaluation, outcome=None))
    del plain["outcome"]
    write_text(path, json.dumps(plain, indent=1) + "\n")
    return path
