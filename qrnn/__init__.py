"""qrnn: recurrent networks whose hidden state is a quantum state, in PennyLane and PyTorch."""

import os
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from qrnn.cell.cell import QRNNCell, QRNNState
    from qrnn.cell.rnn import QRNN
    from qrnn.circuit.ansatz import ANSAETZE, Ansatz
    from qrnn.circuit.channels import Damping
    from qrnn.circuit.step import StepCircuit
    from qrnn.controllers import Controller
    from qrnn.errors import (
        ConfigError,
        DataError,
        DeviceError,
        MissingExtraError,
        NumericsError,
        QRNNError,
    )
    from qrnn.estimators.forecaster import QRNNForecaster
    from qrnn.estimators.sequences import QRNNClassifier, QRNNRegressor
    from qrnn.evaluation.trained import TrainedModel, evaluate, load, predict
    from qrnn.inspection import inspect
    from qrnn.neurons import QuantumNeuronCell, QuantumNeuronRNN
    from qrnn.reporting import report
    from qrnn.training.groups import param_groups
    from qrnn.training.run import train

# OpenMP's threads wait in a loop by default, and take the cores from those that work if other
# programs run: two threads are then ten times slower than one. Read when torch is imported.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

__version__ = "0.3.0.dev0"

_WHERE = {
    "qrnn.circuit.ansatz": ("ANSAETZE", "Ansatz"),
    "qrnn.cell.cell": ("QRNNCell", "QRNNState"),
    "qrnn.circuit.channels": ("Damping",),
    "qrnn.circuit.step": ("StepCircuit",),
    "qrnn.controllers": ("Controller",),
    "qrnn.errors": (
        "ConfigError",
        "DataError",
        "DeviceError",
        "MissingExtraError",
        "NumericsError",
        "QRNNError",
    ),
    "qrnn.estimators.forecaster": ("QRNNForecaster",),
    "qrnn.estimators.sequences": ("QRNNClassifier", "QRNNRegressor"),
    "qrnn.evaluation.trained": ("TrainedModel", "evaluate", "load", "predict"),
    "qrnn.inspection": ("inspect",),
    "qrnn.neurons": ("QuantumNeuronCell", "QuantumNeuronRNN"),
    "qrnn.reporting": ("report",),
    "qrnn.training.groups": ("param_groups",),
    "qrnn.training.run": ("train",),
    "qrnn.cell.rnn": ("QRNN",),
}

__all__ = [
    "ANSAETZE",
    "QRNN",
    "Ansatz",
    "ConfigError",
    "Controller",
    "Damping",
    "DataError",
    "DeviceError",
    "MissingExtraError",
    "NumericsError",
    "QRNNCell",
    "QRNNClassifier",
    "QRNNError",
    "QRNNForecaster",
    "QRNNRegressor",
    "QRNNState",
    "QuantumNeuronCell",
    "QuantumNeuronRNN",
    "StepCircuit",
    "TrainedModel",
    "evaluate",
    "inspect",
    "load",
    "param_groups",
    "predict",
    "report",
    "train",
]


def __getattr__(name: str) -> Any:
    """Import a public name or a submodule on first use.

    torch and PennyLane take seconds to import; `qrnn --help` does without them.
    """
    for module, names in _WHERE.items():
        if name in names:
            return getattr(import_module(module), name)
    try:
        return import_module(f"qrnn.{name}")
    except ModuleNotFoundError as error:
        if error.name != f"qrnn.{name}":
            raise
        raise AttributeError(f"module 'qrnn' has no attribute {name!r}") from None


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
