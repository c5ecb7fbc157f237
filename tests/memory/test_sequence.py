"""Whole sequences inside the fused kernels: what the cell does step by step, in float64.

Most tests run with amplitudes, with density matrices, and with those of which few are kept.
"""

import math

import numba
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from helpers.losses import everything
from helpers.problems import CONTROLLERS, D, gradients, inputs, network
from qrnn import QRNN, Controller
from qrnn.errors import DeviceError, NumericsError
from qrnn.memory.fused_density import DensitySequenceNode
from qrnn.memory.fused_sequence import SequenceNode
from qrnn.memory.kernels.cpu import controller as controller_kernels
from qrnn.memory.kernels.cpu import density_kernels
from qrnn.memory.kernels.cpu.jit import OPTIONS
from qrnn.memory.kernels.cpu.simd import LANES, load, store

B = LANES + 3  # a full block and a padded one


@pytest.fixture(params=["pure", "noisy", "noisy, few states kept"])
def noise(request, monkeypatch):
    """The options of the fused device."""
    if request.param == "noisy, few states kept":
        monkeypatch.setattr(density_kernels, "MOST_KEPT", 0)
    return {} if request.param == "pure" else {"noise": "amplitude_damping", "strength": 0.05}


def pair(problem="default", noise=None, **changes):
    """Return a calm network in single precision, and the same one step by step in double."""
    quick = network(problem, **changes)
    if noise:
        quick = quick.on("fused", **noise)
    with torch.no_grad():
        for p in quick.parameters():
            p.mul_(0.4)  # large weights amplify rounding, and then nothing can be compared
    exact = network(problem, torch.float64, **changes)
    if noise:
        exact = exact.on("fused", **noise)
    exact.load_state_dict(quick.state_dict())
    exact.cell.register_forward_hook(lambda *_: None)
    return quick, exact


def agree(quick, exact, loss, *given, tolerance=3e-5):
    """Compare values and all gradients; `loss` maps a network and its inputs to a number."""
    found = gradients(quick, loss, *given)
    wanted = gradients(exact, loss, *[x.double() for x in given])
    for name, value in wanted.items():
        scale = max(1.0, value.abs().max().item())
        assert (found[name].double() - value).abs().max() < tolerance * scale, name


@pytest.fixture
def counted(monkeypatch):
    """Count the sequences that go through the kernels."""
    calls = []
    for node in (SequenceNode, DensitySequenceNode):

        def counting(*given, apply=node.apply):
            calls.append(1)
            return apply(*given)

        monkeypatch.setattr(node, "apply", counting)
    return calls


@pytest.mark.parametrize("name", CONTROLLERS)
@pytest.mark.parametrize("ragged", [False, True])
def test_every_controller_has_the_values_and_gradients_of_torch(name, ragged, counted, noise):
    quick, exact = pair(noise=noise, **CONTROLLERS[name])
    x = inputs(7, B)
    lengths = torch.tensor([1 + i % 7 for i in range(B - 1)] + [7]) if ragged else None
    np.testing.assert_allclose(
        quick(x, lengths=lengths)[0].detach(),
        exact(x.double(), lengths=lengths)[0].detach(),
        atol=1e-5,
    )
    agree(quick, exact, lambda rnn, x: everything(rnn, x, lengths), x)
    assert len(counted) == 2


@pytest.mark.parametrize(
    "problem",
    [
        "strongly entangling",
        "CRX on a ring",
        "affine function",
        "a part fed back",
    ],
)
def test_every_ansatz_has_the_gradients_of_the_steps(problem, counted, noise):
    quick, exact = pair(problem, noise)
    agree(quick, exact, everything, inputs(5, B))
    assert len(counted) == 1


def test_more_steps_than_are_gathered_for_the_weights(counted, noise):
    quick, exact = pair(noise=noise)
    agree(quick, exact, everything, inputs(2 * controller_kernels.LANES + 5, 2), tolerance=1e-4)
    assert counted


def test_a_sequence_in_three_parts_is_one(counted, noise):
    quick, exact = pair(noise=noise)

    def in_parts(rnn, x):
        first, state = rnn(x[:2])
        second, state = rnn(x[2:3], state)
        third, state = rnn(x[3:], state)
        return torch.cat([first, second, third]).sin().sum() + state.z.sum()

    agree(quick, exact, in_parts, inputs(6, 3))
    assert len(counted) == 3


def test_steps_and_sequences_can_follow_each_other(noise):
    quick, exact = pair(noise=noise)

    def mixed(rnn, x):
        z, state = rnn.cell(x[0])
        middle, state = rnn(x[1:4], state)
        last, state = rnn.cell(x[4], state)
        return z.sum() + middle.sin().sum() + last.square().sum()

    agree(quick, exact, mixed, inputs(5, 3))


