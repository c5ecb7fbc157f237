"""Recurrent networks by name: the hybrid network and its baselines."""

from qrnn.config.models import (
    NETWORKS,
    DataRegisterConfig,
    GRUConfig,
    HybridConfig,
    LSTMConfig,
    ModelConfig,
    OrthogonalConfig,
    QLSTMConfig,
    QuantumNeuronConfig,
    RNNConfig,
    ScoRNNConfig,
    network,
)
from qrnn.networks.base import Network, State, n_parameters, refuse_unread, solve_width
from qrnn.networks.classical import gru, lstm, rnn
from qrnn.networks.data_register import data_register
from qrnn.networks.hybrid import hybrid
from qrnn.networks.orthogonal import orthogonal
from qrnn.networks.qlstm import qlstm
from qrnn.networks.quantum_neuron import quantum_neuron
from qrnn.networks.scornn import scornn

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
