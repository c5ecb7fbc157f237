"""Export a cell's circuit as a PennyLane tape, Python source, Qiskit circuit or OpenQASM 3.

All formats contain the gates that the devices run, traced from the ansatz at given angles and
starting from |0...0>. Wire i of the tape is qubit `q[i]`; with measured readouts, the ancilla is
the last qubit, number n.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pennylane as qml
import torch
from pennylane.operation import Operator
from pennylane.ops import MidMeasure
from pennylane.tape import QuantumScript
from torch import nn

from qrnn.cell.cell import QRNNCell
from qrnn.circuit.channels import Damping
from qrnn.circuit.step import StepCircuit, precision_of
from qrnn.circuit.threads import one_at_a_time
from qrnn.errors import ConfigError, require_extra
from qrnn.utils.tensors import checked_angles

if TYPE_CHECKING:
    from qiskit import QuantumCircuit


def angles(module: nn.Module, *inputs: Any, cell: QRNNCell | None = None) -> torch.Tensor:
    """Run a module that contains a cell, and return the cell's angles at all steps.

    Call `module.eval()` first if it has dropout.

    Args:
        module: a `QRNN`, or any module that contains a cell.
        *inputs: the module's inputs, B sequences of equal length T.
        cell: one of the module's cells; None: its only cell.

    Returns:
        theta (B, T, P), radians, bias included, in the order of the cell's steps; a backward cell
        begins at the end of the sequence.

    Raises:
        ConfigError: the module contains no cell, contains several and none was chosen, or did not
            call the cell.
    """
    cells = [part for part in module.modules() if isinstance(part, QRNNCell)]
    if cell is None and len(cells) != 1:
        raise ConfigError(f"module must hold one hybrid cell, got {len(cells)}: pass cell=...")
    cell = cells[0] if cell is None else cell
    controls: list[torch.Tensor] = []
    hook = cell.controller.register_forward_hook(lambda *call: controls.append(call[2]))
    try:
        with torch.no_grad():
            module(*inputs)
    finally:
        hook.remove()
    if not controls:
        raise ConfigError("module must call the cell, but did not: pass a cell that is part of it")
    return torch.stack(controls, 1) + cell.quantum.bias.detach()


def circuit_of(cell: QRNNCell | StepCircuit) -> StepCircuit:
    """Return the step circuit of a cell, or the circuit itself."""
    return cell.circuit if isinstance(cell, QRNNCell) else cell


def tape(cell: QRNNCell | StepCircuit, theta: Any) -> QuantumScript:
    """Return a cell's circuit at given angles, with its readouts, as a PennyLane tape.

    Args:
        cell: the cell, or its `circuit`.
        theta: angles of one step (P,), or of T consecutive steps (T, P); radians, bias included.
            The tape is differentiable with respect to a tensor that requires gradients.

    Returns:
        A tape on wires 0..n-1 that measures the R readouts of the last step: expectation values
        z or, if the cell is read mid-circuit through wire n, means m of the outcomes, which
        `cell.circuit.values` converts to z.

    Raises:
        ConfigError: theta has the wrong shape or is not finite.
    """
    return _tape(cell, theta)


def _tape(cell: QRNNCell | StepCircuit, theta: Any, *, every_step: bool = False) -> QuantumScript:
    circuit, theta = _checked(cell, theta)
    with precision_of(theta), qml.queuing.AnnotatedQueue() as queue:
        circuit.replay(theta, every_step=every_step)
    return QuantumScript.from_queue(queue)


def source(cell: QRNNCell | StepCircuit, theta: Any) -> str:
    """Return Python source that builds the same tape; it imports only PennyLane.

    Args:
        cell: see `tape`.
        theta: see `tape`.

    Raises:
        ConfigError: see `tape`.
    """
    written, circuit = tape(cell, theta), circuit_of(cell)
    outcomes: dict[str, str] = {}  # uid of a measurement -> its variable
    lines = []
    for op in written.operations:
        if isinstance(op, MidMeasure):
            outcomes[op.meas_uid] = variable = f"m{len(outcomes)}"
            lines.append(f"{variable} = qml.measure({op.wires[0]}, reset={op.reset})")
        else:
            lines += [_call(one) for one in (_damping(op) if isinstance(op, Damping) else [op])]
    if circuit.measured is None:
        read = [
            " @ ".join(f"qml.{p}({wire})" for wire, p in enumerate(word) if p != "I")
            for word in circuit.words
        ]
    else:
        read = [outcomes[m.mv.measurements[0].meas_uid] for m in written.measurements]
    body = "\n".join(f"    {line}" for line in lines)
    returned = "\n".join(f"        qml.expval({one})," for one in read)
    return (
        f"import pennylane as qml\n\n\ndef circuit():\n{body}\n    return [\n{returned}\n    ]\n"
        f"\n\ntape = qml.tape.make_qscript(circuit)()\n"
    )


def _damping(op: Damping) -> list[Operator]:
    """Return damping at a given angle as PennyLane's operators."""
    phi = float(qml.math.detach(op.data[0]))
    z = [qml.Z(op.wires)] if np.cos(phi) < 0 else []
    return [qml.AmplitudeDamping(np.sin(phi) ** 2, wires=op.wires), *z]


