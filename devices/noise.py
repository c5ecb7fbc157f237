"""Noise models with a strength you set, for simulators of density matrices."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pennylane as qml
from pennylane.measurements import ExpectationMP
from pennylane.tape import QuantumScript

from qrnn.circuit.channels import KINDS, CircuitNoise
from qrnn.circuit.step import StepCircuit
from qrnn.config.devices import DeviceOptions
from qrnn.errors import ConfigError
from qrnn.utils.checks import number
from qrnn.utils.registry import unknown_name

NOT_GATES = (qml.QubitDensityMatrix, qml.operation.Channel, qml.ops.MidMeasure)
MODELS = (*KINDS, "readout")


def circuit_noise(noise: str | None, strength: float | None) -> CircuitNoise:
    """Return the noise of a model: its channel on each wire of each gate, or readout errors.

    The preparation of a carried state is noiseless, so is `Damping`, and so is a mid-circuit
    measurement, except with `readout` noise.
    """
    if noise is None or strength is None:  # of a backend, it is in the circuit
        return CircuitNoise({})
    if noise == "readout":
        return CircuitNoise({}, strength)
    return CircuitNoise({"": ((noise, strength),)})


def readout_errors(noise: CircuitNoise, wires: Sequence[Any]) -> list[qml.operation.Operator]:
    """Return channels that act as readout errors on some wires, in any Pauli basis.

    A bit flip with probability p multiplies the value of a Pauli word by 1 - 2 p per letter, like a
    depolarising channel of strength 3/2 p before the measurement. (`readout_prob` of default.mixed
    0.45 fails on analytic circuits.)
    """
    with qml.QueuingManager.stop_recording():
        return [qml.DepolarizingChannel(1.5 * noise.flip, wires=w) for w in wires if noise.flip]


@qml.transform
def _add_noise(tape: QuantumScript, noise: CircuitNoise):
    """Insert the channels of gates, and readout errors before measurements.

    Not `qml.noise.add_noise`, which decomposes some gates first: their noise would act more often.
    """
    operations: list[qml.operation.Operator] = []
    with qml.QueuingManager.stop_recording():
        for op in tape.operations:
            if isinstance(op, qml.ops.MidMeasure):
                operations += readout_errors(noise, op.wires)
            operations.append(op)
            if not isinstance(op, NOT_GATES):
                operations += [
                    KINDS[channel.kind].operator(channel.strength, wires=channel.wire)
                    for channel in noise.after(op)
                ]
    if any(isinstance(m, ExpectationMP) and m.mv is None for m in tape.measurements):
        operations += readout_errors(noise, tape.wires)
    return (tape.copy(operations=operations),), lambda results: results[0]


def is_backend(noise: str | None) -> bool:
    """Return whether a noise model is that of an IBM backend, or of a fake one."""
    return noise is not None and noise.startswith(("fake_", "ibm_"))


def described(options: Mapping[str, Any]) -> str:
    """Return a noise model, given by the options of an evaluation, in words, for tables."""
    noise, count = options["noise"], options.get("trajectories")
    words = [f"noise of {noise}" if is_backend(noise) else f"{noise} {options['strength']:g}"]
    if options.get("twirl_damping"):
        words.append("twirled")
    if count:
        words.append(f"{count} trajector{'y' if count == 1 else 'ies'}")
    return ", ".join(words)


def check_noise(options: DeviceOptions, *, backends: bool = False) -> None:
    """Check a noise model, its strength, and the options of a backend's.

    Args:
        options: the options.
        backends: whether the device takes the noise of backends.

    Raises:
        ConfigError: the name is unknown, the strength is out of range, only one of them is set, or
            an option would be ignored.
    """
    noise, strength = options.noise, options.strength
    _check_trajectories(options)
    if is_backend(noise):
        if not backends:
            raise ConfigError(
                f"device.noise={noise} must be on device fused, got {options.name}: use "
                f"device=fused, or the device {noise} itself"
            )
        if strength is not None:
            raise ConfigError(
                f"device.strength must be left out with device.noise={noise}, which has its own, "
                f"got {strength}"
            )
        return
    for name in ("optimization_level", "initial_layout"):
        if (value := getattr(options, name)) is not None:
            raise ConfigError(
                f"device.{name} must be left out without the noise of a backend, got {value}: set "
                f"device.noise, e.g. to fake_fez"
            )
    if noise is None and strength is None:
        return
    if noise is not None and noise not in MODELS:
        raise unknown_name("device.noise", noise, MODELS)
    if noise is None or strength is None:
        raise ConfigError(
            f"device.noise and device.strength must be set together, got noise={noise} and "
            f"strength={strength}: set both"
        )
    largest = 0.5 if noise == "readout" else 1.0
    allowed = f"in [0, {largest:g}] for {noise} noise"
    number("device.strength", strength, allowed, lambda p: 0 <= p <= largest)


def _check_trajectories(options: DeviceOptions) -> None:
    """Check the options of trajectories."""
    noise, count = options.noise, options.trajectories
    if count is not None and noise in (None, "readout"):
        raise ConfigError(
            f"device.trajectories must be left out without noise of gates, got {count} with "
            f"noise={noise}: set device.noise, e.g. to depolarizing"
        )
    damped = count is not None and (is_backend(noise) or noise == "amplitude_damping")
    if damped and not options.twirl_damping:
        raise ConfigError(
            f"device.trajectories cannot have the amplitude damping of device.noise={noise}: set "
            f"device.twirl_damping=true for its Pauli-twirled form, or leave out the trajectories"
        )
    if options.twirl_damping and not damped:
        raise ConfigError(
            "device.twirl_damping must be left out without trajectories of noise with amplitude "
            "damping: set device.trajectories and device.noise, e.g. to amplitude_damping"
        )


def noise_transform(noise: CircuitNoise) -> Callable[[qml.QNode], qml.QNode]:
    """Return the transform that adds noise to a QNode."""
    return lambda qnode: _add_noise(qnode, noise=noise)


@qml.transform
def _as_values(tape: QuantumScript, circuit: StepCircuit):
    """Return the readouts, for a tape that returns the expectation values of `circuit.read`."""

    def values(results):
        (found,) = results
        several = isinstance(found, (tuple, list))
        z = circuit.values(qml.math.stack(found if several else [found], -1)).unbind(-1)
        return z if several else z[0]

    return (tape,), values


def values_transform(circuit: StepCircuit) -> Callable[[qml.QNode], qml.QNode]:
    """Return the transform by which a QNode of `circuit.replay` returns the circuit's readouts."""
    return lambda qnode: _as_values(qnode, circuit=circuit)
