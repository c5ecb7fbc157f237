"""Copying torch modules that contain a quantum layer."""

from __future__ import annotations

import copy
from typing import Any, TypeVar

import pennylane as qml
from pennylane.qnn import TorchLayer
from torch import nn

from qrnn.circuit.step import StepCircuit
from qrnn.circuit.weights import Weights
from qrnn.devices import Device
from qrnn.memory.base import Memory

M = TypeVar("M", bound=nn.Module)
# The attributes in which torch stores a module's parameters, buffers, children and hooks.
REGISTRIES = [name for name, value in vars(nn.Module()).items() if isinstance(value, (dict, set))]


def shallow_copy(module: M) -> M:
    """Return a copy that shares parameters, buffers, children and present hooks.

    Later registrations affect only one of the two. copy.copy would pickle, which parametrized
    modules do not support.
    """
    clone = module.__new__(type(module))
    vars(clone).update(vars(module))
    # Not dict(...): torch's handles hold weak references, which need an OrderedDict.
    vars(clone).update({name: copy.copy(vars(module)[name]) for name in REGISTRIES})
    return clone


class HoldsQuantumLayer(nn.Module):
    """A module that can be pickled and deep-copied although its QNodes cannot.

    QNodes are local functions, and Lightning devices hold states that cannot be copied; `use`
    creates new ones.
    """

    circuit: StepCircuit
    device: Device
    memory: Memory
    quantum: TorchLayer

    @property
    def qnode(self) -> qml.QNode:
        """The replayed QNode on the cell's device: `(inputs (t P,), bias (P,))` to R readouts."""
        return self.quantum.qnode

    @property
    def plugin(self) -> qml.devices.Device:
        """The PennyLane device that the QNode runs on."""
        return self.qnode.device

    @property
    def recipe(self) -> dict[str, Any]:
        """Plain values that, with the parameters, define how the circuits are read."""
        measured = self.circuit.measured
        return {
            "readouts": self.circuit.words,
            "angle": None if measured is None else measured.angle,
        }

    def use(self, device: Device) -> None:
        """Switch to another device, in place."""
        self.device = device
        if isinstance(weights := self._modules.get("ansatz"), Weights):
            self.circuit = self.circuit.holding(weights)
        # Not by assignment: TorchLayer's setter calls the old QNode.
        vars(self.quantum).update(
            qnode=device.qnode(self.circuit), qnode_weights={"bias": self.quantum.bias}
        )
        self.memory = device.memory(self.circuit, self.quantum)

    def __getstate__(self) -> dict[str, Any]:
        """Return the state to pickle or deep-copy: all except QNodes and memory."""
        quantum = shallow_copy(self.quantum)
        vars(quantum).update(qnode=None, qnode_weights={})
        return {**vars(self), "memory": None, "_modules": {**self._modules, "quantum": quantum}}

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        self.use(self.device)
