"""The command line: `qrnn train`, `qrnn evaluate` and the other commands."""

from qrnn.cli.dispatch import main as main
