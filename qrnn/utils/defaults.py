"""Defaults are written once, in the signature that uses them; other code looks them up there."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any


def default_of(function: Callable, name: str) -> Any:
    """Return the default of an argument of a function or class."""
    return inspect.signature(function).parameters[name].default
