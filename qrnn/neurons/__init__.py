"""Quantum neurons: the recurrent cell of Bausch, arXiv 2006.14619."""

from qrnn.neurons.cell import QuantumNeuronCell
from qrnn.neurons.definition import Definition, Weights
from qrnn.neurons.rnn import QuantumNeuronRNN

__all__ = ["Definition", "QuantumNeuronCell", "QuantumNeuronRNN", "Weights"]
