"""Definition of the quantum-neuron cell: its neurons, their controls and parameters.

Source: Bausch, Recurrent Quantum Neural Networks, NeurIPS 2020, arXiv 2006.14619.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from itertools import combinations
from math import comb, pi
from typing import NamedTuple

import torch

from qrnn.config.models import QuantumNeuronConfig
from qrnn.utils.checks import number, whole
from qrnn.utils.limits import MOST_LAYERS, MOST_UNITS, check_memory

BIAS = pi / 2  # b, radians: at theta = phi = 0 a neuron makes a quarter turn, with maximal slope
THETA_STD = 0.1
PHI_STD = 0.01


class Weights(NamedTuple):
    """The parameters of a cell, radians.

    Attributes:
        theta: one per neuron (N,).
        phi: one per neuron and control subset (N, S).
        rotation: one per stage and workspace qubit (stages, w).
    """

    theta: torch.Tensor
    phi: torch.Tensor
    rotation: torch.Tensor


class Neuron(NamedTuple):
    """One neuron of a step.

    Attributes:
        row: its row in `theta` and `phi`.
        target: the wire that it acts on.
    """

    row: int
    target: int


@dataclass(frozen=True)
class Definition:
    """The sizes of a cell, and the quantities derived from them.

    The wires are the in/out qubits 0..io-1 (the first is the most significant bit), the workspace
    io..io+w-1, and then the ancillas. A neuron is controlled by all in/out and workspace qubits
    except its target, in wire order. For control bits s, its angle is

        eta(s) = (b + theta + sum_S phi_S prod_(i in S) s_i) / 2,   1 <= |S| <= degree

    and with p = 2^order it maps the target's amplitudes, before renormalisation, to

        (a0, a1) -> (c a0 - q a1, c a1 + q a0),   c = cos(eta)^p, q = sin(eta)^p

    Args:
        workspace: number of workspace qubits w, at least 1.
        in_out: number of in/out qubits io, at least 1.
        stages: number of stages between input and output, at least 0.
        order: k, at least 1; the number of ancillas.
        degree: size d of the largest control subset, at least 1.

    Raises:
        ConfigError: a size below its minimum.
    """

    workspace: int
    in_out: int
    stages: int = QuantumNeuronConfig.stages
    order: int = QuantumNeuronConfig.order
    degree: int = QuantumNeuronConfig.degree

    def __post_init__(self):
        limits = {
            "workspace": (1, 20),
            "in_out": (1, 20),
            "order": (1, 20),
            "stages": (0, MOST_LAYERS),
            "degree": (1, MOST_UNITS),
        }
        for name, (least, most) in limits.items():
            object.__setattr__(self, name, whole(name, getattr(self, name), least, most))
        check_memory(  # the neurons' sets of controls, and the matrices of a step
            "the cell",
            16.0 * self.n_subsets * 2 ** (self.workspace + self.in_out),
            f"lower workspace={self.workspace} or degree={self.degree}",
        )

    @property
    def classes(self) -> int:
        """Number of values of the in/out qubits, 2^io."""
        return 2**self.in_out

    @property
    def io_wires(self) -> range:
        """The in/out wires, the most significant bit first."""
        return range(self.in_out)

    @property
    def workspace_wires(self) -> range:
        """The wires of the hidden state."""
        return range(self.in_out, self.in_out + self.workspace)

    @property
    def ancillas(self) -> range:
        """The neurons' ancilla wires, which are projected."""
        first = self.in_out + self.workspace
        return range(first, first + self.order)

    @property
    def n_wires(self) -> int:
        """Number of all qubits, ancillas included."""
        return self.in_out + self.workspace + self.order

    @property
    def n_neurons(self) -> int:
        """Number of neurons per step, w (1 + stages) + io."""
        return self.workspace * (1 + self.stages) + self.in_out

    @property
    def n_parameters(self) -> int:
        """Number of parameters, as the paper counts them."""
        return self.n_neurons * (1 + self.n_subsets) + self.stages * self.workspace

    @property
    def n_subsets(self) -> int:
        """Number of control subsets S."""
        controls = self.workspace + self.in_out - 1
        return sum(comb(controls, j) for j in range(1, min(self.degree, controls) + 1))

    def controls(self, target: int) -> list[int]:
        """Return the wires that control the neuron on a target wire."""
        return [wire for wire in (*self.io_wires, *self.workspace_wires) if wire != target]

    @cached_property
    def subsets(self) -> list[tuple[int, ...]]:
        """The S control subsets, as indices into a neuron's controls, small ones first."""
        controls = range(self.workspace + self.in_out - 1)
        sizes = range(1, min(self.degree, len(controls)) + 1)
        return [subset for size in sizes for subset in combinations(controls, size)]

    def subset_matrix(self) -> torch.Tensor:
        """Return products of control bits (S, 2^(w + io - 1)): 1 if all bits of a subset are 1."""
        n = self.workspace + self.in_out - 1
        strings = torch.arange(2**n)
        masks = torch.tensor([sum(1 << n - 1 - i for i in s) for s in self.subsets]).long()
        return ((strings & masks[:, None]) == masks[:, None]).to(torch.get_default_dtype())

    @property
    def work_layers(self) -> list[list[Neuron]]:
        """The neurons on the workspace: the input stage, then each further stage."""
        w = self.workspace
        return [
            [Neuron(layer * w + i, wire) for i, wire in enumerate(self.workspace_wires)]
            for layer in range(1 + self.stages)
        ]

    @property
    def output_layer(self) -> list[Neuron]:
        """The neurons on the in/out qubits."""
        first = self.n_neurons - self.in_out
        return [Neuron(first + i, wire) for i, wire in enumerate(self.io_wires)]

    def bits(self, value: int) -> list[int]:
        """Return the bits of a class, most significant first."""
        return [value >> self.in_out - 1 - i & 1 for i in range(self.in_out)]

    def start_weights(self, theta_mean: float = QuantumNeuronConfig.theta_mean) -> Weights:
        """Return random weights.

        theta is normal with standard deviation 0.1 and phi with 0.01, as in the paper; the
        rotations, for which the paper gives no value, are drawn like theta.

        Args:
            theta_mean: mean of theta, radians; see `QuantumNeuronCell`.
        """
        theta_mean = number("theta_mean", theta_mean, "finite, radians", lambda _: True)
        return Weights(
            theta_mean + THETA_STD * torch.randn(self.n_neurons),
            PHI_STD * torch.randn(self.n_neurons, len(self.subsets)),
            THETA_STD * torch.randn(self.stages, self.workspace),
        )
