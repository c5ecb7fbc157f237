"""Going on from a checkpoint: what must stay, and what may be another."""

from __future__ import annotations

from typing import Any

import torch

from qrnn.config import TrainerConfig
from qrnn.errors import ConfigError


def check_same(saved: dict[str, Any], wanted: TrainerConfig) -> None:
    """Refuse to go on with an optimiser's state that is another's.

    Raises:
        ConfigError: another optimiser or schedule.
    """
    for name in ("optimizer", "schedule"):
        if saved[name] != getattr(wanted, name):
            raise ConfigError(
                f"trainer.{name} must stay {saved[name]} with resume, got {getattr(wanted, name)}: "
                f"leave it out"
            )


def check_shapes(saved: dict[str, torch.Tensor], wanted: dict[str, torch.Tensor]) -> None:
    """Refuse to go on with weights of another model.

    Raises:
        ConfigError: a weight is missing on one side, or has another shape there.
    """
    for key in sorted({*saved, *wanted}):
        sizes = [tuple(one[key].shape) if key in one else "none" for one in (saved, wanted)]
        if sizes[0] != sizes[1]:
            raise ConfigError(
                f"resume must leave the model its size, but {key} is {sizes[0]} in the checkpoint "
                f"and {sizes[1]} now: leave out the keys that change it"
            )


def set_rates(checkpoint: dict[str, Any], rates: list[float], weight_decay: float) -> None:
    """Replace the learning rates in a checkpoint, of which torch would take the saved ones.

    Args:
        checkpoint: Lightning's.
        rates: of each group of parameters, at the schedule's peak.
        weight_decay: of all.

    Raises:
        ConfigError: other groups of parameters.
    """
    for optimizer in checkpoint["optimizer_states"]:
        if len(rates) != len(optimizer["param_groups"]):
            raise ConfigError(
                "model.output_lr must not become or leave 1 with resume: leave it out"
            )
        for group, rate in zip(optimizer["param_groups"], rates, strict=True):
            group["lr"] *= rate / group.get("initial_lr", group["lr"])
            group["weight_decay"] = weight_decay
            if "initial_lr" in group:  # as schedules have it
                group["initial_lr"] = rate
    for schedule in checkpoint["lr_schedulers"]:
        schedule["base_lrs"] = rates
