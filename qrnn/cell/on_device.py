"""torch modules that hold a quantum layer: how they are copied."""

from __future__ import annotations

import copy
from typing import Any, TypeVar

from pennylane.qnn import TorchLayer
from torch import nn

from qrnn.circuit.step import StepCircuit
from qrnn.circuit.weights import Weights
from qrnn.devices import Device
from qrnn.memory.base import Memory

M = TypeVar("M", bound=nn.Module)
# Where torch registers a module's parameters, buffers, children and hooks.
REGISTRIES = [name for name, value in vars(nn.Module()).items() if isinstance(value, (dict, set))]


def shallow_copy(module: M) -> M:
    """Return a copy that shares parameters, buffers, children and the hooks so far.

    What is registered on the one from now on is not on the other. Not by copy.copy, which goes by
    what a module pickles: parametrized ones refuse.
    """
    clone = module.__new__(type(module))
    vars(clone).update(vars(module))
    # Not dict(...): torch's handles need an OrderedDict, which can be referred to weakly.
    vars(clone).update({name: copy.copy(vars(module)[name]) for name in REGISTRIES})
    return clone


class HoldsQuantumLayer(nn.Module):
    """A module that can be pickled and copied deeply although its QNodes cannot.

    Those are local functions, and lightning's devices hold states that cannot be copied. `use`
    makes new ones on the device.
    """

    circuit: StepCircuit
    device: Device
    memory: Memory
    quantum: TorchLayer

    def use(self, device: Device) -> None:
        """Run on a device from now on."""
        self.device = device
        if isinstance(weights := self._modules.get("ansatz"), Weights):
            self.circuit = self.circuit.holding(weights)
        # TorchLayer would ask the QNode that is replaced whether it is to have the new one.
        vars(self.quantum).update(
            qnode=device.qnode(self.circuit), qnode_weights={"bias": self.quantum.bias}
        )
        self.memory = device.memory(self.circuit, self.quantum)

    def __getstate__(self) -> dict[str, Any]:
        """Return what to pickle or copy deeply: all but the QNodes and the memory."""
        quantum = shallow_copy(self.quantum)
        vars(quantum).update(qnode=None, qnode_weights={})
        return {**vars(self), "memory": None, "_modules": {**self._modules, "quantum": quantum}}

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        self.use(self.device)
