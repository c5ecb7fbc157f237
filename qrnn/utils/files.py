"""Atomic writes: after a crash a file has its old content or the new one, never a part."""

from __future__ import annotations

import os
import shutil
import stat
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from qrnn.errors import ConfigError

STANDARD = {"/dev/stdout": 1, "/dev/stderr": 2}


@contextmanager
def atomic_write(path: str | Path) -> Iterator[Path]:
    """Yield a temporary path that replaces a file on success.

    Of a symbolic link, the target is replaced. To devices and pipes, the content is written once it
    is complete.

    Args:
        path: the file to write; missing folders are created.

    Raises:
        OSError: the file cannot be written; the error names it.
    """
    with name_in_errors(path):
        try:
            mode = os.stat(path).st_mode
        except FileNotFoundError:
            umask = os.umask(0)  # can be read only by setting it
            os.umask(umask)
            mode = stat.S_IFREG | (0o666 & ~umask)
        except ValueError as error:  # a null byte in the path
            raise OSError(0, str(error), str(path)) from error
        if stat.S_ISDIR(mode):
            raise IsADirectoryError(21, "is a folder", str(path))
        direct = str(path) in STANDARD or not stat.S_ISREG(mode)
        place = Path(os.path.realpath(path))
        if not direct:
            place.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(
            dir=None if direct else place.parent,
            prefix=f".{Path(path).name}.",
            suffix=Path(path).suffix,
        )
        os.close(handle)
        temporary = Path(name)
        try:
            yield temporary
            if direct:
                _write_to(str(path), temporary)
                return
            with open(temporary, "rb") as file:
                os.fsync(file.fileno())
            temporary.chmod(stat.S_IMODE(mode))  # mkstemp makes private files
            os.replace(temporary, place)
            if os.name == "posix":  # so that the rename is on disk too
                folder = os.open(place.parent, os.O_RDONLY)
                os.fsync(folder)
                os.close(folder)
        finally:
            temporary.unlink(missing_ok=True)


def _write_to(path: str, content: Path) -> None:
    """Write a file's content to a device, pipe or standard stream."""
    sys.stdout.flush()
    target = os.dup(STANDARD[path]) if path in STANDARD else os.open(path, os.O_WRONLY)
    with open(content, "rb") as source, open(target, "wb") as out:
        shutil.copyfileobj(source, out)


def check_output(key: str, output: str | None, *read: str | None) -> None:
    """Check that a file to write is none of those that are read.

    Args:
        key: the option that names the file to write.
        output: the file; None: none.
        read: the files that are read; None: none.

    Raises:
        ConfigError: it is one of them.
    """
    for one in read:
        if output is not None and one is not None and _same(output, one):
            raise ConfigError(f"{key} must be another file than {one}, which is read, got {output}")


def _same(one: str, other: str) -> bool:
    if Path(one).exists() and Path(other).exists():
        return os.path.samefile(one, other)
    return os.path.realpath(one) == os.path.realpath(other)


def own_folder(resume: str | None, other: str) -> str:
    """Return the folder in which a training goes on.

    Args:
        resume: the checkpoint. From another one than `last.ckpt`, which is an earlier state, a
            training must not overwrite what was learnt since. None: it is a new run.
        other: the folder if it is not that of the checkpoint.
    """
    return other if resume is None or Path(resume).name != "last.ckpt" else str(Path(resume).parent)


@contextmanager
def name_in_errors(path: str | Path) -> Iterator[None]:
    """Put the file's name into OS errors that name no file, or its temporary one."""
    try:
        yield
    except OSError as error:
        given = error.filename
        if given is None or Path(str(given)).name.startswith(f".{Path(path).name}."):
            error.filename = str(path)
        raise


def write_text(path: str | Path, text: str) -> None:
    """Write text to a file, atomically."""
    with atomic_write(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
