"""The commands that reproduce a run."""

from __future__ import annotations

import itertools
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

from qrnn.config import TrainConfig, compose, to_plain
from qrnn.config.commands import TABLES
from qrnn.devices import DeviceOptions
from qrnn.errors import QRNNError
from qrnn.evaluation.evaluation import Evaluation
from qrnn.evaluation.files import path_of
from qrnn.reporting.folder import RunFolder
from qrnn.reporting.formats import flat
from qrnn.utils.checkpoints import is_shipped
from qrnn.utils.overrides import override, shell_quoted, wrap_command
from qrnn.utils.private import HIDDEN, names_path
from qrnn.utils.program import shown_path, started

UNRELATED = ("resume", "trainer.progress")  # keys that do not change the result


def commands(run: RunFolder) -> str:
    """Return the commands of the training and of each evaluation, one after the other.

    They repeat the run in a new folder beside it, as its own is taken.
    """
    folder = again(run.folder)
    checkpoint = folder / (run.checkpoint or Path("best.ckpt")).name
    evaluations = (evaluate_command(run, one, checkpoint) for one in run.evaluations)
    lines = [train_command(run, folder), *evaluations]
    return "\n".join(map(wrap_command, lines))


def again(folder: Path) -> Path:
    """Return a folder beside that of a run, which does not exist yet."""
    folder = folder.resolve()
    numbers = itertools.count(2)
    found = folder.with_name(f"{folder.name}-again")
    while found.exists():
        found = folder.with_name(f"{folder.name}-again{next(numbers)}")
    return Path(shown_path(found))


def data_paths(run: RunFolder) -> dict[str, Path]:
    """Return the relative paths that the training read, by key, from where it was run.

    Its folder is not recorded: it is the nearest one around the run's that has the file, else the
    shell's.
    """
    shell = Path(started().folder or Path.cwd())
    paths = {}
    for key, value in flat(run.config).items():
        kept = key.startswith("task.") and names_path(key.rpartition(".")[2])
        kept = kept or (key == "finetune" and not is_shipped(value))
        if kept and isinstance(value, str) and not value.startswith(("/", "~")):
            around = (one / value for one in run.folder.resolve().parents)
            paths[key] = next((one for one in around if one.exists()), shell / value)
    return paths


def not_found(run: RunFolder) -> list[str]:
    """Return the keys of the data that are not found."""
    return [key for key, path in data_paths(run).items() if not path.exists()]


def train_command(run: RunFolder, folder: Path) -> list[str]:
    """Return the command that repeats the whole training, as a list of quoted arguments."""
    arguments = [f"task={run.name_of('task')}"]
    for group, default in (("model", "hybrid"), ("device", "fused")):
        if run.name_of(group) != default:
            arguments.append(f"{group}={run.name_of(group)}")
    known = defaults(run)
    paths = {key: shown_path(path) for key, path in data_paths(run).items()}
    arguments += [
        override(key, paths.get(key, value))
        for key, value in flat(run.config).items()
        if not key.endswith(".name")
        and key not in UNRELATED
        and value != HIDDEN
        and (key not in known or known[key] != value)
    ]
    arguments.append(override("hydra.run.dir", str(folder)))
    return [f"{run.program} train", *map(shell_quoted, arguments)]


def defaults(run: RunFolder) -> dict[str, Any]:
    """Return the default value of each key of a run; unknown tasks and models have none."""
    names = [f"{group}={run.name_of(group)}" for group in TABLES]
    with suppress(QRNNError):  # with the recipe of the task and the model
        return flat(to_plain(compose("train", names)))
    groups: dict[str, Any] = {"finetune": TrainConfig.finetune}
    groups |= {"device": asdict(DeviceOptions()), "trainer": asdict(TrainConfig().trainer)}
    for group, registry in TABLES.items():
        try:
            groups[group] = asdict(registry[run.name_of(group)].schema())
        except QRNNError:
            continue
    return flat(groups)


def evaluate_command(run: RunFolder, one: Evaluation, checkpoint: Path) -> list[str]:
    """Return the command that evaluates a checkpoint in the same way, as quoted arguments."""
    model = run.config["model"]
    keys: list[tuple[str, Any, tuple[Any, ...]]] = [  # each with the values that need no argument
        ("checkpoint", str(checkpoint), ()),
        ("device", one.device, ("fused", "torch")),
        *((f"device.{name}", value, (HIDDEN,)) for name, value in one.options.items()),
        ("readout_mode", one.readout_mode, (model.get("readout_mode", "expval"),)),
        ("readout_angle", one.readout_angle, (None, model.get("readout_angle"))),
        ("feedback", one.feedback, ("closed",)),
        ("split", one.split, (None, "test")),
        ("limit", one.limit, (None,)),
    ]
    arguments = [override(key, value) for key, value, omitted in keys if value not in omitted]
    return [f"{run.program} evaluate", *map(shell_quoted, arguments)]


def left_out(run: RunFolder) -> list[str]:
    """Return a line for each evaluation of another model: the reason, and how to repeat it."""
    lines = []
    for one in run.stale:
        if run.checkpoint is None:
            reason = "the folder has no checkpoint to match it with"
        elif one.checkpoint is None:
            reason = "it does not record its model"
        else:
            reason = f"its model is not that of {run.checkpoint.name}"
        checkpoint = Path(shown_path(run.checkpoint or run.folder / "best.ckpt"))
        command = " ".join(evaluate_command(run, one, checkpoint))
        lines.append(
            f"{path_of(one, run.folder).name} is left out: {reason}. Evaluate again: {command}"
        )
    return lines
