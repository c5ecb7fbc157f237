"""The gate set of the step circuit, with each gate lowered to three kinds of primitives.

PennyLane decomposes a traced ansatz until every gate is in `GATES`; the fused kernels then need
only the primitives. Each gate is tested against `qml.matrix`. (Rot and PauliRot are decomposed too:
Lightning cannot differentiate controlled ones.)
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import pi
from typing import Any

import numpy as np
import pennylane as qml
from pennylane.operation import Operator
from pennylane.ops.functions import bind_new_parameters


@dataclass(frozen=True)
class Rotation:
    """exp(-i theta P / 2), where theta is the gate's parameter, if all control wires are 1.

    Attributes:
        word: the Pauli word P, one letter per wire.
        wires: the wires that P acts on.
        controls: control wires.
    """

    word: str
    wires: tuple[int, ...]
    controls: tuple[int, ...] = ()


@dataclass(frozen=True)
class Phase:
    """exp(i phi) on the basis states in which all of `wires` are 1.

    Attributes:
        wires: the wires; empty for a global phase.
        angle: constant phi, radians; None: phi is `sign` times the gate's parameter.
        sign: see `angle`.
    """

    wires: tuple[int, ...]
    angle: float | None = None
    sign: float = 1.0


@dataclass(frozen=True)
class Matrix:
    """A constant 2x2 unitary on one wire, if all control wires are 1."""

    wire: int
    entries: tuple[complex, complex, complex, complex]
    controls: tuple[int, ...] = ()


Primitive = Rotation | Phase | Matrix
Lowering = Callable[[Operator], list[Primitive]]


def _rotation(word: str, n_controls: int = 0) -> Lowering:
    def lower(op: Operator) -> list[Primitive]:
        wires = tuple(op.wires)
        return [Rotation(word, wires[n_controls:], controls=wires[:n_controls])]

    return lower


def _phase(angle: float) -> Lowering:
    return lambda op: [Phase(tuple(op.wires), angle)]


def _matrix(gate: type[Operator], *, adjoint: bool = False) -> Lowering:
    """Lower a constant gate that acts on its last wire and is controlled by the others."""
    matrix = np.asarray(gate.compute_matrix(), dtype=complex)[-2:, -2:]
    if adjoint:
        matrix = matrix.conj().T
    entries = tuple(complex(value) for value in matrix.ravel())

    def lower(op: Operator) -> list[Primitive]:
        *controls, wire = op.wires
        return [Matrix(wire, entries, tuple(controls))]  # type: ignore[arg-type]

    return lower


def _swap(op: Operator) -> list[Primitive]:
    a, b = op.wires
    x = (0j, 1 + 0j, 1 + 0j, 0j)
    return [Matrix(b, x, (a,)), Matrix(a, x, (b,)), Matrix(b, x, (a,))]


GATES: dict[str, Lowering] = {
    "Identity": lambda op: [],
    "RX": _rotation("X"),
    "RY": _rotation("Y"),
    "RZ": _rotation("Z"),
    "PhaseShift": lambda op: [Phase(tuple(op.wires))],
    "ControlledPhaseShift": lambda op: [Phase(tuple(op.wires))],
    "GlobalPhase": lambda op: [Phase((), sign=-1.0)],
    "CRX": _rotation("X", 1),
    "CRY": _rotation("Y", 1),
    "CRZ": _rotation("Z", 1),
    "IsingXX": _rotation("XX"),
    "IsingYY": _rotation("YY"),
    "IsingZZ": _rotation("ZZ"),
    "MultiRZ": lambda op: [Rotation("Z" * len(op.wires), tuple(op.wires))],
    "Hadamard": _matrix(qml.Hadamard),
    "PauliX": _matrix(qml.X),
    "PauliY": _matrix(qml.Y),
    "SX": _matrix(qml.SX),
    "Adjoint(SX)": _matrix(qml.SX, adjoint=True),
    "PauliZ": _phase(pi),
    "S": _phase(pi / 2),
    "Adjoint(S)": _phase(-pi / 2),
    "T": _phase(pi / 4),
    "Adjoint(T)": _phase(-pi / 4),
    "CZ": _phase(pi),
    "CCZ": _phase(pi),
    "CNOT": _matrix(qml.CNOT),
    "Toffoli": _matrix(qml.Toffoli),
    "CY": _matrix(qml.CY),
    "SWAP": _swap,
}


@bind_new_parameters.register
def _(op: qml.MultiRZ, params: Sequence[Any]) -> qml.MultiRZ:
    """Return the gate with another angle.

    PennyLane 0.45 calls the constructor with `num_wires`, which it does not take, and then copies
    the gate with its batch size. So circuits that `broadcast_expand` took apart were still batches.
    """
    return qml.MultiRZ(*params, wires=op.wires)
