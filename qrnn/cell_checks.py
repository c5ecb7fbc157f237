"""What a cell requires of the controller that it is given, and of its inputs."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from qrnn.checks import shown
from qrnn.controllers import Controller
from qrnn.errors import ConfigError, NumericsError


def check_controller(
    controller: nn.Module, input_size: int, n_readouts: int, n_angles: int
) -> None:
    """Raise the error for a `Controller` of other sizes; of other modules nothing is known.

    Args:
        controller: the cell's.
        input_size: number of input features D.
        n_readouts: number of readouts that are fed back.
        n_angles: number of angles P.

    Raises:
        ConfigError: so it is.
    """
    if type(controller) is not Controller:
        return
    first, last = controller[0], controller[-1]
    if not isinstance(first, nn.Linear) or not isinstance(last, nn.Linear):
        return  # a user has put other layers in
    if (first.in_features, last.out_features) != (input_size + n_readouts, n_angles):
        raise ConfigError(
            f"controller must map D = {input_size} inputs and {n_readouts} readouts to P = "
            f"{n_angles} angles, got one from {first.in_features} to {last.out_features} values: "
            f"use Controller({input_size}, {n_readouts}, {n_angles})"
        )


def checked_inputs(
    x: torch.Tensor, active: torch.Tensor | None, axes: tuple[str | int, ...], dtype: torch.dtype
) -> torch.Tensor | None:
    """Check the inputs of a cell; return `active`, which the caller may change from then on.

    Args:
        x: inputs (..., D).
        active: (...) bool, or None.
        axes: of x: a name where any size above 0 will do.
        dtype: of the cell's parameters.

    Raises:
        ConfigError: x or active of another shape or dtype.
    """
    shape = tuple(x.shape)
    if len(shape) != len(axes) or shape[-1] != axes[-1]:
        raise ConfigError(f"x must have shape ({', '.join(map(str, axes))}), got {shape}")
    if 0 in shape:
        raise ConfigError(f"x must have at least one step and one sequence, got shape {shape}")
    if x.dtype != dtype or dtype not in (torch.float32, torch.float64):
        raise ConfigError(
            f"x must be float32 or float64, as the cell's parameters, which are {dtype}, got "
            f"{x.dtype}: use .to(torch.float32)"
        )
    if active is None:
        return None
    if active.shape != shape[:-1] or active.dtype != torch.bool:
        raise ConfigError(
            f"active must be torch.bool of shape {shape[:-1]}, got {active.dtype} of shape "
            f"{tuple(active.shape)}: leave it out where all sequences are active"
        )
    return active.clone()  # the backward pass reads it again


def checked_lengths(lengths: Any, batch: int, steps: int) -> torch.Tensor:
    """Return the lengths of sequences as int64 (B,).

    Args:
        lengths: (B,) whole numbers: a tensor of any integer type, or a list.
        batch: number of sequences B.
        steps: number of steps T.

    Raises:
        ConfigError: they are none, or not in 1..T.
    """
    allowed = f"lengths must be {batch} whole numbers of 1..{steps}, got"
    try:
        found = torch.as_tensor(lengths)
    except (TypeError, ValueError, RuntimeError) as error:
        raise ConfigError(f"{allowed} {shown(lengths)}") from error
    if found.is_floating_point() or found.is_complex() or found.dtype == torch.bool:
        raise ConfigError(f"{allowed} {shown(found.tolist())} of {found.dtype}: use .long()")
    found = found.long()
    if found.shape != (batch,) or found.min() < 1 or found.max() > steps:
        raise ConfigError(f"{allowed} {shown(found.tolist())}")
    return found


def check_finite(x: torch.Tensor, batch_first: bool = False) -> None:
    """Raise the error for inputs of a network that are not finite.

    Args:
        x: inputs (T, B, D), or of any integer type.
        batch_first: whether they are (B, T, D).

    Raises:
        NumericsError: so they are; the first step and sequence are named.
    """
    if x.is_meta or not x.is_floating_point() or torch.isfinite(x).all():
        return
    bad = (~torch.isfinite(x)).any(2)
    step, row = (bad.T if batch_first else bad).nonzero()[0].tolist()
    raise NumericsError(
        f"x must be finite, got NaN or infinity at step {step} of sequence {row}: look for it in "
        f"the data or, behind an embedding, lower the learning rate"
    )
