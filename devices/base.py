"""The base class of devices: declared capabilities, options and strategies."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any
from weakref import WeakSet

import numpy as np
import pennylane as qml
from pennylane.qnn import TorchLayer

from qrnn.circuit.step import StepCircuit
from qrnn.config.devices import DeviceOptions, DeviceSpec
from qrnn.devices.mixed_gradients import batches_phases, is_mixed, read_densities
from qrnn.errors import ConfigError, DeviceError, QRNNError
from qrnn.memory.base import Memory
from qrnn.memory.replayed import ReplayedMemory


class Device:
    """A device with checked options.

    Subclasses implement `make_plugin`, which makes the PennyLane device, and, if the state can be
    carried, `carry`.

    Args:
        spec: the declared capabilities.
        options: the options set in the config or by the user.

    Raises:
        ConfigError: the device would ignore or does not support an option.
        DeviceError: the device is not installed.
    """

    def __init__(self, spec: DeviceSpec, options: DeviceOptions):
        spec.check(options)
        self.spec = spec
        self.options = options
        self.strategy = spec.strategy(options)
        self._opened: WeakSet[Any] = WeakSet()  # to reseed; a simulator may hold 2^n numbers

    def __getstate__(self) -> dict[str, Any]:
        """Return the state without the simulators; a copy makes its own."""
        return {name: value for name, value in vars(self).items() if name != "_opened"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state, _opened=WeakSet())

    @property
    def name(self) -> str:
        """The device's name, as in the config."""
        return self.spec.name

    @property
    def exact(self) -> bool:
        """Whether readouts are exact expectation values rather than averages over shots."""
        return self.options.shots is None

    def plugin(self, n_wires: int | None) -> qml.devices.Device:
        """Return a new PennyLane device.

        Raises:
            DeviceError: PennyLane could not make the device; with PennyLane's message on one line.
        """
        try:
            plugin = self.make_plugin(n_wires)
        except QRNNError:
            raise
        except Exception as error:  # of PennyLane, or of a device of the user's own
            reason = f"{type(error).__name__}: {' '.join(str(error).split())}"
            raise DeviceError(f"device {self.name!r} could not be opened: {reason}") from error
        if not isinstance(plugin, qml.devices.Device):
            raise DeviceError(
                f"device {self.name!r} could not be opened: make_plugin must return a PennyLane "
                f"device, got {type(plugin).__name__}"
            )
        self._opened.add(plugin)
        return plugin

    def together(self, calls: Sequence[Callable[[], Any]]) -> list[Any]:
        """Return what calls return, which do not depend on each other.

        Args:
            calls: functions of no arguments that run circuits on this device.
        """
        return [call() for call in calls]

    def reseed(self, seed: int) -> None:
        """Reseed what draws random numbers, from a seed and `options.seed`.

        This affects trajectories and PennyLane's own simulators, which draw from a NumPy generator,
        and no others.
        """
        fresh = np.random.default_rng([seed, self.options.seed or 0]).bit_generator.state
        for one in self._opened:
            generator = getattr(one, "_rng", None)
            if isinstance(generator, np.random.Generator):
                generator.bit_generator.state = fresh  # in place: others may share it

    def make_plugin(self, n_wires: int | None) -> qml.devices.Device:
        """Return `qml.device(...)`; a device defines it, and `plugin` handles PennyLane's errors.

        Raises:
            DeviceError: the device does not define it.
        """
        raise DeviceError(
            f"device {self.name!r} must define make_plugin, which returns a PennyLane device"
        )

    def carry(self, circuit: StepCircuit, layer: TorchLayer) -> Memory:
        """Return the memory of the device's `carried` or `fused` strategy.

        Raises:
            DeviceError: the device does not define it.
        """
        raise DeviceError(
            f"device {self.name!r} must define carry for strategy {self.strategy}, or have "
            f"replayed alone"
        )

    def transform(self, qnode: qml.QNode) -> qml.QNode:
        """Return the QNode with what the device adds to each circuit, such as noise."""
        return qnode

    def broadcasts(self, circuit: StepCircuit, gradient: str | None) -> bool:
        """Return whether one broadcast tape may hold all sequences.

        The spec must declare it, and neither shifts and SPSA (PennyLane #6078) nor channels support
        it.

        Args:
            circuit: the step circuit.
            gradient: the method of differentiation.
        """
        return self.spec.batching and broadcastable(circuit, gradient)

    @property
    def mcm_method(self) -> str | None:
        """PennyLane's method of mid-circuit measurement; None: the device's default."""
        return "deferred" if self.exact else "tree-traversal"

    def executable(self, circuit: StepCircuit) -> StepCircuit:
        """Return a circuit as the device runs it.

        Without channels if the device does not simulate density matrices, and with its ancillas.

        Raises:
            ConfigError: the device's number of ancillas would have no effect.
        """
        if circuit.damped and not self.spec.densities:
            circuit = circuit.unitary()
        if (count := self.options.ancillas) is not None:
            if not circuit.mid_measurements:
                raise ConfigError(
                    f"device.ancillas must be left out where nothing is measured within a step, "
                    f"got {count}: set readout_mode=measure or model.forget, or leave it out"
                )
            if count > circuit.n_wires:
                raise ConfigError(
                    f"device.ancillas must be at most the number of qubits, {circuit.n_wires}, "
                    f"got {count}"
                )
            circuit = circuit.with_ancillas(count)
        return circuit

    def memory(self, circuit: StepCircuit, layer: TorchLayer) -> Memory:
        """Return the memory strategy for a circuit and its quantum layer.

        Raises:
            DeviceError: the circuit measures mid-circuit, which the strategy does not support.
        """
        strategy = self.strategy
        if self.executable(circuit).mid_measurements:
            able = self.spec.measured
            if self.options.strategy is None and strategy not in able and able:
                strategy = able[0]
            if strategy not in able:
                raise DeviceError(
                    f"device {self.name!r} with strategy {strategy} cannot measure mid-circuit: "
                    f"use {'readout_mode=expval' if circuit.measured else 'forget=null'}, or "
                    f"device default.mixed, default.qubit, aer, or an IBM backend"
                )
        if strategy != "replayed":
            return self.carry(circuit, layer)
        window = self.options.replay
        if circuit.measured is None or window is not None:
            return ReplayedMemory(circuit, layer, window=window)
        at_once = self.qnode(circuit, layer.qnode.device, every_step=True)
        return ReplayedMemory(circuit, layer, at_once)

    def qnode(
        self,
        circuit: StepCircuit,
        plugin: qml.devices.Device | None = None,
        *,
        every_step: bool = False,
    ) -> qml.QNode:
        """Return the QNode that replays t steps from |0...0>.

        Its arguments are `inputs` (t P,) or (B, t P) and `bias` (P,), radians; it returns the R
        results of `StepCircuit.replay` after step t.

        Args:
            circuit: the step circuit.
            plugin: an open PennyLane device; None: a new one.
            every_step: whether to return the t R results of all steps.

        Raises:
            DeviceError: the circuit has more qubits than the device supports.
        """
        circuit = self.executable(circuit)
        self.check_wires(circuit.n_wires)
        measurements = circuit.mid_measurements
        deferred = measurements and self.mcm_method == "deferred"

        def replay(inputs, bias):
            steps = qml.math.shape(inputs)[-1] // circuit.n_angles
            shape = (*qml.math.shape(inputs)[:-1], steps, circuit.n_angles)
            if deferred:  # each measurement is deferred to the end and takes another qubit
                needed = circuit.n_wires + 1 + steps * measurements
                self.check_wires(
                    needed,
                    f"each of {steps} x {measurements} deferred measurements takes a qubit; "
                    f"use fewer, or device aer with shots",
                )
            theta = qml.math.reshape(inputs, shape) + bias
            return circuit.replay(theta, every_step=every_step)

        gradient = self.spec.gradient(self.options, measured=measurements > 0)
        # grad_on_execution=False: an evaluation must not compute gradients.
        keywords: dict[str, Any] = (
            {} if gradient in (None, "backprop") else {"grad_on_execution": False}
        )
        n_wires: int | None = circuit.n_wires
        if measurements:
            n_wires = None if deferred else circuit.n_wires + circuit.ancillas
            if self.mcm_method is not None:
                keywords["mcm_method"] = self.mcm_method
        plugin = plugin or self.plugin(n_wires)
        node = qml.QNode(replay, plugin, interface="torch", diff_method=gradient, **keywords)
        if self.options.shots is not None:
            node = qml.set_shots(node, shots=self.options.shots)
        mixed = is_mixed(plugin)
        if not self.broadcasts(circuit, gradient) or (mixed and batches_phases(circuit)):
            node = qml.transforms.broadcast_expand(node)
        node = self.transform(self.reading(node, circuit))
        # At last, as what is before it reads its results.
        return read_densities(node) if mixed and gradient == "backprop" else node

    def reading(self, qnode: qml.QNode, circuit: StepCircuit) -> qml.QNode:
        """Return a QNode that returns the readouts, for one that returns what is measured."""
        return qnode

    def check_wires(
        self, needed: int, remedy: str = "lower model.n_qubits or choose another device"
    ) -> None:
        """Check a number of qubits against the device's limit.

        Args:
            needed: number of qubits.
            remedy: how the user can fix it, for the message.

        Raises:
            DeviceError: the device does not have that many qubits.
        """
        if needed > self.spec.max_wires:
            raise DeviceError(
                f"device {self.name!r} takes at most {self.spec.max_wires} qubits, got "
                f"{needed}: {remedy}"
            )


def broadcastable(circuit: StepCircuit, gradient: str | None) -> bool:
    """Return whether PennyLane can differentiate a circuit for a batch of angles."""
    shifts = gradient in ("parameter-shift", "spsa")
    return not shifts and not (circuit.damped and circuit.channels)


DeviceClass = Callable[[DeviceSpec, DeviceOptions], Device]
