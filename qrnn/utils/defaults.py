"""A default is written once, in the signature of what reads it; others look it up there."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any


def default_of(function: Callable, name: str) -> Any:
    """Return the default of an argument of a function, or of a class's `__init__`."""
    return inspect.signature(function).parameters[name].default
