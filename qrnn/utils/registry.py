"""Registries: the names that configs can use, and what they stand for."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Iterator
from typing import Generic, TypeVar

from qrnn.errors import ConfigError

T = TypeVar("T")


def unknown_name(kind: str, given: object, allowed: Iterable[str]) -> ConfigError:
    """Return the one-line error for an unknown name, with the closest allowed ones."""
    names = sorted(allowed)
    close = difflib.get_close_matches(str(given), names, n=3)
    hint = f"did you mean {' or '.join(close)}? " if close else ""
    if len(names) > 24:
        allowed_names = f"(one of {len(names)} names{'' if close else f': {names[0]}, ...'})"
    else:
        allowed_names = f"Allowed: {', '.join(names)}"
    return ConfigError(f"{kind} {given!r} is not known: {hint}{allowed_names}")


class Registry(Generic[T]):
    """A registry of named entries of one kind.

    Args:
        kind: what the entries are, for error messages ("ansatz", "task").

    Examples:
        >>> SHAPES = Registry[str]("shape")
        >>> SHAPES.add("round", "circle")
        >>> SHAPES["round"]
        'circle'
    """

    def __init__(self, kind: str):
        self.kind = kind
        self._entries: dict[str, T] = {}

    def add(self, name: str, entry: T) -> None:
        """Register an entry; a name can be used only once.

        Raises:
            ConfigError: the name is taken.
        """
        if name in self._entries:
            raise ConfigError(f"{self.kind} {name!r} is already registered: choose another name")
        self._entries[name] = entry

    def register(self, name: str) -> Callable[[T], T]:
        """Return a decorator that registers a function or class under `name`."""

        def decorate(entry: T) -> T:
            self.add(name, entry)
            return entry

        return decorate

    def __getitem__(self, name: str) -> T:
        if name not in self._entries:
            raise unknown_name(self.kind, name, self._entries)
        return self._entries[name]

    def __contains__(self, name: object) -> bool:
        return name in self._entries

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)
