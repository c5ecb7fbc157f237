"""One suite over every device and strategy: the same weights give the same readouts."""

import copy
from itertools import cycle

import numpy as np
import pytest
import torch
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from helpers import reference
from helpers.problems import PROBLEMS, gradients, inputs, network, solution
from helpers.slow import slow_but
from qrnn.devices.noise import MODELS

SHOTS = 4000
EXACT = {
    "fused": {},
    "fused densities": {"noise": "amplitude_damping", "strength": 0.0},
    "fused trajectories": {"noise": "depolarizing", "strength": 0.0, "trajectories": 2},
    "default.qubit carried": {},
    "default.qubit replayed": {},
    "default.mixed carried": {},
    "default.mixed replayed": {},
    "lightning.qubit carried": {},
    "lightning.qubit replayed": {},
    "lightning.kokkos carried": {},
    "lightning.kokkos replayed": {},
    "reference.qubit replayed": {},
}
SAMPLED = {
    "default.qubit": {"seed": 1},
    "default.mixed": {"seed": 1},
    "lightning.qubit": {"seed": 1},
    "lightning.kokkos": {},
    "reference.qubit": {},
    "aer": {"seed": 1},
}
EVERY = [*EXACT, *SAMPLED, "fake_manila"]
LENGTHS = (3, 1, 2)
TOLERANCE = {torch.float32: 1e-5, torch.float64: 1e-10}


def on(rnn, label):
    """Return the network on one of the devices above."""
    name, _, strategy = label.partition(" ")
    if label in EXACT:
        return rnn.on(name, **(EXACT[label] or {"strategy": strategy or None}))
    if name == "aer":  # the IBM device over the ideal Aer simulator: no noise, but IBM's own path
        pytest.importorskip("qiskit_aer")
    if name.startswith("fake_"):
        pytest.importorskip("qiskit_ibm_runtime")
        return rnn.on(name, shots=SHOTS, seed=1)
    return rnn.on(name, shots=SHOTS, **SAMPLED[name])


def tolerance_of(z, shots=SHOTS):
    """Return five standard errors of a mean of +-1, with Bernstein's term for z near +-1."""
    return 5 * np.sqrt(np.clip(1 - z**2, 0, 1) / shots) + 25 * 2 / (3 * shots)


def assert_conforms(rnn, z, x, lengths=None, label="", tolerance=1e-5):
    """Compare with the dense reference: exactly, or step by step within five standard errors.

    For a sampling device the reference's controller sees the readouts that the device measured, so
    that each step is an independent test of its mean, not of where noise has led the recurrence.
    """
    if label in EXACT:
        expected, _ = reference.run(rnn.cell, x, lengths)
        np.testing.assert_allclose(z.detach(), expected, rtol=0, atol=tolerance)
        return
    with torch.no_grad():
        expected, _ = reference.run(rnn.cell, x, lengths, feedback=z)
    error = np.abs(z.detach().numpy() - expected)
    if label == "fake_manila":  # two-qubit errors of 1% and readout errors of 3%, stated bound
        assert np.sqrt((error**2).mean()) < 0.2
        return
    assert (error <= tolerance_of(expected)).all()
    assert error.max() > 1e-6  # it did sample


# Single precision takes the same path: two of its problems are enough but before a release.
BOTH_PRECISIONS = [
    *[(problem, torch.float64) for problem in PROBLEMS],
    *[
        pytest.param(*problem.values, torch.float32, marks=problem.marks)
        for problem in slow_but(PROBLEMS, "default", "glu")
    ],
]


@pytest.mark.core
@pytest.mark.parametrize("label", EXACT)
@pytest.mark.parametrize(("problem", "dtype"), BOTH_PRECISIONS)
def test_an_exact_device_agrees_with_the_dense_reference(label, problem, dtype):
    rnn, x = network(problem, dtype), inputs(dtype=dtype)
    with torch.no_grad():
        z, _ = on(rnn, label)(x)
    assert z.dtype == dtype
    np.testing.assert_allclose(z, solution(problem)[0], rtol=0, atol=TOLERANCE[dtype])


