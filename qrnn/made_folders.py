"""The folders that Hydra makes before a job begins: they go if the job is refused.

Hydra makes a run's folder, and writes its own files there, before anything of the configuration is
checked beyond keys and types.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

OWN = ("config.yaml", "hydra.yaml", "overrides.yaml", "multirun.yaml")  # of Hydra

_made: list[Path] = []  # absolute
_noting = False


def _note(event: str, arguments: tuple[Any, ...]) -> None:
    """Note a folder that is about to be made; called by Python for each event that it audits."""
    if _noting and event == "os.mkdir":
        path = Path(os.path.abspath(os.fsdecode(arguments[0])))
        if not os.path.lexists(path):
            _made.append(path)


@cache
def _begin() -> None:
    # Once: Python keeps such a hook to the end of the process.
    sys.addaudithook(_note)


@contextmanager
def noting() -> Iterator[None]:
    """Note all folders that are made in the block."""
    global _noting
    _begin()
    _made.clear()
    _noting = True
    try:
        yield
    finally:
        _noting = False


@contextmanager
def not_noting() -> Iterator[None]:
    """Leave out, within `noting`, what is made in the block: a job's own."""
    global _noting
    _noting = False
    try:
        yield
    finally:
        _noting = True


def remove_refused() -> None:
    """Remove the noted folders that hold nothing but Hydra's own files."""
    for folder in reversed(_made):
        try:
            content = list(folder.iterdir())
            if any(not (one.name in OWN or one.suffix == ".log") for one in content):
                continue
            for one in content:
                one.unlink()
            folder.rmdir()
        except OSError:  # what cannot be removed does no harm
            continue
    _made.clear()
