"""qrnn: recurrent networks whose hidden state is a quantum state, in PennyLane and PyTorch."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from qrnn.ansatz import ANSAETZE, Ansatz
from qrnn.cell import QRNNCell, QRNNState
from qrnn.circuit import StepCircuit
from qrnn.controllers import Controller
from qrnn.errors import ConfigError, DataError, DeviceError, MissingExtraError, QRNNError
from qrnn.neurons import QuantumNeuronCell, QuantumNeuronRNN
from qrnn.rnn import QRNN

if TYPE_CHECKING:
    from qrnn.inspection import inspect
    from qrnn.reporting import report

__version__ = "0.1.0"

__all__ = [
    "ANSAETZE",
    "QRNN",
    "Ansatz",
    "ConfigError",
    "Controller",
    "DataError",
    "DeviceError",
    "MissingExtraError",
    "QRNNCell",
    "QRNNError",
    "QRNNState",
    "QuantumNeuronCell",
    "QuantumNeuronRNN",
    "StepCircuit",
    "inspect",
    "report",
]

_WHERE = {"inspect": "qrnn.inspection", "report": "qrnn.reporting"}


def __getattr__(name: str) -> Any:
    """Return `inspect` or `report`, imported when used: they need all that evaluation needs."""
    if name not in _WHERE:
        raise AttributeError(f"module 'qrnn' has no attribute {name!r}")
    return getattr(import_module(_WHERE[name]), name)
