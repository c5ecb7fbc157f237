"""Checks of arguments: each returns the value, or raises a one-line error that names it."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Sequence
from dataclasses import fields
from typing import Any

from qrnn.errors import ConfigError


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
    """Return whether a value is a boolean, or several, of Python, numpy or torch."""
    return isinstance(value, bool) or str(getattr(value, "dtype", "")) in ("bool", "torch.bool")


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
    if isinstance(value, bool):
        return value
    import numpy as np  # loaded by torch

    if not isinstance(value, np.bool_):
        raise ConfigError(f"{name} must be True or False, got {shown(value)}")
    return bool(value)


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
        elif kind == "list[str]":
            if isinstance(value, str) or not all(isinstance(one, str) for one in value):
                raise ConfigError(f"{name} must be a list of names, got {shown(value)}")
        elif kind == "list[int]":
            if isinstance(value, str) or not isinstance(value, Sequence):
                raise ConfigError(f"{name} must be a list of whole numbers, got {shown(value)}")
            for one in value:
                whole(f"each of {name}", one)
