"""Rotations of two qubits within the angles of IBM's fractional gate RZZ.

A backend opened with fractional gates runs RZZ(phi) for phi in [0, pi/2] and RX of any angle, where
others need two CZ. Angles are only known when a job is sent, long after transpiling, so each
rotation is written such that the same gates give any angle.

Source: https://quantum.cloud.ibm.com/docs/guides/fractional-gates
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pennylane as qml
from pennylane.operation import Operator
from pennylane.ops import Conditional
from pennylane.tape import QuantumScript

# Turns of each qubit before and after, such that the letter is measured as Z in between.
_TURNS: dict[str, tuple[Any, Any]] = {
    "X": (qml.Hadamard, qml.Hadamard),
    "Y": (lambda w: qml.RX(np.pi / 2, w), lambda w: qml.RX(-np.pi / 2, w)),
}
_CONTROLLED = {"CRX": "X", "CRY": "Y", "CRZ": "Z"}


@qml.transform
def fold_rotations(tape: QuantumScript):
    """Write each rotation of two qubits with one IsingZZ, its angles in [0, pi/2]."""
    ops: list[Operator] = []
    for op in tape.operations:
        if isinstance(op, Conditional):
            ops.extend(Conditional(op.meas_val, one) for one in folded(op.base))
        else:
            ops.extend(folded(op))
    return (tape.copy(operations=ops),), lambda results: results[0]


def folded(op: Operator) -> list[Operator]:
    """Return operations equal to a rotation of two qubits up to its phase; others unchanged."""
    if op.name in ("IsingXX", "IsingYY", "IsingZZ"):
        return _turned(op.name[-1], op.wires, _zz(_angle(op), op.wires))
    if op.name in _CONTROLLED:
        half = _angle(op) / 2
        rotation = [qml.RZ(half, op.wires[1]), *_zz(-half, op.wires)]
        return _turned(_CONTROLLED[op.name], op.wires[1:], rotation)
    if op.name == "ControlledPhaseShift":
        half = _angle(op) / 2
        return [*(qml.RZ(half, w) for w in op.wires), *_zz(-half, op.wires)]
    return [op]


def _angle(op: Operator) -> np.ndarray:
    return qml.math.toarray(qml.math.detach(op.data[0]))


def _turned(letter: str, wires: Any, ops: list[Operator]) -> list[Operator]:
    if letter == "Z":
        return ops
    before, after = _TURNS[letter]
    return [*(before(w) for w in wires), *ops, *(after(w) for w in wires)]


def _zz(theta: np.ndarray, wires: Any) -> list[Operator]:
    """Return IsingZZ(theta), up to its phase: X on one side flips the sign, ZZ adds pi."""
    wrapped = np.remainder(theta + np.pi, 2 * np.pi) - np.pi
    size = np.abs(wrapped)
    beyond = size > np.pi / 2
    flip = np.pi * ((wrapped < 0) ^ beyond)
    return [
        qml.RX(flip, wires[0]),
        qml.IsingZZ(np.where(beyond, np.pi - size, size), wires),
        qml.RX(flip, wires[0]),
        *(qml.RZ(np.pi * beyond, w) for w in wires),
    ]
