"""Recurrent networks by name: the hybrid one, and what it is compared with."""

from qrnn.networks.base import (
    NETWORKS,
    ModelConfig,
    Network,
    State,
    n_parameters,
    network,
    solve_width,
)
from qrnn.networks.hybrid import HybridConfig, hybrid

__all__ = [
    "NETWORKS",
    "HybridConfig",
    "ModelConfig",
    "Network",
    "State",
    "hybrid",
    "n_parameters",
    "network",
    "solve_width",
]