def _call(op: Operator) -> str:
    """Return the Python call of a gate of `qrnn.circuit.gates.GATES`."""
    name = op.name.removeprefix("Adjoint(").rstrip(")")
    values = (repr(float(qml.math.detach(value))) for value in op.data)
    arguments = [*values, f"wires={op.wires.tolist()}"]
    call = f"qml.{name}({', '.join(arguments)})"
    return f"qml.adjoint({call})" if op.name != name else call


def bases(cell: QRNNCell | StepCircuit) -> tuple[str, ...]:
    """Return Pauli bases, one letter per qubit, that together measure all readouts.

    Each can be the `basis` of an exported circuit; qubits with the letter I are not measured.
    """
    found: list[str] = []
    for word in circuit_of(cell).words:
        for i, basis in enumerate(found):
            if all("I" in pair or pair[0] == pair[1] for pair in zip(word, basis, strict=True)):
                # I comes before the other letters.
                found[i] = "".join(max(pair) for pair in zip(word, basis, strict=True))
                break
        else:
            found.append(word)
    return tuple(found)


def qiskit_circuit(
    cell: QRNNCell | StepCircuit, theta: Any, basis: str | None = None
) -> QuantumCircuit:
    """Return a cell's circuit at given angles as a Qiskit circuit, up to a global phase.

    Wire i is qubit i. Qiskit counts qubits from the right of a bit string or state index;
    `Statevector(circuit).reverse_qargs()` has PennyLane's order.

    Args:
        cell: see `tape`.
        theta: see `tape`.
        basis: Pauli basis to measure in at the end, one of I, X, Y, Z per qubit, wire 0 first; I:
            the qubit is not measured. None: no final measurement.

    Returns:
        A circuit on n qubits, plus an ancilla for measured readouts or `Damping`. Register `c`
        holds the final measurement, one bit per measured qubit in the order of the wires;
        register `m` holds the mid-circuit outcomes, bit t R + r for Pauli word r of step t.

    Raises:
        ConfigError: see `tape`; or the basis is not n such letters.
        MissingExtraError: Qiskit is not installed.
    """
    try:
        import qiskit  # noqa: F401
    except ImportError as error:
        raise require_extra("qiskit", "ibm", "an export to Qiskit or OpenQASM 3") from error
    from qrnn.devices.ibm.circuits import build
    from qrnn.devices.ibm.translate import Structure, native, read, rows

    circuit = circuit_of(cell)
    if circuit.damped:
        circuit = circuit.unitary()
    written = _tape(circuit, theta, every_step=circuit.measured is not None)
    n = circuit.n_wires + (circuit.mid_measurements > 0)
    turns, measured = _turns(basis, circuit.n_wires)
    operations = native([*written.operations, *turns])
    reading = read(operations, {wire: wire for wire in range(n)}, written.measurements)
    built = build(Structure(n, tuple(reading.steps), measured))
    built.name = "qrnn"
    return built.assign_parameters(rows(reading.angles, None)[0])


def qasm3(cell: QRNNCell | StepCircuit, theta: Any, basis: str | None = None) -> str:
    """Return a cell's circuit at given angles as an OpenQASM 3 program, written by Qiskit.

    Args:
        cell: see `tape`.
        theta: see `tape`.
        basis: see `qiskit_circuit`, also for the order of qubits and bits.

    Raises:
        ConfigError: see `qiskit_circuit`.
        MissingExtraError: Qiskit is not installed.
    """
    circuit = qiskit_circuit(cell, theta, basis)
    from qiskit.qasm3 import dumps

    # Constants would round angles near a fraction of pi.
    return dumps(circuit, disable_constants=True)


def _checked(cell: QRNNCell | StepCircuit, theta: Any) -> tuple[StepCircuit, torch.Tensor]:
    """Return the circuit, and the angles as (T, P)."""
    circuit = circuit_of(cell)
    layout = "(P,) of a step or (T, P) of T steps"
    theta = checked_angles(theta, circuit.n_angles, layout, most_axes=2)
    return circuit, theta.reshape(-1, circuit.n_angles)


@one_at_a_time
def _turns(basis: str | None, n: int) -> tuple[Sequence[Operator], tuple[int, ...]]:
    """Return the gates that rotate a Pauli basis to the Z basis, and the wires to measure."""
    if basis is None:
        return (), ()
    if len(basis) != n or set(basis) - set("IXYZ") or set(basis) == {"I"}:
        raise ConfigError(
            f"basis must be {n} of the letters I, X, Y, Z, not all I, got {basis!r}: qrnn.export."
            f"bases lists those that measure all readouts"
        )
    turns: list[Operator] = []
    for wire, letter in enumerate(basis):
        if letter == "Y":
            turns.append(qml.adjoint(qml.S(wire)))
        if letter in "XY":
            turns.append(qml.Hadamard(wire))
    return turns, tuple(wire for wire, letter in enumerate(basis) if letter != "I")
