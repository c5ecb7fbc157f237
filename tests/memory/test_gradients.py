"""Gradients: against finite differences, and against default.qubit's backpropagation."""

from dataclasses import replace
from functools import reduce
from itertools import product

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pennylane.exceptions import QuantumFunctionError
from torch.func import functional_call

from helpers import reference
from helpers.gate_examples import GATE_EXAMPLES, around, every_rotation
from helpers.losses import LOSSES
from helpers.problems import PROBLEMS, D, gradients, inputs, network
from qrnn import QRNN, DeviceError
from qrnn.circuit.gates import GATES
from qrnn.devices import DeviceOptions
from qrnn.inspection.gradients import gradient_norms
from qrnn.models.sequence import SequenceClassifier, SequenceLabeller
from qrnn.networks.classical import LSTMConfig, lstm

DOUBLE = torch.float64
CARRIED = ["fused", "lightning.qubit", "lightning.kokkos"]
WORDS = ["XII", "IYZ", "ZIX"]  # a single letter and longer words, for both kinds of readout kernel


def small(**ansatz):
    return network("default", DOUBLE, controller="linear", depth=0, readout=WORDS, **ansatz)


def check(rnn, x, fast_mode):
    """Run gradcheck for x and every parameter, through all steps with feedback."""
    names, values = zip(*rnn.named_parameters(), strict=True)

    def function(x, *values):
        return functional_call(rnn, dict(zip(names, values, strict=True)), (x,))[0]

    x = x.clone().requires_grad_()
    assert torch.autograd.gradcheck(function, (x, *values), fast_mode=fast_mode)


@pytest.mark.parametrize("name", GATE_EXAMPLES)
def test_every_gate_has_the_gradient_of_finite_differences(name):
    check(small(**around(name)), inputs(3, 2, DOUBLE), fast_mode=False)


@pytest.mark.parametrize("name", GATE_EXAMPLES)
def test_every_gate_has_the_gradient_of_finite_differences_on_lightning(name):
    rnn = small(**around(name)).on("lightning.qubit")
    check(rnn, inputs(3, 1, DOUBLE), fast_mode=True)


@pytest.mark.parametrize("device", [*CARRIED, "default.qubit", "default.mixed"])
@pytest.mark.parametrize("problem", ["strongly entangling", "nonlinear function", "glu"])
def test_gradcheck_passes_on_every_carried_device(device, problem):
    check(network(problem, DOUBLE).on(device), inputs(3, 2, DOUBLE), fast_mode=True)


def weighted(rnn, x):
    """Return a loss in which every readout of every step has its own weight."""
    z, _ = rnn(x)
    weights = torch.linspace(-1, 1, z.numel(), dtype=z.dtype).cos().reshape(z.shape)
    return (weights * z).sum() + (z**2).mean()


def assert_same_gradients(rnn, device, loss, *inputs, tolerance=1e-9, **options):
    expected = gradients(rnn.on("default.qubit"), loss, *inputs)
    got = gradients(rnn.on(device, **options), loss, *inputs)
    for name, value in expected.items():
        torch.testing.assert_close(got[name], value, rtol=tolerance, atol=tolerance, msg=name)
    assert any(value.abs().max() > 1e-3 for value in expected.values())


@pytest.mark.core
@pytest.mark.parametrize("device", [*CARRIED, "default.mixed"])
@pytest.mark.parametrize("problem", PROBLEMS)
def test_the_gradient_is_that_of_default_qubit_backprop(device, problem):
    assert_same_gradients(network(problem, DOUBLE), device, weighted, inputs(dtype=DOUBLE))


@pytest.mark.parametrize("device", [*CARRIED, "default.mixed"])
def test_the_float32_gradient_is_that_of_default_qubit_backprop(device):
    assert_same_gradients(network(), device, weighted, inputs(), tolerance=2e-5)


@pytest.mark.parametrize(
    ("device", "gradient", "ansatz"),
    [
        ("default.qubit", "backprop", {"layers": 1}),
        ("default.qubit", "adjoint", every_rotation()),
        ("default.qubit", "parameter-shift", every_rotation()),
        ("default.mixed", "backprop", every_rotation()),
        ("default.mixed", "parameter-shift", {"layers": 1}),
        ("lightning.qubit", "adjoint", every_rotation()),
        ("lightning.qubit", "parameter-shift", every_rotation()),
        ("lightning.kokkos", "adjoint", {"layers": 1}),
        ("reference.qubit", "parameter-shift", {"layers": 1}),
    ],
)
def test_a_replayed_device_has_the_same_gradient_by_its_own_methods(device, gradient, ansatz):
    rnn, x = small(**ansatz), inputs(2, 2, DOUBLE)
    options = {"strategy": "replayed", "gradient": gradient}
    assert_same_gradients(rnn, device, weighted, x, tolerance=1e-7, **options)


