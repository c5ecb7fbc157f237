"""The commands that repeat a run."""

from __future__ import annotations

import os
import shlex
from dataclasses import asdict
from typing import Any

from qrnn.config import TrainConfig
from qrnn.data import TASKS
from qrnn.devices import DeviceOptions
from qrnn.errors import QRNNError
from qrnn.evaluation.evaluation import Evaluation, file_name
from qrnn.networks import NETWORKS
from qrnn.reporting.folder import HIDDEN, RunFolder
from qrnn.reporting.formats import flat
from qrnn.utils.overrides import override, wrap_command

UNRELATED = ("resume", "trainer.progress")  # keys that change nothing that is learned


def commands(run: RunFolder) -> str:
    """Return the command of the training, from its start to its end, and of each evaluation."""
    words = [train_words(run), *(evaluate_words(run, one) for one in run.evaluations)]
    return "\n".join(map(wrap_command, words))


def train_words(run: RunFolder) -> list[str]:
    """Return the command that trains as the run was, word by word."""
    words = [f"task={run.name_of('task')}"]
    for group, default in (("model", "hybrid"), ("device", "fused")):
        if run.name_of(group) != default:
            words.append(f"{group}={run.name_of(group)}")
    known = defaults(run)
    words += [
        override(key, value)
        for key, value in flat(run.config).items()
        if not key.endswith(".name")
        and key not in UNRELATED
        and value != HIDDEN
        and (key not in known or known[key] != value)
    ]
    return ["qrnn train", *map(shlex.quote, words)]


def defaults(run: RunFolder) -> dict[str, Any]:
    """Return the values that a configuration has when nothing is set; of unknown names, none."""
    groups = {"device": asdict(DeviceOptions()), "trainer": asdict(TrainConfig().trainer)}
    for group, registry in (("task", TASKS), ("model", NETWORKS)):
        try:
            groups[group] = asdict(registry[run.name_of(group)].schema())
        except QRNNError:
            continue
    return flat(groups)


def evaluate_words(run: RunFolder, one: Evaluation) -> list[str]:
    """Return the command that makes an evaluation again, word by word."""
    model = run.config["model"]
    checkpoint = os.path.relpath(run.checkpoint or run.folder / "best.ckpt")
    keys: list[tuple[str, Any, tuple[Any, ...]]] = [  # each with the values that it has unsaid
        ("checkpoint", checkpoint, ()),
        ("device", one.device, ("fused", "torch")),
        *((f"device.{name}", value, (HIDDEN,)) for name, value in one.options.items()),
        ("readout_mode", one.readout_mode, (model.get("readout_mode", "expval"),)),
        ("readout_angle", one.readout_angle, (None, model.get("readout_angle"))),
        ("feedback", one.feedback, ("closed",)),
        ("split", one.split, (None, "test")),
        ("limit", one.limit, (None,)),
    ]
    words = [override(key, value) for key, value, unsaid in keys if value not in unsaid]
    return ["qrnn evaluate", *map(shlex.quote, words)]


def left_out(run: RunFolder) -> list[str]:
    """Return a line for each evaluation of another model: why, and what makes a new one."""
    lines = []
    for one in run.stale:
        if run.checkpoint is None:
            reason = "the folder has no checkpoint that it could be of"
        elif one.checkpoint is None:
            reason = "it does not say which model it is of"
        else:
            reason = f"it is of another model than {run.checkpoint.name}"
        command = " ".join(evaluate_words(run, one))
        lines.append(f"{file_name(one)} is left out: {reason}. Evaluate again: {command}")
    return lines
