"""Where the project is, and how a program of this package is run."""

import sys
from pathlib import Path

TESTS = Path(__file__).parents[1]
ROOT = TESTS.parent


def program(name, *arguments):
    """Return the command that runs helpers/`name`.py; its working directory must be `TESTS`."""
    return [sys.executable, "-m", f"helpers.{name}", *map(str, arguments)]
