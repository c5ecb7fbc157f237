"""Inspect a trained model: its quantum state along a sequence."""

from qrnn.inspection.figures import draw
from qrnn.inspection.result import Inspection
from qrnn.inspection.run import inspect, inspect_model
from qrnn.inspection.tracing import Trace, trace

__all__ = ["Inspection", "Trace", "draw", "inspect", "inspect_model", "trace"]
