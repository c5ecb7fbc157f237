"""Density matrices as vectors of Pauli expectation values, and channels that act on them.

A density matrix rho of n qubits is the array v[P] = tr(rho P) of 4^n real numbers, with one axis
(I, X, Y, Z) for each qubit. A channel on k qubits is a real array (4,) * 2k, outputs first: its
Pauli transfer matrix (https://arxiv.org/abs/1509.02921, section 2). Vectors and matrices have
a last axis for the rows of a batch, of length R, or of matrices also 1.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

# Entries below this are rounding errors of the conversion.
NEGLIGIBLE = 1e-14
# RZ rotates X and Y into each other: its derivative at angle 0.
_TURN = np.zeros((4, 4))
_TURN[1, 2], _TURN[2, 1] = -1.0, 1.0
# From v to the probabilities of 0 and 1.
_READ = np.array([[0.5, 0, 0, 0.5], [0.5, 0, 0, -0.5]])


class Channel(NamedTuple):
    """A gate with its noise.

    Attributes:
        matrix: array (4,) * 2k + (1,), with the qubits in the gate's order.
        commutes: for each qubit, whether RZ of any angle before it equals RZ after it.
    """

    matrix: np.ndarray
    commutes: tuple[bool, ...]


def ground(n: int, rows: int) -> np.ndarray:
    """Return the vector (4, ..., 4, R) of |0...0>."""
    vector = np.ones(rows)
    for _ in range(n):
        vector = np.multiply.outer([1.0, 0.0, 0.0, 1.0], vector)
    return vector


def noisy(gate: Any, error: Any | None) -> Channel:
    """Return the channel of a gate followed by its error.

    Args:
        gate: a Qiskit gate without parameters.
        error: a QuantumError of qiskit-aer on the same qubits; None: no error.
    """
    from qiskit.quantum_info import PTM

    channel = PTM(gate)
    if error is not None:
        channel = channel.compose(PTM(error.to_quantumchannel()))
    k = gate.num_qubits
    order = [*range(k)][::-1]  # Qiskit's first qubit is the last factor
    matrix = channel.data.real.reshape((4,) * 2 * k).transpose(order + [k + i for i in order])
    matrix = np.where(np.abs(matrix) < NEGLIGIBLE, 0.0, matrix)
    return Channel(matrix[..., None], tuple(_commutes(matrix, qubit) for qubit in range(k)))


def _commutes(matrix: np.ndarray, qubit: int) -> bool:
    k = matrix.ndim // 2
    after = np.moveaxis(np.tensordot(_TURN, matrix, (1, qubit)), 0, qubit)
    before = np.moveaxis(np.tensordot(matrix, _TURN, (k + qubit, 0)), -1, k + qubit)
    return bool(np.abs(after - before).max() < NEGLIGIBLE)


def turn(angles: np.ndarray) -> np.ndarray:
    """Return the channel (4, 4, R) of RZ for angles (R,), radians."""
    matrix = np.zeros((4, 4, len(angles)))
    matrix[0, 0] = matrix[3, 3] = 1.0
    matrix[1, 1] = matrix[2, 2] = np.cos(angles)
    matrix[2, 1] = np.sin(angles)
    matrix[1, 2] = -matrix[2, 1]
    return matrix


def reading(flips: np.ndarray | None) -> np.ndarray:
    """Return the matrix (2, 4, 1) from v to the probabilities of a qubit's outcomes.

    Args:
        flips: (2, 2) probabilities of outcome j (column) in state i (row); None: no errors.
    """
    return (_READ if flips is None else flips.T @ _READ)[..., None]


# The matrix (1, 4, 1) that discards a qubit.
DISCARD = np.eye(1, 4)[..., None]


def apply(matrix: np.ndarray, vector: np.ndarray, axes: Sequence[int]) -> np.ndarray:
    """Return a vector after a matrix on some of its axes, of outputs, inputs and rows."""
    k = len(axes)
    shape = list(vector.shape)
    for axis, size in zip(axes, matrix.shape, strict=False):
        shape[axis] = size
    result = np.zeros(shape)
    target, source = (np.moveaxis(v, axes, range(k)) for v in (result, vector))
    for index in zip(*np.nonzero(matrix.any(-1)), strict=True):
        target[index[:k]] += matrix[index] * source[index[k:]]
    return result


def multiply(matrix: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Return the product of two matrices of one qubit, for each row."""
    return np.einsum("ijr,jkr->ikr", matrix, other)


def draw(probabilities: np.ndarray, shots: int, generator: np.random.Generator) -> np.ndarray:
    """Return the outcomes (R, shots) of sampling.

    Args:
        probabilities: array (outcomes, R); they need not be normalised.
        shots: number of samples of each row.
        generator: where they come from.
    """
    limits = np.cumsum(probabilities.clip(0.0), 0)
    chosen = generator.random((limits.shape[1], shots)) * limits[-1][:, None]
    rows = zip(limits.T, chosen, strict=True)
    return np.stack([np.searchsorted(limit, value, "right") for limit, value in rows])
