"""The carried strategy on PennyLane's own simulators: the state goes in and comes out of each step.

`default.qubit` carries a batch of state vectors, `default.mixed` density matrices (so that noise
acts); both differentiate by backpropagation, and memory grows with T.
"""

from __future__ import annotations

from collections.abc import Callable

import pennylane as qml
import torch
from pennylane.qnn import TorchLayer

from qrnn.circuit import StepCircuit, precision_of
from qrnn.memory.base import Memory

COMPLEX = {torch.float32: torch.complex64, torch.float64: torch.complex128}


def start_vectors(batch: int, n_wires: int, like: torch.Tensor) -> torch.Tensor:
    """Return |0...0> as (B, 2^n) complex amplitudes in the precision of `like`."""
    psi = torch.zeros(batch, 2**n_wires, dtype=COMPLEX[like.dtype], device=like.device)
    psi[:, 0] = 1
    return psi


class CarriedVectors(Memory):
    """State vectors on `default.qubit`, all sequences in one broadcast execution.

    Args:
        circuit: the step circuit.
        layer: the quantum layer.
        device: a PennyLane device that broadcasts and backpropagates.
    """

    def __init__(self, circuit: StepCircuit, layer: TorchLayer, device: qml.devices.Device):
        super().__init__(circuit, layer)

        @qml.qnode(device, interface="torch", diff_method="backprop")
        def step(psi, theta):
            qml.StatePrep(psi, wires=circuit.wires, validate_norm=False)
            circuit.apply(theta)
            return [qml.state(), *circuit.expvals()]

        self._step = step

    def start(self, batch: int, like: torch.Tensor) -> torch.Tensor:
        """See `Memory.start`; (B, 2^n) complex."""
        return start_vectors(batch, self.circuit.n_wires, like)

    def step(
        self, state: torch.Tensor, controls: torch.Tensor, active: torch.Tensor | None = None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """See `Memory.step`."""
        psi, *values = self._step(state, controls + self.layer.bias)
        psi = psi.to(state.dtype).reshape(state.shape)
        if active is not None:
            psi = torch.where(active[:, None], psi, state)
        return torch.stack(values, -1).reshape(len(state), -1).to(controls), psi

    def detach(self, state: torch.Tensor) -> torch.Tensor:
        """See `Memory.detach`."""
        return state.detach()

    def amplitudes(self, state: torch.Tensor) -> torch.Tensor:
        """See `Memory.amplitudes`."""
        return state


class CarriedDensities(Memory):
    """Density matrices on `default.mixed`, one sequence at a time (it cannot batch them).

    Args:
        circuit: the step circuit.
        layer: the quantum layer.
        device: a PennyLane device for density matrices.
        add_noise: puts the noise behind the gates, or before the expectation values, of a
            QNode.
    """

    def __init__(
        self,
        circuit: StepCircuit,
        layer: TorchLayer,
        device: qml.devices.Device,
        add_noise: Callable[[qml.QNode], qml.QNode],
    ):
        super().__init__(circuit, layer)

        @qml.qnode(device, interface="torch", diff_method="backprop")
        def evolve(rho, theta):
            qml.QubitDensityMatrix(rho, wires=circuit.wires)
            circuit.apply(theta)
            return qml.density_matrix(wires=circuit.wires)

        @qml.qnode(device, interface="torch", diff_method="backprop")
        def read(rho):
            qml.QubitDensityMatrix(rho, wires=circuit.wires)
            return circuit.expvals()

        # Two circuits, since readout errors must not act on the state that is carried on.
        self._evolve, self._read = add_noise(evolve), add_noise(read)

    def start(self, batch: int, like: torch.Tensor) -> torch.Tensor:
        """See `Memory.start`; (B, 2^n, 2^n) complex."""
        psi = start_vectors(batch, self.circuit.n_wires, like)
        return psi[:, :, None] * psi[:, None, :].conj()

    def step(
        self, state: torch.Tensor, controls: torch.Tensor, active: torch.Tensor | None = None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """See `Memory.step`."""
        theta = controls + self.layer.bias
        rho = list(state)
        with precision_of(controls):
            for row in range(len(rho)):
                if active is None or active[row]:
                    rho[row] = self._evolve(rho[row], theta[row]).to(state.dtype)
            z = torch.stack([torch.stack(self._read(one)) for one in rho])
        return z.to(controls), torch.stack(rho)

    def detach(self, state: torch.Tensor) -> torch.Tensor:
        """See `Memory.detach`."""
        return state.detach()

    def amplitudes(self, state: torch.Tensor) -> torch.Tensor:
        """See `Memory.amplitudes`."""
        return state
