"""The step circuit: written once as a PennyLane quantum function; all else is derived from it."""

from qrnn.circuit.ansatz import ANSAETZE as ANSAETZE
from qrnn.circuit.ansatz import Ansatz as Ansatz
from qrnn.circuit.ansatz import build_ansatz as build_ansatz
from qrnn.circuit.step import StepCircuit as StepCircuit
