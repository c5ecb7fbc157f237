"""Small networks of every kind, for the tests of networks."""

from dataclasses import replace

import torch

from qrnn.devices import DeviceOptions
from qrnn.networks import (
    NETWORKS,
    DataRegisterConfig,
    GRUConfig,
    HybridConfig,
    LSTMConfig,
    OrthogonalConfig,
    QLSTMConfig,
    RNNConfig,
    ScoRNNConfig,
)

B, T, D = 4, 5, 3
DOUBLE = torch.float64
SMALL = {
    "rnn": RNNConfig(hidden_size=5),
    "gru": GRUConfig(hidden_size=5),
    "lstm": LSTMConfig(hidden_size=5),
    "scornn": ScoRNNConfig(hidden_size=6, negative_share=0.5),
    "orthogonal": OrthogonalConfig(n_qubits=2, width=5),
    "qlstm": QLSTMConfig(hidden_size=3, n_qubits=3),
    "data_register": DataRegisterConfig(n_history=2),
    "hybrid": HybridConfig(n_qubits=2, width=5),
}
CLASSICAL = ["rnn", "gru", "lstm"]
STEPPED = ["scornn", "orthogonal", "qlstm", "data_register"]
SHAPES = [(1, False), (1, True), (2, False), (2, True)]


def build(name, input_size=D, **changes):
    torch.manual_seed(0)
    config = replace(SMALL[name], **changes)
    return NETWORKS[name].build(config, input_size, DeviceOptions()).to(DOUBLE)


def inputs(batch=B, steps=T):
    return torch.randn(batch, steps, D, dtype=DOUBLE, generator=torch.Generator().manual_seed(1))
