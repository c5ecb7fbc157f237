"""Recurrent networks by name: the hybrid network and its baselines."""

from qrnn.networks.base import (
    NETWORKS,
    ModelConfig,
    Network,
    State,
    n_parameters,
    network,
    refuse_unread,
    solve_width,
)
from qrnn.networks.classical import GRUConfig, LSTMConfig, RNNConfig, gru, lstm, rnn
from qrnn.networks.data_register import DataRegisterConfig, data_register
from qrnn.networks.hybrid import HybridConfig, hybrid
from qrnn.networks.orthogonal import OrthogonalConfig, orthogonal
from qrnn.networks.qlstm import QLSTMConfig, qlstm
from qrnn.networks.quantum_neuron import QuantumNeuronConfig, quantum_neuron
from qrnn.networks.scornn import ScoRNNConfig, scornn

__all__ = [
    "NETWORKS",
    "DataRegisterConfig",
    "GRUConfig",
    "HybridConfig",
    "LSTMConfig",
    "ModelConfig",
    "Network",
    "OrthogonalConfig",
    "QLSTMConfig",
    "QuantumNeuronConfig",
    "RNNConfig",
    "ScoRNNConfig",
    "State",
    "data_register",
    "gru",
    "hybrid",
    "lstm",
    "n_parameters",
    "network",
    "orthogonal",
    "qlstm",
    "quantum_neuron",
    "refuse_unread",
    "rnn",
    "scornn",
    "solve_width",
]
