"""The simulators of qrnn and PennyLane, one small class each."""

from __future__ import annotations

import itertools
from functools import partial
from typing import Any

import pennylane as qml
from pennylane.qnn import TorchLayer
from typing_extensions import override

from qrnn.circuit.noisy_step import NoisyStep
from qrnn.circuit.step import StepCircuit
from qrnn.config.devices import DeviceOptions, DeviceSpec
from qrnn.devices.base import Device, broadcastable
from qrnn.devices.noise import (
    check_noise,
    circuit_noise,
    is_backend,
    noise_transform,
    readout_errors,
    values_transform,
)
from qrnn.errors import ConfigError, DeviceError
from qrnn.memory.base import Memory
from qrnn.memory.carried import CarriedDensities, CarriedVectors, MeasuredDensities
from qrnn.memory.fused import FusedMemory
from qrnn.memory.fused_density import MOST_NOISY, FusedDensities
from qrnn.memory.fused_trajectories import Draws, FusedTrajectories
from qrnn.memory.lightning import CarriedLightning


class Fused(Device):
    """qrnn's own kernels, with noise on density matrices or by trajectories.

    The QNode is for drawing and checking.
    """

    def __init__(self, spec: DeviceSpec, options: DeviceOptions):
        super().__init__(spec, options)
        check_noise(options, backends=True)
        if options.seed is not None and options.trajectories is None:
            more = "" if options.noise in (None, "readout") else ", or set device.trajectories"
            raise ConfigError(
                "device 'fused' would ignore device.seed, as it draws nothing: leave it out" + more
            )
        self._drawing = itertools.count()  # numbers the cells that draw
        self.noise = circuit_noise(options.noise, options.strength)

    @override
    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        self._drawing = itertools.count()  # a copy's cells draw what the first ones drew

    @override
    def make_plugin(self, n_wires: int | None) -> qml.devices.Device:
        return qml.device("default.qubit", wires=n_wires)

    def as_run(self, circuit: StepCircuit) -> StepCircuit:
        """Return a circuit as it runs: with the noise of a backend, in the backend's gates."""
        options = self.options
        if options.noise is None or not is_backend(options.noise) or circuit.measured is not None:
            return circuit
        from qrnn.devices.ibm.noise import on_backend

        level = options.optimization_level
        return on_backend(
            circuit, options.noise, 2 if level is None else level, options.initial_layout
        )

    def mixes(self, circuit: StepCircuit) -> bool:
        """Return whether the circuit, or the device's noise, makes mixed states."""
        return self.options.noise is not None or circuit.damped

    def trajectories(self, circuit: StepCircuit) -> int | None:
        """Return the number of trajectories of a sequence; None: density matrices.

        Readout errors alone leave a state pure: one trajectory is exact.
        """
        if self.options.noise == "readout" and not circuit.damped:
            return 1
        return self.options.trajectories

    @override
    def qnode(
        self,
        circuit: StepCircuit,
        plugin: qml.devices.Device | None = None,
        *,
        every_step: bool = False,
    ) -> qml.QNode:
        run = self.as_run(circuit)
        if self.mixes(circuit):
            most = max(len(group) for group in run.groups)
            if most > MOST_NOISY and self.trajectories(circuit) is None:
                remedy = (
                    "set model.circuits, or leave out model.forget and Damping"
                    if circuit.damped
                    else "set device.trajectories, e.g. to 100, or model.circuits"
                )
                raise DeviceError(
                    f"device 'fused' with noise or Damping takes at most {MOST_NOISY} coupled "
                    f"qubits (their state has 4^n numbers), got {most}: lower model.n_qubits, "
                    f"{remedy}"
                )
            # With a fixed number of wires, it refuses many at once, not only when it runs.
            large = circuit.n_wires > MOST_NOISY
            plugin = plugin or qml.device("default.mixed", wires=None if large else circuit.n_wires)
        return super().qnode(run, plugin, every_step=every_step)

    @override
    def reading(self, qnode: qml.QNode, circuit: StepCircuit) -> qml.QNode:
        return values_transform(circuit)(qnode) if isinstance(circuit, NoisyStep) else qnode

    @override
    def transform(self, qnode: qml.QNode) -> qml.QNode:
        return noise_transform(self.noise)(qnode) if self.options.noise else qnode

    @override
    def carry(self, circuit: StepCircuit, layer: TorchLayer) -> Memory:
        if (count := self.trajectories(circuit)) is not None:
            draws = Draws(self.options.seed, next(self._drawing))
            self._opened.add(draws)
            return FusedTrajectories(self.as_run(circuit), layer, self.noise, count, draws)
        if self.mixes(circuit):
            return FusedDensities(self.as_run(circuit), layer, self.noise)
        return FusedMemory(circuit, layer)


class DefaultQubit(Device):
    """PennyLane's reference simulator."""

    @override
    def make_plugin(self, n_wires: int | None) -> qml.devices.Device:
        seed = "global" if self.options.seed is None else self.options.seed
        return qml.device("default.qubit", wires=n_wires, seed=seed)

    @override
    def carry(self, circuit: StepCircuit, layer: TorchLayer) -> Memory:
        return CarriedVectors(circuit, layer, self.plugin(circuit.n_wires))


class DefaultMixed(Device):
    """PennyLane's density-matrix simulator, with a noise model and a strength you set."""

    def __init__(self, spec: DeviceSpec, options: DeviceOptions):
        super().__init__(spec, options)
        check_noise(options)
        self.noise = circuit_noise(options.noise, options.strength)

    @override
    def make_plugin(self, n_wires: int | None) -> qml.devices.Device:
        seed = "global" if self.options.seed is None else self.options.seed
        return qml.device(self.name, wires=n_wires, seed=seed)

    @override
    def transform(self, qnode: qml.QNode) -> qml.QNode:
        return noise_transform(self.noise)(qnode) if self.options.noise else qnode

    @override
    def broadcasts(self, circuit: StepCircuit, gradient: str | None) -> bool:
        """As PennyLane can: only the carried states, which the spec declares, have no batches."""
        return broadcastable(circuit, gradient)

    @property
    @override
    def mcm_method(self) -> str:
        """The only method for density matrices."""
        return "deferred"

    @override
    def carry(self, circuit: StepCircuit, layer: TorchLayer) -> Memory:
        memory = CarriedDensities if circuit.measured is None else MeasuredDensities
        errors = partial(readout_errors, self.noise)
        return memory(circuit, layer, self.plugin(None), self.transform, errors)


class Lightning(Device):
    """PennyLane-Lightning: C++ (qubit), Kokkos or cuQuantum (gpu)."""

    @override
    def make_plugin(self, n_wires: int | None) -> qml.devices.Device:
        keywords = {} if self.options.seed is None else {"seed": self.options.seed}
        return qml.device(self.name, wires=n_wires, **keywords)

    @override
    def carry(self, circuit: StepCircuit, layer: TorchLayer) -> Memory:
        self.plugin(None)  # fail early, with a clear error, if the library does not load
        return CarriedLightning(
            circuit, layer, lambda c_dtype: qml.device(self.name, wires=None, c_dtype=c_dtype)
        )
