"""The map from angles to gate parameters: decided by construction, followed at each step."""

import math

import numpy as np
import pennylane as qml
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.linalg import expm
from torch.func import functional_call

from qrnn import QRNN, ConfigError
from qrnn.circuit.ansatz import build_ansatz
from qrnn.circuit.decomposition import jacobian
from qrnn.circuit.step import StepCircuit

DOUBLE = torch.float64


def circuit(function, n_angles=1, n_wires=1):
    return StepCircuit(build_ansatz(function, n_wires, n_angles), "Z")


BOUNDED = {
    "clamp": lambda a: a.clamp(-math.pi, math.pi),
    "hardtanh": lambda a: torch.nn.functional.hardtanh(a, -5.0, 5.0),
    "where": lambda a: torch.where(a > 6, torch.zeros_like(a), a),
    "maximum": lambda a: torch.maximum(a, torch.tensor(-9.0)),
    "by a mask": lambda a: a * (a < 7),
    "by a rounded angle": lambda a: a - torch.round(a / 30),
    "by a detached angle": lambda a: a * (a.detach() < 7),
    "threshold in numpy's words": lambda a: qml.math.where(a > 6, 0 * a, a),
    "straight through": lambda a: a + (a.clamp(-3, 3) - a).detach(),
}


@pytest.mark.parametrize("name", BOUNDED)
def test_an_angle_that_is_bounded_far_outside_is_bounded(name):
    function = BOUNDED[name]
    step = circuit(lambda a, wires: qml.RY(function(a[0]), wires[0]))
    theta = torch.linspace(-40, 40, 321, dtype=DOUBLE)[:, None].requires_grad_()
    got = step.parameters(theta)
    torch.testing.assert_close(got, function(theta))
    slopes = [torch.autograd.grad(f.sum(), theta)[0] for f in (got, function(theta))]
    torch.testing.assert_close(*slopes)
    assert step.affine() is None


MATRIX = torch.tensor([[1.0, -2.0], [0.5, 3.0]], dtype=DOUBLE)
AFFINE = {
    "selection": lambda a: a,
    "scaled and shifted": lambda a: 2 * a / 3 - 1 + 0.5 * a.flip(0),
    "a matrix": lambda a: MATRIX @ a + 1,
    "a layer": lambda a: torch.nn.functional.linear(a[None], MATRIX, MATRIX[0])[0],
    "cut and put together": lambda a: torch.stack([*a.reshape(1, 2)[0].unbind()]).roll(1),
    "sums": lambda a: torch.cat([a.sum()[None], a.cumsum(0)[1:] - a.mean()]),
    "filled in": lambda a: torch.cat([torch.zeros_like(a), a])[2:],
}


@pytest.mark.parametrize("name", AFFINE)
def test_what_is_affine_by_construction_is_one_matrix(name):
    function = AFFINE[name]

    def ansatz(a, wires):
        turns = function(a)
        qml.RY(turns[0], wires[0])
        qml.RX(turns[1], wires[0])

    step = circuit(ansatz, 2)
    theta = 5 * torch.randn(7, 2, dtype=DOUBLE)
    matrix, offset = step.affine()
    expected = torch.stack([function(row) for row in theta])
    torch.testing.assert_close(theta @ matrix.T + offset, expected)
    torch.testing.assert_close(step.parameters(theta), expected)


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
def test_a_circuit_built_without_gradients_is_the_same(mode):
    ansatz = build_ansatz("rotations", 2, entangler="CRX")
    with mode():
        built = StepCircuit(ansatz)
    for found, expected in zip(built.affine(), StepCircuit(ansatz).affine(), strict=True):
        torch.testing.assert_close(found, expected)


class Unbatched(torch.autograd.Function):
    """A function without a rule for batches of gradients."""

    @staticmethod
    def forward(ctx, x):
        return 2 * x

    @staticmethod
    def backward(ctx, gradient):
        return torch.as_tensor(2 * gradient.numpy())


