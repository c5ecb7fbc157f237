"""The fast path against the dense reference, finite differences and its own limits."""

import os
import subprocess
import sys

import pytest
import torch

from helpers.neuron_reference import assert_close, cell_of, gradients, run, tokens
from helpers.paths import TESTS, program
from qrnn.errors import DeviceError, NumericsError
from qrnn.neurons import QuantumNeuronCell, recurrence
from qrnn.neurons.recurrence import Recurrence
from qrnn.neurons.transfer import HEADROOM

ACTIVE = torch.tensor([[1, 1, 1, 1], [1, 0, 1, 1], [1, 1, 1, 0]]).bool()


@pytest.fixture(params=["all states", "some states"])
def kept(request, monkeypatch):
    if request.param == "some states":
        monkeypatch.setattr(recurrence, "KEEP_BYTES", 0)


@pytest.mark.parametrize("order", [1, 2, 3])
@pytest.mark.parametrize("degree", [1, 2, 3])
@pytest.mark.parametrize(("w", "io", "stages"), [(2, 2, 1), (3, 1, 0), (1, 2, 2)])
def test_values_and_gradients_are_those_of_dense_matrices(w, io, stages, order, degree):
    cell = cell_of(w, io, stages, order, degree)
    x, targets = tokens(io, 3, 4)
    p, share, psi = run(cell, x, targets, ACTIVE)
    log_p, state = cell.sequence(x, None, ACTIVE, targets)
    assert_close(log_p.exp(), p)
    assert_close(state.carried[0], psi)
    torch.testing.assert_close(cell.kept, share, rtol=1e-10, atol=0, equal_nan=True)
    a, b = torch.randn_like(p), torch.randn_like(psi)
    expected = gradients(cell, (p.log() * a).sum() + (psi * b).sum())
    got = gradients(cell, (log_p * a).sum() + (state.carried[0] * b).sum())
    assert expected.abs().max() > 0.1
    torch.testing.assert_close(got, expected, rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize("active", [None, "some"])
@pytest.mark.parametrize("steps", [1, 5])
def test_the_autograd_function_passes_gradcheck(active, steps, kept):
    values, w, classes, batch = 3, 2, 2, 3
    matrices = torch.randn(values, w, classes, w, dtype=torch.float64, requires_grad=True)
    start = torch.randn(batch, w, dtype=torch.float64)
    start = (start / start.norm(dim=1, keepdim=True)).requires_grad_()
    x = torch.randint(values, (steps, batch))
    targets = torch.randint(classes, (steps, batch))
    moving = None if active is None else torch.rand(steps, batch) < 0.6

    def function(matrices, start):
        return Recurrence.apply(matrices, start, x, targets, None, moving)[:2]

    assert torch.autograd.gradcheck(function, (matrices, start))


def test_second_derivatives_are_refused():
    cell = cell_of(2, 1, 1, 1, 2)
    x, targets = tokens(1, 3, 2)
    with pytest.raises(DeviceError, match="no second derivatives, got True: use"):
        torch.autograd.grad(
            cell.sequence(x, None, None, targets)[0].sum(), cell.theta, create_graph=True
        )


def test_probabilities_keep_their_precision_under_autocast():
    cell = cell_of(2, 1, 1, 1, 2).float()
    x, targets = tokens(1, 3, 2)
    log_p, _ = cell.sequence(x, None, None, targets)
    with torch.autocast("cpu", torch.bfloat16):
        torch.testing.assert_close(cell.sequence(x, None, None, targets)[0], log_p, rtol=0, atol=0)


def test_gradients_reach_the_start_state_through_calls(kept):
    cell = cell_of(2, 1)
    x, targets = tokens(1, 6, 3)
    whole, _ = cell.sequence(x, targets=targets)
    _, state = cell.sequence(x[:4], targets=targets[:4])
    second, _ = cell.sequence(x[4:], state, targets=targets[4:])
    last = slice(-1, None)
    one, two = gradients(cell, whole[last].sum()), gradients(cell, second[last].sum())
    assert_close(one, two)
    cut, _ = cell.sequence(x[4:], state.detach(), targets=targets[4:])
    assert (gradients(cell, cut[last].sum()) - one).abs().max() > 1e-3


def test_keeping_some_states_changes_no_gradient(monkeypatch):
    cell = cell_of(3, 2)
    x, targets = tokens(2, 23, 5)
    active = torch.rand(23, 5) < 0.8

    def gradient():
        log_p, _ = cell.sequence(x, None, active, targets)
        return gradients(cell, log_p.gather(2, targets[..., None]).sum())

    expected = gradient()
    monkeypatch.setattr(recurrence, "KEEP_BYTES", 0)
    assert_close(gradient(), expected, atol=1e-9)


@pytest.mark.parametrize(("w", "stages", "order"), [(7, 2, 3), (4, 12, 2), (2, 1, 5)])
def test_single_precision_is_enough_for_many_neurons(w, stages, order):
    """The neurons' weights alone would underflow: 2^(1 - 2^k) a neuron, squared."""
    cell = cell_of(w, 2, stages, order, 2, spread=0.1)
    x, targets = tokens(2, 20, 4)
    exact, _ = cell.sequence(x, targets=targets)
    expected = gradients(cell, exact.gather(2, targets[..., None]).mean())
    single = cell.float()
    log_p, _ = single.sequence(x, targets=targets)
    got = gradients(single, log_p.gather(2, targets[..., None]).mean())
    assert log_p.dtype == torch.float32
    assert_close(log_p.double(), exact, atol=2e-3)
    assert (got.double() - expected).norm() < 2e-3 * expected.norm()


def test_a_columns_size_may_be_far_below_the_largest():
    """A state of shrunk amplitudes alone: its square would underflow without headroom."""
    matrices = torch.tensor([[1.0, 1e-33]]).reshape(1, 2, 1, 1).expand(1, 2, 2, 2)
    psi = torch.tensor([[0.0, 1.0]])
    zero = torch.zeros(1, 1, dtype=torch.long)
    log_p, last, _, _ = Recurrence.apply(matrices * HEADROOM, psi, zero, zero, None, None)
    assert_close(log_p.exp(), torch.full((1, 1, 2), 0.5), atol=1e-6)
    assert_close(last.norm(dim=1), torch.ones(1), atol=1e-6)
    scaled = QuantumNeuronCell(3, 2).transfer().matrices
    assert_close(
        (scaled / HEADROOM).flatten(2).norm(dim=2).amax(1).detach(), torch.ones(4), atol=1e-5
    )


def test_a_target_of_probability_zero_is_named_by_its_step():
    cell = cell_of(2, 1)
    with torch.no_grad():  # the output neuron leaves in/out at 0: eta = 0
        cell.theta[-1] = -torch.pi / 2
        cell.phi[-1] = 0
    x = torch.zeros(4, 2, dtype=torch.long)
    targets = x.clone()
    cell.sequence(x, targets=targets)
    targets[2, 1] = 1
    with pytest.raises(NumericsError, match="at step 2"):
        cell.sequence(x, targets=targets)


def saved_bytes(cell, steps, batch):
    sizes = {}

    def pack(tensor):
        sizes[tensor.data_ptr()] = tensor.numel() * tensor.element_size()
        return tensor

    x, targets = tokens(cell.definition.in_out, steps, batch)
    matrices = cell.transfer().matrices.detach().requires_grad_()
    psi = cell.start(batch).carried[0]
    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        Recurrence.apply(matrices, psi, x, targets, None, None)
    return sum(sizes.values()) - matrices.numel() * matrices.element_size()


def test_a_step_keeps_one_workspace_state_and_two_tokens(monkeypatch):
    cell, steps, batch = QuantumNeuronCell(6, 3), 144, 4
    state, tokens_of_a_step = batch * 2**6 * 4, 2 * batch * 8
    assert saved_bytes(cell, steps, batch) == steps * (state + tokens_of_a_step)
    monkeypatch.setattr(recurrence, "KEEP_BYTES", 0)
    assert saved_bytes(cell, steps, batch) == 12 * state + steps * tokens_of_a_step


@pytest.mark.skipif(sys.platform != "linux", reason="reads the peak from /proc")
@pytest.mark.slow
def test_the_peak_does_not_hold_the_states_of_all_steps():
    # A fixed threshold: else what glibc keeps of freed memory is chance.
    env = {**os.environ, "MALLOC_MMAP_THRESHOLD_": "65536"}
    done = subprocess.run(
        program("neuron_memory_probe"),
        cwd=TESTS,
        check=True,
        capture_output=True,
        text=True,
        env=env,
    )
    grown, full = map(int, done.stdout.split())
    assert grown < 0.5 * full