@pytest.mark.core
@pytest.mark.parametrize("label", [*SAMPLED, "fake_manila"])
@pytest.mark.parametrize("problem", ["default", "affine function", "CRX on a ring", "every gate"])
def test_a_sampling_device_agrees_within_five_standard_errors(label, problem):
    rnn, x = network(problem), inputs()
    with torch.no_grad():
        z, _ = on(rnn, label)(x)
    assert_conforms(rnn, z, x, label=label)


@pytest.mark.parametrize("label", EVERY)
def test_padded_steps_move_neither_the_state_nor_the_feedback(label):
    rnn, x = network(), inputs()
    with torch.no_grad():
        z, state = on(rnn, label)(x, lengths=torch.tensor(LENGTHS))
        garbage = x.clone()
        garbage[1:, 1] = torch.nan
    assert_conforms(rnn, z, x, LENGTHS, label)
    for b, length in enumerate(LENGTHS):
        assert (z[length:, b] == 0).all()
        torch.testing.assert_close(state.z[b], z[length - 1, b], rtol=0, atol=0)
    if label in EXACT:
        with torch.no_grad():
            again, _ = on(rnn, label)(garbage, lengths=torch.tensor(LENGTHS))
        torch.testing.assert_close(again, z, rtol=0, atol=1e-6)


@pytest.mark.parametrize("label", EVERY)
def test_two_halves_with_the_state_passed_on_are_the_whole(label):
    rnn, x = network(), inputs(4, 2)
    device = on(rnn, label)
    with torch.no_grad():
        first, state = device(x[:1], lengths=None)
        second, _ = device(x[1:], state, lengths=torch.tensor([3, 2]))
    assert_conforms(rnn, torch.cat([first, second]), x, (4, 3), label)


@pytest.mark.parametrize("label", EXACT)
def test_sequences_that_paused_go_on_from_where_they_stopped(label):
    rnn, x = network(), inputs(4, 3)
    device = on(rnn, label)
    with torch.no_grad():
        first, state = device(x[:2], lengths=torch.tensor([2, 1, 2]))
        second, _ = device(x[2:], state, lengths=torch.tensor([2, 2, 1]))
        alone, _ = device(x[[0, 2, 3], 1:2])  # sequence 1 as if it had never paused
    torch.testing.assert_close(first[:1, 1], alone[:1, 0], rtol=0, atol=1e-5)
    torch.testing.assert_close(second[:, 1], alone[1:, 0], rtol=0, atol=1e-5)


@pytest.mark.parametrize("label", [*EXACT, "default.qubit", "fake_manila"])
def test_a_packed_sequence_gives_what_lengths_give(label):
    rnn, x = network(), inputs()
    lengths = torch.tensor([1, 3, 2])  # not sorted
    packed = pack_padded_sequence(x, lengths, enforce_sorted=False)
    with torch.no_grad():
        z, state = on(rnn, label)(packed)
    out, got = pad_packed_sequence(z)
    assert got.tolist() == lengths.tolist()
    assert_conforms(rnn, out, x, lengths, label)
    torch.testing.assert_close(state.z, out[lengths - 1, torch.arange(3)], rtol=0, atol=0)


@pytest.mark.parametrize("label", ["fused", "default.qubit carried", "lightning.qubit carried"])
@pytest.mark.parametrize("dtype", TOLERANCE, ids=str)
def test_amplitudes_are_those_of_the_dense_reference(label, dtype):
    rnn, x = network(dtype=dtype), inputs(dtype=dtype)
    with torch.no_grad():
        _, state = on(rnn, label)(x, lengths=torch.tensor(LENGTHS))
    _, psi = solution("default", LENGTHS)
    np.testing.assert_allclose(state.amplitudes(), psi, rtol=0, atol=TOLERANCE[dtype])


