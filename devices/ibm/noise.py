"""The noise of a backend, as channels in the circuit of a cell's step.

The step is transpiled for the backend as the device does it, and each of its instructions is
followed by the errors that the backend's target states for it, as in Aer's noise model of the
backend: depolarizing of its qubits together, then their relaxation over the instruction's duration.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from math import exp, inf, prod
from typing import TYPE_CHECKING, Any

import numpy as np
import pennylane as qml
import torch
from pennylane.operation import Operator
from pennylane.tape import QuantumScript
from pennylane.wires import Wires

from qrnn.circuit.channels import JointDepolarizing
from qrnn.circuit.decomposition import expand
from qrnn.circuit.gates import GATES
from qrnn.circuit.noisy_step import NoisyStep
from qrnn.circuit.step import StepCircuit
from qrnn.devices.ibm.backends import Backend, resolve
from qrnn.devices.ibm.batch import Batch
from qrnn.devices.ibm.options import check_transpiling
from qrnn.devices.ibm.programs import angle
from qrnn.devices.ibm.translate import GATES as QISKIT_GATES
from qrnn.devices.ibm.translate import Structure, native, read, rows
from qrnn.devices.ibm.transpiling import Compiled, Transpiler
from qrnn.errors import DeviceError

if TYPE_CHECKING:
    from qiskit.transpiler import Target

PENNYLANE_GATES = {theirs: ours for ours, theirs in QISKIT_GATES.items()}


def on_backend(
    circuit: StepCircuit,
    name: str,
    optimization_level: int = 2,
    initial_layout: Sequence[int] | None = None,
) -> NoisyStep:
    """Return a step circuit as a backend runs it.

    Each step is transpiled alone, with the layout that the device chooses for the first step of a
    sequence, and begins in that layout.

    Args:
        circuit: the step circuit.
        name: name of the backend, e.g. fake_fez.
        optimization_level: level of Qiskit's transpiler, 0..3.
        initial_layout: physical qubit of each wire; None: chosen by Qiskit.

    Raises:
        ConfigError: the name is unknown.
        DeviceError: the backend cannot run the circuit, or needs more qubits than it has.
    """
    n, backend = circuit.n_wires, _backend(name)
    layout = None if initial_layout is None else tuple(initial_layout)
    check_transpiling(backend, n, optimization_level, layout)
    if circuit.damped:
        raise DeviceError(
            f"device.noise={name} does not model the ancilla of model.forget or Damping: use "
            f"device.noise=depolarizing, or evaluate on device={name} itself"
        )
    # Row 0 is for parameters 0, and each other row for one of them at 1.
    probes = torch.eye(circuit.n_parameters, dtype=torch.float64)
    probes = torch.cat([torch.zeros_like(probes[:1]), probes])
    reading = read(native(circuit.bind(probes)), {wire: wire for wire in circuit.wires})
    table = rows(reading.angles, len(probes))
    base, slopes = table[0], (table[1:] - table[0]).T  # angles = slopes @ parameters + base
    transpile = Transpiler(backend.backend, optimization_level, None, layout)
    pinned = transpile(_first_structure(circuit)).layout
    compiled = transpile(Structure(n, tuple(reading.steps), pinned=pinned))
    used = {compiled.circuit.find_bit(q).index for one in compiled.circuit.data for q in one.qubits}
    if more := used - set(pinned):
        raise DeviceError(
            f"device.noise={name} needs a circuit that stays on its {n} qubits, but routing it "
            f"takes {len(more)} more: use topology=line, or device={name}"
        )
    gates, matrix, offset = _converted(compiled, backend.backend.target, len(base))
    final = _final_qubits(compiled)
    gates += _back(pinned, final)
    misread = np.array([_misread(backend.backend, qubit) for qubit in final])
    return NoisyStep(circuit, gates, matrix @ slopes, matrix @ base + offset, misread)


@cache
def _backend(name: str) -> Backend:
    """Return a backend, with one calibration for the whole process."""
    return resolve(name)


def _first_structure(circuit: StepCircuit) -> Structure:
    """Return the structure for which the device chooses the layout."""
    operations = native(circuit.operations(torch.zeros(circuit.n_angles)))
    tape = QuantumScript(operations, circuit.expvals(), shots=1)
    return Batch([tape], Wires(circuit.wires)).blocks[0].structure


def _final_qubits(compiled: Compiled) -> list[int]:
    """Return the physical qubit of each wire at the end of a circuit."""
    layout = compiled.circuit.layout
    if layout is None:
        return list(compiled.layout)
    return list(layout.final_index_layout(filter_ancillas=True))


def _back(start: Sequence[int], final: Sequence[int]) -> list[Operator]:
    """Return noiseless swaps that bring each wire back to the qubit where it started."""
    at = [start.index(qubit) for qubit in final]
    swaps: list[Operator] = []
    for wire in range(len(at)):
        if (other := at[wire]) != wire:
            swaps.append(qml.SWAP(wires=[wire, other]))
            at[at.index(wire)], at[wire] = other, wire
    return swaps


def _converted(
    compiled: Compiled, target: Target, n_angles: int
) -> tuple[list[Operator], np.ndarray, np.ndarray]:
    """Return a circuit's gates with their channels, and their parameters for the angles.

    Returns:
        The S' gates, and M (S', A) and b (S',): their parameters are M angles + b.
    """
    gates: list[Operator] = []
    matrix: list[np.ndarray] = []
    offset: list[float] = []
    index = {parameter.name: parameter.index for parameter in compiled.circuit.parameters}
    for instruction in compiled.circuit.data:
        if instruction.operation.name == "barrier":
            continue
        qubits = tuple(compiled.circuit.find_bit(qubit).index for qubit in instruction.qubits)
        wires = [compiled.layout.index(qubit) for qubit in qubits]
        given = [_linear(value, index, n_angles) for value in instruction.operation.params]
        with qml.QueuingManager.stop_recording():
            found = _gates(instruction.operation, wires)
            errors = list(channels(target, instruction.operation.name, qubits, wires))
        # Of a gate that was decomposed, and of channels, the parameters are constants.
        constants = [float(value) for gate in found for value in gate.data] if not given else []
        constants += [float(error.data[0]) for error in errors]
        given += [(np.zeros(n_angles), value) for value in constants]
        gates += [*found, *errors]
        matrix += [row for row, _ in given]
        offset += [value for _, value in given]
    return gates, np.array(matrix).reshape(-1, n_angles), np.array(offset)


def _gates(operation: Any, wires: list[int]) -> list[Operator]:
    """Return an instruction as gates of the gate set, with placeholder parameters."""
    name = PENNYLANE_GATES.get(operation.base_class.__name__)
    if name is None or (operation.params and name not in GATES):
        raise DeviceError(
            f"device.noise needs a backend with gates such as rz, sx, x, cz, cx, ecr and rzz, got "
            f"{operation.name!r}: use another backend"
        )
    return expand(getattr(qml, name)(*[0.0] * len(operation.params), wires=wires), smooth=False)


def _linear(value: Any, index: Mapping[str, int], n_angles: int) -> tuple[np.ndarray, float]:
    """Return a parameter of an instruction as coefficients of the angles, and a constant."""
    row, found = np.zeros(n_angles), angle(value)
    if found is None:
        raise DeviceError(
            f"device.noise needs gates whose parameters are linear in the angles, got {value}: use "
            "another device.optimization_level"
        )
    for name, factor in found.terms:
        row[index[name]] = factor
    return row, found.constant


def channels(
    target: Target, name: str, qubits: tuple[int, ...], wires: Sequence[int]
) -> Iterator[Operator]:
    """Yield the errors of an instruction as channels.

    The depolarizing is such that it has, with the relaxation, the average gate fidelity 1 - error
    of the target.

    Args:
        target: the backend's target.
        name: name of the instruction.
        qubits: its physical qubits.
        wires: its wires.
    """
    properties = target[name].get(qubits)
    if properties is None:
        return
    relaxed = [_relaxation(target, qubit, properties.duration or 0.0) for qubit in qubits]
    dim = 2 ** len(qubits)
    kept = prod((1 + z + 2 * x) / 4 for z, x in relaxed)  # the fidelity with a maximally
    fidelity = (dim * kept + 1) / (dim + 1)  # entangled state, and the average gate fidelity
    error = min(properties.error or 0.0, dim / (dim + 1))
    if error > 1 - fidelity:
        p = dim * (error - 1 + fidelity) / (dim * fidelity - 1)
        p = min(p, dim**2 / (dim**2 - 1))
        if len(wires) == 2:
            yield JointDepolarizing(p, wires=wires)
        else:
            yield qml.DepolarizingChannel(0.75 * p, wires=wires)
    for wire, (z, x) in zip(wires, relaxed, strict=True):
        if z < 1:
            yield qml.AmplitudeDamping(1 - z, wires=wire)
        if x * x < z:
            yield qml.PhaseDamping(1 - x * x / z, wires=wire)


def _relaxation(target: Target, qubit: int, seconds: float) -> tuple[float, float]:
    """Return the factors of Z, and of X and Y, of a qubit's relaxation towards 0."""
    stated = None if target.qubit_properties is None else target.qubit_properties[qubit]
    t1 = getattr(stated, "t1", None) or inf
    t2 = min(getattr(stated, "t2", None) or inf, 2 * t1)  # as in Aer; more is not physical
    return exp(-seconds / t1), exp(-seconds / t2)


def _misread(backend: Any, qubit: int) -> tuple[float, float]:
    """Return the probabilities to read 1 for 0, and 0 for 1."""
    source = getattr(backend, "fake", backend)
    properties = source.properties() if hasattr(source, "properties") else None
    stated = {} if properties is None else properties.qubit_property(qubit)
    if "prob_meas1_prep0" in stated and "prob_meas0_prep1" in stated:
        return stated["prob_meas1_prep0"][0], stated["prob_meas0_prep1"][0]
    measure = backend.target["measure"].get((qubit,))
    error = 0.0 if measure is None else measure.error or 0.0
    return error, error
