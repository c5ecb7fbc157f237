"""The command line as the user's shell runs it: commands are printed so that they can be pasted."""

from __future__ import annotations

import os
import shlex
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path


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


_started: Started | None = None


def started() -> Started:
    """Return how the command line was started; from Python, how to start it."""
    if _started is not None:
        return _started
    script = Path(sys.executable).with_name("qrnn")
    here = Path.cwd() in script.parents
    return Started(_of_the_shell(os.path.relpath(script) if here else str(script)))


def start(how: Started | None = None) -> None:
    """Record how the command line was started, for all that is printed later.

    Args:
        how: as recorded in another process; None: as this process was.
    """
    global _started
    if how is None:
        try:
            folder = os.getcwd()
        except OSError:  # deleted
            folder = None
        how = Started(_program(), folder)
    _started = how


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
    """Return what precedes the command: `sys.argv[1:]` begins with it."""
    script, *given = sys.argv
    if not script.endswith(".py") and shutil.which(script) is not None:
        return _of_the_shell(script)
    words = sys.orig_argv[: len(sys.orig_argv) - len(given)]  # with `-m` and options of Python
    if len(words) > 1 and sys.orig_argv[len(words) :] == given:
        return shlex.join(words)
    return shlex.join(["python", script]) if script.endswith(".py") else "qrnn"


def _of_the_shell(script: str) -> str:
    """Return a script by its name where the shell finds it by that, else by its path."""
    path = Path(script)
    found, own = shutil.which(path.name), shutil.which(script)
    if own is None:
        return "qrnn" if found else shlex.join([sys.executable, "-m", "qrnn"])
    if found is not None and os.path.samefile(found, own):
        return shlex.quote(path.name)
    return shlex.quote(script)
