"""The recurrence by dense matrices in double precision: what every device is compared with.

It shares nothing with the framework but the user's quantum function and the controller: U comes
from `qml.matrix`, the observables from Kronecker products of the Pauli matrices.
"""

import copy
from functools import reduce

import numpy as np
import pennylane as qml
import torch

PAULI = {
    "I": np.eye(2, dtype=complex),
    "X": np.array([[0, 1], [1, 0]], dtype=complex),
    "Y": np.array([[0, -1j], [1j, 0]]),
    "Z": np.diag([1, -1]).astype(complex),
}


def word_matrix(word):
    """Return a Pauli word as a matrix, wire 0 being the most significant bit."""
    return reduce(np.kron, [PAULI[letter] for letter in word])


def step_matrix(ansatz, angles):
    """Return U(angles) (2^n, 2^n), for angles (P,)."""
    wires = list(range(ansatz.n_wires))
    return qml.matrix(ansatz.apply, wire_order=wires)(np.asarray(angles, dtype=float), wires)


def run(cell, x, lengths=None, feedback=None):
    """Run the recurrence.

    Args:
        cell: a QRNNCell; its ansatz, readout words, bias and controller are used, nothing else.
        x: inputs (T, B, D).
        lengths: (B,) steps of each sequence; None: all T.
        feedback: (T, B, R) readouts that the controller sees in place of the reference's own, as a
            sampling device measured them.

    Returns:
        z (T, B, R), zero behind a sequence's last step, and psi (B, 2^n) after it; numpy arrays.
    """
    ansatz, words = cell.circuit.ansatz, cell.circuit.words
    controller = copy.deepcopy(cell.controller).double()
    bias = cell.quantum.bias.detach().double().numpy()
    observables = [word_matrix(word) for word in words]
    steps, batch = x.shape[:2]
    z = np.zeros((steps, batch, len(words)))
    psi = np.zeros((batch, 2**ansatz.n_wires), complex)
    psi[:, 0] = 1
    last = np.array([[o[0, 0].real for o in observables]] * batch)
    for t in range(steps):
        seen = torch.cat([x[t].detach().double(), torch.as_tensor(last[:, : cell.n_fed_back])], 1)
        with torch.no_grad():
            angles = bias + controller(seen).numpy()
        for b in range(batch):
            if lengths is not None and t >= lengths[b]:
                continue
            psi[b] = step_matrix(ansatz, angles[b]) @ psi[b]
            z[t, b] = [(psi[b].conj() @ o @ psi[b]).real for o in observables]
        last = z[t] if feedback is None else feedback[t].detach().double().numpy()
    return z, psi


def kraus(word, angle):
    """Return what outcome 0 and 1 of the ancilla do to the memory: (2, 2^n, 2^n)."""
    p = word_matrix(word)
    plus, minus = (np.eye(len(p)) + p) / 2, (np.eye(len(p)) - p) / 2
    return np.stack([plus + np.cos(angle / 2) * minus, np.sin(angle / 2) * minus])


def measured_step(rho, words, angle):
    """Return the unbiased readouts (R,) of a density matrix, and what measuring leaves of it."""
    z = np.zeros(len(words))
    for r, word in enumerate(words):
        ks = kraus(word, angle)
        m = np.trace(ks[1] @ rho @ ks[1].conj().T).real
        rho = sum(k @ rho @ k.conj().T for k in ks)
        a = word_matrix(word)
        earlier = [word_matrix(other) for other in words[:r]]
        shrunk = sum(np.allclose(a @ b, -b @ a) for b in earlier)
        z[r] = (1 - 2 * m / np.sin(angle / 2) ** 2) / np.cos(angle / 2) ** shrunk
    return z, rho


def run_measured(cell, x, lengths=None, feedback=None):
    """Do what `run` does for a cell that is measured mid-circuit; return z (T, B, R)."""
    ansatz, measured = cell.circuit.ansatz, cell.circuit.measured
    controller = copy.deepcopy(cell.controller).double()
    bias = cell.quantum.bias.detach().double().numpy()
    steps, batch = x.shape[:2]
    z = np.zeros((steps, batch, len(measured.words)))
    rho = np.zeros((batch, 2**ansatz.n_wires, 2**ansatz.n_wires), complex)
    rho[:, 0, 0] = 1
    last = np.array([[word_matrix(word)[0, 0].real for word in measured.words]] * batch)
    for t in range(steps):
        seen = torch.cat([x[t].detach().double(), torch.as_tensor(last[:, : cell.n_fed_back])], 1)
        with torch.no_grad():
            angles = bias + controller(seen).numpy()
        for b in range(batch):
            if lengths is None or t < lengths[b]:
                u = step_matrix(ansatz, angles[b])
                z[t, b], rho[b] = measured_step(
                    u @ rho[b] @ u.conj().T, measured.words, measured.angle
                )
        last = z[t] if feedback is None else feedback[t].detach().double().numpy()
    return z


def open_loop(cell, controls):
    """Return z (B, T, R) for given controls (B, T, P), whatever the controller would say."""
    observables = [word_matrix(word) for word in cell.circuit.words]
    angles = (controls.double() + cell.quantum.bias.detach().double()).numpy()
    z = np.zeros((*angles.shape[:2], len(observables)))
    for b, sequence in enumerate(angles):
        psi = np.eye(2**cell.circuit.n_wires)[0].astype(complex)
        for t, step in enumerate(sequence):
            psi = step_matrix(cell.circuit.ansatz, step) @ psi
            z[b, t] = [(psi.conj() @ o @ psi).real for o in observables]
    return z
