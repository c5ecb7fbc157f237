"""Bloch vectors, entropies and fidelities: closed forms, PennyLane's own, dense partial traces."""

from functools import reduce

import numpy as np
import pennylane as qml
import pytest
from hypothesis import given
from hypothesis import strategies as st

from helpers.reference import PAULI, word_matrix
from qrnn.inspection import quantities as q

S = np.sqrt(0.5)
BELL = np.array([S, 0, 0, S])
GHZ = np.eye(16)[0] * S + np.eye(16)[15] * S


def matrices(states):
    return np.einsum("si,sj->sij", states, states.conj())


def random_states(n, count, mixed, seed):
    """Return vectors (count, 2^n), or matrices of full rank; neither normalised."""
    rng = np.random.default_rng(seed)
    shape = (count, 2**n, 2**n) if mixed else (count, 2**n)
    a = rng.normal(size=shape) + 1j * rng.normal(size=shape)
    return a @ a.conj().swapaxes(1, 2) if mixed else a


def dense(state):
    """Return a state as a density matrix of trace 1."""
    rho = np.outer(state, state.conj()) if state.ndim == 1 else state
    return rho / np.trace(rho)


def first_qubits(rho, kept):
    """Return the density matrix of the first qubits, entry by entry."""
    rest = len(rho) // 2**kept
    out = np.zeros((2**kept, 2**kept), complex)
    for i in range(2**kept):
        for j in range(2**kept):
            out[i, j] = sum(rho[i * rest + b, j * rest + b] for b in range(rest))
    return out


def entropy(rho):
    """Return -tr rho log2 rho."""
    p = np.linalg.eigvalsh(rho)
    return sum(-x * np.log2(x) for x in p if x > 1e-14)


