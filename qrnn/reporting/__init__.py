"""Report a run, or compare several, on one self-contained HTML page."""

from qrnn.reporting.write import report

__all__ = ["report"]
