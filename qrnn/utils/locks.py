"""Functions that hold a lock while they run."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import wraps
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")


def holding(lock: AbstractContextManager) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Return a decorator of functions, with which they hold a lock while they run."""

    def decorate(run: Callable[P, R]) -> Callable[P, R]:
        @wraps(run)
        def locked(*arguments: P.args, **named: P.kwargs) -> R:
            with lock:
                return run(*arguments, **named)

        return locked

    return decorate
