"""Noise models with a strength you set, for density-matrix simulators."""

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
    """Return channels that act as readout errors on some wires, in any Pauli basis.

    A bit flip with probability p multiplies the value of a Pauli word by 1 - 2 p per letter, like a
    depolarising channel of strength 3/2 p before the measurement. (`readout_prob` of default.mixed
    0.45 fails on analytic circuits.)
    """
    if noise != "readout" or strength is None:
        return []
    with qml.QueuingManager.stop_recording():
        return [qml.DepolarizingChannel(1.5 * strength, wires=wire) for wire in wires]


@qml.transform
def _misread(tape: QuantumScript, flip: float):
    """Insert readout errors before mid-circuit measurements and expectation values."""
    operations: list[qml.operation.Operator] = []
    for op in tape.operations:
        if isinstance(op, qml.ops.MidMeasure):
            operations += readout_errors("readout", flip, op.wires)
        operations.append(op)
    if any(isinstance(m, ExpectationMP) and m.mv is None for m in tape.measurements):
        operations += readout_errors("readout", flip, tape.wires)
    return (tape.copy(operations=operations),), lambda results: results[0]


def check_noise(noise: str | None, strength: float | None) -> None:
    """Check a noise model and its strength.

    Raises:
        ConfigError: the name is unknown, the strength is out of range, or only one of them is set.
    """
    if noise is None and strength is None:
        return
    if noise is None or strength is None:
        raise ConfigError(
            f"device.noise and device.strength must be set together, got noise={noise} and "
            f"strength={strength}: set both"
        )
    if noise not in MODELS:
        raise unknown_name("device.noise", noise, MODELS)
    largest = 0.5 if noise == "readout" else 1.0
    allowed = f"in [0, {largest:g}] for {noise} noise"
    number("device.strength", strength, allowed, lambda p: 0 <= p <= largest)


def noise_transform(noise: str | None, strength: float | None) -> Callable[[qml.QNode], qml.QNode]:
    """Return the transform that adds the channel to each wire of each gate, or to the readouts.

    The preparation of a carried state is noiseless, and so is a mid-circuit measurement, except
    with `readout` noise.
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