def test_a_loss_on_an_early_state_and_two_continuations_of_one_state(noise):
    quick, exact = pair(noise=noise)

    def branched(rnn, x):
        _z, state = rnn(x[:2])
        left, _ = rnn(x[2:4], state)
        right, _ = rnn(x[3:], state)
        return state.amplitudes().abs()[:, 1].sum() + left.sum() + right.square().sum()

    agree(quick, exact, branched, inputs(5, 3))

    def early_alone(rnn, x):
        z, state = rnn(x[:2])
        rnn(x[2:], state)  # its backward never runs
        return z.sum() + state.amplitudes().abs()[:, 0].sum()

    agree(quick, exact, early_alone, inputs(5, 3))


def test_a_second_backward_gives_the_same_gradient(noise):
    quick, _ = pair(noise=noise)
    x = inputs(4, 3)
    z, _ = quick(x)
    loss = z.sin().sum()
    first = torch.autograd.grad(loss, list(quick.parameters()), retain_graph=True)
    second = torch.autograd.grad(loss, list(quick.parameters()))
    for a, b in zip(first, second, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-5)


def test_readouts_changed_in_place_before_the_backward_pass_are_an_error(noise):
    quick, _ = pair(noise=noise)
    z, _ = quick(inputs(4, 3))
    loss = z.square().sum()
    with torch.no_grad():
        z[0] = 0
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        loss.backward()


@pytest.mark.parametrize("read", [[0], [0, 1, 2]])
def test_a_loop_may_fill_its_input_buffer_anew_before_the_backward_pass(read, noise):
    quick, _ = pair(noise=noise)
    x, buffer = inputs(6, 3), torch.empty(2, 3, D)

    def loss(rnn, reuse):
        z, state = [], None
        for part in x.split(2):
            z_part, state = rnn(buffer.copy_(part) if reuse else part, state)
            z.append(z_part)
        buffer.zero_()
        return sum(z[i].square().sum() for i in read)

    wanted = gradients(quick, lambda rnn: loss(rnn, reuse=False))
    for name, value in gradients(quick, lambda rnn: loss(rnn, reuse=True)).items():
        torch.testing.assert_close(value, wanted[name], rtol=0, atol=0, msg=name)


def test_later_readouts_changed_in_place_before_an_early_backward_pass_are_an_error():
    quick, _ = pair()
    x = inputs(4, 3)
    z, state = quick(x[:2])
    later, _ = quick(x[2:], state)
    del state  # so that its amplitudes have to be recomputed
    later.detach().zero_()
    with pytest.raises(DeviceError, match="by an inplace operation: modify z") as e:
        z.sum().backward()
    assert "\n" not in str(e.value)


@pytest.mark.parametrize("stepwise", [False, True])
def test_a_mask_may_be_written_over_before_the_backward_pass(stepwise, noise):
    rnn, x = network().on("fused", **noise), inputs(4, LANES)
    if stepwise:
        rnn.cell.register_forward_hook(lambda *_: None)

    def loss(rnn, spoil):
        active = torch.arange(4 * LANES).reshape(4, LANES) % 3 > 0
        z, _ = rnn.cell.sequence(x, None, active)
        if spoil:
            active.logical_not_()
        return z.square().sum()

    wanted = gradients(rnn, lambda rnn: loss(rnn, spoil=False))
    for name, value in gradients(rnn, lambda rnn: loss(rnn, spoil=True)).items():
        torch.testing.assert_close(value, wanted[name], rtol=0, atol=0, msg=name)


@pytest.mark.parametrize("of", ["cell", "readout_noise"])
@pytest.mark.parametrize("kind", ["forward", "forward_pre", "full_backward", "full_backward_pre"])
def test_a_hook_sees_every_step(kind, of, counted):
    rnn, x, calls = network(), inputs(3, 2).requires_grad_(), []
    module = rnn.cell if of == "cell" else rnn.cell.readout_noise
    getattr(module, f"register_{kind}_hook")(lambda *_: calls.append(1))
    rnn(x)[0].sum().backward()
    assert (len(calls), counted) == (3, [])


@pytest.mark.parametrize(("at", "sizes"), [(0, (D, 6)), (0, (D + 30, 6)), (2, (4, 12))])
def test_a_layer_that_does_not_fit_is_the_error_that_torch_has_for_it(at, sizes):
    rnn = network()
    rnn.cell.controller[at] = nn.Linear(*sizes)
    with pytest.raises(RuntimeError, match="shapes cannot be multiplied"):
        rnn(inputs(3, 2))


def test_readout_noise_has_its_mean_and_variance_and_feeds_back(noise):
    quick, _ = pair(noise=noise, readout_shots=50, readout_depolarizing=0.2)
    x = inputs(1, 1).expand(2, 20_000, 2).contiguous()
    exact, _ = quick.eval()(x)
    torch.manual_seed(0)
    noisy, _ = quick.train()(x)
    mean, variance = 0.8 * exact[0, 0], (1 - (0.8 * exact[0, 0]) ** 2) / 50
    assert ((noisy[0].mean(0) - mean).abs() < 5 * (variance / 20_000).sqrt()).all()
    torch.testing.assert_close(noisy[0].var(0), variance, rtol=0.05, atol=1e-5)
    assert (noisy[1].var(0) - noisy[0].var(0)).abs().max() > 1e-4  # the second saw the first


