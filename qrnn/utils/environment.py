"""What a run used: the processor and package versions, but no environment variables."""

from __future__ import annotations

import platform
from importlib.metadata import version
from pathlib import Path

from qrnn import __version__

PACKAGES = ("torch", "pennylane", "lightning", "numba")


def environment() -> dict[str, str]:
    """Return the processor and the versions of Python and the packages."""
    python = {"processor": processor(), "python": platform.python_version()}
    return python | {"qrnn": __version__} | {name: version(name) for name in PACKAGES}


def processor() -> str:
    """Return the processor's name."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.split(":")[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()
