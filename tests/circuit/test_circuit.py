"""The step circuit: traced once, and everything else derived from that trace."""

import numpy as np
import pennylane as qml
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from helpers.problems import PROBLEMS, network
from helpers.reference import step_matrix
from qrnn.circuit.step import StepCircuit, precision_of
from qrnn.memory.kernels.program import compile_program

DOUBLE = torch.float64
pytestmark = pytest.mark.core


def circuit_of(problem):
    return network(problem).cell.circuit


def tape_of(qnode, *arguments):
    return qml.workflow.construct_tape(qnode, level="top")(*arguments)


@pytest.mark.parametrize("problem", PROBLEMS)
def test_the_replayed_qnode_repeats_the_traced_gates(problem):
    cell = network(problem).cell
    circuit = cell.circuit
    controls, bias = torch.randn(2, 3 * circuit.n_angles), torch.zeros(circuit.n_angles)
    tape = tape_of(cell.qnode, controls, bias)
    once = [(gate.name, gate.wires) for gate in circuit.gates]
    assert [(op.name, op.wires) for op in tape.operations] == 3 * once
    assert [m.obs for m in tape.measurements] == [m.obs for m in circuit.expvals()]


@pytest.mark.parametrize("problem", PROBLEMS)
def test_a_batch_of_angles_is_each_of_its_rows(problem):
    circuit = circuit_of(problem)
    theta = torch.randn(4, circuit.n_angles, dtype=DOUBLE)
    with precision_of(theta):
        tape = qml.tape.QuantumScript(circuit.operations(theta))
        matrices = qml.matrix(tape, wire_order=circuit.wires)
    for row, matrix in zip(theta, matrices, strict=True):
        np.testing.assert_allclose(matrix, step_matrix(circuit.ansatz, row), rtol=0, atol=1e-12)


@pytest.mark.parametrize("problem", PROBLEMS)
def test_gate_parameters_keep_the_shape_of_a_batch_and_the_gradient(problem):
    circuit = circuit_of(problem)
    theta = torch.randn(2, 3, circuit.n_angles, dtype=DOUBLE, requires_grad=True)
    parameters = circuit.parameters(theta)
    assert parameters.shape == (2, 3, circuit.n_parameters)
    assert parameters.dtype == DOUBLE
    (grad,) = torch.autograd.grad(parameters.exp().sum(), theta)
    assert (grad != 0).all()
    rows = torch.stack([torch.stack([circuit.parameters(row) for row in rows]) for rows in theta])
    torch.testing.assert_close(rows, parameters, rtol=0, atol=1e-14)


@given(st.integers(1, 5), st.integers(1, 3), st.sampled_from(["CZ", "CRX", "IsingYY"]))
def test_resources_are_those_of_the_traced_gates(n, layers, entangler):
    circuit = network(n_qubits=n, layers=layers, entangler=entangler, readout="Z").cell.circuit
    specs = circuit.specs()
    assert specs["gate_types"].get(entangler, 0) == layers * (n - 1) == specs["two_qubit_gates"]
    assert specs["gates"] == len(circuit.gates) == layers * (3 * n - 1)
    parametric = 0 if entangler == "CZ" else n - 1
    assert specs["angles"] == circuit.n_parameters == layers * (2 * n + parametric)
    assert specs["readouts"] == n
    assert specs["depth"] >= 2 * layers


def test_a_gate_added_to_the_function_shows_up_everywhere():
    def plain(angles, wires):
        qml.RY(angles[0], wires=wires[0])
        qml.RX(angles[1], wires=wires[1])

    def longer(angles, wires):
        plain(angles, wires)
        qml.CY(wires=wires)

    cells = [network(n_qubits=2, ansatz=f, n_angles=2, readout="Z").cell for f in (plain, longer)]
    a, b = (cell.circuit for cell in cells)
    assert b.specs()["gates"] == a.specs()["gates"] + 1
    assert b.draw() != a.draw()
    assert len(compile_program(b).instructions) == len(compile_program(a).instructions) + 1
    arguments = torch.ones(2), torch.ones(2)
    assert len(tape_of(cells[1].qnode, *arguments)) == len(tape_of(cells[0].qnode, *arguments)) + 1
    values = [torch.stack(cell.qnode(*arguments)) for cell in cells]
    assert (values[0] - values[1]).abs().max() > 0.05


def test_the_circuit_is_a_quantum_function_for_any_qnode():
    circuit = circuit_of("default")
    device = qml.device("lightning.qubit", wires=3)
    theta = torch.linspace(0.1, 2, circuit.n_angles, dtype=DOUBLE)
    values = qml.QNode(circuit.function(), device)(theta.numpy())
    psi = step_matrix(circuit.ansatz, theta)[:, 0]
    wires = range(3)
    expected = [
        (psi.conj() @ qml.matrix(m.obs, wire_order=wires) @ psi).real for m in circuit.expvals()
    ]
    np.testing.assert_allclose(values, expected, rtol=0, atol=1e-10)


def test_the_precision_for_pennylane_is_given_back_after_an_error():
    before = torch.get_default_dtype()
    with pytest.raises(ZeroDivisionError), precision_of(torch.zeros(1, dtype=DOUBLE)):
        _ = 1 / (torch.get_default_dtype() != DOUBLE)
    assert torch.get_default_dtype() == before


def test_a_circuit_can_be_made_while_another_is_being_recorded():
    with qml.queuing.AnnotatedQueue() as queue:
        StepCircuit(circuit_of("default").ansatz).draw()
    assert len(queue) == 0
