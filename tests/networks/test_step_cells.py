"""The step-wise cells against independent references: closed forms and PennyLane's devices."""

from dataclasses import replace

import numpy as np
import pennylane as qml
import pytest
import torch

from qrnn import QRNNCell
from qrnn.devices import DeviceOptions, open_device
from qrnn.networks import NETWORKS, OrthogonalConfig
from qrnn.networks.data_register import DataRegisterCell
from qrnn.networks.layers import StepCell
from qrnn.networks.orthogonal import OrthogonalCell
from qrnn.networks.qlstm import QLSTMCell
from qrnn.networks.scornn import Cayley, ScoRNNCell

DOUBLE = torch.float64
D = 3


def inputs(steps=4, batch=3, size=D):
    generator = torch.Generator().manual_seed(1)
    return torch.randn(steps, batch, size, dtype=DOUBLE, generator=generator)


def assert_close(a, b, atol=1e-10):
    torch.testing.assert_close(a, b, rtol=0, atol=atol)


def scornn(n=6, share=0.5):
    cell = ScoRNNCell(D, n, share).to(DOUBLE)
    with torch.no_grad():  # away from the start, where U is tiny, b is 0 and A has blocks only
        cell.weight.copy_(torch.randn(n, D))
        cell.bias.uniform_(-0.5, 0.5)
        cell.recurrent.skew.copy_(torch.randn(n * (n - 1) // 2))
    return cell


@pytest.mark.parametrize("n", [1, 2, 7, 170])
@pytest.mark.parametrize("spread", [None, 0.1, 3.0])
def test_the_cayley_matrix_is_orthogonal(n, spread):
    cayley = Cayley(n, 0.1)
    if spread is not None:
        torch.nn.init.normal_(cayley.skew, std=spread)
    w = cayley()
    assert w.dtype == torch.float32
    assert_close(w @ w.T, torch.eye(n), atol=1e-5)


def test_the_cayley_matrix_is_the_papers():
    cayley = Cayley(5, 0.4).to(DOUBLE)
    entries = torch.randn(10, dtype=DOUBLE)
    with torch.no_grad():
        cayley.skew.copy_(entries)
    a = np.zeros((5, 5))
    a[np.triu_indices(5, 1)] = entries.numpy()
    a -= a.T
    expected = np.linalg.inv(np.eye(5) + a) @ (np.eye(5) - a) @ np.diag([1, 1, 1, -1, -1])
    assert_close(cayley().detach(), torch.from_numpy(expected))


@pytest.mark.parametrize(("n", "share", "negative"), [(170, 0.1, 17), (190, 0.5, 95), (4, 0, 0)])
def test_the_share_of_minus_ones_is_the_papers(n, share, negative):
    assert (Cayley(n, share).signs == -1).sum() == negative


def test_the_matrix_starts_by_turning_planes_by_at_most_a_quarter():
    w = Cayley(400).to(DOUBLE)().detach()
    angles = torch.linalg.eigvals(w).angle().abs()
    assert angles.max() <= np.pi / 2 + 1e-6
    assert angles.mean() == pytest.approx(np.pi / 4, abs=0.1)
    blocks = torch.block_diag(*torch.ones(200, 2, 2, dtype=DOUBLE))
    assert (w[blocks == 0] == 0).all()


def test_modrelu_is_its_closed_form():
    cell = scornn(n=4)
    with torch.no_grad():
        cell.bias.copy_(torch.tensor([-1.0, -0.5, 0.5, 0.0]))
        cell.weight.copy_(torch.eye(4, D))
        cell.weight[3, 0] = 1
    x = torch.tensor([[[0.7, -2.0, -0.25]], [[0.0, 0.0, 0.0]]], dtype=DOUBLE)
    h, _ = cell.sequence(x[:1])
    assert_close(h[0, 0], torch.tensor([0.0, -1.5, -0.75, 0.7], dtype=DOUBLE))
    zero, _ = cell.sequence(x[1:])  # sign(0) = 0, even with a positive bias
    assert (zero == 0).all()


def test_a_second_step_of_scornn_turns_the_first():
    cell, x = scornn(), inputs(2)
    h, _ = cell.sequence(x)
    a = x[1] @ cell.weight.T + h[0] @ cell.recurrent().T
    expected = torch.sign(a) * torch.clamp(a.abs() + cell.bias, min=0)
    assert_close(h[1], expected)


@pytest.mark.parametrize("padded", [False, True])
def test_scornns_own_backward_pass_is_that_of_autograd(padded):
    cell, x = scornn(), inputs().requires_grad_()
    active = torch.tensor([[1, 1, 1], [1, 1, 0], [1, 0, 0], [1, 0, 0]]).bool() if padded else None
    parameters = [x, *cell.parameters()]
    weights = torch.randn(4, 3, 6, dtype=DOUBLE)
    runs = []
    for sequence in (cell.sequence, lambda *args: StepCell.sequence(cell, *args)):
        h, state = sequence(x, None, active)
        loss = (h * weights).sum() + state.z.square().sum()
        runs.append((h, state.z, *torch.autograd.grad(loss, parameters)))
    for ours, theirs in zip(*runs, strict=True):
        assert_close(ours, theirs)


def gradcheck(cell, x):
    names = [name for name, p in cell.named_parameters() if p.requires_grad]

    def run(x, *values):
        out, state = torch.func.functional_call(
            Sequence(cell), dict(zip((f"cell.{n}" for n in names), values, strict=True)), (x,)
        )
        return out, state.z

    values = [cell.get_parameter(name).detach().requires_grad_() for name in names]
    return torch.autograd.gradcheck(run, (x.requires_grad_(), *values))


class Sequence(torch.nn.Module):
    def __init__(self, cell):
        super().__init__()
        self.cell = cell

    def forward(self, x):
        return self.cell.sequence(x)


@pytest.mark.parametrize(
    "make",
    [
        lambda: scornn(n=4),
        lambda: OrthogonalCell(D, 1, width=2),
        lambda: QLSTMCell(D, 2, 2, 1),
        lambda: DataRegisterCell(D, 1, 1, 2),
    ],
    ids=["scornn", "orthogonal", "qlstm", "data_register"],
)
def test_gradients_are_those_of_finite_differences(make):
    assert gradcheck(make().to(DOUBLE), inputs(3, 2))


@pytest.mark.parametrize("n", [1, 2, 3])
def test_the_orthogonal_cell_reads_pauli_expectation_values(n):
    cell = OrthogonalCell(D, n, width=4).to(DOUBLE)
    s = torch.nn.functional.normalize(torch.randn(2, 2 ** (n + 1), dtype=DOUBLE))
    psi = torch.complex(s[:, : 2**n], s[:, 2**n :]).numpy()
    words = QRNNCell(D, n).circuit.words  # X of all qubits, then Y, then Z
    for r, word in enumerate(words):
        matrix = qml.matrix(qml.pauli.string_to_pauli_word(word), wire_order=range(n))
        expected = np.einsum("bi,ij,bj->b", psi.conj(), matrix, psi).real
        assert_close(cell.read(s)[:, r], torch.from_numpy(expected))
    z = cell.start(1, s).z[0]
    assert_close(z, QRNNCell(D, n).circuit.start_readout().to(DOUBLE))


def test_a_step_of_the_orthogonal_cell_is_an_orthogonal_matrix():
    cell = OrthogonalCell(D, 2, 3, width=4).to(DOUBLE)
    x, s = inputs(1, 1), torch.nn.functional.normalize(torch.randn(1, 8, dtype=DOUBLE))
    state = replace(cell.start(1, x), carried=(s,), z=cell.read(s))
    out, after = cell.sequence(x, state)
    theta = cell.controller(torch.cat([x[0], state.z], 1))[0].detach()
    g = torch.zeros(8, 8, dtype=DOUBLE)
    for plane, angle in enumerate(theta[[0, 1, 2, 0]]):
        for row, column, value in (
            (plane, plane, angle.cos()),
            (plane, plane + 4, -angle.sin()),
            (plane + 4, plane, angle.sin()),
            (plane + 4, plane + 4, angle.cos()),
        ):
            g[row, column] = value
    assert_close(g @ g.T, torch.eye(8, dtype=DOUBLE))
    assert_close(after.carried[0][0], cell.mix() @ g @ s[0])
    assert_close(out[0], cell.read(after.carried[0]))


def test_the_orthogonal_state_keeps_its_norm_and_the_readouts_their_range():
    cell = OrthogonalCell(D, 3, width=8)
    with torch.no_grad():
        z, state = cell.sequence(3 * inputs(500).float())
    assert_close(state.carried[0].norm(dim=1), torch.ones(3), atol=1e-4)
    assert z.abs().max() <= 1 + 1e-4
    assert z.std(0).min() > 0.05  # it moves


def test_with_a_fixed_matrix_the_ablation_learns_as_many_numbers_as_the_hybrid_cell():
    config = OrthogonalConfig(n_qubits=4, width=10, learned=False)
    net = NETWORKS["orthogonal"].build(config, D, DeviceOptions())
    learned = sum(p.numel() for p in net.parameters() if p.requires_grad)
    hybrid = QRNNCell(D, 4, width=10)
    bias = hybrid.circuit.n_angles  # doubled by the controller's last bias
    assert learned == sum(p.numel() for p in hybrid.parameters()) - bias


def vqc_by_hand(u, angles, n, depth):
    """Return <Z> of the paper's circuit for u (n,) and Rot angles (depth, n, 3)."""

    @qml.qnode(qml.device("default.qubit", wires=n))
    def circuit():
        for q in range(n):
            qml.Hadamard(q)
            qml.RY(np.arctan(u[q]), q)
            qml.RZ(np.arctan(u[q] ** 2), q)
        for layer in range(depth):
            for q in range(n):
                qml.CNOT([q, (q + 1) % n])
            for q in range(n):
                qml.CNOT([q, (q + 2) % n])
            for q in range(n):
                qml.Rot(*angles[layer, q], q)
        return [qml.expval(qml.Z(q)) for q in range(n)]

    return np.array(circuit())


def sigmoid(a):
    return 1 / (1 + np.exp(-a))


@pytest.mark.parametrize("output_circuits", [True, False])
def test_qlstm_is_the_papers_equations_on_default_qubit(output_circuits):
    n, depth, size = 3, 2, 2
    cell = QLSTMCell(D, size, n, depth, output_circuits).to(DOUBLE)
    with torch.no_grad():
        cell.angles.uniform_(-3, 3)
    x = inputs(3, 1)
    y, state = cell.sequence(x)
    p = {name: value.detach().numpy() for name, value in cell.named_parameters()}

    def gate(k, u):
        z = vqc_by_hand(u, p["angles"][k].reshape(depth, n, 3), n, depth)
        return z @ p["weight"][k] + p["bias"][k, 0]

    h = c = np.zeros(size)
    for t in range(3):
        u = p["enter.weight"] @ np.concatenate([x[t, 0].numpy(), h]) + p["enter.bias"]
        f, i, o = (sigmoid(gate(k, u)) for k in range(3))
        c = f * c + i * np.tanh(gate(3, u))
        m = o * np.tanh(c)
        out = h = m
        if output_circuits:
            w = p["leave.weight"] @ m + p["leave.bias"]
            h, out = gate(4, w), gate(5, w)
        assert_close(y[t, 0].detach(), torch.from_numpy(out))
    assert_close(state.carried[0][0].detach(), torch.from_numpy(h))
    assert_close(state.carried[1][0].detach(), torch.from_numpy(c))


@pytest.mark.parametrize("device", ["default.qubit", "lightning.qubit", "default.mixed"])
def test_qlstm_is_the_same_on_every_exact_device(device):
    x = inputs(2, 2)
    torch.manual_seed(0)
    ours = QLSTMCell(D, 2, 2, 1).to(DOUBLE)
    torch.manual_seed(0)
    theirs = QLSTMCell(D, 2, 2, 1, device=device).to(DOUBLE)
    results = []
    for cell in (ours, theirs):
        y, _ = cell.sequence(x)
        learned = [p for p in cell.parameters() if p.requires_grad]
        results.append((y, *torch.autograd.grad(y.square().sum(), learned)))
    for a, b in zip(*results, strict=True):
        assert_close(a, b, atol=1e-6)
    ours.use(open_device(device))
    assert_close(ours.sequence(x)[0], results[0][0], atol=1e-6)


def test_qlstm_runs_with_shots():
    torch.manual_seed(0)
    exact = QLSTMCell(D, 2, 2, 1)
    x = inputs(2, 2).float()
    z, _ = exact.sequence(x)
    exact.use(open_device("default.qubit", shots=20000, seed=1))
    noisy, _ = exact.sequence(x)
    assert 1e-5 < (noisy - z).abs().max() < 0.05


def test_qlstms_circuits_start_near_no_rotation_and_its_forget_gate_open():
    cell = QLSTMCell(D, 2, 3)
    assert cell.angles.std().item() == pytest.approx(0.01, rel=0.3)
    assert (cell.bias[0] == 1).all()
    assert (cell.bias[1:].abs() < 1).all()
    assert (cell.quantum.bias == 0).all()


def registers_by_hand(cell, x, steps):
    """Return p(1) of each data qubit and the history's density matrix behind some steps.

    x (T, D); the whole circuit so far on default.mixed, the data register reset by a channel.
    """
    d, n = cell.n_data, cell.n_wires
    angles = cell.angles.detach().numpy()
    encoded = (x @ cell.encode.weight.T + cell.encode.bias).detach().numpy()

    @qml.qnode(qml.device("default.mixed", wires=n))
    def circuit():
        for t in range(steps):
            for q in range(d):
                if t:
                    qml.ResetError(1, 0, wires=q)
                qml.RY(encoded[t, q], wires=q)
            for layer in range(angles.shape[1]):
                for q in range(n):
                    qml.RX(angles[3 * q, layer], wires=q)
                    qml.RZ(angles[3 * q + 1, layer], wires=q)
                    qml.RX(angles[3 * q + 2, layer], wires=q)
                for q in range(n):
                    qml.IsingZZ(angles[3 * n + q, layer], wires=[q, (q + 1) % n])
        return [*[qml.probs(wires=q) for q in range(d)], qml.density_matrix(range(d, n))]

    *probs, rho = circuit()
    return torch.tensor([p[1] for p in probs]), torch.from_numpy(rho)


@pytest.mark.parametrize(("n_data", "n_history", "layers"), [(1, 2, 1), (2, 1, 3), (2, 2, 2)])
def test_the_data_register_is_that_of_default_mixed(n_data, n_history, layers):
    cell = DataRegisterCell(D, n_data, n_history, layers).to(DOUBLE)
    with torch.no_grad():
        cell.angles.uniform_(-3, 3)
    x = inputs(3, 2)
    state = None
    for t in range(3):
        z, state = cell.sequence(x[t : t + 1], state)
        for row in range(2):
            p, rho = registers_by_hand(cell, x[:, row], t + 1)
            assert_close(z[0, row], p)
            assert_close(state.carried[0][row], rho)
    assert (torch.linalg.matrix_norm(state.carried[0]) < 0.999).all()  # mixed: that is the reset


def test_the_history_stays_a_density_matrix_in_single_precision():
    cell = DataRegisterCell(D, 2, 2, 60)
    with torch.no_grad():
        _, state = cell.sequence(inputs(784).float())
    (rho,) = state.carried
    trace = rho.diagonal(dim1=1, dim2=2).sum(1)
    assert_close(trace, torch.ones(3, dtype=torch.complex64), atol=1e-4)
    assert_close(rho, rho.mH, atol=1e-5)
    assert torch.linalg.eigvalsh(rho).min() > -1e-5


@pytest.mark.parametrize("layers", [1, 2, 3, 5, 8])
def test_the_product_of_the_layers_is_the_circuit_of_all_layers(layers):
    cell = DataRegisterCell(D, 1, 2, layers).to(DOUBLE)

    def circuit():
        for k in range(layers):
            cell.layer(cell.angles.detach()[:, k])

    expected = qml.matrix(circuit, wire_order=range(3))()
    assert_close(cell.unitary().detach(), expected)
