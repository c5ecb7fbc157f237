"""Transpiled circuits as programs of noisy gates, which can share what they have in common.

RZ takes no time and has no error on IBM's backends. It is moved past the gates that commute with
it, noise included, to the first one that does not; past the last one, it does not matter. So the
programs of circuits that differ only in their measurement bases are equal up to the last gates,
and the program of t steps of a replayed cell begins that of t + 1.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from qrnn.devices.ibm.idle import label

if TYPE_CHECKING:
    from qiskit import QuantumCircuit

    from qrnn.devices.ibm.fakes import Noise


class Angle(NamedTuple):
    """A constant plus a sum of parameters, each with its factor, radians."""

    constant: float = 0.0
    terms: tuple[tuple[str, float], ...] = ()

    def plus(self, other: Angle) -> Angle:
        """Return the sum of two angles."""
        terms = dict(self.terms)
        for name, factor in other.terms:
            terms[name] = terms.get(name, 0.0) + factor
        return Angle(self.constant + other.constant, tuple(terms.items()))

    def values(self, of: Mapping[str, np.ndarray]) -> np.ndarray:
        """Return its value for each row, or a single one if it has no parameters."""
        return sum((factor * of[name] for name, factor in self.terms), np.array([self.constant]))


ZERO = Angle()


class Gate(NamedTuple):
    """A gate of a backend, and the RZ before it.

    Attributes:
        name: its name.
        qubits: physical qubits.
        turns: for each qubit, the angle of the RZ before the gate.
    """

    name: str
    qubits: tuple[int, ...]
    turns: tuple[Angle, ...]


@dataclass(frozen=True)
class Program:
    """A circuit of noisy gates, measured at the end.

    Attributes:
        gates: the gates in order.
        read: physical qubit of each classical bit; None: the bit stays 0.
        qubits: all physical qubits in use, sorted.
        parameters: names of the parameters in the order of the circuit's.
    """

    gates: tuple[Gate, ...]
    read: tuple[int | None, ...]
    qubits: tuple[int, ...]
    parameters: tuple[str, ...]


def program(circuit: QuantumCircuit, noise: Noise) -> Program | None:
    """Return the program of a transpiled circuit.

    Returns:
        The program; or None if the circuit has anything else than fixed gates on one or two qubits,
        noiseless RZ of angles linear in the parameters, and measurements at the end.
    """
    gates: list[Gate] = []
    read: list[int | None] = [None] * circuit.num_clbits
    turns: dict[int, Angle] = {}
    done: set[int] = set()
    place = {
        bit: index for bits in (circuit.qubits, circuit.clbits) for index, bit in enumerate(bits)
    }
    for instruction in circuit.data:
        name, qubits = label(instruction), tuple(place[qubit] for qubit in instruction.qubits)
        if name == "barrier":
            continue
        if done.intersection(qubits):
            return None
        key = name, qubits
        if name == "measure":
            bit = place[instruction.clbits[0]]
            if read[bit] is not None:
                return None
            read[bit] = qubits[0]
            done.update(qubits)
        elif name == "rz" and key not in noise.errors:
            if (turn := angle(instruction.params[0])) is None:
                return None
            turns[qubits[0]] = turns.get(qubits[0], ZERO).plus(turn)
        elif (channel := noise.channel(instruction, qubits)) is not None:
            before = [
                ZERO if free else turns.pop(qubit, ZERO)
                for qubit, free in zip(qubits, channel.commutes, strict=True)
            ]
            gates.append(Gate(name, qubits, tuple(before)))
        else:
            return None
    used = {q for gate in gates for q in gate.qubits} | {q for q in read if q is not None}
    names = tuple(parameter.name for parameter in circuit.parameters)
    return Program(tuple(gates), tuple(read), tuple(sorted(used)), names)


def angle(value: Any) -> Angle | None:
    """Return an angle of a circuit; None: it is not linear in the parameters."""
    names = getattr(value, "parameters", ())
    if not names:
        return Angle(float(value))
    slopes = {parameter: value.gradient(parameter) for parameter in names}
    if not all(isinstance(slope, (int, float)) for slope in slopes.values()):
        return None
    constant = float(value.bind(dict.fromkeys(slopes, 0.0)).numeric())
    return Angle(constant, tuple(sorted((p.name, float(slope)) for p, slope in slopes.items())))


def split(gates: Sequence[Gate], other: Sequence[Gate]) -> tuple[list[Gate], list[Gate]]:
    """Split gates into the most with which both they and others begin, and those after.

    Gates on different qubits may be in any order: only that of the gates of each qubit counts.
    """
    queues: dict[int, list[Gate]] = {}
    for gate in reversed(other):
        for qubit in gate.qubits:
            queues.setdefault(qubit, []).append(gate)
    shared: list[Gate] = []
    left: list[Gate] = []
    blocked: set[int] = set()
    for gate in gates:
        first = [queues[q][-1:] == [gate] for q in gate.qubits if q in queues]
        if blocked.isdisjoint(gate.qubits) and len(first) == len(gate.qubits) and all(first):
            shared.append(gate)
            for qubit in gate.qubits:
                queues[qubit].pop()
        else:
            left.append(gate)
            blocked.update(gate.qubits)
    return shared, left


def last(gates: Sequence[Gate]) -> tuple[list[Gate], list[Gate]]:
    """Split gates into those up to each qubit's last gate on two, and those after."""
    early: list[Gate] = []
    late: list[Gate] = []
    entangled: set[int] = set()
    for gate in reversed(gates):
        if len(gate.qubits) > 1:
            entangled.update(gate.qubits)
        (early if entangled.intersection(gate.qubits) else late).append(gate)
    return early[::-1], late[::-1]
