"""Checks of arguments: each returns the value, or raises a one-line error that names it."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Sequence
from dataclasses import fields
from typing import Any

import numpy as np
import torch

from qrnn.errors import ConfigError, NumericsError


def shown(value: Any) -> str:
    """Return the repr of a value on one line, cut to 80 characters."""
    return " ".join(repr(value).split())[:80]


def whole(name: str, value: Any, least: int | None = None, most: int | None = None) -> int:
    """Return a whole number as an int.

    Args:
        name: name of the argument, for error messages.
        value: an int, or a zero-dimensional integer of numpy or torch; not a bool.
        least: smallest allowed value; None: no limit.
        most: largest allowed value; None: no limit.

    Raises:
        ConfigError: the value is not a whole number, or out of range.
    """
    if _is_bool(value) or getattr(value, "ndim", None) or not hasattr(value, "__index__"):
        raise ConfigError(f"{name} must be a whole number, got {shown(value)}")
    try:
        number = operator.index(value)
    except (TypeError, ValueError, RuntimeError) as error:  # a float tensor
        raise ConfigError(f"{name} must be a whole number, got {shown(value)}") from error
    if least is not None and number < least:
        raise ConfigError(f"{name} must be at least {least}, got {number}")
    if most is not None and number > most:
        raise ConfigError(f"{name} must be at most {most}, got {number}")
    return number


def _is_bool(value: Any) -> bool:
    tensor = isinstance(value, torch.Tensor) and value.dtype == torch.bool
    return tensor or isinstance(value, (bool, np.bool_))


def number(name: str, value: Any, allowed: str, holds: Callable[[float], bool]) -> float:
    """Return a finite number as a float.

    Args:
        name: name of the argument, for error messages.
        value: a real number, or a zero-dimensional one of numpy or torch; not a bool.
        allowed: text that describes the range, e.g. `in [0, 1)`.
        holds: whether a finite number is in the range.

    Raises:
        ConfigError: the value is not a number, not finite or out of range.
    """
    found = real(name, value)
    if not math.isfinite(found) or not holds(found):
        raise ConfigError(f"{name} must be {allowed}, got {value}")
    return found


def real(name: str, value: Any) -> float:
    """Return a number, which may be infinite or NaN, as a float.

    Raises:
        ConfigError: the value is not a number.
    """
    try:
        if _is_bool(value) or isinstance(value, (str, bytes)) or getattr(value, "ndim", None):
            raise TypeError
        return float(value)
    except (TypeError, ValueError, RuntimeError, OverflowError) as error:
        raise ConfigError(f"{name} must be a number, got {shown(value)}") from error


def at_least_zero(name: str, value: Any, unit: str = "") -> float:
    """Return a finite number >= 0; see `number`."""
    return number(name, value, f"finite and at least 0{unit}", lambda v: v >= 0)


def positive(name: str, value: Any) -> float:
    """Return a finite number > 0; see `number`."""
    return number(name, value, "positive", lambda v: v > 0)


def probability(name: str, value: Any) -> float:
    """Return a probability below 1; see `number`."""
    return number(name, value, "in [0, 1)", lambda v: 0 <= v < 1)


def flag(name: str, value: Any) -> bool:
    """Return a boolean.

    Raises:
        ConfigError: the value is neither True nor False.
    """
    if not isinstance(value, (bool, np.bool_)):
        raise ConfigError(f"{name} must be True or False, got {shown(value)}")
    return bool(value)


def checked_angles(
    theta: Any, n_angles: int, layout: str = "(P,)", most_axes: int = 1
) -> torch.Tensor:
    """Return the argument theta as a tensor; what is not a tensor yet becomes float64.

    Args:
        theta: angles, radians.
        n_angles: number of angles P.
        layout: text that describes the allowed shapes.
        most_axes: largest allowed number of dimensions.

    Raises:
        ConfigError: the angles are not finite numbers, or have another shape.
    """
    given = isinstance(theta, torch.Tensor)
    try:
        found = theta if given else torch.tensor(theta, dtype=torch.float64)
    except (TypeError, ValueError, RuntimeError) as error:
        raise ConfigError(f"theta must be numbers, got {shown(theta)}") from error
    if not 1 <= found.ndim <= most_axes or found.shape[-1] != n_angles or not len(found):
        raise ConfigError(
            f"theta must be angles {layout}, P = {n_angles}, got shape {tuple(found.shape)}"
        )
    if not torch.isfinite(found).all():
        raise ConfigError("theta must be finite angles, got NaN or infinity")
    return found


def typed(config: Any, group: str) -> None:
    """Check the types of a config group's values, which Python code may have set.

    Hydra checks only those from the command line.

    Args:
        config: a dataclass; fields of type `int` must hold whole numbers, and so on.
        group: name of the group.

    Raises:
        ConfigError: a value has the wrong type; its key is named.
    """
    for field in fields(config):
        kind = field.type if isinstance(field.type, str) else getattr(field.type, "__name__", "")
        kind, _, none = (kind or str(field.type)).partition(" | ")
        value, name = getattr(config, field.name), f"{group}.{field.name}"
        if value is None and none == "None":
            continue
        if kind == "int":
            whole(name, value)
        elif kind == "float":
            real(name, value)
        elif kind == "bool":
            flag(name, value)
        elif kind == "list[int]":
            if isinstance(value, str) or not isinstance(value, Sequence):
                raise ConfigError(f"{name} must be a list of whole numbers, got {shown(value)}")
            for one in value:
                whole(f"each of {name}", one)


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
    """Raise an error if inputs of a network are not finite.

    Args:
        x: inputs (T, B, D), or tokens of any integer type.
        batch_first: whether they are (B, T, D).

    Raises:
        NumericsError: an input is NaN or infinite; its step and sequence are named.
    """
    if x.is_meta or not x.is_floating_point():
        return
    # A sum of finite numbers may overflow, but one with NaN or infinity is never finite.
    if x.sum().isfinite() or x.isfinite().all():
        return
    bad = (~torch.isfinite(x)).any(2)
    step, row = (bad.T if batch_first else bad).nonzero()[0].tolist()
    raise NumericsError(
        f"x must be finite, got NaN or infinity at step {step} of sequence {row}: check the data "
        f"or, after an embedding, lower the learning rate"
    )
