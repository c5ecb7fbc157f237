"""`python -m qrnn` is the `qrnn` command."""

from qrnn.cli import main

main()