@given(n=st.integers(1, 4), mixed=st.booleans(), seed=st.integers(0, 2**32))
def test_random_states_agree_with_dense_partial_traces_and_pennylane(n, mixed, seed):
    states = random_states(n, 3, mixed, seed)
    rhos = [dense(one) for one in states]
    words = [["I" * k + p + "I" * (n - k - 1) for p in "XYZ"] for k in range(n)]
    bloch = [[[np.trace(rho @ word_matrix(w)).real for w in row] for row in words] for rho in rhos]
    np.testing.assert_allclose(q.bloch_vectors(states), bloch, atol=1e-12)
    half = [entropy(first_qubits(rho, n // 2)) for rho in rhos]
    np.testing.assert_allclose(q.half_chain_entropies(states), half, atol=1e-10)
    np.testing.assert_allclose(q.state_entropies(states), [entropy(r) for r in rhos], atol=1e-10)
    single = [[qml.math.vn_entropy(rho, [k], base=2) for k in range(n)] for rho in rhos]
    np.testing.assert_allclose(q.qubit_entropies(q.bloch_vectors(states)), single, atol=1e-6)


@given(
    n=st.integers(1, 3), mixed=st.tuples(st.booleans(), st.booleans()), seed=st.integers(0, 2**32)
)
def test_fidelities_agree_with_pennylane_for_vectors_and_matrices(n, mixed, seed):
    one, other = (random_states(n, 4, kind, seed + k) for k, kind in enumerate(mixed))
    found = q.fidelities(one, other)
    expected = [qml.math.fidelity(dense(a), dense(b)) for a, b in zip(one, other, strict=True)]
    np.testing.assert_allclose(found, expected, atol=1e-6)
    np.testing.assert_allclose(q.fidelities(other, one), found, atol=1e-9)
    np.testing.assert_allclose(q.fidelities(one, other[:1])[0], found[0], atol=1e-9)
    np.testing.assert_allclose(q.fidelities(one, one), 1, atol=1e-9)


@pytest.mark.parametrize("state", [BELL, GHZ], ids=["Bell", "GHZ"])
@pytest.mark.parametrize("as_matrix", [False, True])
def test_bell_and_ghz_states_have_one_bit_in_every_cut(state, as_matrix):
    states = matrices(state[None]) if as_matrix else state[None]
    bloch = q.bloch_vectors(states)
    np.testing.assert_allclose(bloch, 0, atol=1e-12)
    np.testing.assert_allclose(q.qubit_entropies(bloch), 1)
    np.testing.assert_allclose(q.half_chain_entropies(states), 1)
    np.testing.assert_allclose(q.state_entropies(states), 0, atol=1e-12)


def test_product_states_point_where_their_qubits_do():
    polar, azimuth = np.array([0.4, 1.9, 2.8]), np.array([0.3, -2.0, 1.1])
    qubits = [
        np.array([np.cos(a / 2), np.exp(1j * b) * np.sin(a / 2)])
        for a, b in zip(polar, azimuth, strict=True)
    ]
    states = 3j * reduce(np.kron, qubits)[None]
    expected = np.stack(
        [np.sin(polar) * np.cos(azimuth), np.sin(polar) * np.sin(azimuth), np.cos(polar)], -1
    )
    np.testing.assert_allclose(q.bloch_vectors(states)[0], expected, atol=1e-12)
    np.testing.assert_allclose(q.qubit_entropies(q.bloch_vectors(states)), 0, atol=1e-12)
    np.testing.assert_allclose(q.half_chain_entropies(states), 0, atol=1e-12)


def test_half_a_chain_of_three_is_its_first_qubit():
    states = np.kron(np.array([1, 0]), BELL)[None]  # entangled: qubits 1 and 2
    np.testing.assert_allclose(q.half_chain_entropies(states), 0, atol=1e-12)
    states = np.kron(BELL, np.array([1, 0]))[None]  # entangled: qubits 0 and 1
    np.testing.assert_allclose(q.half_chain_entropies(states), 1)
    np.testing.assert_allclose(q.half_chain_entropies(np.array([[S, S * 1j]])), 0, atol=1e-12)


def test_what_is_fully_mixed_has_a_bit_a_qubit():
    rho = np.eye(8)[None] / 8
    np.testing.assert_allclose(q.state_entropies(rho), 3)
    np.testing.assert_allclose(q.half_chain_entropies(rho), 1)
    np.testing.assert_allclose(q.fidelities(rho, np.eye(8)[:1]), 1 / 8)
    np.testing.assert_allclose(q.fidelities(rho, matrices(np.eye(8)[:1])), 1 / 8)


def test_a_depolarised_qubit_has_the_closed_form():
    # (1 - p) |psi><psi| + p I/2: length 1 - p, eigenvalues 1 - p/2 and p/2, fidelity 1 - p/2.
    p, psi = 0.3, np.array([[np.cos(0.3), np.sin(0.3) * 1j]])
    rho = (1 - p) * matrices(psi) + p * np.eye(2) / 2
    bloch = q.bloch_vectors(rho)
    np.testing.assert_allclose(np.linalg.norm(bloch, axis=-1), 1 - p)
    np.testing.assert_allclose(
        bloch[0, 0], (1 - p) * np.array([0, np.sin(0.6), np.cos(0.6)]), atol=1e-12
    )
    bits = -(p / 2) * np.log2(p / 2) - (1 - p / 2) * np.log2(1 - p / 2)
    np.testing.assert_allclose(q.state_entropies(rho), bits)
    np.testing.assert_allclose(q.qubit_entropies(bloch), [[bits]])
    np.testing.assert_allclose(q.fidelities(rho, psi), 1 - p / 2)
    # Of two qubit states: F = tr(rho sigma) + 2 sqrt(det rho det sigma).
    sigma = (np.eye(2) + 0.5 * PAULI["X"])[None] / 2
    expected = np.trace(rho[0] @ sigma[0]) + 2 * np.sqrt(
        np.linalg.det(rho[0]) * np.linalg.det(sigma[0])
    )
    np.testing.assert_allclose(q.fidelities(rho, sigma), expected.real)


def test_orthogonal_states_have_fidelity_0_and_rounding_leaves_the_range_alone():
    basis = np.eye(4)
    np.testing.assert_allclose(q.fidelities(basis, basis[::-1]), 0, atol=1e-12)
    np.testing.assert_allclose(q.fidelities(matrices(basis), matrices(basis[::-1])), 0, atol=1e-12)
    single = random_states(6, 20, False, 3).astype(np.complex64)
    assert q.fidelities(single, single).max() <= 1
    assert q.half_chain_entropies(single).min() >= 0
    assert q.qubit_entropies(np.array([[0, 0, 1.0000001]])) == 0
    assert not np.signbit(q.state_entropies(matrices(basis))).any()
