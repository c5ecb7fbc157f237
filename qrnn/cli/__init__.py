"""The command line: `qrnn train`, `qrnn evaluate` and others."""

from qrnn.cli.dispatch import main as main
