"""The fused strategy's memory does not grow with T, and undoing many steps stays accurate."""

import subprocess
import sys
from dataclasses import replace
from functools import cache

import pytest
import torch

from helpers.memory_probe import B, N
from helpers.paths import TESTS, program
from helpers.problems import D, gradients, inputs
from helpers.slow import slow_but
from qrnn import QRNN

# What a state of the probe's network weighs, in complex64, and what T steps of them would.
STATE = B * 2**N * 8
SHORT, LONG = 50, 800


@cache
def peak(*arguments):
    done = subprocess.run(
        program("memory_probe", *arguments), cwd=TESTS, check=True, capture_output=True, text=True
    )
    return int(done.stdout)


def explained(steps):
    """Return the bytes that the controller, its angles and readouts keep for the backward pass.

    By the shapes of the probe's network: a step keeps x (1), [x ; z] (1 + N), the angles before
    and after the bias and their cosines and sines (4 * 2N), z (N, in the list and in its stack);
    its gradients are as large again, and some kilobytes are the autograd nodes themselves.
    """
    numbers = 1 + (1 + N) + 4 * 2 * N + 2 * N
    return steps * (2 * numbers * B * 4 + 16_384)


@pytest.mark.skipif(sys.platform != "linux", reason="reads the peak from /proc")
@pytest.mark.parametrize("how", slow_but([(), ("stepwise",)], ()))
def test_memory_of_800_steps_is_that_of_50_beyond_what_the_controller_keeps(how):
    grown = peak("fused", LONG, *how) - peak("fused", SHORT, *how)
    allowed = explained(LONG - SHORT)
    assert allowed < 0.2 * (LONG - SHORT) * STATE  # else the states could hide in it
    assert grown - allowed < 0.1 * peak("fused", SHORT, *how)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="reads the peak from /proc")
def test_the_measurement_shows_states_that_are_kept():
    # 200 steps are enough: half a megabyte of state a step.
    grown = peak("fused", 200, "stepwise", "keep") - peak("fused", SHORT, "stepwise")
    assert grown > 0.9 * (200 - SHORT) * STATE
    assert grown - explained(200 - SHORT) > 0.1 * peak("fused", SHORT, "stepwise")


def calm(dtype):
    """Return a network as a new one is: it does not amplify rounding, so that only undoing does."""
    torch.manual_seed(1)
    return QRNN(D, 5).to(dtype)


@pytest.fixture(scope="module")
def long_run():
    """Return the last state, the start state undone and the gradient after 800 steps, by dtype."""
    runs = {}
    for dtype in (torch.float32, torch.float64):
        rnn, x = calm(dtype), inputs(LONG, 3, dtype)
        start = rnn.cell.start(3, x)
        z, state = rnn(x, start)
        (z[-1].square().sum() + z.mean()).backward()
        undone = replace(start.carried, psi=start.carried.snapshot.psi())
        gradient = torch.cat([p.grad.flatten() for p in rnn.parameters()])
        runs[dtype] = state.amplitudes().detach(), rnn.cell.memory.amplitudes(undone), gradient
    return runs


def relative(value, exact):
    return ((value.to(exact.dtype) - exact).norm() / exact.norm()).item()


def test_undoing_800_steps_returns_to_the_start_state(long_run):
    exact = torch.eye(2**5, dtype=torch.complex128)[0].expand(3, -1)
    for dtype, tolerance in ((torch.float32, 1e-3), (torch.float64, 1e-11)):
        last, undone, _ = long_run[dtype]
        assert relative(last, exact) > 0.1  # it did move
        assert 0 < relative(undone, exact) < tolerance


def test_state_and_gradient_of_800_steps_in_float32_are_those_of_float64(long_run):
    (state, _, gradient), (exact_state, _, exact_gradient) = long_run.values()
    assert relative(state, exact_state) < 1e-3
    assert relative(gradient, exact_gradient) < 1e-3


@pytest.mark.slow
def test_the_float64_gradient_of_200_steps_is_that_of_backpropagation():
    rnn, x = calm(torch.float64), inputs(200, 2, torch.float64)

    def loss(rnn, x):
        return rnn(x)[0].square().mean()

    expected = gradients(rnn.on("default.qubit"), loss, x)
    for name, value in gradients(rnn, loss, x).items():
        assert relative(value, expected[name]) < 1e-10, name
