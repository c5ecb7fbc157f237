"""The parameters and buffers that a user's function uses, as a module with their names."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from functools import partial, reduce
from types import CodeType, FunctionType, MethodType, ModuleType
from typing import Any

import torch
from torch import nn

from qrnn.errors import ConfigError

PLAIN = (str, bytes, int, float, complex, type(None), type, torch.Tensor, ModuleType)


def reachable(root: Callable) -> Iterator[tuple[str, torch.Tensor, bool]]:
    """Iterate over (name, tensor, is buffer) of the tensors that a function can access.

    They are found in its closure, the globals it names, defaults, arguments of `partial`, the
    object of a method, and in modules, containers and objects inside these.
    """
    for name, value in _inside(root):
        if isinstance(value, torch.Tensor):
            yield name, value, False
        elif isinstance(value, nn.Module):
            for part, parameter in value.named_parameters():
                yield _join(name, part), parameter, False
            for part, buffer in value.named_buffers():
                yield _join(name, part), buffer, True


def _inside(root: Callable) -> Iterator[tuple[str, Any]]:
    """Iterate over (name, value) of what a function can access, without children of modules."""
    seen: set[int] = set()
    todo: list[tuple[str, Any]] = [("", root)]
    while todo:  # breadth first, for the shortest name
        name, value = todo.pop(0)
        if isinstance(value, torch.Tensor):
            yield name, value
        elif id(value) not in seen:
            seen.add(id(value))
            yield name, value
            todo += [(_join(name, part), inner) for part, inner in _parts(value)]


def _join(*names: str) -> str:
    return ".".join(name for name in names if name)


def _parts(value: Any) -> Iterator[tuple[str, Any]]:
    """Iterate over (name, part) of what a value contains."""
    if isinstance(value, MethodType):
        yield from (("", value.__self__), ("", value.__func__))
    elif isinstance(value, FunctionType):
        cells = zip(value.__code__.co_freevars, value.__closure__ or (), strict=True)
        for name, cell in cells:
            if cell != type(cell)():  # filled
                yield name, cell.cell_contents
        for name in _names(value.__code__):
            if name in value.__globals__:
                yield name, value.__globals__[name]
        bound = inspect.signature(value).parameters.values()
        yield from ((p.name, p.default) for p in bound if p.default is not p.empty)
    elif isinstance(value, partial):
        yield "", value.func
        yield from ((str(index), inner) for index, inner in enumerate(value.args))
        yield from value.keywords.items()
    elif isinstance(value, dict):
        yield from ((str(key), inner) for key, inner in value.items())
    elif isinstance(value, (list, tuple, set)):
        yield from ((str(index), inner) for index, inner in enumerate(value))
    elif not isinstance(value, PLAIN) and not _of_library(value):
        # Custom objects, including modules.
        inner = getattr(value, "__dict__", {})
        yield from ((key, inner[key]) for key in inner if not key.startswith("_"))


def _names(code: CodeType) -> Iterator[str]:
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _names(constant)


def _of_library(value: Any) -> bool:
    """Return whether a value's type is from a package whose objects hold no user parameters."""
    return type(value).__module__.split(".")[0] in ("builtins", "numpy", "pennylane", "typing")


class Weights(nn.Module):
    """Parameters and buffers under the function's names for them, in order of first use.

    Args:
        function: the function.
        used: the tensors that it uses.
    """

    def __init__(self, function: Callable, used: list[torch.Tensor]):
        super().__init__()
        found: dict[int, str] = {}
        for name, tensor, _ in reachable(function) if used else ():
            found.setdefault(id(tensor), name.removeprefix("self."))
        self.names: list[str] = []
        for index, tensor in enumerate(used):
            name = found.get(id(tensor), "")
            try:
                self._register(name, tensor)
            except (AttributeError, KeyError):  # an invalid name for a module, or a duplicate
                self._register(name := f"weight_{index}", tensor)
            self.names.append(name)

    def _register(self, name: str, tensor: torch.Tensor) -> None:
        *path, last = name.split(".")
        module: nn.Module = self
        for part in path:
            if part not in module._modules:
                module.add_module(part, nn.Module())
            module = module._modules[part]  # type: ignore[assignment]
        if isinstance(tensor, nn.Parameter):
            module.register_parameter(last, tensor)
        else:
            module.register_buffer(last, tensor)

    def values(self) -> list[torch.Tensor]:
        """Return the current tensors, in the order of `names`."""
        return [reduce(getattr, name.split("."), self) for name in self.names]  # type: ignore[misc]

    def pairs(self, originals: list[torch.Tensor]) -> list[tuple[torch.Tensor, torch.Tensor]]:
        """Return pairs of the function's own tensors and their current values.

        Raises:
            ConfigError: the numbers or shapes of the tensors differ.
        """
        values = self.values()
        if [value.shape for value in values] != [original.shape for original in originals]:
            raise ConfigError(
                f"the ansatz must use the parameters that it was created with, {self.names}, got "
                f"{len(originals)} of shapes {[tuple(one.shape) for one in originals]}: create a "
                f"new cell"
            )
        return list(zip(originals, values, strict=True))


def buffers(function: Callable) -> list[torch.Tensor]:
    """Return the buffers of modules that a function can reach."""
    return [tensor for _, tensor, is_buffer in reachable(function) if is_buffer]


class Owners:
    """Where a function finds its weights: the modules whose attributes they are.

    Args:
        function: the function.
        used: the tensors that it uses as weights.
    """

    def __init__(self, function: Callable, used: list[torch.Tensor]):
        index = {id(tensor): i for i, tensor in enumerate(used)}
        modules = [value for _, value in _inside(function) if isinstance(value, nn.Module)]
        self._places = [
            (held, name, tensor, index[id(tensor)])
            for module in modules
            if used
            for inner in module.modules()
            for held in (inner._parameters, inner._buffers)
            for name, tensor in held.items()
            if id(tensor) in index
        ]

    def check(self, weights: Weights) -> None:
        """Check that the modules still hold the tensors that a cell has as weights.

        A cell with other weights, such as those of `torch.func.functional_call` or in another
        precision, puts them in the place of the function's, so these need no check.

        Raises:
            ConfigError: a tensor was replaced in its module, but not in the cell.
        """
        for held, name, tensor, index in self._places:
            if held.get(name, tensor) is tensor:
                continue
            current = weights.values()[index]
            if current is tensor and held[name] is not None:
                raise ConfigError(
                    f"the ansatz must keep the tensors that it was created with, but {name!r} was "
                    f"assigned anew: change it in place, {name}.copy_(...), or create a new cell"
                )
