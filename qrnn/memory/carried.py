"""The carried strategy on PennyLane's simulators: each step takes a state and returns a new one.

`default.qubit` carries a batch of state vectors, `default.mixed` density matrices (with noise);
both differentiate by backpropagation, with memory that grows with T.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pennylane as qml
import torch
from pennylane.operation import Operator
from pennylane.qnn import TorchLayer
from pennylane.tape import QuantumScript
from typing_extensions import override

from qrnn.circuit.observables import traces
from qrnn.circuit.step import StepCircuit, precision_of
from qrnn.circuit.threads import one_at_a_time
from qrnn.memory.base import Memory, across

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
        device: a PennyLane device that supports broadcasting and backpropagation.
    """

    def __init__(self, circuit: StepCircuit, layer: TorchLayer, device: qml.devices.Device):
        super().__init__(circuit, layer)

        @qml.qnode(device, interface="torch", diff_method="backprop")
        def step(psi, theta):
            qml.StatePrep(psi, wires=circuit.wires, validate_norm=False)
            circuit.apply(theta)
            return [qml.state(), *circuit.expvals()]

        self._step = step

    @override
    def start(self, batch: int, like: torch.Tensor) -> torch.Tensor:
        """The state is (B, 2^n), complex."""
        return start_vectors(batch, self.circuit.n_wires, like)

    @override
    @one_at_a_time
    def step(
        self, state: torch.Tensor, controls: torch.Tensor, active: torch.Tensor | None = None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        psi, *values = self._step(state, controls + self.layer.bias)
        psi = psi.to(state.dtype).reshape(state.shape)
        if active is not None:
            psi = torch.where(active[:, None], psi, state)
        return torch.stack(values, -1).reshape(len(state), -1).to(controls), psi

    @override
    def detach(self, state: torch.Tensor) -> torch.Tensor:
        return state.detach()

    @override
    def select(self, state: torch.Tensor, rows: torch.Tensor) -> torch.Tensor:
        return state[rows]

    @override
    def amplitudes(self, state: torch.Tensor) -> torch.Tensor:
        return state

    @override
    def tangent(self, state: torch.Tensor, gradient: torch.Tensor) -> torch.Tensor:
        return across(state, gradient)


def sparing_preparation(add_noise: Callable[[qml.QNode], qml.QNode]) -> Callable:
    """Return a transform of QNodes that adds noise, except to the preparation, the first operation.

    The noise model of a device of the user's own would act on it as on a gate, once more per step.

    Args:
        add_noise: function that adds noise after the gates of a QNode.
    """

    def transform(qnode: qml.QNode) -> qml.QNode:
        kept: list[Operator] = []  # of the only tape between the two; PennyLane runs in one thread

        @qml.transform
        def take_off(tape: QuantumScript):
            first, *others = tape.operations
            kept[:] = [first]
            return (tape.copy(operations=others),), lambda results: results[0]

        @qml.transform
        def put_back(tape: QuantumScript):
            return (tape.copy(operations=kept + tape.operations),), lambda results: results[0]

        return put_back(add_noise(take_off(qnode)))

    return transform


class CarriedDensities(Memory):
    """Density matrices on `default.mixed`, one sequence at a time (it has no batches).

    Args:
        circuit: the step circuit.
        layer: the quantum layer.
        device: a PennyLane device for density matrices.
        add_noise: function that adds noise after the gates of a QNode, without the preparation.
        readout_errors: function that returns the readout-error channels of some wires.
    """

    def __init__(
        self,
        circuit: StepCircuit,
        layer: TorchLayer,
        device: qml.devices.Device,
        add_noise: Callable[[qml.QNode], qml.QNode],
        readout_errors: Callable[[Sequence[Any]], list[Operator]],
    ):
        super().__init__(circuit, layer)

        @qml.qnode(device, interface="torch", diff_method="backprop")
        def evolve(rho, theta):
            qml.QubitDensityMatrix(rho, wires=circuit.wires)
            circuit.apply(theta)
            return qml.density_matrix(wires=circuit.wires)

        @qml.qnode(device, interface="torch", diff_method="backprop")
        def misread(rho, wires, read):
            qml.QubitDensityMatrix(rho, wires=wires)
            for error in readout_errors(read):
                qml.apply(error)
            return qml.density_matrix(wires=wires)

        self._evolve = sparing_preparation(add_noise)(evolve)
        self._errs = bool(readout_errors(circuit.wires))
        self._misread = misread

    @override
    def size(self, batch: int, like: torch.Tensor) -> float:
        return 2.0 * like.element_size() * batch * 4**self.n_wires

    @override
    def start(self, batch: int, like: torch.Tensor) -> torch.Tensor:
        """The state is (B, 2^n, 2^n), complex."""
        psi = start_vectors(batch, self.circuit.n_wires, like)
        return psi[:, :, None] * psi[:, None, :].conj()

    @override
    @one_at_a_time
    def step(
        self, state: torch.Tensor, controls: torch.Tensor, active: torch.Tensor | None = None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        theta = controls + self.layer.bias
        rho = list(state)
        z = [controls.new_zeros(len(self.circuit.words))] * len(rho)
        with precision_of(controls):
            for row in range(len(rho)):
                if active is None or active[row]:
                    moved = self._evolve(rho[row], theta[row]).to(state.dtype)
                    z[row], rho[row] = self._read(moved)
        return torch.stack(z).to(controls), torch.stack(rho)

    def _read(self, rho: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the readouts (R,) of one density matrix, and the density matrix after reading."""
        # Readout errors do not affect the carried state. Not qml.expval: its gradient on density
        # matrices is NaN if a probability is zero (PennyLane 0.45).
        seen = self._seen(rho, self.circuit.wires, self.circuit.wires)
        return traces(self.circuit.words, seen), rho

    def _seen(self, rho: torch.Tensor, wires: Sequence[Any], read: Sequence[Any]) -> torch.Tensor:
        """Return the density matrix of `wires` with readout errors on the wires `read`."""
        return self._misread(rho, wires, read).to(rho.dtype) if self._errs else rho

    @override
    def detach(self, state: torch.Tensor) -> torch.Tensor:
        return state.detach()

    @override
    def select(self, state: torch.Tensor, rows: torch.Tensor) -> torch.Tensor:
        return state[rows]

    @override
    def amplitudes(self, state: torch.Tensor) -> torch.Tensor:
        return state

    @override
    def tangent(self, state: torch.Tensor, gradient: torch.Tensor) -> torch.Tensor:
        trace = gradient.diagonal(dim1=1, dim2=2).mean(1)
        return gradient - trace[:, None, None] * torch.eye(gradient.shape[1]).to(gradient)


class MeasuredDensities(CarriedDensities):
    """Density matrices with mid-circuit measurements of each Pauli word, through an ancilla.

    The outcome is averaged over after each measurement, so one execution per Pauli word gives the
    mean of infinitely many shots.

    Args:
        circuit: the step circuit, with measured readouts.
        layer: the quantum layer.
        device: a PennyLane device for density matrices.
        add_noise: see `CarriedDensities`.
        readout_errors: see `CarriedDensities`.
    """

    def __init__(
        self,
        circuit: StepCircuit,
        layer: TorchLayer,
        device: qml.devices.Device,
        add_noise: Callable[[qml.QNode], qml.QNode],
        readout_errors: Callable[[Sequence[Any]], list[Operator]],
    ):
        super().__init__(circuit, layer, device, add_noise, readout_errors)
        measured = circuit.measured
        assert measured is not None
        self._measured = measured
        self._joint_wires = wires = [*circuit.wires, measured.ancilla]

        @qml.qnode(device, interface="torch", diff_method="backprop")
        def couple(rho, word):
            qml.QubitDensityMatrix(rho, wires=circuit.wires)
            measured.couple(word)
            return qml.density_matrix(wires=wires)

        self._couple = sparing_preparation(add_noise)(couple)

    def _read(self, rho: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        m, shape = [], (len(rho), 2, len(rho), 2)
        for word in self._measured.words:
            joint = self._couple(rho, word).to(rho.dtype)
            seen = self._seen(joint, self._joint_wires, [self._measured.ancilla])
            m.append(seen.reshape(shape)[:, 1, :, 1].trace().real)
            rho = torch.einsum("iaja->ij", joint.reshape(shape))
        return self._measured.unbiased(torch.stack(m)), rho
