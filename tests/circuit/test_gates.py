"""The gate set: what each gate is lowered to, and what is decomposed into it."""

import numpy as np
import pennylane as qml
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from helpers.gate_examples import GATE_EXAMPLES
from helpers.reference import PAULI, step_matrix, word_matrix
from qrnn.circuit.ansatz import build_ansatz
from qrnn.circuit.gates import GATES, Matrix, Phase, Rotation
from qrnn.circuit.observables import masks
from qrnn.circuit.step import StepCircuit
from qrnn.memory.kernels.program import compile_program
from qrnn.memory.lightning import apply_word

N = 3
letters = st.sampled_from("IXYZ")
words = st.text(letters, min_size=1, max_size=5)


def states_with(wires, n=N):
    """Return which basis states have all of `wires` 1, wire 0 being the most significant bit."""
    bits = (np.arange(2**n)[:, None] >> np.arange(n - 1, -1, -1)) & 1
    return bits[:, list(wires)].all(axis=1)


def primitive_matrix(primitive, parameter):
    """Return one primitive on N wires, from its docstring alone."""
    identity = np.eye(2**N, dtype=complex)
    if isinstance(primitive, Phase):
        angle = primitive.sign * parameter if primitive.angle is None else primitive.angle
        return np.diag(np.where(states_with(primitive.wires), np.exp(1j * angle), 1))
    if isinstance(primitive, Rotation):
        on_wires = dict(zip(primitive.wires, primitive.word, strict=True))
        word = word_matrix("".join(on_wires.get(wire, "I") for wire in range(N)))
        full = np.cos(parameter / 2) * identity - 1j * np.sin(parameter / 2) * word
    else:
        assert isinstance(primitive, Matrix)
        one = np.reshape(primitive.entries, (2, 2))
        full = np.kron(
            np.kron(np.eye(2**primitive.wire), one), np.eye(2 ** (N - 1 - primitive.wire))
        )
    controlled = states_with(primitive.controls)[:, None]
    return np.where(controlled, full, identity)


def test_every_gate_of_the_set_has_an_example():
    assert set(GATES) == {name for name in GATE_EXAMPLES if "via" not in name}


@pytest.mark.parametrize("name", GATES)
@pytest.mark.parametrize("wires", [(0, 1, 2), (2, 0, 1), (1, 2, 0)])
def test_a_gate_is_the_product_of_its_primitives(name, wires):
    n_parameters, n_wires, queue = GATE_EXAMPLES[name]
    with qml.queuing.AnnotatedQueue() as queued:
        queue([0.7][:n_parameters], list(wires[:n_wires]))
    (gate,) = qml.tape.QuantumScript.from_queue(queued).operations
    assert gate.name == name
    product = np.eye(2**N)
    for primitive in GATES[name](gate):
        product = primitive_matrix(primitive, 0.7) @ product
    np.testing.assert_allclose(product, qml.matrix(gate, wire_order=range(N)), atol=1e-14)


@pytest.mark.parametrize("name", GATE_EXAMPLES)
def test_the_traced_circuit_is_the_users_function_in_gates_of_the_set(name):
    n_parameters, n_wires, queue = GATE_EXAMPLES[name]

    def function(angles, wires):
        qml.RX(angles[0], wires[0])
        queue(angles[1:], [wires[2], wires[0], wires[1]][:n_wires])

    ansatz = build_ansatz(function, N, 1 + n_parameters)
    circuit = StepCircuit(ansatz, "Z")
    assert {gate.name for gate in circuit.gates} <= set(GATES)
    angles = np.linspace(0.4, 1.9, 1 + n_parameters)
    parameters = circuit.parameters(torch.as_tensor(angles)).numpy()
    traced = qml.matrix(qml.tape.QuantumScript(circuit.bind(parameters)), wire_order=range(N))
    np.testing.assert_allclose(traced, step_matrix(ansatz, angles), rtol=0, atol=1e-12)


@pytest.mark.parametrize(
    "function",
    [
        lambda a: a,
        lambda a: 2 * a - 0.3,
        lambda a: a**2,
        lambda a: qml.math.abs(a),  # linear on either side of zero
        lambda a: qml.math.clip(a, -1, 1),
        lambda a: qml.math.sin(a),
    ],
    ids=["identity", "affine", "square", "abs", "clip", "sin"],
)
@pytest.mark.parametrize("angle", [-2.5, -0.4, 0.7, 2.9])
def test_gate_parameters_may_be_any_function_of_the_angles(function, angle):
    def apply(angles, wires):
        qml.RX(function(angles[0]), wires=wires[0])
        qml.RY(angles[1], wires=wires[0])

    circuit = StepCircuit(build_ansatz(apply, 1, 2), "Z")
    theta = torch.tensor([[angle, 0.1], [0.2, -angle]], dtype=torch.float64)
    expected = [[function(row[0]), row[1]] for row in theta.numpy()]
    np.testing.assert_allclose(circuit.parameters(theta), expected, rtol=0, atol=1e-12)


class Own(qml.operation.Operation):
    """An operation of a user's own."""

    num_params = 1
    num_wires = 2


