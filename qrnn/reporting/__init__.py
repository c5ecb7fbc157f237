"""A run, or several beside each other, as one page of HTML that needs nothing else."""

from qrnn.reporting.write import report

__all__ = ["report"]