def test_the_jacobian_has_the_same_rows_one_by_one():
    x = torch.tensor([0.3, -0.4], dtype=torch.float64, requires_grad=True)
    expected = torch.tensor([[2.0, 0.0], [-0.4, 0.3], [0.0, 0.0]], dtype=torch.float64)
    for double in (lambda one: 2 * one, Unbatched.apply):
        values = torch.stack([double(x[0]), x[0] * x[1], x.new_zeros(())])
        torch.testing.assert_close(jacobian(values, x), expected)


def test_an_angle_of_zero_leaves_no_gate_out():
    def ansatz(a, wires):
        qml.ctrl(qml.RX(torch.sin(a[0]), wires[2]), wires[:2])
        qml.CRot(a[1] ** 2, torch.tanh(a[1]), a[0], wires[:2])

    step = circuit(ansatz, 2, 3)
    for theta in ([0.0, 0.0], [0.0, 1.0], [0.4, -9.0]):
        theta = torch.tensor(theta, dtype=DOUBLE)
        with torch.no_grad():
            got = qml.matrix(qml.tape.QuantumScript(step.operations(theta)), wire_order=range(3))
        expected = qml.matrix(ansatz, wire_order=range(3))(theta, [0, 1, 2])
        np.testing.assert_allclose(got, expected, atol=1e-12)


HERMITIAN = torch.tensor([[0.3, 0.5 - 0.2j], [0.5 + 0.2j, -0.9]], dtype=torch.complex128)


def by_matrix(a, wires):
    qml.QubitUnitary(torch.linalg.matrix_exp(-1j * a[0] * HERMITIAN), wires[0])


@pytest.mark.parametrize("device", ["fused", "default.qubit", "lightning.qubit"])
@pytest.mark.parametrize("angle", [0.0, 1e-9, 0.3, math.pi, 400.0])
def test_a_unitary_of_one_qubit_has_its_gradient_everywhere(device, angle):
    rnn = QRNN(
        1,
        1,
        ansatz=by_matrix,
        n_angles=1,
        readout=["X", "Y", "Z"],
        controller="linear",
        depth=0,
        bias_range=0.0,
        feedback=False,
        device=device,
    ).to(DOUBLE)
    with torch.no_grad():
        rnn.cell.controller[0].weight.fill_(1.0)
        rnn.cell.controller[0].bias.zero_()

    def exact(a):
        psi = expm(-1j * a * HERMITIAN.numpy())[:, 0]
        return np.array([(psi.conj() @ qml.matrix(p(0)) @ psi).real for p in (qml.X, qml.Y, qml.Z)])

    x = torch.full((1, 1, 1), angle, dtype=DOUBLE, requires_grad=True)
    z = rnn(x)[0][0, 0]
    np.testing.assert_allclose(z.detach(), exact(angle), atol=1e-12)
    step = 1e-5
    slopes = (exact(angle + step) - exact(angle - step)) / (2 * step)
    got = [torch.autograd.grad(one, x, retain_graph=True)[0].item() for one in z]
    np.testing.assert_allclose(got, slopes, atol=1e-8)
    if angle == 0:
        np.testing.assert_allclose(got, [0.4, -1.0, 0.0], atol=1e-12)


