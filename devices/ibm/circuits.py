"""Build Qiskit circuits from structures, and unpack results to bits."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby
from typing import TYPE_CHECKING, Any

import numpy as np

from qrnn.devices.ibm.translate import GATES, Condition, Step, Structure

if TYPE_CHECKING:
    from qiskit import QuantumCircuit

# Names of the classical registers of final and mid-circuit measurements.
FINAL, MID = "c", "m"
# The instructions that some backends have for measurements and resets in between.
MID_CIRCUIT = {"measure": "measure_2", "reset": "reset_2"}


def build(structure: Structure, *, barrier: bool = False) -> QuantumCircuit:
    """Return the Qiskit circuit of a structure; its angles are parameters theta[0], theta[1]...

    With a barrier before the final measurements, the transpiler keeps gates that only change what
    is not measured.

    Consecutive gates with the same condition share one `if_test`, and gates with the opposite
    condition right after them become its else branch, because every branch costs hardware time.
    """
    from qiskit import ClassicalRegister, QuantumCircuit
    from qiskit.circuit import ParameterVector, QuantumRegister

    circuit = QuantumCircuit(QuantumRegister(structure.n, "q"))
    if structure.measured:
        circuit.add_register(ClassicalRegister(len(structure.measured), FINAL))
    if structure.mid_bits:
        circuit.add_register(ClassicalRegister(structure.mid_bits, MID))
    theta = iter(ParameterVector("theta", structure.angles))

    groups = [
        (condition, list(steps))
        for condition, steps in groupby(structure.steps, lambda step: step.condition)
    ]
    skip = False
    for index, (condition, steps) in enumerate(groups):
        if skip:
            skip = False
        elif condition is None:
            for step in steps:
                _apply(circuit, step, theta)
        else:
            following = groups[index + 1] if index + 1 < len(groups) else (None, [])
            with circuit.if_test(_test(circuit, condition)) as otherwise:
                for step in steps:
                    _apply(circuit, step, theta)
            if skip := _opposite(condition, following[0]):
                with otherwise:
                    for step in following[1]:
                        _apply(circuit, step, theta)
    if barrier:
        circuit.barrier()
    if structure.measured:
        final = next(register for register in circuit.cregs if register.name == FINAL)
        circuit.measure(structure.measured, final)
    return circuit


def _apply(circuit: QuantumCircuit, step: Step, theta: Iterator[Any]) -> None:
    from qiskit.circuit import library

    if step.name == "measure":
        circuit.measure(step.wires[0], _mid_bit(circuit, step.bit or 0))
    elif step.name == "reset":
        circuit.reset(step.wires[0])
    elif step.name == "Barrier":
        circuit.barrier(step.wires)
    else:
        gate = getattr(library, GATES[step.name])
        circuit.append(gate(*(next(theta) for _ in range(step.angles))), step.wires)


def _mid_bit(circuit: QuantumCircuit, bit: int) -> Any:
    return next(register for register in circuit.cregs if register.name == MID)[bit]


def _test(circuit: QuantumCircuit, condition: Condition) -> Any:
    """Return a condition in the form of Qiskit's `if_test`."""
    from qiskit.circuit.classical import expr

    bits = [_mid_bit(circuit, bit) for bit in condition.bits]
    if len(bits) == 1:
        return bits[0], condition.values[0]
    total = None
    for value in condition.values:
        term = None
        for place, bit in enumerate(reversed(bits)):
            factor = expr.lift(bit) if value >> place & 1 else expr.logic_not(bit)
            term = factor if term is None else expr.logic_and(term, factor)
        total = term if total is None else expr.logic_or(total, term)
    return total


def _opposite(condition: Condition, other: Condition | None) -> bool:
    """Return whether another condition is the negation of this one."""
    if other is None or other.bits != condition.bits:
        return False
    outcomes = set(range(2 ** len(condition.bits)))
    return outcomes - set(condition.values) == set(other.values)


def unpack(data: Any, structure: Structure) -> np.ndarray:
    """Return the bits of one PUB's result.

    Args:
        data: `data` of a SamplerPubResult.
        structure: its circuit.

    Returns:
        Array (..., shots, bits) of 0 and 1: first the final measurements, in the order of
        `structure.measured`, then the mid-circuit bits.
    """
    parts = []
    for name, wanted in ((FINAL, len(structure.measured)), (MID, structure.mid_bits)):
        if wanted:
            packed = getattr(data, name).array
            parts.append(np.unpackbits(packed, axis=-1)[..., ::-1][..., :wanted])
    return np.concatenate(parts, axis=-1)
