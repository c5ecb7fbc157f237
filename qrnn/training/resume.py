"""Resume from a checkpoint: which options must stay the same, and which may change."""

from __future__ import annotations

from typing import Any

import lightning.pytorch as pl
import torch
from torch.optim import Optimizer

from qrnn.config import TrainConfig
from qrnn.errors import ConfigError
from qrnn.training.lbfgs import LBFGS, check_history
from qrnn.utils.overrides import argument
from qrnn.utils.weights import size_of

# Keys of tasks that say where the data lie, or in which order they are learned. With others, losses
# could not be compared with those before, or sequences trained on became test sequences.
MAY_CHANGE = {"data_dir", "file", "test_file", "separator", "decimal", "vectors", "curriculum"}


def check_resumable(saved: dict[str, Any], path: str | None) -> None:
    """Check that a checkpoint has the state of its training.

    Raises:
        ConfigError: it has the weights alone, as those that are shipped.
    """
    if saved.keys() <= {"qrnn", "state_dict"}:
        raise ConfigError(
            f"resume must name a run's last.ckpt or best.ckpt, but {path} has no state of its "
            f"training: begin a new one with {argument('finetune', path)}"
        )


def check_unchanged(saved: TrainConfig, wanted: TrainConfig) -> None:
    """Check that optimiser, schedule, what is trained and the task are those of the checkpoint.

    Raises:
        ConfigError: one of them has changed.
    """
    keys = [("trainer", "optimizer"), ("trainer", "schedule"), ("model", "frozen")]
    of_task = [name for name in {**vars(saved.task), **vars(wanted.task)} if name not in MAY_CHANGE]
    for group, name in (*keys, *(("task", name) for name in sorted(of_task))):
        before, now = (getattr(getattr(one, group), name, None) for one in (saved, wanted))
        if before != now:
            raise ConfigError(
                f"{group}.{name} must stay {before} with resume, got {now}: leave it out, or begin "
                f"a new run with {argument('finetune', wanted.resume)}"
            )
    rates = [getattr(one.model, "output_lr", 1.0) for one in (saved, wanted)]
    if (rates[0] == 1) != (rates[1] == 1):
        raise ConfigError("model.output_lr must not change from or to 1 with resume: leave it out")


def check_shapes(
    saved: dict[str, Any], wanted: dict[str, torch.Tensor], key: str = "resume"
) -> None:
    """Check that the model's weights have the shapes of the checkpoint's.

    Args:
        saved: the checkpoint's weights.
        wanted: the model's.
        key: the option that names the checkpoint, for the message.

    Raises:
        ConfigError: a weight has another shape, or exists only in the model or the checkpoint.
    """
    for name in sorted({*saved, *wanted}):
        before, now = size_of(saved, name), size_of(wanted, name)
        if before != now:
            raise ConfigError(
                f"{key} must keep the model's size, but {name:.80} is {before} in the checkpoint "
                f"and {now} now: leave out the keys that change it"
            )


def set_rates(checkpoint: dict[str, Any], optimizer: Optimizer) -> None:
    """Replace the optimiser's options in a checkpoint, so that torch does not restore the old ones.

    Args:
        checkpoint: the checkpoint, as Lightning reads it.
        optimizer: a new optimiser, with each parameter group at its peak learning rate.
    """
    groups = optimizer.state_dict()["param_groups"]
    for saved in checkpoint["optimizer_states"]:
        for group, new in zip(saved["param_groups"], groups, strict=True):
            peak = group.get("initial_lr", group["lr"])  # only schedules have a peak
            rate = new["lr"] * (group["lr"] / peak if peak else 1.0)
            initial = {"initial_lr": new["lr"]} if "initial_lr" in group else {}
            group.update({**new, **initial, "lr": rate, "params": group["params"]})
    for schedule in checkpoint["lr_schedulers"]:
        schedule["base_lrs"] = [group["lr"] for group in groups]


