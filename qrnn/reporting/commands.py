"""The commands that repeat a run."""

from __future__ import annotations

import os
import shlex
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from qrnn.config import TrainConfig
from qrnn.data import TASKS
from qrnn.devices import DeviceOptions
from qrnn.errors import QRNNError
from qrnn.evaluation.evaluation import Evaluation, file_name
from qrnn.networks import NETWORKS
from qrnn.reporting.folder import HIDDEN, RunFolder
from qrnn.reporting.words import flat
from qrnn.utils.overrides import folded, override

# Of the trainer: they change nothing that is learned.
IDLE = ("trainer.progress",)


def commands(run: RunFolder, splits: Sequence[str | None]) -> str:
    """Return the commands: the training, and each evaluation.

    Args:
        run: what its files say.
        splits: which part of the data each evaluation took; None: it is not known.
    """
    found = zip(run.evaluations, splits, strict=True)
    return "\n".join([train_command(run), *(evaluate_command(run, *pair) for pair in found)])


def train_command(run: RunFolder) -> str:
    """Return the command that trains as the run was, from its start to its end."""
    words = [f"task={run.name_of('task')}"]
    for group, usual in (("model", "hybrid"), ("device", "fused")):
        if run.name_of(group) != usual:
            words.append(f"{group}={run.name_of(group)}")
    given, usual_values = flat(run.config), defaults(run)
    for key, value in given.items():
        if key.endswith(".name") or key in ("resume", *IDLE) or value == HIDDEN:
            continue
        if key not in usual_values or usual_values[key] != value:
            words.append(override(key, value))
    return folded(["qrnn train", *map(shlex.quote, words)])


def defaults(run: RunFolder) -> dict[str, Any]:
    """Return the values that a configuration has when nothing is set; of unknown names, none."""
    config = TrainConfig()
    plain = {"device": asdict(DeviceOptions()), "trainer": asdict(config.trainer)}
    for group, registry in (("task", TASKS), ("model", NETWORKS)):
        try:
            plain[group] = asdict(registry[run.name_of(group)].schema())
        except QRNNError:
            continue
    return flat(plain)


def left_out(run: RunFolder) -> list[str]:
    """Return a line for each evaluation of another model: why, and what makes a new one."""
    lines = []
    for one in run.stale:
        if run.checkpoint is None:
            reason = "there is no checkpoint that it could be of"
        elif one.checkpoint is None:
            reason = "it does not say which model it is of"
        else:
            reason = f"it is of another model than {run.checkpoint.name}"
        words = evaluate_words(run, one, one.split)
        command = " ".join(["qrnn evaluate", *words])
        lines.append(f"{file_name(one)} is left out: {reason}. A new one: {command}")
    return lines


def evaluate_command(run: RunFolder, one: Evaluation, split: str | None) -> str:
    """Return the command of an evaluation of a part of the data."""
    return folded(["qrnn evaluate", *evaluate_words(run, one, split)])


def evaluate_words(run: RunFolder, one: Evaluation, split: str | None) -> list[str]:
    """Return the arguments of that command."""
    checkpoint = run.checkpoint or run.folder / "best.ckpt"
    words = [override("checkpoint", os.path.relpath(checkpoint))]
    if one.device not in ("fused", "torch"):
        words.append(f"device={one.device}")
    words += [
        override(f"device.{name}", value) for name, value in one.options.items() if value != HIDDEN
    ]
    model = run.config["model"]
    if one.readout_mode != model.get("readout_mode", "expval"):
        words.append(override("readout_mode", one.readout_mode))
    if one.readout_angle not in (None, model.get("readout_angle")):
        words.append(override("readout_angle", one.readout_angle))
    if one.feedback != "closed":
        words.append(override("feedback", one.feedback))
    if split not in (None, "test"):
        words.append(f"split={split}")
    if one.limit is not None:
        words.append(override("limit", one.limit))
    return list(map(shlex.quote, words))