def test_spsa_estimates_the_gradient_and_none_refuses_it():
    rnn, x = small(layers=1), inputs(1, 2, DOUBLE)
    parameters = tuple(rnn.parameters())
    exact = torch.autograd.grad(weighted(rnn, x), parameters)
    noisy = rnn.on("default.qubit", strategy="replayed", gradient="spsa")
    mean = [torch.zeros_like(g) for g in exact]
    for _ in range(40):
        for total, g in zip(mean, torch.autograd.grad(weighted(noisy, x), parameters), strict=True):
            total += g / 40
    mean, exact = (torch.cat([g.flatten() for g in many]) for many in (mean, exact))
    assert torch.cosine_similarity(mean, exact, dim=0) > 0.8
    z, _ = rnn.on("default.qubit", strategy="replayed", gradient="none")(x)
    with pytest.raises(QuantumFunctionError, match="diff_method=None"):
        z.sum().backward()


@pytest.mark.parametrize("device", [*CARRIED, "default.qubit", "default.mixed"])
def test_padded_steps_have_no_gradient_and_leave_the_others_alone(device):
    rnn, x = network("affine function", DOUBLE), inputs(dtype=DOUBLE)
    lengths = torch.tensor([3, 1, 2])

    def loss(rnn, x):
        z, state = rnn(x, lengths=lengths)
        return (z**2).sum() + 2 * state.z.sum()

    def one_by_one(rnn, x):
        total = 0
        for b, length in enumerate(lengths):
            z, state = rnn(x[:length, b : b + 1])
            total = total + (z**2).sum() + 2 * state.z.sum()
        return total

    expected = gradients(rnn.on("default.qubit"), one_by_one, x)
    got = gradients(rnn.on(device), loss, x)
    assert (got["input 0"][1:, 1] == 0).all()
    assert (got["input 0"][2:, 2] == 0).all()
    for name, value in expected.items():
        torch.testing.assert_close(got[name], value, rtol=1e-9, atol=1e-9, msg=name)


@pytest.mark.parametrize("device", [*CARRIED])
@pytest.mark.parametrize("name", LOSSES)
def test_the_gradient_is_right_whatever_the_loss_reads(device, name):
    rnn, x = network("default", DOUBLE), inputs(4, 2, DOUBLE)
    assert_same_gradients(rnn, device, LOSSES[name], x)


@pytest.mark.parametrize("device", [*CARRIED, "default.qubit"])
def test_detaching_the_state_cuts_the_gradient_and_not_the_values(device):
    rnn, x = network("default", DOUBLE).on(device), inputs(4, 2, DOUBLE).requires_grad_()
    z, state = rnn(x[:2])
    later, _ = rnn(x[2:], state.detach())
    whole, _ = rnn(x)
    torch.testing.assert_close(torch.cat([z, later]), whole)
    (grad,) = torch.autograd.grad(later.sum(), x)
    assert (grad[:2] == 0).all()
    assert (grad[2:] != 0).all()


@pytest.mark.parametrize("device", CARRIED)
def test_a_second_backward_through_a_kept_graph_gives_the_same(device):
    rnn, x = network("default", DOUBLE).on(device), inputs(4, 2, DOUBLE)
    parameters = tuple(rnn.parameters())
    z, state = rnn(x)
    early = torch.autograd.grad(z[0].sum(), parameters, retain_graph=True)
    loss = z.square().sum() + state.amplitudes().imag.sum()
    first = torch.autograd.grad(loss, parameters, retain_graph=True)
    del z, state
    second = torch.autograd.grad(loss, parameters)
    for a, b in zip(first, second, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-12, atol=1e-12)

    def only_early(rnn, x):
        return rnn(x)[0][0].sum()

    expected = gradients(rnn.on("default.qubit"), only_early, x)
    for (name, _), value in zip(rnn.named_parameters(), early, strict=True):
        torch.testing.assert_close(value, expected[name], rtol=1e-9, atol=1e-9, msg=name)


def test_two_networks_in_one_graph_do_not_disturb_each_other():
    def loss(rnn, x):
        z, state = rnn(x)
        again, _ = rnn(x.flip(0) + z[..., :D].mean(), None)
        return (again * z).sum() + state.amplitudes()[:, 0].real.sum()

    assert_same_gradients(network("default", DOUBLE), "fused", loss, inputs(3, 2, DOUBLE))


