"""The command line, run in this process: one of its own would spend seconds on imports."""

import sys
from contextlib import chdir, redirect_stderr, redirect_stdout
from io import StringIO
from subprocess import CompletedProcess
from unittest.mock import patch

from hydra.core.global_hydra import GlobalHydra

from qrnn.cli import main


def qrnn(*arguments, cwd=".", stdout=None):
    """Run `qrnn ARGUMENTS` in a folder; return its status and what it printed."""
    GlobalHydra.instance().clear()
    out, err, status = stdout or StringIO(), StringIO(), 0
    with (
        chdir(cwd),
        patch.object(sys, "argv", ["qrnn", *arguments]),
        redirect_stdout(out),
        redirect_stderr(err),
    ):
        try:
            main()
        except SystemExit as end:
            status = end.code
    return CompletedProcess(arguments, status or 0, out.getvalue(), err.getvalue())
