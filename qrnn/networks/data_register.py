"""A quantum recurrent network with a data register and a history register.

Source: Li et al., Quantum Recurrent Neural Networks for Sequential Learning, Neural Networks 2023,
arXiv 2302.03244: the "plain" network. The staggered network, whose qubits alternate as history so
that none must stay coherent for long, is not implemented: its schedule is given only in a figure
that could not be checked.
"""

from __future__ import annotations

from functools import reduce
from typing import Any

import pennylane as qml
import torch
from torch import nn
from typing_extensions import override

from qrnn.cell.state import CellState
from qrnn.circuit.ansatz import pairs_of
from qrnn.circuit.step import precision_of
from qrnn.config.models import DataRegisterConfig
from qrnn.devices import DeviceOptions
from qrnn.errors import ConfigError
from qrnn.networks.layers import Layers, StepCell, at_least_one
from qrnn.utils.checks import whole
from qrnn.utils.limits import check_memory


class DataRegisterCell(StepCell):
    """A cell whose hidden state is the density matrix of a history register.

        |d(x)>  = RY(a_1) |0> x ... x RY(a_d) |0>,  a = E x              the data register
        rho'    = U (|d(x_t)><d(x_t)| x rho_(t-1)) U^dagger
        z_t     = p(1) of each data qubit in rho'                        (d,) in [0, 1]
        rho_t   = Tr_data rho'                                           (2^h, 2^h)

    with rho_0 = |0...0><0...0| and z_0 = 0. Each layer of U has RX RZ RX on every qubit, then RZZ
    on pairs. The partial trace describes measuring and resetting the data register: it leaves the
    history in a mixed state, so the cell carries a density matrix, without sampling.

    As in the paper: the registers, RY encoding, the gates of U, p(1) as output, the reset. Choices
    made here: the angles are an affine map of the D features (which includes the paper's rescaling
    of each feature to [0, pi] and its repetition on several qubits); all d data qubits are outputs,
    not only the first; the pairs that have an RZZ; U's angles are initially normal with standard
    deviation 1/2 over the square root of `layers`.

    Args:
        input_size: number of input features D.
        n_data: qubits of the data register d.
        n_history: qubits of the history register h.
        layers: layers of U.
        topology: `line`, `ring` or `all`.

    Shape:
        x (T, B, D), z (T, B, d).

    Raises:
        ConfigError: a value is out of range.
    """

    bits: torch.Tensor

    def __init__(
        self,
        input_size: int,
        n_data: int = DataRegisterConfig.n_data,
        n_history: int = DataRegisterConfig.n_history,
        layers: int = DataRegisterConfig.layers,
        topology: str = DataRegisterConfig.topology,
    ):
        super().__init__(input_size, whole("n_data", n_data, 1, 14))
        self.n_data = n_data
        self.n_history = whole("n_history", n_history, 1, 14)
        check_memory(  # U of all layers
            "the model",
            32 * layers * 4.0 ** (n_data + n_history),
            f"lower model.n_data={n_data}, n_history={n_history} or layers={layers}",
        )
        self.n_wires = n_data + n_history
        self.pairs = pairs_of(topology, self.n_wires)
        self.encode = nn.Linear(input_size, n_data)
        std = 0.5 * at_least_one("layers", layers) ** -0.5
        self.angles = nn.Parameter(std * torch.randn(3 * self.n_wires + len(self.pairs), layers))
        data = torch.arange(2**n_data)[:, None]  # wire 0 first
        bits = (data >> torch.arange(n_data - 1, -1, -1) & 1).to(self.angles.dtype)
        self.register_buffer("bits", bits, persistent=False)

    def layer(self, angles: Any) -> None:
        """Queue one layer of U; angles (3n + pairs,), or (3n + pairs, layers) for all at once."""
        for q in range(self.n_wires):
            qml.RX(angles[3 * q], wires=q)
            qml.RZ(angles[3 * q + 1], wires=q)
            qml.RX(angles[3 * q + 2], wires=q)
        for (a, b), angle in zip(self.pairs, angles[3 * self.n_wires :], strict=True):
            qml.IsingZZ(angle, wires=[a, b])

    def unitary(self) -> torch.Tensor:
        """Return U (2^n, 2^n) in double precision, differentiable; data wires first.

        In single precision, deviations from unitarity would lose 2% of rho's trace in 784 steps.
        """
        angles = self.angles.double()
        with precision_of(angles):
            layers = qml.matrix(self.layer, wire_order=range(self.n_wires))(angles)
        while len(layers) > 1:  # multiply all neighbouring pairs at once
            odd = layers[-1:] if len(layers) % 2 else layers[:0]
            layers = torch.cat([layers[1::2] @ layers[: len(layers) // 2 * 2 : 2], odd])
        return layers[0]

    @override
    def start(self, batch: int, like: torch.Tensor) -> CellState:
        """What is carried is rho (B, 2^h, 2^h), complex."""
        size = 2**self.n_history
        rho = like.new_zeros(batch, size, size, dtype=like.dtype.to_complex())
        rho[:, 0, 0] = 1
        return CellState(like.new_zeros(batch, self.n_readouts), (rho,))

    @override
    def prepare(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """|d(x)> (T, B, 2^d), and U as (2^d, 2^h 2^d 2^h)."""
        half = self.encode(x) / 2
        qubits = torch.stack([half.cos(), half.sin()], -1).unbind(2)  # d of (T, B, 2)
        data = reduce(lambda a, b: (a[..., :, None] * b[..., None, :]).flatten(-2), qubits)
        d, h = 2**self.n_data, 2**self.n_history
        u = self.unitary().reshape(d, h, d, h).permute(2, 1, 0, 3)  # data in, h out, data out, h in
        dtype = x.dtype.to_complex()
        return data.to(dtype), u.reshape(d, -1).to(dtype)

    @override
    def step(self, x: torch.Tensor, state: CellState, shared: torch.Tensor) -> CellState:
        """The input x is |d(x_t)>.

        U |d(x)> is one operator K_m on the history for each outcome m of the data register: then
        rho_t = sum_m K_m rho K_m^dagger, and Tr(K_m rho K_m^dagger) is the probability of m.
        """
        (rho,) = state.carried
        batch, d, h = len(x), 2**self.n_data, 2**self.n_history
        kraus = (x @ shared).reshape(batch, h * d, h)
        moved = (kraus @ rho).reshape(batch, h, d * h)
        kraus = kraus.reshape(batch, h, d * h)
        p = (moved * kraus.conj()).real.reshape(batch, h, d, h).sum((1, 3))
        return CellState(p @ self.bits, (moved @ kraus.mH,))


def data_register(config: DataRegisterConfig, input_size: int, device: DeviceOptions) -> Layers:
    """Build the network of a configuration.

    Raises:
        ConfigError: a device was chosen; the cell has its own density-matrix simulation.
    """
    if device != DeviceOptions():
        raise ConfigError(
            f"device must be left out with model data_register, which simulates density matrices "
            f"itself, got device={device.name} or options of it"
        )
    return Layers(
        lambda size: DataRegisterCell(
            size, config.n_data, config.n_history, config.layers, config.topology
        ),
        input_size,
        config,
    )
