"""QLSTM: an LSTM whose gates are variational circuits.

Source: Chen, Yoo, Fang, Quantum Long Short-Term Memory, ICASSP 2022, arXiv 2009.01783, and the
authors' later code for the circuit's details.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
from pennylane import CNOT, RY, RZ, Hadamard, Rot
from pennylane.qnn import TorchLayer
from torch import nn
from typing_extensions import override

from qrnn.cell.on_device import HoldsQuantumLayer
from qrnn.cell.state import CellState
from qrnn.circuit.ansatz import Ansatz, pairs_of
from qrnn.circuit.step import StepCircuit
from qrnn.config.models import QLSTMConfig
from qrnn.devices import Device, DeviceOptions, open_device
from qrnn.networks.layers import Layers, StepCell, at_least_one
from qrnn.utils.checks import flag

GATES = 4  # forget, input, update and output gate: the circuits that read [x ; h]


def vqc(n: int, depth: int) -> Ansatz:
    """Return the paper's circuit of a gate.

    H, RY(angles[q]) and RZ(angles[n + q]) on each qubit q; then `depth` times CNOTs from each qubit
    to the next on a ring, CNOTs to the next but one, and a Rot on each qubit.

    Args:
        n: number of qubits.
        depth: number of layers; each has 3n of the remaining angles.
    """
    # A partial of a module-level function, unlike a closure, can be pickled.
    return Ansatz(partial(_gate, depth=depth), n, (2 + 3 * depth) * n, pairs_of("ring", n))


def _gate(angles: Any, wires: Any, depth: int) -> None:
    n = len(wires)
    for q in range(n):
        Hadamard(wires[q])
        RY(angles[q], wires[q])
        RZ(angles[n + q], wires[q])
    for layer in range(depth):
        for stride in (1, 2):
            if n > stride:  # else a qubit would be its own target
                for q in range(n):
                    CNOT([wires[q], wires[(q + stride) % n]])
        for q in range(n):
            first = 2 * n + 3 * (layer * n + q)
            Rot(angles[first], angles[first + 1], angles[first + 2], wires[q])


class QLSTMCell(HoldsQuantumLayer, StepCell):
    """A long short-term memory of six variational circuits.

        u_t           = E [x_t ; h_(t-1)]                                     (n,)
        f, i, o       = sigmoid(A_k <Z>_k(u_t)),  g = tanh(A_g <Z>_g(u_t))    (H,)
        c_t           = f * c_(t-1) + i * g                                   (H,)
        m_t           = o * tanh(c_t),  w_t = F m_t                           (H,), (n,)
        h_t, y_t      = A_h <Z>_h(w_t), A_y <Z>_y(w_t)                        (H,)

    with h_0 = c_0 = y_0 = 0. <Z>(u) are the Z readouts of the circuit `vqc`, from |0...0> at each
    step, with RY(arctan u) and RZ(arctan u^2) and separate Rot angles for each circuit (initially
    normal with standard deviation 0.01). The six circuits and their encoding are the paper's. The
    affine maps E and F before the circuits and A after them are additions; the paper has none, so
    its n is D plus the size of h, but common implementations have them too. The forget gate's map
    is initialised with bias 1, like this framework's LSTM.

    All gates of a step run as one batch (4 B rows) of the device's memory; only classical readouts
    pass from circuit to circuit.

    Args:
        input_size: number of input features D.
        hidden_size: size of the cell state H.
        n_qubits: qubits n of each circuit.
        depth: layers of each circuit.
        output_circuits: whether h_t and y_t have their own circuits; if False, h_t = y_t = m_t.
        device: name of a device, its options, or an open device.

    Shape:
        x (T, B, D), z = y (T, B, H).

    Raises:
        ConfigError: a value is out of range.
        DeviceError: the device is not installed or too small.
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        n_qubits: int = QLSTMConfig.n_qubits,
        depth: int = QLSTMConfig.depth,
        output_circuits: bool = QLSTMConfig.output_circuits,
        device: str | DeviceOptions | Device = DeviceOptions.name,
    ):
        super().__init__(input_size, at_least_one("hidden_size", hidden_size))
        n, layers = at_least_one("n_qubits", n_qubits), at_least_one("depth", depth)
        opened = open_device(device)
        opened.check_wires(n)
        self.circuit = StepCircuit(vqc(n, layers), "Z")
        n_circuits = GATES + 2 * flag("output_circuits", output_circuits)
        self.enter = nn.Linear(input_size + hidden_size, n)
        self.leave = nn.Linear(hidden_size, n) if output_circuits else None
        self.angles = nn.Parameter(0.01 * torch.randn(n_circuits, 3 * layers * n))
        bound = n**-0.5  # as torch's linear layers
        self.weight = nn.Parameter(torch.empty(n_circuits, n, hidden_size).uniform_(-bound, bound))
        self.bias = nn.Parameter(torch.empty(n_circuits, 1, hidden_size).uniform_(-bound, bound))
        with torch.no_grad():
            self.bias[0] = 1.0
        # Each circuit has its own angles, so the quantum layer's bias stays zero.
        self.quantum = TorchLayer(
            opened.qnode(self.circuit),
            {"bias": (self.circuit.n_angles,)},
            init_method=nn.init.zeros_,
        ).requires_grad_(False)
        self.use(opened)

    @override
    def start(self, batch: int, like: torch.Tensor) -> CellState:
        """The state carries h and c (B, H)."""
        zero = like.new_zeros(batch, self.n_readouts)
        return CellState(zero, (zero, zero))

    @override
    def prepare(self, x: torch.Tensor) -> tuple[torch.Tensor, Any]:
        """The shared value is |0...0> for each batch of circuits."""
        batch = x.shape[1]
        zeros = [self.memory.start(rows * batch, x) for rows in (GATES, 2)]
        return x @ self.enter.weight[:, : self.input_size].T + self.enter.bias, zeros

    @override
    def step(self, x: torch.Tensor, state: CellState, shared: Any) -> CellState:
        """The input x is the part of E that acts on the inputs."""
        h, c = state.carried
        u = torch.addmm(x, h, self.enter.weight[:, self.input_size :].T)
        gates = self.run(u, slice(0, GATES), shared[0])
        f, i, o = gates[:3].sigmoid()
        c = f * c + i * gates[3].tanh()
        m = o * c.tanh()
        if self.leave is None:
            return CellState(m, (m, c))
        h, y = self.run(self.leave(m), slice(GATES, None), shared[1])
        return CellState(y, (h, c))

    def run(self, u: torch.Tensor, which: slice, zero: Any) -> torch.Tensor:
        """Return A <Z>(u) (K, B, H) of K circuits for inputs u (B, n); `zero` is |0...0>."""
        angles = self.angles[which]
        n_circuits, batch = len(angles), len(u)
        encoded = torch.cat([u.arctan(), u.square().arctan()], 1)
        rows = torch.cat(
            [encoded.expand(n_circuits, -1, -1), angles[:, None].expand(-1, batch, -1)], 2
        )
        z, _ = self.memory.step(zero, rows.flatten(0, 1))
        return torch.baddbmm(self.bias[which], z.reshape(n_circuits, batch, -1), self.weight[which])


def qlstm(config: QLSTMConfig, input_size: int, device: DeviceOptions) -> Layers:
    """Build the network of a configuration."""
    opened = open_device(device)  # opened once for all cells
    return Layers(
        lambda size: QLSTMCell(
            size, config.hidden_size, config.n_qubits, config.depth, config.output_circuits, opened
        ),
        input_size,
        config,
    )