def test_the_gradient_under_depolarizing_readouts_is_that_of_the_steps(noise):
    quick, exact = pair(noise=noise, readout_depolarizing=0.3)
    agree(quick.train(), exact.train(), everything, inputs(4, 3))


@pytest.mark.parametrize("stepwise", [False, True])
def test_what_pads_a_sequence_reaches_neither_values_nor_gradients(stepwise, noise):
    rnn, x, lengths = network().on("fused", **noise), inputs(4, 3), torch.tensor([4, 2, 3])
    if stepwise:
        rnn.cell.register_forward_hook(lambda *_: None)
    padded = x.clone()
    padded[2:, 1], padded[3:, 2] = math.nan, math.inf
    wanted = gradients(rnn, lambda rnn, x: everything(rnn, x, lengths), x)
    found = gradients(rnn, lambda rnn, x: everything(rnn, x, lengths), padded)
    for name, value in wanted.items():
        torch.testing.assert_close(found[name], value, rtol=0, atol=0, msg=name)


class Own(Controller):
    """A user's subclass may do anything in forward."""

    def forward(self, seen):
        return 2 * super().forward(seen)


@pytest.mark.parametrize("why", ["hook", "subclass", "dropout", "double", "nonlinear function"])
def test_what_the_kernels_cannot_do_goes_step_by_step(why, counted):
    rnn = network(
        "nonlinear function" if why == "nonlinear function" else "default", controller_dropout=0.5
    )
    rnn.train() if why == "dropout" else rnn.eval()
    x = inputs(3, 2)
    if why == "hook":
        rnn.cell.controller[0].register_forward_hook(lambda m, i, o: 0 * o)
    elif why == "subclass":
        rnn.cell.controller.__class__ = Own
    elif why == "double":
        rnn, x = rnn.double(), x.double()
    rnn(x)
    assert not counted
    torch.manual_seed(1)
    z, _ = rnn(x)
    torch.manual_seed(1)
    state, steps = None, []
    for now in x:
        z_t, state = rnn.cell(now, state)
        steps.append(z_t)
    torch.testing.assert_close(z, torch.stack(steps), rtol=0, atol=0)


@pytest.mark.parametrize("stepwise", [False, True])
@pytest.mark.parametrize("value", [3e38, -3e38])
@pytest.mark.parametrize("device", ["fused", "default.qubit"])
def test_an_angle_that_is_no_number_is_an_error_that_names_the_step(stepwise, value, device):
    rnn = QRNN(2, 2, width=3, controller="linear").on(device)
    if stepwise:
        rnn.cell.register_forward_hook(lambda *_: None)
    with torch.no_grad():
        rnn.cell.controller[0].weight.mul_(100)  # which makes infinity of it
    x = inputs(6, 3)
    _, state = rnn(x[:2])
    x[4, 1, 0] = value
    with pytest.raises(NumericsError, match="must be finite, got NaN or infinity at step 4: lower"):
        rnn(x[2:], state)


@numba.njit(**OPTIONS)
def evaluate(name, x, out, second):
    """Write one of the elementary functions of x."""
    for at in range(0, x.size, LANES):
        v = load(x, at)
        if name == 0:
            store(out, at, controller_kernels.exp(v))
        elif name == 1:
            c, s = controller_kernels.cos_sin(v)
            store(out, at, c)
            store(second, at, s)
        elif name == 2:
            store(out, at, controller_kernels.normal_cdf(v))
        else:
            store(out, at, controller_kernels.sigmoid(v))


@settings(max_examples=50, deadline=None)
@given(st.lists(st.floats(-60, 60, width=32), min_size=LANES, max_size=LANES))
def test_elementary_functions_are_those_of_the_library(values):
    x = np.array(values, np.float32)
    out, second, exact = np.empty_like(x), np.empty_like(x), x.astype(float)
    evaluate(0, x, out, second)
    np.testing.assert_allclose(out, np.exp(exact), rtol=1e-6)
    evaluate(1, 40 * x, out, second)
    np.testing.assert_allclose(out, np.cos((40 * x).astype(float)), atol=2e-7)
    np.testing.assert_allclose(second, np.sin((40 * x).astype(float)), atol=2e-7)
    evaluate(2, x, out, second)
    expected = [0.5 * math.erfc(-v / math.sqrt(2)) for v in exact]
    np.testing.assert_allclose(out, expected, atol=3e-7)
    evaluate(3, x, out, second)
    np.testing.assert_allclose(out, 1 / (1 + np.exp(-exact)), atol=2e-7)


@pytest.mark.parametrize("device", ["fused", "default.qubit"])
def test_without_feedback_the_angles_depend_on_the_input_alone(device):
    rnn, x = network(feedback=False).on(device), inputs(3, 2)
    assert rnn.cell.controller[0].in_features == x.shape[2]
    with torch.no_grad():
        z, _ = rnn(x)
        theta = rnn.cell.controller(x.transpose(0, 1))
        assert torch.allclose(rnn.cell.memory.run(theta).transpose(0, 1), z, atol=1e-5)