class Modulo(Own):
    @staticmethod
    def compute_decomposition(angle, wires):
        return [qml.RX(angle % 1.0, wires[0]), qml.RY(-angle % 1.5, wires[1])]


class OneTurn(Own):
    @staticmethod
    def compute_decomposition(angle, wires):
        return [qml.CRX(angle % (2 * np.pi), wires)]


class TwoTurns(Own):
    @staticmethod
    def compute_decomposition(angle, wires):
        return [qml.CRX(angle % (4 * np.pi), wires), qml.PhaseShift(angle % (2 * np.pi), wires[0])]


class CRX(Own):
    """A namesake of PennyLane's gate."""

    @staticmethod
    def compute_decomposition(angle, wires):
        return [qml.RX(angle, wires[0]), qml.RX(-2 * angle, wires[1])]


@pytest.mark.parametrize(
    ("own", "affine"), [(Modulo, False), (OneTurn, False), (TwoTurns, True), (CRX, True)]
)
@pytest.mark.parametrize("angle", [-9.0, -2.5, 0.4, 2.5, 8.0])
def test_an_operation_of_ones_own_is_what_it_decomposes_into(own, affine, angle):
    circuit = StepCircuit(build_ansatz(lambda a, w: own(a[0], wires=w), 2, 1), "Z")
    assert (circuit.affine() is not None) == affine
    assert not any(isinstance(gate, own) for gate in circuit.gates)
    theta = torch.tensor([angle], dtype=torch.float64)
    traced = qml.matrix(qml.tape.QuantumScript(circuit.operations(theta)), wire_order=range(2))
    decomposed = qml.tape.QuantumScript(own.compute_decomposition(angle, [0, 1]))
    expected = qml.matrix(decomposed, wire_order=range(2))
    np.testing.assert_allclose(traced, expected, rtol=0, atol=1e-12)


def controlled_twice(angles, wires):
    qml.ctrl(qml.RY(angles[0] * angles[1], wires=wires[2]), wires[:2])
    qml.QubitUnitary(qml.matrix(qml.RX(0.3, wires=0)), wires=wires[0])


def test_a_decomposition_that_looks_at_values_is_traced_row_by_row():
    circuit = StepCircuit(build_ansatz(controlled_twice, N, 2), "Z")
    assert circuit.affine() is None
    theta = torch.tensor([[0.4, -0.7], [1.1, 2.0]], dtype=torch.float64, requires_grad=True)
    parameters = circuit.parameters(theta)
    for row, values in zip(theta.detach().numpy(), parameters.detach().numpy(), strict=True):
        traced = qml.matrix(qml.tape.QuantumScript(circuit.bind(values)), wire_order=range(N))
        expected = step_matrix(circuit.ansatz, row)
        np.testing.assert_allclose(traced, expected, rtol=0, atol=1e-12)
    assert torch.autograd.gradcheck(circuit.parameters, (theta,))


@given(words)
def test_a_words_masks_say_how_it_moves_basis_states(word):
    x, z = masks(word)
    size = 2 ** len(word)
    matrix = np.zeros((size, size), complex)
    for k in range(size):
        matrix[k ^ x, k] = 1j ** word.count("Y") * (-1) ** (k & z).bit_count()
    np.testing.assert_array_equal(matrix, word_matrix(word))


@given(words, st.integers(1, 3), st.randoms(use_true_random=False))
def test_a_word_is_applied_to_states_as_its_matrix(word, batch, random):
    seed = torch.Generator().manual_seed(random.randrange(2**31))
    shape = (batch, 2 ** len(word))
    psi = torch.complex(*(torch.randn(shape, generator=seed, dtype=torch.float64) for _ in "ri"))
    expected = psi.numpy() @ word_matrix(word).T
    np.testing.assert_allclose(apply_word(word, psi), expected, atol=1e-14)


@given(st.lists(st.sampled_from(["RZ", "CZ", "S", "T", "RY", "IsingZZ"]), min_size=3, max_size=9))
def test_merging_diagonal_gates_keeps_every_parameter_exactly_once(names):
    def function(angles, wires):
        qml.RX(angles[0], wires[0])
        index = 1
        for position, name in enumerate(names):
            n_parameters, n_wires, queue = GATE_EXAMPLES[name]
            at = [wires[(position + i) % N] for i in range(n_wires)]
            queue(angles[index : index + n_parameters], at)
            index += n_parameters

    n_angles = 1 + sum(GATE_EXAMPLES[name][0] for name in names)
    program = compile_program(StepCircuit(build_ansatz(function, N, n_angles), "XYZ"))
    assert sorted(program.columns) == list(range(n_angles))
    assert len(program.instructions) <= len(names) + 1


def test_a_layer_of_rz_and_cz_is_one_pass():
    circuit = StepCircuit(build_ansatz("rotations", 4, layers=1), "XYZ")
    assert len(circuit.gates) == 4 + 4 + 3
    assert len(compile_program(circuit).instructions) == 2 + 1  # two RY a pass


def test_pauli_matrices_of_the_reference_are_pennylanes():
    for letter, matrix in PAULI.items():
        np.testing.assert_array_equal(
            matrix,
            qml.pauli.string_to_pauli_word(letter).matrix([0]) if letter != "I" else np.eye(2),
        )
