"""The command line as the user's shell runs it: commands are printed so that they can be pasted."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from shutil import which


@dataclass(frozen=True)
class Started:
    """How the command line was started.

    Attributes:
        program: what precedes the command, as in a shell: `qrnn`, or `python mine.py`.
        folder: the shell's folder, to which printed paths are relative; Hydra can change that of
            the process. None: that of the process.
    """

    program: str
    folder: str | None = None


_started = Started("qrnn")  # in Python


def started() -> Started:
    """Return how the command line was started."""
    return _started


@contextmanager
def running(how: Started | None = None) -> Iterator[None]:
    """Print commands and paths for the shell that started the command line, in the block.

    Args:
        how: it was started, as another process has found out; None: as this process was.
    """
    global _started
    before, _started = _started, how or Started(_program(), _folder())
    try:
        yield
    finally:
        _started = before


def installed() -> str:
    """Return `qrnn` as a shell finds that of this environment."""
    script = Path(sys.executable).with_name("qrnn")
    if which(script) is None:
        return shlex.join([sys.executable, "-m", "qrnn"])
    return _of_the_shell(os.path.relpath(script) if Path.cwd() in script.parents else str(script))


def python() -> str:
    """Return `python` where the shell finds that of this environment by it, else its path."""
    own, found = Path(sys.executable), which("python")
    if found is not None and Path(found).parent.samefile(own.parent):  # both may be links
        return "python"
    shell = Path(started().folder or Path.cwd())
    return shlex.quote(os.path.relpath(own, shell) if shell in own.parents else str(own))


def own_file() -> Path | None:
    """Return the file of the program that Python runs; None: it runs none, as in a notebook."""
    file = getattr(sys.modules["__main__"], "__file__", None)
    return None if file is None else Path(file).resolve()


def command(name: str, *arguments: str) -> str:
    """Return a command of this program.

    Args:
        name: such as `evaluate`.
        arguments: as a shell takes them; see `qrnn.utils.overrides.argument`.
    """
    return " ".join([started().program, name, *arguments])


def shown_path(path: str | Path) -> str:
    """Return a path relative to the shell's folder."""
    return os.path.relpath(path, started().folder)


def _program() -> str:
    """Return what precedes `sys.argv[1:]`, as it was typed."""
    script, *given = sys.argv
    if not script.endswith(".py") and which(script) is not None:
        return _of_the_shell(script)
    words = sys.orig_argv[: len(sys.orig_argv) - len(given)]  # with `-m` and options of Python
    if len(words) > 1 and sys.orig_argv[len(words) :] == given:
        return shlex.join(words)
    return shlex.join(["python", script]) if script.endswith(".py") else "qrnn"


def _of_the_shell(script: str) -> str:
    """Return a script by its name where the shell finds it by that, else by its path."""
    name, own = Path(script).name, which(script)
    found = which(name)
    by_name = found is not None and own is not None and os.path.samefile(found, own)
    return shlex.quote(name if by_name else script)


def _folder() -> str | None:
    try:
        return os.getcwd()
    except OSError:  # it was deleted
        return None
