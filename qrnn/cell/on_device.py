"""Modules with cells that move to another device, and copies that share their parameters."""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from typing import Any, NoReturn, Self, TypeVar

import pennylane as qml
from pennylane.qnn import TorchLayer
from torch import nn
from typing_extensions import override

from qrnn.cell.checks import refuse_tracing
from qrnn.circuit.step import StepCircuit
from qrnn.circuit.weights import Weights
from qrnn.devices import Device, DeviceOptions, open_device
from qrnn.errors import ConfigError
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


class HasCircuits(nn.Module, ABC):
    """A cell with circuits, which can be switched to another device.

    Attributes:
        device: the device that runs them.
    """

    device: Device

    @abstractmethod
    def use(self, device: Device) -> None:
        """Switch to another device, in place."""

    def read_by(self, readout_mode: str | None, readout_angle: float | None) -> None:
        """Switch to another readout mode, in place, before `use`; None: unchanged.

        Raises:
            ConfigError: the readout is fixed.
        """
        raise ConfigError(
            f"readout_mode and readout_angle must be left out: {type(self).__name__} has a fixed "
            f"readout"
        )


class HoldsQuantumLayer(HasCircuits):
    """A module that can be pickled and deep-copied although its QNodes cannot.

    QNodes are local functions, and Lightning devices hold states that cannot be copied; `use`
    creates new ones.
    """

    circuit: StepCircuit
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

    @override
    def use(self, device: Device) -> None:
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


class OnDevice(nn.Module):
    """A module with QRNN cells that can be moved to another device.

    Attributes:
        made_of: what a model was built from, besides its weights; see `qrnn.models.identity`.
            None: it was not built from a configuration.
    """

    made_of: str | None = None

    def __prepare_scriptable__(self) -> NoReturn:
        """Refuse `torch.jit.script`, which calls this before it compiles a module."""
        refuse_tracing()

    def on(
        self,
        device: str | DeviceOptions | Device,
        *,
        readout_mode: str | None = None,
        readout_angle: float | None = None,
        **options,
    ) -> Self:
        """Return the same module, sharing all parameters, on another device.

        Args:
            device: name of a device, its options, or an open device.
            readout_mode: readout mode of the cells on that device; None: unchanged.
            readout_angle: angle of mode `"measure"`, radians.
            **options: fields of `DeviceOptions`, e.g. `shots=1024`.

        Raises:
            ConfigError: the device does not support the options.
            DeviceError: the device is not installed, too small, or cannot measure mid-circuit.
        """
        return on_device(self, open_device(device, **options), readout_mode, readout_angle)


def on_device(
    module: M, device: Device, readout_mode: str | None = None, readout_angle: float | None = None
) -> M:
    """Return a copy of a module whose QRNN cells run on `device`; parameters are shared."""
    clones: dict[int, nn.Module] = {}  # a module with two names is cloned once

    def clone_of(module: nn.Module) -> nn.Module:
        if id(module) in clones:
            return clones[id(module)]
        clone = clones[id(module)] = shallow_copy(module)
        # Clone all children, so that .eval() on the copy does not change the original.
        for name, child in module._modules.items():
            if child is not None:
                clone._modules[name] = clone_of(child)
        if isinstance(clone, HasCircuits):
            if readout_mode is not None or readout_angle is not None:
                clone.read_by(readout_mode, readout_angle)
            clone.use(device)
        return clone

    return clone_of(module)  # type: ignore[return-value]
