"""From PennyLane operations to a structure with its numbers apart, and on to a Qiskit circuit.

Two tapes that differ only in their angles have one `Structure`; it is what is transpiled, and the
angles become rows of parameter values.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pennylane as qml
from pennylane.devices.preprocess import decompose

from qrnn.errors import DeviceError

if TYPE_CHECKING:
    from qiskit import QuantumCircuit

NAME = "qrnn.ibm"

# PennyLane name -> class in qiskit.circuit.library with the same wires, angles and matrix
# (up to a global phase). Everything else is decomposed to these.
GATES = {
    "PauliX": "XGate",
    "PauliY": "YGate",
    "PauliZ": "ZGate",
    "Hadamard": "HGate",
    "S": "SGate",
    "T": "TGate",
    "SX": "SXGate",
    "Adjoint(S)": "SdgGate",
    "Adjoint(T)": "TdgGate",
    "Adjoint(SX)": "SXdgGate",
    "RX": "RXGate",
    "RY": "RYGate",
    "RZ": "RZGate",
    "PhaseShift": "PhaseGate",
    "U1": "PhaseGate",
    "U2": "U2Gate",
    "U3": "U3Gate",
    "CNOT": "CXGate",
    "CY": "CYGate",
    "CZ": "CZGate",
    "CH": "CHGate",
    "SWAP": "SwapGate",
    "ISWAP": "iSwapGate",
    "ECR": "ECRGate",
    "CRX": "CRXGate",
    "CRY": "CRYGate",
    "CRZ": "CRZGate",
    "ControlledPhaseShift": "CPhaseGate",
    "IsingXX": "RXXGate",
    "IsingYY": "RYYGate",
    "IsingZZ": "RZZGate",
    "CSWAP": "CSwapGate",
    "Toffoli": "CCXGate",
    "CCZ": "CCZGate",
}
# No effect on any outcome: a hardware `id` would be a delay.
DROPPED = frozenset({"Identity", "GlobalPhase"})


class Step(NamedTuple):
    """One instruction of a structure, without its angles.

    Attributes:
        name: key of `GATES`, or "Barrier".
        wires: positions of its wires, 0..n-1.
        angles: how many angles it takes.
    """

    name: str
    wires: tuple[int, ...]
    angles: int = 0


@dataclass(frozen=True)
class Structure:
    """A circuit without its angles: what is transpiled once.

    Attributes:
        n: number of qubits.
        steps: the instructions in order.
        measured: positions of the qubits read at the end; bit j of the result is measured[j].
    """

    n: int
    steps: tuple[Step, ...]
    measured: tuple[int, ...] = ()

    @property
    def angles(self) -> int:
        """Number of angles of one row of parameter values."""
        return sum(step.angles for step in self.steps)

    @property
    def pairs(self) -> frozenset[tuple[int, ...]]:
        """The sets of qubits that it couples: what a layout is chosen for."""
        return frozenset(tuple(sorted(s.wires)) for s in self.steps if len(s.wires) > 1)


def is_native(op: qml.operation.Operator) -> bool:
    """Whether an operation is translated as it is; the others are decomposed first."""
    return op.name in GATES or op.name in DROPPED or op.name == "Barrier"


def unsupported(message: str) -> DeviceError:
    """Return PennyLane's complaint about an operation as this package's one-line error."""
    return DeviceError(f"{' '.join(message.split())} Use gates that decompose to unitary ones")


def decomposed(op: qml.operation.Operator) -> list[qml.operation.Operator]:
    """Return what an operation is made of: its decomposition, or else its matrix."""
    if not op.has_decomposition and op.has_matrix:
        return [qml.QubitUnitary(op.matrix(), op.wires)]
    return op.decomposition()


def native(ops: Sequence[qml.operation.Operator]) -> list[qml.operation.Operator]:
    """Return operations decomposed to `GATES`.

    Raises:
        DeviceError: one of them has no decomposition; the message names it.
    """
    (tape,), _ = decompose(
        qml.tape.QuantumScript(ops),
        is_native,
        decomposer=decomposed,
        skip_initial_state_prep=False,
        name=NAME,
        error=unsupported,
    )
    return tape.operations


def read(
    ops: Iterable[qml.operation.Operator], positions: Mapping[Any, int]
) -> tuple[list[Step], list[Any]]:
    """Split native operations into steps and the angles that they take, in order.

    Args:
        ops: native operations.
        positions: wire label -> position.

    Returns:
        The steps, and their angles in radians: each a number or an array (B,).
    """
    steps, angles = [], []
    for op in ops:
        if op.name in DROPPED:
            continue
        steps.append(Step(op.name, tuple(positions[w] for w in op.wires), len(op.data)))
        angles.extend(op.data)
    return steps, angles


def rows(angles: Sequence[Any], batch_size: int | None) -> np.ndarray:
    """Return angles as rows of parameter values.

    Args:
        angles: P numbers or arrays (B,), radians.
        batch_size: B, or None if no angle is an array.

    Returns:
        Array (B, P), or (1, P) without a batch.
    """
    table = np.empty((batch_size or 1, len(angles)))
    for column, angle in enumerate(angles):
        table[:, column] = qml.math.toarray(qml.math.detach(angle))
    return table


def build(structure: Structure) -> QuantumCircuit:
    """Return the Qiskit circuit of a structure; its angles are parameters theta[0], theta[1]..."""
    from qiskit import QuantumCircuit
    from qiskit.circuit import ParameterVector, library

    circuit = QuantumCircuit(structure.n, len(structure.measured))
    theta = ParameterVector("theta", structure.angles)
    taken = 0
    for step in structure.steps:
        if step.name == "Barrier":
            circuit.barrier(step.wires)
            continue
        gate = getattr(library, GATES[step.name])
        circuit.append(gate(*theta[taken : taken + step.angles]), step.wires)
        taken += step.angles
    circuit.measure(structure.measured, range(len(structure.measured)))
    return circuit
