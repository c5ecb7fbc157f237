"""Registries: the names that configs can use, and what they stand for.

A registry also has the names that installed packages declare as entry points of its group. A
package is imported when one of its names is used, or when all entries are listed; its module
registers them.
"""

from __future__ import annotations

import difflib
import sys
from collections.abc import Callable, Iterable, Iterator
from functools import cache
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from inspect import Signature, signature
from pathlib import Path
from typing import Any, Generic, TypeVar

from qrnn.errors import ConfigError

T = TypeVar("T")


def unknown_name(kind: str, given: object, allowed: Iterable[str]) -> ConfigError:
    """Return the one-line error for an unknown name, with the closest allowed ones."""
    names = sorted(allowed)
    folded = {name.casefold(): name for name in names}
    close = [folded[one] for one in difflib.get_close_matches(str(given).casefold(), folded, n=3)]
    hint = f"did you mean {' or '.join(close)}? " if close else ""
    if len(names) > 24:
        one_of = f"one of {len(names)} names"
        allowed_names = f"({one_of})" if close else f"it must be {one_of}: {names[0]}, ..."
    else:
        allowed_names = f"Allowed: {', '.join(names)}"
    return ConfigError(f"{kind} {given!r} is not known: {hint}{allowed_names}")


@cache
def _declared(group: str) -> tuple[EntryPoint, ...]:
    """Return the entry points of a group; cached, as all installed packages are read."""
    return tuple(entry_points(group=group))


def _package(point: EntryPoint) -> str:
    """Return the name of the package that declares an entry point."""
    return point.value if point.dist is None else point.dist.name


@cache
def _tell(line: str) -> None:
    """Print a line on stderr, once."""
    print(f"qrnn: {line}", file=sys.stderr)


class Later:
    """A function or class whose module is imported when it is called.

    Args:
        module: the module.
        name: its name there.
    """

    def __init__(self, module: str, name: str):
        self.__module__, self.__name__ = module, name

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Call it."""
        return self._found()(*args, **kwargs)

    @property
    def __signature__(self) -> Signature:
        """What `inspect.signature` returns."""
        return signature(self._found())

    def _found(self) -> Any:
        return getattr(import_module(self.__module__), self.__name__)


class Registry(Generic[T]):
    """A registry of named entries of one kind.

    Args:
        kind: what the entries are, for error messages ("ansatz", "task").
        group: the group of entry points with which packages declare more; None: they cannot.

    Examples:
        >>> SHAPES = Registry[str]("shape")
        >>> SHAPES.add("round", "circle")
        >>> SHAPES["round"]
        'circle'
    """

    def __init__(self, kind: str, group: str | None = None):
        self.kind, self.group = kind, group
        self._entries: dict[str, T] = {}
        self._modules: dict[str, str] = {}
        self._broken: dict[str, ConfigError] = {}

    def add(self, name: str, entry: T, module: str | None = None) -> None:
        """Register an entry; a name can be used only once.

        Args:
            name: its name.
            entry: what the name stands for.
            module: the module that defines it; None: the entry's own `__module__`.

        Raises:
            ConfigError: the name is taken.
        """
        if name in self._entries:
            raise ConfigError(f"{self.kind} {name!r} is already registered: choose another name")
        self._entries[name] = entry
        self._modules[name] = module or str(getattr(entry, "__module__", ""))

    def register(self, name: str) -> Callable[[T], T]:
        """Return a decorator that registers a function or class under `name`."""

        def decorate(entry: T) -> T:
            self.add(name, entry)
            return entry

        return decorate

    def module(self, name: str) -> str:
        """Return the module that defines an entry; of a program, its file: `mine.py`.

        Raises:
            ConfigError: the name is unknown.
        """
        self[name]
        module = self._modules[name]
        if module == "__main__" and (file := getattr(sys.modules[module], "__file__", None)):
            return Path(file).name
        return module

    def plugins(self) -> dict[str, str]:
        """Return the names that other packages declare, and the packages; nothing is imported."""
        return {point.name: _package(point) for point in self._points() if not self._taken(point)}

    def loaded(self) -> Iterator[tuple[str, T]]:
        """Yield all names and entries; a plug-in that does not work is a line on stderr instead."""
        for name in self:
            try:
                entry = self[name]
            except ConfigError as error:
                _tell(str(error))
                continue
            yield name, entry
        for point in filter(self._taken, self._points()):
            _tell(f"{self._named(point)} is left out: the name is taken")

    def _points(self) -> Iterable[EntryPoint]:
        return () if self.group is None else _declared(self.group)

    def _named(self, point: EntryPoint) -> str:
        return f"{self.kind} {point.name!r} of the package {_package(point)}"

    def _taken(self, point: EntryPoint) -> bool:
        """Return whether another package has registered the name of an entry point."""
        owner = self._modules.get(point.name, point.module)
        return owner.partition(".")[0] != point.module.partition(".")[0]

    def _load(self, name: str) -> None:
        """Import a plug-in, which registers its entry.

        Raises:
            ConfigError: no package declares the name, or two do; or it cannot be imported, or does
                not register the name.
        """
        points = [point for point in self._points() if point.name == name]
        if not points:
            raise unknown_name(self.kind, name, self)
        if len(packages := sorted({_package(point) for point in points})) > 1:
            raise ConfigError(
                f"{self.kind} {name!r} must be of one package, but {' and '.join(packages)} "
                f"declare it: uninstall one"
            )
        (point,), advice = points[:1], "update or uninstall it"
        try:
            point.load()
        except (Exception, SystemExit) as error:  # another package may raise anything
            reason = " ".join(str(error).split())[:200]
            raise ConfigError(
                f"{self._named(point)} cannot be loaded ({type(error).__name__}: {reason}): "
                f"{advice}"
            ) from error
        if name not in self._entries:
            raise ConfigError(f"{self._named(point)} is not registered by {point.value}: {advice}")
        if self._taken(point):  # a `partial`, say, whose module is that of its class
            self._modules[name] = point.module

    def __getitem__(self, name: str) -> T:
        if name in self._broken:  # importing it again could fail for another reason
            raise self._broken[name]
        if name not in self._entries:
            try:
                self._load(name)
            except ConfigError as error:
                if name in self:
                    self._broken[name] = error
                raise
        return self._entries[name]

    def __contains__(self, name: object) -> bool:
        return name in self._entries or any(point.name == name for point in self._points())

    def __iter__(self) -> Iterator[str]:
        return iter(dict.fromkeys([*self._entries, *(point.name for point in self._points())]))
