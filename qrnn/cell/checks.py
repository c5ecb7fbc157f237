"""Checks of a cell's controller and inputs."""

from __future__ import annotations

import torch
from torch import nn

from qrnn.controllers import Controller
from qrnn.errors import ConfigError


def check_controller(
    controller: nn.Module, input_size: int, n_readouts: int, n_angles: int
) -> None:
    """Check the sizes of a `Controller`; other modules cannot be checked.

    Args:
        controller: the cell's controller.
        input_size: number of input features D.
        n_readouts: number of readouts that are fed back.
        n_angles: number of angles P.

    Raises:
        ConfigError: the sizes do not match.
    """
    if type(controller) is not Controller:
        return
    first, last = controller[0], controller[-1]
    if not isinstance(first, nn.Linear) or not isinstance(last, nn.Linear):
        return  # a user has replaced layers
    if (first.in_features, last.out_features) != (input_size + n_readouts, n_angles):
        raise ConfigError(
            f"controller must map D = {input_size} inputs and {n_readouts} readouts to P = "
            f"{n_angles} angles, got one from {first.in_features} to {last.out_features} values: "
            f"use Controller({input_size}, {n_readouts}, {n_angles})"
        )


def checked_inputs(
    x: torch.Tensor, active: torch.Tensor | None, axes: tuple[str | int, ...], dtype: torch.dtype
) -> torch.Tensor | None:
    """Check the inputs of a cell; return a copy of `active`.

    Args:
        x: inputs (..., D).
        active: (...) bool, or None.
        axes: sizes of x's axes; a name stands for any size above 0.
        dtype: dtype of the cell's parameters.

    Raises:
        ConfigError: x or active has the wrong shape or dtype.
    """
    shape = tuple(x.shape)
    if len(shape) != len(axes) or shape[-1] != axes[-1]:
        raise ConfigError(f"x must have shape ({', '.join(map(str, axes))}), got {shape}")
    if 0 in shape:
        raise ConfigError(f"x must have at least one step and one sequence, got shape {shape}")
    if x.dtype != dtype or dtype not in (torch.float32, torch.float64):
        raise ConfigError(
            f"x must be float32 or float64, like the cell's parameters, which are {dtype}, got "
            f"{x.dtype}: use .to(torch.float32)"
        )
    if active is None:
        return None
    if active.shape != shape[:-1] or active.dtype != torch.bool:
        raise ConfigError(
            f"active must be torch.bool of shape {shape[:-1]}, got {active.dtype} of shape "
            f"{tuple(active.shape)}: leave it out if all sequences are active"
        )
    return active.clone()  # the backward pass needs it unchanged
