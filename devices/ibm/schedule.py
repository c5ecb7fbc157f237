"""How long a transpiled circuit takes on its backend, and how long its qubits keep a phase."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from qiskit import QuantumCircuit
    from qiskit.transpiler import Target


def duration(circuit: QuantumCircuit, target: Target) -> float:
    """Return the length of a circuit in seconds, from the qubits' reset to the last measurement.

    Each instruction begins as soon as its qubits and bits are free. A branch takes as long as its
    longer side. Instructions whose length the backend does not state take no time.

    Args:
        circuit: a circuit in the backend's gates and qubits.
        target: the backend's target.
    """
    places = {qubit: index for index, qubit in enumerate(circuit.qubits)}
    used = {places[q] for instruction in circuit.data for q in instruction.qubits}
    reset = max((length("reset", (qubit,), target) for qubit in used), default=0.0)
    return reset + _critical_path(circuit, places, target)


def coherence(circuit: QuantumCircuit, target: Target) -> float:
    """Return the shortest T2 of a circuit's qubits in seconds; infinite if the target has none.

    Args:
        circuit: a circuit in the backend's gates and qubits.
        target: the backend's target.
    """
    if target.qubit_properties is None:
        return math.inf
    used = {circuit.find_bit(qubit).index for one in circuit.data for qubit in one.qubits}
    stated = (getattr(target.qubit_properties[qubit], "t2", None) for qubit in used)
    return min((t2 for t2 in stated if t2 is not None), default=math.inf)


def _critical_path(circuit: QuantumCircuit, places: dict[Any, int], target: Target) -> float:
    free: dict[Any, float] = {}  # when each qubit and each bit is
    for instruction in circuit.data:
        bits = [*instruction.qubits, *instruction.clbits]
        end = max((free.get(bit, 0.0) for bit in bits), default=0.0)
        if instruction.is_control_flow():
            outer = [places[qubit] for qubit in instruction.qubits]
            end += max(
                _critical_path(block, dict(zip(block.qubits, outer, strict=True)), target)
                for block in instruction.operation.blocks
            )
        elif instruction.name != "barrier":
            qubits = tuple(places[qubit] for qubit in instruction.qubits)
            end += length(instruction.name, qubits, target)
        free.update(dict.fromkeys(bits, end))
    return max(free.values(), default=0.0)


def length(name: str, qubits: tuple[int, ...], target: Target) -> float:
    """Return the seconds that an instruction takes; 0 if the target does not say."""
    if name not in target:
        return 0.0
    properties = target[name].get(qubits)
    return 0.0 if properties is None else properties.duration or 0.0