@given(st.lists(st.floats(-4, 4), min_size=4, max_size=4), st.sampled_from([0.0, 1.0, math.pi]))
def test_any_unitary_of_one_qubit_has_first_and_second_derivatives(turns, scale):
    paulis = torch.stack([torch.as_tensor(qml.matrix(p(0))) for p in (qml.I, qml.X, qml.Y, qml.Z)])

    def ansatz(a, wires):
        generator = torch.einsum("p,pij->ij", a.to(paulis.dtype), paulis)
        qml.QubitUnitary(torch.linalg.matrix_exp(-1j * generator), wires[0])

    step = circuit(ansatz, 4)
    psi = torch.tensor([0.6, 0.8j], dtype=paulis.dtype)

    def own(theta):
        with qml.QueuingManager.stop_recording():
            gates = step.operations(theta)
        state = psi
        for gate in gates:
            state = qml.matrix(gate).to(psi.dtype) @ state
        return torch.view_as_real(state)

    def exact(theta):
        generator = torch.einsum("p,pij->ij", theta.to(paulis.dtype), paulis)
        return torch.view_as_real(torch.linalg.matrix_exp(-1j * generator) @ psi)

    theta = scale * torch.tensor(turns, dtype=DOUBLE)
    torch.testing.assert_close(own(theta), exact(theta))
    slopes = [torch.autograd.functional.jacobian(f, theta) for f in (own, exact)]
    torch.testing.assert_close(*slopes)
    bends = [
        torch.autograd.functional.hessian(lambda t, f=f: (f(t) * f(t).sin()).sum(), theta)
        for f in (own, exact)
    ]
    torch.testing.assert_close(*bends, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("device", ["fused", "default.qubit"])
def test_gradcheck_passes_at_zero_for_gates_that_are_smooth_there(device):
    def ansatz(a, wires):
        qml.SpecialUnitary(a[:3], wires[0])
        qml.adjoint(qml.U3(a[3], a[4], a[5], wires[0]))
        qml.DiagonalQubitUnitary(torch.exp(1j * a[:2]), wires[1])
        qml.IQPEmbedding(a[3:5], wires)

    torch.manual_seed(0)
    rnn = QRNN(
        2, 2, ansatz=ansatz, n_angles=6, controller="linear", depth=0, bias_range=0, device=device
    ).to(DOUBLE)
    names, values = zip(*rnn.named_parameters(), strict=True)
    values = [torch.zeros_like(v).requires_grad_() for v in values]

    def function(*values):
        x = torch.ones(2, 1, 2, dtype=DOUBLE)
        return functional_call(rnn, dict(zip(names, values, strict=True)), (x,))[0]

    assert torch.autograd.gradcheck(function, values)


COUNT = []


def counts(a, wires):
    COUNT.append(1)
    qml.RY(a[0] * len(COUNT), wires[0])


class Doubled(qml.operation.Operation):
    num_params, num_wires = 1, 1

    @staticmethod
    def compute_decomposition(angle, wires):
        return [qml.RX(angle, wires)] * (2 if angle > 100 else 1)


class Halves(qml.operation.Operation):
    num_params, num_wires = 0, 1

    @staticmethod
    def compute_decomposition(wires):
        return [qml.QubitUnitary(np.diag([1, 0.5]), wires)]


X = np.array([[0, 1], [1, 0]])


def turn(a):
    """Return the matrix of a rotation of the plane."""
    return torch.stack([torch.stack([a.cos(), -a.sin()]), torch.stack([a.sin(), a.cos()])])


READS = r"must queue the same gates for all angles, but reads the value of an angle or a weight"
REFUSED = {
    "a choice of gates far outside": (
        lambda a, w: qml.X(w[0]) if a[0] > 100 else qml.RY(a[0], w[0]),
        rf"{READS} \(__bool__\)",
    ),
    "a number": (lambda a, w: (qml.RY(a[0], w[0]), qml.RX(a[0].item(), w[0])), r"\(item\)"),
    "a number by math": (lambda a, w: (qml.RY(a[0], w[0]), qml.RX(math.cos(a[0]), w[0])), READS),
    "numpy": (lambda a, w: (qml.RY(a[0], w[0]), qml.RX(np.cos(a.detach()[0]), w[0])), READS),
    "a list": (lambda a, w: (qml.RY(a[0], w[0]), qml.RX(a.tolist()[0], w[0])), r"\(tolist\)"),
    "PennyLane's conversion": (
        lambda a, w: (qml.RY(a[0], w[0]), qml.RX(qml.math.toarray(a.detach())[0], w[0])),
        READS,
    ),
    "PennyLane's condition": (
        lambda a, w: (qml.RY(a[0], w[0]), qml.cond(a[0] > 100, qml.X)(w[0])),
        READS,
    ),
    "a comparison": (
        lambda a, w: qml.RY(a[0] if torch.equal(a, a) else -a[0], w[0]),
        r"\(equal\)",
    ),
    "an index": (lambda a, w: qml.RY(a[0] * [1, 2][(a[0] > 99).long()], w[0]), r"\(__index__\)"),
    "a batch of angles as one parameter": (
        lambda a, w: qml.RY(a[0] * torch.ones(3), w[0]),
        r"single number for each gate parameter.*\(3,\)",
    ),
    "an operator of one's own that looks": (lambda a, w: Doubled(a[0], w[0]), READS),
    "a function that counts": (counts, "must be a function of its angles, got other gate param"),
    "dropout": (
        lambda a, w: qml.RY(torch.dropout(a[0] * torch.ones(99), 0.5, True).sum(), w[0]),
        "remove random numbers",
    ),
    "random constants": (
        lambda a, w: (qml.RY(a[0], w[0]), qml.RX(np.random.rand(), w[0])),
        "got other gate parameters for the same angles: remove random numbers",
    ),
    "a random matrix": (
        lambda a, w: (qml.RY(a[0], w[0]), qml.QubitUnitary(expm(1j * np.random.rand() * X), w[0])),
        "remove random numbers",
    ),
    "a matrix that is not unitary": (
        lambda a, w: (qml.RY(a[0], w[0]), qml.QubitUnitary(np.diag([1, 0.5]), w[0])),
        r"must have unitary matrices U, got QubitUnitary with max \|U U\^dagger - 1\| = 0.75: corr",
    ),
    "a controlled one": (
        lambda a, w: (qml.RY(a[0], w[0]), qml.ControlledQubitUnitary(np.diag([1, 0.5]), w)),
        "must have unitary matrices U, got QubitUnitary",
    ),
    "another controlled one": (
        lambda a, w: (
            qml.RY(a[0], w[0]),
            qml.ctrl(qml.DiagonalQubitUnitary(np.array([1, 0.5]), w[0]), w[1]),
        ),
        "must have unitary matrices U, got DiagonalQubitUnitary",
    ),
    "one in an operator of one's own": (
        lambda a, w: (qml.RY(a[0], w[0]), Halves(w[0])),
        "must have unitary matrices U, got QubitUnitary",
    ),
    "one of angles": (
        lambda a, w: qml.QubitUnitary(turn(a[0]) * torch.tensor([[1.0, 0.8], [1.0, 1.0]]), w[0]),
        "must have unitary matrices U, got QubitUnitary",
    ),
    "an angle in another place": (
        lambda a, w: (qml.RY(a[0], w[0]), qml.pow(qml.RX(0.3, w[0]), a[0])),
        r"use angles and weights as gate parameters only, but RX\*\*.* uses one elsewhere",
    ),
    "a controlled unitary": (
        lambda a, w: qml.ControlledQubitUnitary(
            torch.linalg.matrix_exp(-1j * a[0] * HERMITIAN), [w[0], w[1]]
        ),
        "PennyLane decomposes ControlledQubitUnitary with .*atan2.*, which is not differentiable",
    ),
    "a preparation": (
        lambda a, w: qml.MottonenStatePreparation(torch.stack([a[0].cos(), a[0].sin()]), w[0]),
        "PennyLane decomposes MottonenStatePreparation with .*, which is not differentiable",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_could_not_be_right_everywhere_is_refused_in_one_line(case):
    function, message = REFUSED[case]
    with pytest.raises(ConfigError, match=message) as caught:
        circuit(function, 1, 2)
    assert "\n" not in str(caught.value)