@pytest.mark.parametrize("device", ["fused", "lightning.qubit"])
@pytest.mark.parametrize("dtype", [torch.float32, DOUBLE])  # whole sequences, and single steps
def test_second_derivatives_are_refused_where_there_are_none(device, dtype):
    rnn, x = network(dtype=dtype).on(device), inputs(2, 2, dtype).requires_grad_()
    with pytest.raises(DeviceError, match="no second derivatives, got True: use"):
        torch.autograd.grad(rnn(x)[0].sum(), x, create_graph=True)
    z = rnn.on("default.qubit")(x)[0]
    (grad,) = torch.autograd.grad(z.square().sum(), x, create_graph=True)
    assert torch.autograd.grad(grad.square().sum(), x)[0].abs().max() > 0


@st.composite
def circuits(draw):
    """Draw (n, ansatz, P, readout words): random gates on random wires, controls included."""
    n = draw(st.integers(1, 4))
    names = [name for name, (_, wires, _) in GATE_EXAMPLES.items() if wires <= n]
    # Weighted towards the set's own gates: those are kernels, the others only decompositions.
    chosen = st.sampled_from([name for name in names if name in GATES] * 3 + names)
    placed = draw(st.lists(st.tuples(chosen, st.permutations(range(n))), min_size=1, max_size=8))
    words = st.text("IXYZ", min_size=n, max_size=n).filter(lambda word: set(word) != {"I"})
    readout = draw(st.lists(words, min_size=1, max_size=4, unique=True))
    scales = st.sampled_from([1.0, 1.0, -0.5, 2.0])
    scales = [draw(scales) for _ in placed]
    n_angles = n + sum(GATE_EXAMPLES[name][0] for name, _ in placed)

    def function(angles, wires):
        for wire in range(n):  # each angle is used, and no wire stays |0>
            GATE_EXAMPLES["RY"][2](angles[wire : wire + 1], wires[wire])
        index = n
        for (name, order), scale in zip(placed, scales, strict=True):
            n_parameters, n_wires, queue = GATE_EXAMPLES[name]
            own = [scale * angles[i] for i in range(index, index + n_parameters)]
            queue(own, [wires[wire] for wire in order[:n_wires]])
            index += n_parameters

    return n, function, n_angles, readout


def drawn(circuit):
    n, function, n_angles, readout = circuit
    options = {"ansatz": function, "n_angles": n_angles, "readout": readout}
    rnn = QRNN(D, n, controller="linear", depth=0, **options)
    generator = torch.Generator().manual_seed(5)
    with torch.no_grad():
        for p in rnn.parameters():
            p.copy_(torch.randn(p.shape, generator=generator))
    return rnn.to(DOUBLE)


@given(circuits())
@settings(max_examples=150)
def test_random_circuits_are_the_dense_reference_and_have_backprops_gradient(circuit):
    rnn, x = drawn(circuit), inputs(2, 2, DOUBLE)
    with torch.no_grad():
        z, state = rnn(x)
    expected, psi = reference.run(rnn.cell, x)
    np.testing.assert_allclose(z, expected, rtol=0, atol=1e-10)
    np.testing.assert_allclose(state.amplitudes(), psi, rtol=0, atol=1e-10)
    expected = gradients(rnn.on("default.qubit"), weighted, x)
    for name, value in gradients(rnn, weighted, x).items():
        torch.testing.assert_close(value, expected[name], rtol=1e-9, atol=1e-9, msg=name)


@given(circuits())
@settings(max_examples=50)
def test_random_circuits_have_backprops_gradient_on_lightning(circuit):
    rnn, x = drawn(circuit), inputs(2, 1, DOUBLE)
    expected = gradients(rnn.on("default.qubit"), weighted, x)
    for name, value in gradients(rnn.on("lightning.qubit"), weighted, x).items():
        torch.testing.assert_close(value, expected[name], rtol=1e-9, atol=1e-9, msg=name)


@given(circuits())
@settings(max_examples=20)
def test_random_circuits_pass_gradcheck(circuit):
    check(drawn(circuit), inputs(3, 2, DOUBLE), fast_mode=False)


def model_of(kind, rnn, **options):
    torch.manual_seed(1)
    return kind(rnn, 3, **options).double()


LABELS = {
    SequenceClassifier: torch.tensor([0, 1, 2]),
    SequenceLabeller: torch.tensor([[2, 1, 0, 0], [0, 2, 2, 1], [1, 0, 0, 2]]),
}


