"""Noise models of stated strength, for density-matrix simulators."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pennylane as qml
from pennylane.measurements import ExpectationMP
from pennylane.tape import QuantumScript

from qrnn.errors import ConfigError
from qrnn.utils.checks import number
from qrnn.utils.registry import unknown_name

CHANNELS = {
    "depolarizing": qml.DepolarizingChannel,
    "amplitude_damping": qml.AmplitudeDamping,
    "phase_damping": qml.PhaseDamping,
}
NOT_GATES = (qml.QubitDensityMatrix, qml.operation.Channel, qml.ops.MidMeasure)
MODELS = (*CHANNELS, "readout")


def readout_errors(
    noise: str | None, strength: float | None, wires: Sequence[Any]
) -> list[qml.operation.Operator]:
    """Return what flips the bits read from some wires, whatever Pauli basis they are read in.

    A flip of probability p multiplies a word's value by 1 - 2 p for each of its letters, which is
    what a depolarising channel of strength 3/2 p does before the measurement. (The `readout_prob`
    of default.mixed 0.45 fails on analytic circuits.)
    """
    if noise != "readout" or strength is None:
        return []
    with qml.QueuingManager.stop_recording():
        return [qml.DepolarizingChannel(1.5 * strength, wires=wire) for wire in wires]


@qml.transform
def _misread(tape: QuantumScript, flip: float):
    """Put readout errors before each mid-circuit measurement, and before expectation values."""
    operations: list[qml.operation.Operator] = []
    for op in tape.operations:
        if isinstance(op, qml.ops.MidMeasure):
            operations += readout_errors("readout", flip, op.wires)
        operations.append(op)
    if any(isinstance(m, ExpectationMP) and m.mv is None for m in tape.measurements):
        operations += readout_errors("readout", flip, tape.wires)
    return (tape.copy(operations=operations),), lambda results: results[0]


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
    allowed = f"in [0, {largest:g}] for {noise} noise"
    number("device.strength", strength, allowed, lambda p: 0 <= p <= largest)


def noise_transform(noise: str | None, strength: float | None) -> Callable[[qml.QNode], qml.QNode]:
    """Return the transform that puts the channel on each wire of each gate, or on the readouts.

    The preparation of a carried state is not a gate of the circuit, and stays noiseless; so does a
    mid-circuit measurement, except under `readout`.
    """
    if noise is None:
        return lambda qnode: qnode
    if noise == "readout":
        return lambda qnode: _misread(qnode, flip=strength)
    channel = CHANNELS[noise]

    def is_gate(op) -> bool:
        return not isinstance(op, NOT_GATES)

    def add(op, **_) -> None:
        for wire in op.wires:
            channel(strength, wires=wire)

    model = qml.NoiseModel({qml.BooleanFn(is_gate): add})
    return lambda qnode: qml.noise.add_noise(qnode, model)
