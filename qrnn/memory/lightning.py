"""The carried strategy on PennyLane-Lightning, with gradients by the two-branch adjoint.

Lightning has no batches and can differentiate neither `qml.state` nor `StatePrep`. With an ancilla
in a superposition of two branches, (|0>|psi> + |1>|lambda^>)/sqrt(2), and U acting only in the
first one, `<X>` on the ancilla is Re <lambda^| U |psi>: its adjoint gradient, times the norm of
lambda, is the cotangent of the gate parameters. U^dagger lambda takes one more circuit.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pennylane as qml
import torch
from pennylane.devices import ExecutionConfig
from pennylane.qnn import TorchLayer
from pennylane.tape import QuantumScript
from typing_extensions import override

from qrnn.circuit.step import StepCircuit
from qrnn.circuit.threads import one_at_a_time
from qrnn.memory.base import Memory, across
from qrnn.memory.carried import start_vectors
from qrnn.utils.autograd import once_differentiable, refuse_transforms

DeviceFactory = Callable[[type], qml.devices.Device]


def apply_word(word: str, psi: torch.Tensor) -> torch.Tensor:
    """Return P |psi> for a Pauli word P and states (B, 2^n)."""
    for wire, letter in enumerate(word):
        if letter == "I":
            continue
        a, b = psi.reshape(len(psi), 2**wire, 2, -1).unbind(2)
        if letter == "Z":
            b = -b
        else:
            a, b = (b, a) if letter == "X" else (-1j * b, 1j * a)
        psi = torch.stack([a, b], 2).flatten(1)
    return psi


class _Step(torch.autograd.Function):
    """(psi, gate parameters) -> (psi', z), one circuit per sequence."""

    @staticmethod
    def forward(ctx: Any, psi, parameters, memory: CarriedLightning):
        states, z = memory.evolve(psi, parameters)
        ctx.save_for_backward(psi, parameters, states)
        ctx.memory = memory
        return states, z

    @staticmethod
    @once_differentiable()
    def backward(ctx: Any, grad_psi, grad_z):
        psi, parameters, psi_out = ctx.saved_tensors
        memory: CarriedLightning = ctx.memory
        lam = grad_psi.clone()
        for index, word in enumerate(memory.circuit.words):
            lam += 2 * grad_z[:, index : index + 1] * apply_word(word, psi_out)
        return *memory.pull_back(psi, parameters, lam), None


class CarriedLightning(Memory):
    """State vectors on lightning.qubit, lightning.kokkos or lightning.gpu.

    Args:
        circuit: the step circuit.
        layer: the quantum layer.
        make_device: function of a c_dtype (complex64 or complex128) that returns a Lightning device
            without shots and fixed wires: it runs n wires, and n + 1 for gradients.
    """

    def __init__(self, circuit: StepCircuit, layer: TorchLayer, make_device: DeviceFactory):
        super().__init__(circuit, layer)
        self._make_device = make_device
        self._devices: dict[torch.dtype, qml.devices.Device] = {}

    def _device(self, psi: torch.Tensor) -> qml.devices.Device:
        """Return the device for the precision of the state."""
        if psi.dtype not in self._devices:
            c_dtype = np.complex64 if psi.dtype == torch.complex64 else np.complex128
            self._devices[psi.dtype] = self._make_device(c_dtype)
        return self._devices[psi.dtype]

    @one_at_a_time
    def evolve(
        self, psi: torch.Tensor, parameters: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the states (B, 2^n) after one step and the readouts (B, R)."""
        measurements = [qml.state(), *self.circuit.expvals()]
        tapes = [
            QuantumScript(
                [prepare(one, self.circuit.wires), *self.circuit.bind(values)], measurements
            )
            for one, values in zip(as_numpy(psi), as_numpy(parameters), strict=True)
        ]
        results = qml.execute(tapes, self._device(psi))
        states = np.stack([result[0] for result in results])
        z = np.array([result[1:] for result in results])
        return torch.as_tensor(states).to(psi), torch.as_tensor(z).to(parameters)

    @one_at_a_time
    def pull_back(
        self, psi: torch.Tensor, parameters: torch.Tensor, lam: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the cotangents of psi (B, 2^n) and of the parameters (B, n_parameters).

        Args:
            psi: states before the step (B, 2^n).
            parameters: gate parameters (B, n_parameters).
            lam: cotangent of the states after the step (B, 2^n).
        """
        wires = list(self.circuit.wires)
        ancilla = self.circuit.n_wires
        device = self._device(psi)
        norms = lam.norm(dim=1)
        directions = torch.where(
            norms[:, None] > 0, lam, psi
        )  # any unit vector does for lambda = 0
        branches, adjoints = [], []
        for one, values, direction in zip(
            as_numpy(psi), as_numpy(parameters), as_numpy(directions), strict=True
        ):
            # A controlled Identity would be decomposed into a phase with an extra parameter.
            gates = [gate for gate in self.circuit.bind(values) if gate.name != "Identity"]
            both = np.concatenate(
                [one / np.linalg.norm(one), direction / np.linalg.norm(direction)]
            )
            branch = QuantumScript(
                [prepare(both, [ancilla, *wires])]
                + [qml.ctrl(gate, ancilla, control_values=[0]) for gate in gates],
                [qml.expval(qml.X(ancilla))],
            )
            branch.trainable_params = list(range(1, 1 + len(values)))
            branches.append(branch)
            undo = [qml.adjoint(gate) for gate in reversed(gates)]
            adjoints.append(QuantumScript([prepare(direction, wires), *undo], [qml.state()]))
        config = device.setup_execution_config(
            ExecutionConfig(gradient_method="adjoint", use_device_gradient=True), branches[0]
        )
        branches, _ = device.preprocess_transforms(config)(branches)
        jacobians = np.reshape(device.compute_derivatives(branches, config), parameters.shape)
        grad = norms[:, None] * torch.as_tensor(jacobians).to(parameters)
        pulled = torch.as_tensor(np.stack(qml.execute(adjoints, device))).to(psi)
        return norms[:, None] * pulled, grad

    @override
    def start(self, batch: int, like: torch.Tensor) -> torch.Tensor:
        """The state is (B, 2^n), complex."""
        return start_vectors(batch, self.circuit.n_wires, like)

    @override
    def step(
        self, state: torch.Tensor, controls: torch.Tensor, active: torch.Tensor | None = None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        parameters = self.circuit.parameters(controls + self.layer.bias)
        refuse_transforms()
        psi, z = _Step.apply(state, parameters, self)
        if active is not None:
            psi = torch.where(active[:, None], psi, state)
        return z, psi

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


def prepare(psi: np.ndarray, wires: Any) -> qml.StatePrep:
    """Return the preparation of psi, normalised, because rounding errors of the norm add up."""
    return qml.StatePrep(psi / np.linalg.norm(psi), wires=wires)


def as_numpy(values: torch.Tensor) -> np.ndarray:
    """Return a tensor's values as a numpy array."""
    return values.detach().cpu().numpy()
