"""A device: declared capabilities, chosen options, and the strategies that run on it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pennylane as qml
from pennylane.exceptions import DeviceError as PennyLaneDeviceError
from pennylane.qnn import TorchLayer

from qrnn.circuit import StepCircuit
from qrnn.devices.spec import DeviceOptions, DeviceSpec
from qrnn.errors import DeviceError, QRNNError
from qrnn.memory.base import Memory
from qrnn.memory.replayed import ReplayedMemory


class Device:
    """A device with its options checked.

    Subclasses say how the PennyLane device is made (`plugin`) and, where the state can be carried,
    how (`carry`).

    Args:
        spec: the declared capabilities.
        options: what the config or the user set.

    Raises:
        ConfigError: options that the device would ignore or cannot follow.
        DeviceError: the device is not installed.
    """

    def __init__(self, spec: DeviceSpec, options: DeviceOptions):
        spec.check(options)
        self.spec = spec
        self.options = options
        self.strategy = spec.strategy(options)

    @property
    def name(self) -> str:
        """The device's name, as in the config."""
        return self.spec.name

    @property
    def exact(self) -> bool:
        """Whether readouts are expectation values, not averages over shots."""
        return self.options.shots is None

    def plugin(self, n_wires: int | None) -> qml.devices.Device:
        """Return a new PennyLane device.

        Raises:
            DeviceError: PennyLane could not make it; its own message, on one line.
        """
        try:
            return self.make_plugin(n_wires)
        except (QRNNError, KeyboardInterrupt):
            raise
        except (PennyLaneDeviceError, ImportError, TypeError, ValueError, RuntimeError) as error:
            reason = " ".join(str(error).split())
            raise DeviceError(f"device {self.name!r} could not be opened: {reason}") from error

    def make_plugin(self, n_wires: int | None) -> qml.devices.Device:
        """Return `qml.device(...)`; any of PennyLane's errors may pass."""
        raise NotImplementedError

    def carry(self, circuit: StepCircuit, layer: TorchLayer) -> Memory:
        """Return the strategy that is not `replayed`."""
        raise NotImplementedError

    def transform(self, qnode: qml.QNode) -> qml.QNode:
        """Return the QNode with what the device adds to each circuit (noise)."""
        return qnode

    def memory(self, circuit: StepCircuit, layer: TorchLayer) -> Memory:
        """Return the memory strategy for a circuit and its quantum layer."""
        if self.strategy == "replayed":
            return ReplayedMemory(circuit, layer)
        return self.carry(circuit, layer)

    def qnode(self, circuit: StepCircuit) -> qml.QNode:
        """Return the QNode that replays t steps from |0...0>.

        Its arguments are `inputs` (t P,) or (B, t P) and `bias` (P,), radians; it returns the R
        readouts after step t.

        Raises:
            DeviceError: the circuit has more qubits than the device takes.
        """
        if circuit.n_wires > self.spec.max_wires:
            raise DeviceError(
                f"device {self.name!r} takes at most {self.spec.max_wires} qubits, got "
                f"{circuit.n_wires}: lower model.n_qubits or choose another device"
            )

        def replay(inputs, bias):
            steps = qml.math.shape(inputs)[-1] // circuit.n_angles
            shape = (*qml.math.shape(inputs)[:-1], steps, circuit.n_angles)
            theta = qml.math.reshape(inputs, shape) + bias
            for step in range(steps):
                circuit.apply(theta[..., step, :])
            return circuit.expvals()

        gradient = self.spec.gradient(self.options)
        # grad_on_execution: an evaluation must not pay for gradients that nobody asks for.
        keywords: dict[str, Any] = (
            {} if gradient in (None, "backprop") else {"grad_on_execution": False}
        )
        plugin = self.plugin(circuit.n_wires)
        node = qml.QNode(replay, plugin, interface="torch", diff_method=gradient, **keywords)
        if self.options.shots is not None:
            node = qml.set_shots(node, shots=self.options.shots)
        if gradient in ("parameter-shift", "spsa"):
            # PennyLane differentiates no broadcast tapes this way (PennyLane #6078).
            node = qml.transforms.broadcast_expand(node)
        return self.transform(node)


DeviceClass = Callable[[DeviceSpec, DeviceOptions], Device]
