"""Functions that hold a lock while they run."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import wraps
from typing import Any, TypeVar

F = TypeVar("F", bound=Callable[..., Any])


def holding(lock: AbstractContextManager) -> Callable[[F], F]:
    """Return a decorator of functions, with which they hold a lock while they run."""

    def decorate(run: F) -> F:
        @wraps(run)
        def locked(*arguments: Any, **named: Any) -> Any:
            with lock:
                return run(*arguments, **named)

        return locked  # type: ignore[return-value]

    return decorate
