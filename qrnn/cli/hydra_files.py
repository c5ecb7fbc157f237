"""Remove the files that Hydra creates before a job, if the job is refused.

Hydra creates a run's folder, and writes files of its own there, when only the keys and types of the
configuration have been checked.
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
class _Record:
    """The files and folders that Hydra has created.

    Attributes:
        made: absolute paths of folders and files, each folder before its content.
        begun: start of the record, seconds since the epoch.
        on: whether Hydra is running, rather than a job.
        folder: the job's folder; None: no job has begun.
    """

    made: list[Path] = field(default_factory=list)
    begun: float = field(default_factory=time.time)
    on: bool = True
    folder: Path | None = None

    def note(self, event: str, arguments: tuple[Any, ...]) -> None:
        """Record a path that is about to be created, from an audit event of Python."""
        if not isinstance(arguments[0], (str, bytes, os.PathLike)):  # a file descriptor
            return
        path = Path(os.path.abspath(os.fsdecode(arguments[0])))
        if event == "open":
            writes = isinstance(arguments[1], str) and not {*"wax"}.isdisjoint(arguments[1])
            if not writes or path.suffix not in (".yaml", ".log"):  # not Python's .pyc files
                return
        if not os.path.lexists(path):
            self.made.append(path)

    def job_wrote(self) -> bool:
        """Return whether the job's folder has new files that are not Hydra's."""
        if self.folder is None:
            return False
        others = {*self.folder.iterdir()} - {*self.made}
        return any(other.lstat().st_mtime >= self.begun for other in others)


_record = _Record(on=False)


@cache
def _listen() -> None:
    """Add an audit hook; cached, because a hook cannot be removed."""

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        if _record.on and event in ("os.mkdir", "open"):
            _record.note(event, arguments)

    sys.addaudithook(hook)


@contextmanager
def removed_on_failure() -> Iterator[None]:
    """Remove the files that Hydra creates in the block if the block fails.

    Earlier files stay, and so does everything if a job has written files of its own.
    """
    global _record
    _listen()
    _record = _Record()
    try:
        yield
    except BaseException:
        _record.on = False
        _remove()
        raise
    finally:
        _record.on = False


@contextmanager
def job(folder: str) -> Iterator[None]:
    """Do not record what a job creates; if the job succeeds, Hydra's files stay.

    If it raises an error, they are removed at once, since a sweeper may go on with other jobs.

    Args:
        folder: the job's folder.
    """
    _record.on, _record.folder = False, Path(folder)
    try:
        yield
    except Exception:
        _remove()
        _record.on, _record.folder = True, None
        raise
    _record.made.clear()
    _record.on = True


def _remove() -> None:
    try:
        if _record.job_wrote():
            return
    except OSError:
        return
    for path in reversed(_record.made):
        try:
            if path.is_dir():
                path.rmdir()
            else:
                path.unlink(missing_ok=True)
        except OSError:  # not empty, or not removable: leave it
            continue
