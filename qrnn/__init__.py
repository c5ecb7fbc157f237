"""qrnn: recurrent networks whose hidden state is a quantum state, in PennyLane and PyTorch."""

from qrnn.ansatz import ANSAETZE, Ansatz
from qrnn.cell import QRNNCell, QRNNState
from qrnn.circuit import StepCircuit
from qrnn.controllers import Controller
from qrnn.errors import ConfigError, DataError, DeviceError, MissingExtraError, QRNNError
from qrnn.neurons import QuantumNeuronCell, QuantumNeuronRNN
from qrnn.rnn import QRNN

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
]
