"""The step circuit: a PennyLane quantum function from which everything else is derived."""

from qrnn.circuit.ansatz import ANSAETZE as ANSAETZE
from qrnn.circuit.ansatz import Ansatz as Ansatz
from qrnn.circuit.ansatz import build_ansatz as build_ansatz
from qrnn.circuit.step import StepCircuit as StepCircuit