def check_state(saved: dict[str, Any], trainer: pl.Trainer, optimizer: Optimizer) -> None:
    """Check the parts of a checkpoint that Lightning and torch would load unchecked.

    Args:
        saved: the checkpoint.
        trainer: the trainer that will resume, with its callbacks.
        optimizer: a new optimiser.

    Raises:
        ConfigError: a value is missing, or differs in type or shape from that of a new run.
    """
    top = {
        "epoch": 0,
        "global_step": 0,
        "pytorch-lightning_version": "",
        "loops": dict,
        "optimizer_states": list,
        "lr_schedulers": list,
        "callbacks": dict,
    }
    check_structure(saved, top, "")
    fresh = {"fit_loop": trainer.fit_loop.state_dict()}
    check_structure(saved["loops"], fresh, "loops", whole=False)
    for callback in trainer.callbacks:  # type: ignore[attr-defined]
        if (given := saved["callbacks"].get(callback.state_key)) is not None:
            known = callback.state_dict()
            known.pop("patience", None)  # comes from the current configuration
            # Checkpoints of older versions have fewer keys.
            check_structure(given, known, f"callbacks.{type(callback).__name__}", whole=False)
    for one in saved["lr_schedulers"]:
        known = {"base_lrs": list, "last_epoch": 0, "_step_count": 0, "_last_lr": []}
        check_structure(one, known, "lr_schedulers")
    if len(saved["optimizer_states"]) != 1:
        raise ConfigError(
            f"optimizer_states must hold one state, got {len(saved['optimizer_states'])}"
        )
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    shapes = [p.shape for p in parameters]
    together = isinstance(optimizer, LBFGS)  # one state of all parameters, at the first
    like = {} if together else _state_of_one(optimizer)
    for one in saved["optimizer_states"]:
        check_structure(one, {"state": dict, "param_groups": list}, "optimizer_states")
        if len(one["param_groups"]) != len(optimizer.param_groups):
            raise ConfigError(
                f"optimizer_states must have {len(optimizer.param_groups)} groups of parameters, "
                f"got {len(one['param_groups'])}"
            )
        for group in one["param_groups"]:
            check_structure(group, {"lr": 0.0, "params": []}, "optimizer_states.param_groups")
            check_structure(
                group, {"initial_lr": 0.0}, "optimizer_states.param_groups", whole=False
            )
        held = [i for group in one["param_groups"] for i in group["params"]]
        if held != list(range(len(shapes))) or not {*one["state"]} <= {*held}:
            raise ConfigError(f"optimizer_states must have {len(shapes)} parameters, in order")
        for i, state in one["state"].items():
            if together:
                check_structure(state, {}, "optimizer_states.state")
                check_history(state, sum(map(torch.Size.numel, shapes)), parameters[0].dtype)
                continue
            wanted = {k: v.expand(shapes[i]) if v.ndim else v for k, v in like.items()}
            check_structure(state, wanted, f"optimizer_states.state.{i}")


def _state_of_one(optimizer: Optimizer) -> dict[str, torch.Tensor]:
    """Return an optimiser's state of a parameter with one element, after one step."""
    parameter = torch.nn.Parameter(torch.zeros(1))
    parameter.grad = torch.zeros(1)
    kind: Any = type(optimizer)
    one = kind([parameter])
    one.step()
    return {k: v for k, v in one.state[parameter].items() if isinstance(v, torch.Tensor)}


def check_structure(given: Any, wanted: Any, where: str, *, whole: bool = True) -> None:
    """Check that nested data has the structure of a template.

    Args:
        given: dicts of plain values and tensors; keys that `wanted` lacks are not checked.
        wanted: the template. A type stands for any value of it, None for a number, string or None,
            a list for a list of numbers.
        where: path of the data, for the message.
        whole: whether all keys of `wanted` must be present.

    Raises:
        ConfigError: a key is missing, or a value has another type, shape or dtype.
    """
    if isinstance(wanted, dict):
        if not isinstance(given, dict) or (whole and not wanted.keys() <= given.keys()):
            raise ConfigError(f"{where} must hold {', '.join(map(str, wanted))}".strip())
        for key in wanted.keys() & given.keys():
            check_structure(given[key], wanted[key], f"{where}.{key}".strip("."), whole=whole)
        return
    if isinstance(wanted, type):
        right = isinstance(given, wanted)
    elif isinstance(wanted, torch.Tensor):
        right = (
            isinstance(given, torch.Tensor)
            and given.shape == wanted.shape
            and given.dtype == wanted.dtype
            and given.layout == wanted.layout
        )
    elif isinstance(wanted, bool | str):
        right = isinstance(given, type(wanted))
    elif isinstance(wanted, int):
        right = type(given) is int and 0 <= given < 1 << 60
    elif isinstance(wanted, list):
        right = isinstance(given, list) and all(type(one) in (int, float) for one in given)
    elif isinstance(given, torch.Tensor) and wanted is None:
        right = given.ndim == 0
    else:
        right = type(given) in (int, float) or (wanted is None and isinstance(given, str | None))
    if not right:
        kind = wanted.__name__ if isinstance(wanted, type) else type(wanted).__name__
        if isinstance(wanted, torch.Tensor):
            kind = f"{wanted.dtype} of shape {tuple(wanted.shape)}"
        raise ConfigError(f"{where} must be as in a new run ({kind}), got {given!r:.60}")
