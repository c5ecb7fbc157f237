"""Checks of a cell's controller and inputs."""

from __future__ import annotations

from typing import Any, NoReturn

import numpy as np
import torch
from torch import nn

from qrnn.controllers import Controller
from qrnn.errors import ConfigError
from qrnn.utils.checks import shown


def check_controller(
    controller: nn.Module, input_size: int, n_readouts: int, n_angles: int
) -> None:
    """Check that a controller can be called, and the sizes of a `Controller`; others have none.

    Args:
        controller: the cell's controller.
        input_size: number of input features D.
        n_readouts: number of readouts that are fed back.
        n_angles: number of angles P.

    Raises:
        ConfigError: it cannot be called, or the sizes do not match.
    """
    if not callable(controller):
        raise ConfigError(
            f"controller must be a name or a torch.nn.Module, got {shown(controller)}: leave it "
            f"out for the default one"
        )
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


def check_angles(angles: Any, x: torch.Tensor, n_angles: int, n_readouts: int) -> None:
    """Check what a controller returns.

    Args:
        angles: what it returned.
        x: inputs (B, D) of the step.
        n_angles: number of angles P.
        n_readouts: number of readouts that are fed back.

    Raises:
        ConfigError: it is not a tensor (B, P) in the dtype of x.
    """
    shape = (len(x), n_angles)
    must = f"controller must return a {x.dtype} tensor of shape (B, P) = {shape}"
    if not isinstance(angles, torch.Tensor):
        raise ConfigError(f"{must}, got {type(angles).__name__}: return the angles alone")
    if angles.shape != shape:
        raise ConfigError(
            f"{must}, got one of shape {tuple(angles.shape)}: it maps D = {x.shape[1]} inputs and "
            f"{n_readouts} readouts to P = {n_angles} angles"
        )
    if angles.dtype != x.dtype:
        raise ConfigError(f"{must}, got {angles.dtype}: use .to(x.dtype)")


def check_tensor(x: Any) -> None:
    """Check that the inputs of a network are a tensor with values.

    Raises:
        ConfigError: x is an array, a list or a sparse tensor, or stands for one in a trace.
    """
    if not isinstance(x, torch.Tensor):
        remedy = "torch.from_numpy(x)" if isinstance(x, np.ndarray) else "torch.tensor(x)"
        raise ConfigError(f"x must be a torch.Tensor, got {type(x).__name__}: use {remedy}")
    if x.is_nested:
        raise ConfigError(
            "x must be a padded tensor, got a nested one: use x.to_padded_tensor(0.0) and lengths, "
            "or torch.nn.utils.rnn.pack_sequence(x.unbind(), enforce_sorted=False)"
        )
    if x.layout != torch.strided:
        raise ConfigError(f"x must be a dense tensor, got {x.layout}: use x.to_dense()")
    if torch._C._functorch.is_batchedtensor(x):
        raise ConfigError(
            "x must have its sequences in its batch, not in torch.func.vmap: pass (T, B, D)"
        )
    if torch.jit.is_tracing() or torch.compiler.is_exporting():
        refuse_tracing()


def refuse_tracing() -> NoReturn:
    """Raise the error for torch.jit, torch.export and ONNX."""
    raise ConfigError(
        "a cell must be run by qrnn itself, not by torch.jit, torch.export or ONNX, which cannot "
        "trace its state: save its state_dict, or export its circuit with qrnn.export"
    )


def checked_inputs(
    x: torch.Tensor,
    active: torch.Tensor | None,
    axes: tuple[str | int, ...],
    like: torch.Tensor,
) -> torch.Tensor | None:
    """Check the inputs of a cell; return a copy of `active`.

    Args:
        x: inputs (..., D).
        active: (...) bool, or None.
        axes: sizes of x's axes; a name stands for any size above 0.
        like: one of the cell's parameters.

    Raises:
        ConfigError: x or active has the wrong type, shape, dtype or device.
    """
    dtype = like.dtype
    check_tensor(x)
    shape = tuple(x.shape)
    if len(shape) != len(axes) or shape[-1] != axes[-1]:
        raise ConfigError(f"x must have shape ({', '.join(map(str, axes))}), got {shape}")
    if 0 in shape:
        raise ConfigError(f"x must have at least one step and one sequence, got shape {shape}")
    if dtype not in (torch.float32, torch.float64):
        raise ConfigError(
            f"the cell must be float32 or float64, got {dtype}: use .float() on the network; under "
            f"torch.autocast the layers around it are in half precision"
        )
    if x.dtype != dtype:
        raise ConfigError(
            f"x must be {dtype}, like the cell's parameters, got {x.dtype}: use x.to({dtype})"
        )
    if x.device != like.device:
        raise ConfigError(
            f"x must be on {like.device}, like the cell's parameters, got one on {x.device}: use "
            f"x.to({str(like.device)!r})"
        )
    if active is None:
        return None
    if active.shape != shape[:-1] or active.dtype != torch.bool:
        raise ConfigError(
            f"active must be torch.bool of shape {shape[:-1]}, got {active.dtype} of shape "
            f"{tuple(active.shape)}: leave it out if all sequences are active"
        )
    return active.clone()  # the backward pass needs it unchanged


def either(name: str, value: Any, other: str, given: Any) -> Any:
    """Return an argument that has two names.

    Raises:
        ConfigError: it was given by both.
    """
    if value is not None and given is not None:
        raise ConfigError(f"{other} must be left out if {name} is given: it is the same argument")
    return given if value is None else value
