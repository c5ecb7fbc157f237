"""The closed form of a step: one real matrix for each input value.

The amplitudes c and q of a neuron (`qrnn.neurons.definition`) do not depend on the state, and
renormalisation commutes with linear maps. In/out starts in 0 at each step, so a step with input v
is a real matrix A_v from the workspace to in/out and workspace. With A_v's block y,

    p(y) = |A_vy psi|^2 / |A_v psi|^2,    psi' = A_vy psi / |A_vy psi|
"""

from __future__ import annotations

from collections.abc import Callable
from math import log
from typing import NamedTuple

import torch
from torch import nn

from qrnn.neurons.definition import BIAS, Definition, Weights

# A's scale cancels. With this one, squares do not underflow in single precision unless an entry is
# below 1e-34 times the largest, and are far from overflow.
HEADROOM = 2.0**50


class Transfer(NamedTuple):
    """The matrices of a step.

    Attributes:
        matrices: (2^io, 2^w, 2^io, 2^w): input value, workspace before, outcome, workspace after;
            each input value has its own scale.
        log_scale: (2^io,) float64; the true matrices are exp(log_scale) times as large.
    """

    matrices: torch.Tensor
    log_scale: torch.Tensor


def angles(weights: Weights, subsets: torch.Tensor) -> torch.Tensor:
    """Return eta of each neuron and string of control bits (N, 2^(w + io - 1)), radians.

    Args:
        weights: the parameters.
        subsets: `Definition.subset_matrix`.
    """
    return (BIAS + torch.addmm(weights.theta[:, None], weights.phi, subsets)) / 2


def transfer(
    definition: Definition,
    weights: Weights,
    subsets: torch.Tensor,
    gain: Callable[[torch.Tensor], torch.Tensor] | None = None,
) -> Transfer:
    """Return the matrices of a step, differentiable.

    They are the step applied to the columns of the identity. In/out is only a control until the
    output stage, so until then it is an index of the matrices, not of the state.

    Args:
        definition: the cell.
        weights: its parameters.
        subsets: `Definition.subset_matrix`, in the dtype of the weights.
        gain: function from the probability of an order-1 projection to the amplified one.
    """
    values, w = definition.classes, definition.workspace
    eta = angles(weights, subsets)
    cosines, sines = eta.cos(), eta.sin()
    for _ in range(definition.order):  # to the power 2^order
        cosines, sines = cosines.square(), sines.square()
    if gain is not None:  # a neuron of order k has 2^(k - 1) of order 1 inside
        p = eta.cos() ** 4 + eta.sin() ** 4
        factor = (gain(p) / p) ** (2 ** (definition.order - 2))
        cosines, sines = factor * cosines, factor * sines
    state = torch.eye(2**w).to(eta).expand(values, -1, -1)  # input, workspace before, after
    log_scale = torch.zeros(values, dtype=torch.float64, device=eta.device)
    for layer, neurons in enumerate(definition.work_layers):
        if layer:
            half = weights.rotation[layer - 1] / 2
            for i in range(w):
                state = rotated(state, 2**i, half[i].cos(), half[i].sin())
        for i, neuron in enumerate(neurons):
            shape = (values, 1, 2**i, -1)
            c, q = cosines[neuron.row].reshape(shape), sines[neuron.row].reshape(shape)
            state = rotated(state, 2**i, c, q)
        state, log_scale = rescaled(state, log_scale)
    state = nn.functional.pad(state, (0, (values - 1) * 2**w))  # the flips undone, in/out is 0
    for i, neuron in enumerate(definition.output_layer):
        c, q = cosines[neuron.row].reshape(2**i, -1), sines[neuron.row].reshape(2**i, -1)
        state = rotated(state, 2**i, c, q)
    state, log_scale = rescaled(state, log_scale)
    matrices = (state * HEADROOM).unflatten(2, (values, -1))
    return Transfer(matrices, log_scale - log(HEADROOM))


def rotated(state: torch.Tensor, left: int, c: torch.Tensor, q: torch.Tensor) -> torch.Tensor:
    """Return amplitudes (..., n) after (a0, a1) -> (c a0 - q a1, c a1 + q a0) on one qubit.

    Args:
        state: amplitudes.
        left: number of basis states of the qubits before that one.
        c: a number, or (..., left, right).
        q: like c.
    """
    a0, a1 = state.unflatten(-1, (left, 2, -1)).unbind(-2)
    return torch.stack([c * a0 - q * a1, c * a1 + q * a0], -2).flatten(-3)


def rescaled(state: torch.Tensor, log_scale: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Scale columns (V, W, n) to norms of at most 1; return them and the new log scale."""
    size = torch.linalg.vector_norm(state.detach(), dim=2).amax(1)
    return state / size[:, None, None], log_scale + size.double().log()
