"""Translate PennyLane operations to a structure and its angles.

Tapes that differ only in their angles share one `Structure`, which is transpiled once; the angles
become rows of parameter values.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import pennylane as qml
from pennylane.devices.preprocess import decompose
from pennylane.exceptions import DeviceError as PennyLaneDeviceError
from pennylane.measurements import MeasurementProcess
from pennylane.operation import Operator
from pennylane.ops import Conditional, MeasurementValue, MidMeasure

from qrnn.errors import DeviceError

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
# These do not affect any outcome; a hardware `id` would be a delay.
DROPPED = frozenset({"Identity", "GlobalPhase"})


class Condition(NamedTuple):
    """The outcomes of earlier measurements for which a gate is applied.

    Attributes:
        bits: the mid-circuit bits of the condition.
        values: the outcomes that apply the gate, as integers with bits[0] as the highest bit.
    """

    bits: tuple[int, ...]
    values: tuple[int, ...]


class Step(NamedTuple):
    """One instruction of a structure, without its angles.

    Attributes:
        name: key of `GATES`, "Barrier", "measure" or "reset".
        wires: positions of its wires, 0..n-1.
        angles: number of its angles.
        bit: for "measure", the mid-circuit bit that it writes.
        condition: its condition; None: it is always applied.
    """

    name: str
    wires: tuple[int, ...]
    angles: int = 0
    bit: int | None = None
    condition: Condition | None = None


@dataclass(frozen=True)
class Structure:
    """A circuit without its angles, which is transpiled once.

    Attributes:
        n: number of qubits.
        steps: the instructions in order.
        measured: positions of the qubits measured at the end; bit j of the result is measured[j].
        pinned: physical qubit of each position; None: chosen by the transpiler.
    """

    n: int
    steps: tuple[Step, ...]
    measured: tuple[int, ...] = ()
    pinned: tuple[int, ...] | None = None

    @property
    def angles(self) -> int:
        """Number of angles in one row of parameter values."""
        return sum(step.angles for step in self.steps)

    @property
    def mid_bits(self) -> int:
        """Number of mid-circuit measurements."""
        return sum(step.bit is not None for step in self.steps)

    @property
    def bits(self) -> int:
        """Number of bits of a shot: of the final measurements, then the mid-circuit ones."""
        return len(self.measured) + self.mid_bits

    @property
    def pairs(self) -> frozenset[tuple[int, ...]]:
        """The sets of qubits that it couples, which determine the layout."""
        return frozenset(tuple(sorted(s.wires)) for s in self.steps if len(s.wires) > 1)

    @property
    def needs(self) -> dict[str, str]:
        """The instructions that it needs besides gates, each with its PennyLane call."""
        needs = {"measure": "every measurement"}
        for step in self.steps:
            if step.name == "reset":
                needs["reset"] = "qml.measure(..., reset=True)"
            if step.condition is not None:
                needs["if_else"] = "qml.cond"
        return needs


@dataclass
class Reading:
    """The result of `read`.

    Attributes:
        steps: the instructions.
        angles: their angles in order, radians; each a number or an array (B,).
        bits: uid of each mid-circuit measurement -> its bit.
        postselected: bit -> the postselected outcome.
    """

    steps: list[Step] = field(default_factory=list)
    angles: list[Any] = field(default_factory=list)
    bits: dict[str, int] = field(default_factory=dict)
    postselected: dict[int, int] = field(default_factory=dict)


def is_native(op: Operator) -> bool:
    """Return whether an operation is translated directly; others are decomposed first."""
    if isinstance(op, Conditional):
        return op.base.name in GATES or op.base.name in DROPPED
    return op.name in GATES or op.name in DROPPED or isinstance(op, (MidMeasure, qml.Barrier))


class UnsupportedError(DeviceError, PennyLaneDeviceError):
    """The device cannot run a part of a tape; also PennyLane's own error."""


def unsupported(message: str) -> DeviceError:
    """Return PennyLane's error about an operation as a one-line `DeviceError`."""
    return UnsupportedError(f"{' '.join(message.split())} Use gates that decompose to unitary ones")


def decomposed(op: Operator) -> list[Operator]:
    """Return an operation's decomposition or, without one, its matrix."""
    if not op.has_decomposition and op.has_matrix:
        return [qml.QubitUnitary(op.matrix(), op.wires)]
    return op.decomposition()


def native(ops: Sequence[Operator]) -> list[Operator]:
    """Return operations decomposed to `GATES`.

    Raises:
        DeviceError: an operation has no decomposition; the message names it.
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
    ops: Iterable[Operator],
    positions: Mapping[Any, int],
    measurements: Iterable[MeasurementProcess] = (),
) -> Reading:
    """Split native operations into steps and their angles, in order.

    A reset whose outcome nobody reads is not measured.

    Args:
        ops: native operations.
        positions: wire label -> position.
        measurements: the circuit's measurements, which may read mid-circuit outcomes.
    """
    found, ops = Reading(), list(ops)
    values = [op.meas_val for op in ops if isinstance(op, Conditional)]
    values += [value for one in measurements for value in _values(one.mv)]
    kept = {one.meas_uid for value in values for one in value.measurements}
    for op in ops:
        wires = tuple(positions[w] for w in op.wires)
        if isinstance(op, MidMeasure):
            if op.reset and op.postselect is None and op.meas_uid not in kept:
                found.steps.append(Step("reset", wires))
                continue
            bit = len(found.bits)
            found.bits[op.meas_uid] = bit
            found.steps.append(Step("measure", wires, bit=bit))
            if op.reset:
                found.steps.append(Step("reset", wires))
            if op.postselect is not None:
                found.postselected[bit] = int(op.postselect)
            continue
        condition = None
        if isinstance(op, Conditional):
            condition = _condition(op.meas_val, found.bits)
            op = op.base
            if not condition.values:
                continue
            if len(condition.values) == 2 ** len(condition.bits):
                condition = None
        if op.name not in DROPPED:
            found.steps.append(Step(op.name, wires, len(op.data), condition=condition))
            found.angles.extend(op.data)
    return found


def _values(mv: Any) -> list[MeasurementValue]:
    """Return the values of mid-circuit measurements that a measurement reads: none, one or more."""
    if mv is None:
        return []
    return [mv] if isinstance(mv, MeasurementValue) else list(mv)


def _condition(value: MeasurementValue, bits: Mapping[str, int]) -> Condition:
    """Return the outcomes for which a function of measured bits is true."""
    accepted = [i for i, (_, result) in enumerate(value.items()) if result]
    return Condition(tuple(bits[m.meas_uid] for m in value.measurements), tuple(accepted))


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
