"""Noise models of stated strength, for density-matrix simulators."""

from __future__ import annotations

from collections.abc import Callable

import pennylane as qml
from pennylane.tape import QuantumScript

from qrnn.errors import ConfigError
from qrnn.registry import unknown_name

CHANNELS = {
    "depolarizing": qml.DepolarizingChannel,
    "amplitude_damping": qml.AmplitudeDamping,
    "phase_damping": qml.PhaseDamping,
}
MODELS = (*CHANNELS, "readout")


@qml.transform
def _readout_errors(tape: QuantumScript, flip: float):
    """Flip each measured bit with probability `flip`, whatever Pauli basis it is measured in.

    That multiplies the expectation value of a word by (1 - 2 flip) for each of its letters, which
    is what a depolarising channel of strength 3/2 flip before the measurement does. (The
    `readout_prob` of default.mixed 0.45 fails on analytic circuits.)
    """
    channels = []
    if any(isinstance(m, qml.measurements.ExpectationMP) for m in tape.measurements):
        with qml.QueuingManager.stop_recording():
            channels = [qml.DepolarizingChannel(1.5 * flip, wires=wire) for wire in tape.wires]
    return (tape.copy(operations=[*tape.operations, *channels]),), lambda results: results[0]


def check_noise(noise: str | None, strength: float | None) -> None:
    """Raise the error for a noise model that is not one.

    Raises:
        ConfigError: an unknown name, a strength outside [0, 1], or one without the other.
    """
    if noise is None and strength is None:
        return
    if noise is None or strength is None:
        raise ConfigError(
            f"device.noise and device.strength go together, got noise={noise} and "
            f"strength={strength}: set both"
        )
    if noise not in MODELS:
        raise unknown_name("device.noise", noise, MODELS)
    largest = 0.5 if noise == "readout" else 1.0
    if not 0 <= strength <= largest:
        raise ConfigError(
            f"device.strength must be in [0, {largest:g}] for {noise} noise, got {strength}"
        )


def noise_transform(noise: str | None, strength: float | None) -> Callable[[qml.QNode], qml.QNode]:
    """Return the transform that puts the channel on each wire of each gate, or on the readouts.

    The preparation of a carried state is not a gate of the circuit, and stays noiseless.
    """
    if noise is None:
        return lambda qnode: qnode
    if noise == "readout":
        return lambda qnode: _readout_errors(qnode, flip=strength)
    channel = CHANNELS[noise]

    def is_gate(op) -> bool:
        return not isinstance(op, (qml.QubitDensityMatrix, qml.operation.Channel))

    def add(op, **_) -> None:
        for wire in op.wires:
            channel(strength, wires=wire)

    model = qml.NoiseModel({qml.BooleanFn(is_gate): add})
    return lambda qnode: qml.noise.add_noise(qnode, model)
