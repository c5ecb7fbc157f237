"""Writing files so that a crash leaves the old content or the new, never half of it."""

from __future__ import annotations

import os
import shutil
import stat
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

STANDARD = {"/dev/stdout": 1, "/dev/stderr": 2}


@contextmanager
def replacing(path: str | Path) -> Iterator[Path]:
    """Yield a temporary path whose content takes the place of a file's on success.

    A link stays, and what it points at is replaced. Devices and pipes stay too: the content is
    written to them once it is whole.

    Args:
        path: the file to write; its folder is made.

    Raises:
        OSError: it cannot be written; the error has its name.
    """
    with naming(path):
        try:
            mode = os.stat(path).st_mode
        except FileNotFoundError:
            umask = os.umask(0)  # which can only be read by setting it
            os.umask(umask)
            mode = stat.S_IFREG | (0o666 & ~umask)
        except ValueError as error:  # a zero byte in it
            raise OSError(0, str(error), str(path)) from error
        if stat.S_ISDIR(mode):
            raise IsADirectoryError(21, "is a folder", str(path))
        straight = str(path) in STANDARD or not stat.S_ISREG(mode)
        place = Path(os.path.realpath(path))
        if not straight:
            place.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(
            dir=None if straight else place.parent,
            prefix=f".{Path(path).name}.",
            suffix=Path(path).suffix,
        )
        os.close(handle)
        temporary = Path(name)
        try:
            yield temporary
            if straight:
                _write_to(str(path), temporary)
                return
            with open(temporary, "rb") as file:
                os.fsync(file.fileno())
            temporary.chmod(stat.S_IMODE(mode))  # mkstemp makes private files
            os.replace(temporary, place)
            if os.name == "posix":  # so that the new name is on disk too
                folder = os.open(place.parent, os.O_RDONLY)
                os.fsync(folder)
                os.close(folder)
        finally:
            temporary.unlink(missing_ok=True)


def _write_to(path: str, content: Path) -> None:
    """Write a file's content to what is no regular file."""
    sys.stdout.flush()
    target = os.dup(STANDARD[path]) if path in STANDARD else os.open(path, os.O_WRONLY)
    with open(content, "rb") as source, open(target, "wb") as out:
        shutil.copyfileobj(source, out)


@contextmanager
def naming(path: str | Path) -> Iterator[None]:
    """Name a file in the system's errors that name none, or a temporary file in its place."""
    try:
        yield
    except OSError as error:
        given = error.filename
        if given is None or Path(str(given)).name.startswith(f".{Path(path).name}."):
            error.filename = str(path)
        raise


def write_text(path: str | Path, text: str) -> None:
    """Replace a file's text."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