@pytest.mark.parametrize("label", ["default.mixed carried", "fused densities"])
def test_density_matrices_are_those_of_the_dense_reference(label):
    with torch.no_grad():
        _, state = on(network(), label)(inputs(), lengths=torch.tensor(LENGTHS))
    _, psi = solution("default", LENGTHS)
    rho = psi[:, :, None] * psi[:, None, :].conj()
    np.testing.assert_allclose(state.amplitudes(), rho, rtol=0, atol=1e-5)


@pytest.mark.parametrize("dtype", TOLERANCE, ids=str)
@pytest.mark.parametrize(("problem", "noise"), zip(PROBLEMS, cycle(MODELS)))
def test_fused_noise_is_that_of_default_mixed_with_its_gradient(problem, noise, dtype):
    rnn, x, found = network(problem, dtype), inputs(dtype=dtype), []
    for device in ("fused", "default.mixed"):
        noisy = rnn.on(device, noise=noise, strength=0.1)
        z, state = noisy(x, lengths=torch.tensor(LENGTHS))
        slopes = gradients(noisy, lambda net, x: net(x)[0].square().mean(), x)
        found.append((z.detach(), state.amplitudes().detach(), slopes))
    for ours, theirs in zip(*found, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=0, atol=TOLERANCE[dtype])


@pytest.mark.parametrize("label", EVERY)
def test_the_state_dict_is_the_same_on_every_device_and_loads_on_every_other(label):
    saved = network().state_dict()
    target = on(network(), label)
    assert list(target.state_dict()) == list(saved)
    with torch.no_grad():
        for p in target.parameters():
            p.zero_()
    target.load_state_dict(saved)
    for name, value in target.state_dict().items():
        torch.testing.assert_close(value, saved[name], rtol=0, atol=0)
    with torch.no_grad():
        z, _ = target(inputs(2, 2))
    assert_conforms(target, z, inputs(2, 2), label=label)


@pytest.mark.parametrize("label", EXACT)
def test_a_batch_larger_than_one_block_of_lanes_is_the_same_sequences(label):
    rnn, x = network("glu"), inputs(2, 19)
    with torch.no_grad():
        z, _ = on(rnn, label)(x)
    assert_conforms(rnn, z, x, label=label)


@pytest.mark.parametrize("label", EXACT)
def test_weights_changed_after_the_move_are_seen_on_the_device(label):
    rnn, x = network(), inputs()
    device = on(rnn, label)
    with torch.no_grad():
        for p in rnn.parameters():
            p.mul_(0.5).add_(0.1)
        z, _ = device(x)
    assert_conforms(rnn, z, x, label=label)


@pytest.mark.parametrize("label", EXACT)
def test_a_deep_copy_is_independent_of_the_original(label):
    rnn, x = on(network(), label), inputs()
    clone = copy.deepcopy(rnn)
    with torch.no_grad():
        before, _ = rnn(x)
        for p in clone.parameters():
            p.mul_(0.5)
        after, _ = rnn(x)
        z, _ = clone(x)
    torch.testing.assert_close(after, before, rtol=0, atol=0)
    assert_conforms(clone, z, x, label=label)


@pytest.mark.parametrize("label", EVERY)
def test_the_open_loop_runs_given_angles_and_never_the_controller(label):
    rnn = on(network("affine function"), label)
    controls = torch.randn(2, 3, rnn.cell.circuit.n_angles)
    rnn.cell.controller = None
    with torch.no_grad():
        z = rnn.cell.memory.run(controls)
    error = np.abs(z.numpy() - (expected := reference.open_loop(rnn.cell, controls)))
    if label == "fake_manila":
        assert np.sqrt((error**2).mean()) < 0.2
    else:
        assert (error <= (1e-5 if label in EXACT else tolerance_of(expected))).all()
