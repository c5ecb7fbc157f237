"""The waiting times of qubits, as delays that simulated backends give their errors."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qrnn.devices.ibm.schedule import length
from qrnn.errors import DeviceError

if TYPE_CHECKING:
    from qiskit import QuantumCircuit
    from qiskit.circuit import CircuitInstruction
    from qiskit.transpiler import Target

SHORTEST = 1e-12  # seconds; less is rounding


def with_delays(circuit: QuantumCircuit, target: Target) -> QuantumCircuit:
    """Return a circuit with a delay wherever a qubit waits between two of its instructions.

    Each instruction is as late as possible, as on IBM's backends; a qubit that has not begun yet
    is in its ground state, and one that is measured has ended.

    Args:
        circuit: a circuit in the backend's gates and qubits.
        target: the backend's target.

    Raises:
        DeviceError: the circuit has branches, whose times depend on outcomes.
    """
    # Seconds before the end of the circuit, at which each instruction begins and ends.
    begins: list[float] = []
    ends: list[float] = []
    needed: dict[object, float] = {}
    for one in reversed(circuit.data):
        if one.is_control_flow():
            raise DeviceError(
                "Argument `idle_noise` must be left out for circuits with branches, whose waiting "
                "times depend on outcomes"
            )
        bits = [*one.qubits, *one.clbits]
        qubits = tuple(circuit.find_bit(qubit).index for qubit in one.qubits)
        ends.append(max((needed.get(bit, 0.0) for bit in bits), default=0.0))
        begins.append(ends[-1] + length(one.name, qubits, target))
        needed.update(dict.fromkeys(bits, begins[-1]))
    found = circuit.copy_empty_like()
    free: dict[object, float] = {}
    for one, begin, end in zip(circuit.data, reversed(begins), reversed(ends), strict=True):
        if one.name != "barrier":
            for qubit in one.qubits:
                waits = free.get(qubit, begin) - begin
                if waits > SHORTEST:
                    found.delay(round(waits, 12), qubit, unit="s")
                free[qubit] = end
        found.append(one)
    return found


def waits(instruction: CircuitInstruction) -> bool:
    """Return whether an instruction is one of `with_delays`'s delays."""
    return instruction.name == "delay" and instruction.operation.unit == "s"


def label(instruction: CircuitInstruction) -> str:
    """Return an instruction's name, with its seconds if it is such a delay."""
    return f"delay {instruction.params[0]}" if waits(instruction) else instruction.name
