"""Limits on sizes and memory, checked before anything is traced or allocated."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch.overrides import TorchFunctionMode

from qrnn.errors import ConfigError

MOST_ANGLES = 2_000  # per step, and coupled pairs: tracing more takes minutes
MOST_LAYERS = 1_000
MOST_UNITS = 1 << 40  # per layer; memory sets a lower limit


@cache
def memory() -> int:
    """Return the memory that this process can use, in bytes."""
    try:
        found = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, OSError, ValueError):  # Windows
        return 1 << 36
    for name in ("memory.max", "memory/memory.limit_in_bytes"):  # of a container
        limit = Path("/sys/fs/cgroup") / name
        if limit.is_file() and (text := limit.read_text().strip()).isdecimal():
            found = min(found, int(text))
    return found


def check_memory(what: str, size: float, remedy: str) -> None:
    """Raise an error if something does not fit into this machine's memory.

    Args:
        what: what needs the memory, for the message.
        size: number of bytes.
        remedy: how the user can fix it.

    Raises:
        ConfigError: the size exceeds this machine's memory.
    """
    if size > (most := memory()):
        raise ConfigError(
            f"{what} must fit into this machine's memory of {most / 1e9:.3g} GB, but takes at "
            f"least {size / 1e9:.3g} GB: {remedy}"
        )


class _AllocationCounter(TorchFunctionMode):
    """Counts the bytes of new tensors and raises an error if they exceed the memory.

    Args:
        what: what is built, for the message.
        remedy: how the user can fix it.
    """

    stack: list[_AllocationCounter] = []  # noqa: RUF012

    def __init__(self, what: str, remedy: str):
        self.what, self.remedy, self.n_bytes = what, remedy, 0.0

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func in SIZED and self is self.stack[-1]:
            dtype = kwargs.get("dtype") or torch.get_default_dtype()
            self.n_bytes += n_elements(func, args, kwargs) * dtype.itemsize
            check_memory(self.what, self.n_bytes, self.remedy)
        return func(*args, **kwargs)


SIZED = (
    torch.empty,
    torch.zeros,
    torch.ones,
    torch.rand,
    torch.randn,
    torch.full,
    torch.eye,
    torch.arange,
)


def n_elements(func: Any, args: Any, kwargs: Any) -> float:
    """Return the number of elements that a call of one of `SIZED` would allocate."""
    given = args or tuple(kwargs.get(name, 0) for name in ("size", "end", "n") if name in kwargs)
    if not given:
        return 0
    if func is torch.eye:
        return float(given[0]) ** 2
    if func is torch.arange:
        return float(given[0] if len(given) == 1 else given[1] - given[0])
    sizes = given[0] if isinstance(given[0], list | tuple) else given
    return math.prod(float(one) for one in sizes if isinstance(one, int))


@contextmanager
def limit_allocations(what: str, remedy: str) -> Iterator[None]:
    """Raise an error if building something exceeds this machine's memory.

    In a nested block, allocations count only for the inner one.

    Args:
        what: what is built, for the message.
        remedy: how the user can fix it.

    Raises:
        ConfigError: the tensors exceed this machine's memory.
    """
    mode = _AllocationCounter(what, remedy)
    mode.stack.append(mode)
    try:
        with mode:
            yield
    except OverflowError as error:  # sizes beyond 64 bits
        raise ConfigError(f"{what} must fit into this machine's memory: {remedy}") from error
    finally:
        mode.stack.pop()


def size_remedy(config: Any) -> str:
    """Return the remedy for a model that is too large: its two largest integers to lower."""
    found = {k: v for k, v in vars(config).items() if type(v) is int and v > 1}
    largest = sorted(found, key=lambda key: -found[key])[:2]
    return "lower " + " or ".join(f"model.{key}={found[key]}" for key in largest)
