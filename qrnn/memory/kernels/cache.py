"""The disk cache of compiled kernels, keyed by the sources that they were compiled from.

Numba's own cache checks the file of the called function, but not those of its callees. Here the
file name is a digest of everything that the content depends on. So other sources, another numba or
processor use another file, and processes that share a folder never load a wrong kernel.
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
# Number of files to keep per kernel, last used first: several precisions and source versions.
KEPT = 16
REMEDY = "set NUMBA_CACHE_DIR to a writable folder"


def digest(folder: Path) -> str:
    """Return a digest of all sources in a folder and of the compiler's versions.

    It includes modules without kernels, because kernels use their constants.
    """
    found = hashlib.sha256(repr((sys.version, numba.__version__, llvmlite.__version__)).encode())
    for file in sorted(folder.rglob("*.py")):
        content = hashlib.sha256(file.read_bytes()).hexdigest()
        found.update(f"{file.relative_to(folder)} {content}\n".encode())
    return found.hexdigest()


# Taken at import: a process keeps using these sources if they change later.
STAMP = digest(SOURCES)


def private_temp_dir() -> Path | None:
    """Return this user's folder for temporary kernels; None if it is unsafe or cannot be created.

    Anyone who can write to the folder can run code in this process.
    """
    try:
        user = (
            os.getuid() if hasattr(os, "getuid") else 0
        )  # Windows has one temporary folder per user
        folder = Path(tempfile.gettempdir()) / f"qrnn-{user}"
        folder.mkdir(mode=0o700, exist_ok=True)
        found = folder.lstat()
    except OSError:
        return None
    if hasattr(os, "getuid") and (found.st_uid != user or found.st_mode & 0o022):
        return None
    return folder if stat.S_ISDIR(found.st_mode) else None


def cache_folders() -> Iterator[Path]:
    """Yield the folders to search for kernels; they are saved to the first writable one."""
    if numba.config.CACHE_DIR:  # type: ignore[attr-defined]
        yield Path(numba.config.CACHE_DIR) / "qrnn"  # type: ignore[attr-defined]
    yield SOURCES / "__pycache__"
    of_user = Path(AppDirs("qrnn", appauthor=False).user_cache_dir)
    if of_user.is_absolute():  # without a home folder it is the relative path "~/.cache"
        yield of_user
    if (temporary := private_temp_dir()) is not None:
        yield temporary


@cache
def warn_once(message: str) -> None:
    """Log a warning, once per process."""
    logging.getLogger("qrnn").warning(message)


def set_triton_cache_dir() -> None:
    """Give Triton, which requires a cache folder, one that this user can write to.

    Triton's own cache key includes the sources of callees.
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
                f"compiled kernels are saved only to {temporary}, which is temporary: set "
                "TRITON_CACHE_DIR to a writable folder"
            )


class KernelCache(_Cache):
    """The cache files of one kernel, for numba.

    Args:
        function: the kernel's Python function.
        stamp: digest of the sources; see `digest`.
    """

    def __init__(self, function: Callable, stamp: str = STAMP):
        self.name = f"{function.__module__.rpartition('.')[2]}.{function.__qualname__}"
        self.stamp = stamp
        self._enabled = True

    def file(self, signature: Any, codegen: Any) -> str:
        """Return the file name for a signature; `codegen` identifies the processor."""
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
            if (
                hashlib.sha256(payload).digest() == expected
            ):  # else the file is damaged and will be replaced
                with suppress(OSError):  # another user's file
                    os.utime(folder / name)
                return CompileResult._rebuild(target_context, *pickle.loads(payload))
        return None

    def save_overload(self, sig: Any, data: Any) -> None:
        """Save a compiled kernel, or log a warning if no folder is writable."""
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
                warn_once(
                    f"compiled kernels are saved only to {folder}, which is temporary: {REMEDY}"
                )
            return
        warn_once(f"compiled kernels cannot be saved, so each process compiles them: {REMEDY}")

    def prune(self, folder: Path) -> None:
        """Delete all but the most recently used files."""
        with suppress(OSError):  # another process does the same
            for file in self.files(folder)[KEPT:]:
                file.unlink()

    def files(self, folder: Path) -> list[Path]:
        """Return this kernel's files of any version, last used first."""
        found = folder.glob(f"{self.name}-*")
        return sorted(found, key=lambda file: file.stat().st_mtime, reverse=True)

    @property
    def cache_path(self) -> str:
        """The folder that is searched first."""
        return str(next(cache_folders()))

    def enable(self) -> None:
        """Enable loading and saving."""
        self._enabled = True

    def disable(self) -> None:
        """Disable loading and saving."""
        self._enabled = False

    def flush(self) -> None:
        """Delete this kernel's files."""
        for folder in cache_folders():
            for file in self.files(folder):
                file.unlink()