@pytest.mark.parametrize("kind", LABELS)
def test_the_gradient_of_each_state_is_that_of_a_loop(kind):
    torch.manual_seed(0)
    model = model_of(kind, lstm(LSTMConfig(hidden_size=4), 2, DeviceOptions()))
    x, last = torch.rand(3, 4, 2, dtype=torch.float64), torch.tensor([0, 1, 2])
    norms = gradient_norms(model, x, LABELS[kind])
    cell, weights = torch.nn.LSTMCell(2, 4).double(), dict(model.rnn.named_parameters())
    cell.load_state_dict(
        {name.split(".")[-1].removesuffix("_l0"): value for name, value in weights.items()}
    )
    states = [(torch.zeros(3, 4).double(), torch.zeros(3, 4).double())]
    for t in range(4):
        states.append(cell(x[:, t], states[-1]))
    assert len(norms) == 3
    for t in range(3):
        start = [part.detach().requires_grad_() for part in states[t + 1]]
        state = start
        for step in range(t + 1, 4):
            state = cell(x[:, step], state)
        loss = torch.nn.functional.cross_entropy(model.head(state[0]), last, reduction="sum")
        square = sum(grad.square().sum() for grad in torch.autograd.grad(loss, start))
        assert norms[t] == pytest.approx((square / 3).sqrt().item(), rel=1e-6)


def test_the_gradient_of_the_quantum_state_is_the_same_on_two_devices():
    torch.manual_seed(0)
    model = model_of(SequenceClassifier, QRNN(2, n_qubits=2, width=4, batch_first=True))
    x, y = torch.rand(3, 5, 2, dtype=torch.float64), torch.tensor([0, 1, 2])
    here, there = (gradient_norms(model.on(name), x, y) for name in ("fused", "default.qubit"))
    assert torch.allclose(here, there, rtol=1e-6)
    assert (here > 0).all()


def words_of(k, circuits):
    """Return the words (16, 4^circuits, 4^circuits) of two qubits, those of circuit k; I first."""
    words = (
        "I" * 2 * k + a + b + "I" * 2 * (circuits - k - 1) for a, b in product("IXYZ", repeat=2)
    )
    return torch.tensor(np.stack([reference.word_matrix(word) for word in words]))


def state_of(free, forget):
    """Return amplitudes, or a product of density matrices, for any values of their parameters."""
    if not forget:
        return free[0] / free[0].norm(dim=1, keepdim=True)
    each = [words_of(k, len(free)) for k in range(len(free))]
    return reduce(
        torch.matmul,
        [
            (w[0] + torch.einsum("bk,kij->bij", r + 0j, w[1:])) / 4
            for r, w in zip(free, each, strict=True)
        ],
    )


@pytest.mark.parametrize("circuits", [1, 2])
@pytest.mark.parametrize("forget", [None, "gate"])
def test_the_gradient_of_a_state_is_that_of_its_free_parameters(forget, circuits):
    torch.manual_seed(0)
    rnn = QRNN(2, n_qubits=2 * circuits, circuits=circuits, forget=forget, width=4, layers=1)
    rnn.batch_first = True
    model = model_of(SequenceLabeller, rnn, skip=2)  # the head reads the last inputs too
    x, y = torch.rand(3, 4, 2, dtype=torch.float64), LABELS[SequenceLabeller]
    there = model.on("default.mixed" if forget else "default.qubit")
    norms, theirs = gradient_norms(model, x, y), gradient_norms(there, x, y)
    for t in range(3):
        with torch.no_grad():
            _, state = there.rnn(x[:, : t + 1])
        words = [words_of(k, circuits)[1:] for k in range(circuits if forget else 0)]
        values = [torch.einsum("bij,kji->bk", state.carried, one).real for one in words]
        z, *free = [v.clone().requires_grad_() for v in (state.z, *(values or [state.carried]))]
        start = replace(state, z=z, carried=state_of(free, forget))
        torch.testing.assert_close(start.carried, state.carried)
        rest, _ = there.rnn(x[:, t + 1 :], start)
        logits = model.head(torch.cat([rest[:, -1], x[:, -1]], 1))
        loss = torch.nn.functional.cross_entropy(logits, y[:, -1], reduction="sum")
        gradients = torch.autograd.grad(loss, [z, *free])
        of_z, *of_state = [g.abs().square().sum().item() / 3 for g in gradients]
        assert norms[t].item() ** 2 == pytest.approx(of_z + sum(of_state), rel=1e-6)
        if circuits == 1:  # else a density matrix has more parameters than a product of two
            scale = 4 if forget else 1  # the squared norm of a word
            assert theirs[t].item() ** 2 == pytest.approx(of_z + scale * of_state[0], rel=1e-6)
