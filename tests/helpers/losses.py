"""Losses on a network and its inputs: on readouts, on states, on parts of a sequence."""

import torch

LOSSES = {}


def loss_on(function):
    LOSSES[function.__name__.replace("_", " ")] = function
    return function


@loss_on
def an_early_step_only(rnn, x):
    return rnn(x)[0][0].sum()


@loss_on
def two_steps_that_are_not_the_last(rnn, x):
    z, _ = rnn(x)
    return z[1].square().sum() + z[0].sum()


@loss_on
def the_final_amplitudes(rnn, x):
    _, state = rnn(x)
    psi = state.amplitudes()
    return psi.abs().square()[:, ::3].sum() + (psi[:, 1].real * psi[:, 2].imag).sum()


@loss_on
def amplitudes_of_each_step_and_readouts(rnn, x):
    state, total = None, 0
    for x_t in x:
        z, state = rnn(x_t[None], state)
        total = total + state.amplitudes()[:, 1:3].imag.sum() + z.square().sum()
    return total


@loss_on
def two_branches_from_one_state(rnn, x):
    _, state = rnn(x[:2])
    left, _ = rnn(x[2:], state)
    right, _ = rnn(-x[1:], state)
    return left.square().sum() + 3 * right[-1].sum() + state.amplitudes()[:, 0].real.sum()


@loss_on
def a_branch_without_gradient_and_one_with(rnn, x):
    _, state = rnn(x[:2])
    with torch.no_grad():
        rnn(x[1:], state)
    z, _ = rnn(x[2:], state)
    rnn(-x, state)  # another branch, dropped
    return z.square().sum()


@loss_on
def truncated_backpropagation(rnn, x):
    _, state = rnn(x[:2])
    z, _ = rnn(x[2:], state.detach())
    return z.square().sum()


@loss_on
def two_chunks_each_with_a_loss(rnn, x):
    z, state = rnn(x[:2])
    later, _ = rnn(x[2:], state.detach())
    return z.square().sum() + later.sum()


def everything(rnn, x, lengths=None):
    """Return a loss on all readouts and on the final state."""
    z, state = rnn(x, lengths=lengths)
    psi = state.amplitudes()
    weight = torch.linspace(-1, 1, psi.shape[1], dtype=z.dtype)
    return z.sin().sum() + 2 * state.z.cos().sum() + (psi.abs().square() * weight).sum()
