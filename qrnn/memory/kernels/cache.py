"""Compiled kernels on disk: found again only by the sources that they were compiled from.

Numba's own cache knows the file of the function that is called, and not those of its callees. Here
a file is named by all that its content depends on. So a change of the sources, of numba or of the
processor is another file, and processes that share a folder cannot hand each other anything else.
"""

from __future__ import annotations

import hashlib
import logging
import os
import pickle
import stat
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

import llvmlite
import numba
from numba.core.caching import _Cache
from numba.core.compiler import CompileResult
from numba.core.serialize import dumps
from numba.misc.appdirs import AppDirs

from qrnn.utils.files import atomic_write

SOURCES = Path(__file__).parent
# Files kept of each kernel, the last used: a few precisions, of a few versions of the sources.
KEPT = 16
REMEDY = "let NUMBA_CACHE_DIR name a folder that can be written to"


def digest(folder: Path) -> str:
    """Return a digest of the sources in a folder and of what compiles them.

    Of all sources, so that none is forgotten: kernels take constants from modules without kernels.
    """
    found = hashlib.sha256(repr((sys.version, numba.__version__, llvmlite.__version__)).encode())
    for file in sorted(folder.rglob("*.py")):
        content = hashlib.sha256(file.read_bytes()).hexdigest()
        found.update(f"{file.relative_to(folder)} {content}\n".encode())
    return found.hexdigest()


# Of the sources as they are imported: a process goes on with these if they are changed later.
STAMP = digest(SOURCES)


def private_temp_dir() -> Path | None:
    """Return this user's folder for temporary kernels; None if it is not safe or cannot be made.

    Whoever can write to it can make this process run what they like.
    """
    try:
        user = os.getuid() if hasattr(os, "getuid") else 0  # one folder a user on Windows
        folder = Path(tempfile.gettempdir()) / f"qrnn-{user}"
        folder.mkdir(mode=0o700, exist_ok=True)
        found = folder.lstat()
    except OSError:
        return None
    if hasattr(os, "getuid") and (found.st_uid != user or found.st_mode & 0o022):
        return None
    return folder if stat.S_ISDIR(found.st_mode) else None


def cache_folders() -> Iterator[Path]:
    """Yield the folders in which kernels are looked for, and stored in the first that lets us."""
    if numba.config.CACHE_DIR:  # type: ignore[attr-defined]
        yield Path(numba.config.CACHE_DIR) / "qrnn"  # type: ignore[attr-defined]
    yield SOURCES / "__pycache__"
    of_user = Path(AppDirs("qrnn", appauthor=False).user_cache_dir)
    if of_user.is_absolute():  # "~/.cache" is what is left of it without a home
        yield of_user
    if (temporary := private_temp_dir()) is not None:
        yield temporary


@cache
def warn_once(message: str) -> None:
    """Tell the user, once a process."""
    logging.getLogger("qrnn").warning(message)


def set_triton_cache_dir() -> None:
    """Let Triton, which cannot do without one, keep its kernels where this user can write.

    Their names need no digest of ours: Triton's own key holds the sources of callees.
    """
    if os.environ.get("TRITON_CACHE_DIR"):
        return
    folder = Path(os.environ.get("TRITON_HOME") or os.path.expanduser("~")) / ".triton" / "cache"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=folder).close()
    except OSError:
        if (temporary := private_temp_dir()) is not None:
            os.environ["TRITON_CACHE_DIR"] = str(temporary / "triton")
            warn_once(
                f"compiled kernels are kept in {temporary} alone: let TRITON_CACHE_DIR name a "
                "folder that can be written to"
            )


class KernelCache(_Cache):
    """The files of one kernel, for numba.

    Args:
        function: the kernel, in Python.
        stamp: of the sources, see `digest`.
    """

    def __init__(self, function: Callable, stamp: str = STAMP):
        self.name = f"{function.__module__.rpartition('.')[2]}.{function.__qualname__}"
        self.stamp = stamp
        self._enabled = True

    def file(self, signature: Any, codegen: Any) -> str:
        """Return the file's name for a signature; `codegen` knows the processor."""
        key = repr((self.stamp, self.name, str(signature), codegen.magic_tuple()))
        return f"{self.name}-{hashlib.sha256(key.encode()).hexdigest()[:32]}.nbc"

    def load_overload(self, sig: Any, target_context: Any) -> CompileResult | None:
        """Return the compiled kernel for a signature, or None."""
        target_context.refresh()
        name = self.file(sig, target_context.codegen())
        for folder in cache_folders() if self._enabled else ():
            try:
                content = (folder / name).read_bytes()
            except OSError:
                continue
            expected, payload = content[:32], content[32:]
            if hashlib.sha256(payload).digest() == expected:  # else a damaged file, soon replaced
                with suppress(OSError):  # of another user: it is not ours to delete either
                    os.utime(folder / name)
                return CompileResult._rebuild(target_context, *pickle.loads(payload))
        return None

    def save_overload(self, sig: Any, data: Any) -> None:
        """Store a compiled kernel where that is possible, else say so."""
        if not self._enabled:
            return
        name, payload = self.file(sig, data.codegen), dumps(data._reduce())
        for folder in cache_folders():
            try:
                with atomic_write(folder / name) as temporary:
                    temporary.write_bytes(hashlib.sha256(payload).digest() + payload)
            except OSError:
                continue
            self.prune(folder)
            if folder == private_temp_dir():
                warn_once(f"compiled kernels are kept in {folder} alone: {REMEDY}")
            return
        warn_once(f"compiled kernels cannot be kept, and each process compiles them: {REMEDY}")

    def prune(self, folder: Path) -> None:
        """Delete all but the files used last."""
        with suppress(OSError):  # another process does the same
            for file in self.files(folder)[KEPT:]:
                file.unlink()

    def files(self, folder: Path) -> list[Path]:
        """Return this kernel's files, whatever they were compiled from, the last used first."""
        found = folder.glob(f"{self.name}-*")
        return sorted(found, key=lambda file: file.stat().st_mtime, reverse=True)

    @property
    def cache_path(self) -> str:
        """The folder that kernels are looked for in first."""
        return str(next(cache_folders()))

    def enable(self) -> None:
        """Look kernels up and store them."""
        self._enabled = True

    def disable(self) -> None:
        """Do neither."""
        self._enabled = False

    def flush(self) -> None:
        """Forget this kernel's files."""
        for folder in cache_folders():
            for file in self.files(folder):
                file.unlink()
