"""What Hydra makes before a job begins: it goes if the job is refused.

Hydra makes a run's folder, and writes files of its own there, before anything of the configuration
is checked beyond keys and types.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any


@dataclass
class _Notes:
    """What was made since when.

    Attributes:
        made: absolute paths of folders and files, a folder before what is in it.
        begun: seconds since the epoch.
        on: whether Hydra is at work, rather than a job.
        folder: of the job; None: none began.
    """

    made: list[Path] = field(default_factory=list)
    begun: float = field(default_factory=time.time)
    on: bool = True
    folder: Path | None = None

    def note(self, event: str, arguments: tuple[Any, ...]) -> None:
        """Note what is about to be made, from an event that Python audits."""
        if not isinstance(arguments[0], (str, bytes, os.PathLike)):  # the number of an open file
            return
        path = Path(os.path.abspath(os.fsdecode(arguments[0])))
        if event == "open":
            writes = isinstance(arguments[1], str) and not {*"wax"}.isdisjoint(arguments[1])
            if not writes or path.suffix not in (".yaml", ".log"):  # no cache of Python's
                return
        if not os.path.lexists(path):
            self.made.append(path)

    def job_wrote(self) -> bool:
        """Return whether the job's folder holds anything new that is not Hydra's."""
        if self.folder is None:
            return False
        others = {*self.folder.iterdir()} - {*self.made}
        return any(other.lstat().st_mtime >= self.begun for other in others)


_notes = _Notes(on=False)


@cache
def _listen() -> None:
    """Listen to Python's events; cached, as it listens to the end of the process."""

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        if _notes.on and event in ("os.mkdir", "open"):
            _notes.note(event, arguments)

    sys.addaudithook(hook)


@contextmanager
def noting() -> Iterator[None]:
    """Note what Hydra makes in the block; if the block fails, remove it.

    What was there before stays, and all of it if a job had written anything beside it.
    """
    global _notes
    _listen()
    _notes = _Notes()
    try:
        yield
    except BaseException:
        _notes.on = False
        _remove()
        raise
    finally:
        _notes.on = False


@contextmanager
def job(folder: str) -> Iterator[None]:
    """Leave out what a job makes; if it ends well, what Hydra made for it stays.

    Args:
        folder: the job's.
    """
    _notes.on, _notes.folder = False, Path(folder)
    yield
    _notes.made.clear()
    _notes.on = True


def _remove() -> None:
    try:
        if _notes.job_wrote():
            return
    except OSError:
        return
    for path in reversed(_notes.made):
        try:
            if path.is_dir():
                path.rmdir()
            else:
                path.unlink(missing_ok=True)
        except OSError:  # not empty; or what cannot be removed, and does no harm
            continue
