"""Quantities of quantum states: Bloch vectors, entropies and fidelities.

States are S state vectors (S, 2^n) or S density matrices (S, 2^n, 2^n), complex, with wire 0 as the
most significant bit. They are normalised first, because rounding errors add up over many steps.
Everything is computed in double precision; entropies are in bits.
"""

from __future__ import annotations

import numpy as np


def normalised(states: np.ndarray) -> np.ndarray:
    """Return states in double precision with norm (or trace) 1."""
    states = np.asarray(states, complex)
    if states.ndim == 2:
        return states / np.linalg.norm(states, axis=1, keepdims=True)
    return states / np.einsum("sii->s", states).real[:, None, None]


def n_qubits(states: np.ndarray) -> int:
    """Return the number of qubits n."""
    return states.shape[-1].bit_length() - 1


def reduced(states: np.ndarray, first: int, count: int) -> np.ndarray:
    """Return the reduced density matrices (S, 2^count, 2^count) of adjacent qubits.

    Args:
        states: states (S, 2^n) or (S, 2^n, 2^n).
        first: the first qubit to keep.
        count: number of qubits to keep.
    """
    states = normalised(states)
    shape = (2**first, 2**count, 2 ** (n_qubits(states) - first - count))
    if states.ndim == 2:
        split = states.reshape(-1, *shape)
        return np.einsum("saib,sajb->sij", split, split.conj(), optimize=True)
    return np.einsum("saibajb->sij", states.reshape(-1, *shape, *shape))


def bloch_vectors(states: np.ndarray) -> np.ndarray:
    """Return the Bloch vector (<X>, <Y>, <Z>) of each qubit, (S, n, 3)."""
    qubits = np.stack([reduced(states, q, 1) for q in range(n_qubits(states))], 1)
    coherence = 2 * qubits[..., 0, 1]
    polarisation = (qubits[..., 0, 0] - qubits[..., 1, 1]).real
    return np.stack([coherence.real, -coherence.imag, polarisation], -1)


def von_neumann(eigenvalues: np.ndarray) -> np.ndarray:
    """Return -sum p log2 p (...,) of eigenvalues p (..., K), bits; p is clipped to [0, 1]."""
    p = np.clip(eigenvalues, 0, 1)
    terms = np.where(p > 0, -p * np.log2(np.where(p > 0, p, 1)), 0.0)
    return np.maximum(terms.sum(-1), 0.0)  # avoids -0.0


def qubit_entropies(bloch: np.ndarray) -> np.ndarray:
    """Return the entropy of each qubit (...,) with Bloch vectors (..., 3), bits.

    The eigenvalues of a qubit's density matrix are (1 ± r) / 2 for a Bloch vector of length r.
    """
    r = np.linalg.norm(bloch, axis=-1)
    return von_neumann(np.stack([1 + r, 1 - r], -1) / 2)


def half_chain_entropies(states: np.ndarray) -> np.ndarray:
    """Return the entropy of the first n // 2 qubits (S,), bits; 0 for one qubit.

    For a pure state this is its entanglement with the other half; for a mixed state it includes
    the entropy of the mixture.
    """
    half = reduced(states, 0, n_qubits(states) // 2)
    return von_neumann(np.linalg.eigvalsh(half))


def state_entropies(states: np.ndarray) -> np.ndarray:
    """Return the entropy of the whole state (S,), bits; 0 for state vectors."""
    if states.ndim == 2:
        return np.zeros(len(states))
    return von_neumann(np.linalg.eigvalsh(normalised(states)))


def fidelities(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Return the fidelity of each pair of states (S,), in [0, 1].

    This is |<a|b>|^2 for two vectors, <a|rho|a> for a vector and a matrix, and (tr sqrt(sqrt(rho)
    sigma sqrt(rho)))^2 for two matrices (Uhlmann). A single state (1, ...) is compared with all.
    """
    one, other = normalised(one), normalised(other)
    if one.ndim < other.ndim:
        one, other = other, one
    if one.ndim == 2:
        found = np.abs((one.conj() * other).sum(-1)) ** 2
    elif other.ndim == 2:
        found = np.einsum("...i,...ij,...j->...", other.conj(), one, other).real
    else:
        # tr sqrt(A A^dagger) is the sum of A's singular values, A = sqrt(rho) sqrt(sigma).
        found = np.linalg.svd(square_roots(one) @ square_roots(other), compute_uv=False).sum(-1)
        found = found**2
    return np.clip(found, 0, 1)


def square_roots(rho: np.ndarray) -> np.ndarray:
    """Return the positive square root of density matrices (S, K, K)."""
    values, vectors = np.linalg.eigh(rho)
    roots = np.sqrt(np.clip(values, 0, None))
    return (vectors * roots[..., None, :]) @ vectors.conj().swapaxes(-1, -2)
