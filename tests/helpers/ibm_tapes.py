"""Tapes of a recurrent circuit, as the tests of jobs send them."""

import importlib.metadata

import numpy as np
import pennylane as qml
import pytest
from packaging.version import Version

from qrnn.devices.ibm import fake_names

N = 4


def require_fake(backend):
    """Skip a test of a fake backend that older versions of qiskit-ibm-runtime do not have."""
    older = Version(importlib.metadata.version("qiskit-ibm-runtime")) < Version("0.51")
    if older and backend not in fake_names():
        pytest.skip(f"this version of qiskit-ibm-runtime has no {backend}")


def step(angles, entangle=qml.CZ, ring=False):
    for q in range(N):
        qml.RY(angles[..., q], q)
        qml.RZ(angles[..., N + q], q)
    for q in range(N if ring else N - 1):
        entangle([q, (q + 1) % N])


def replay(theta, shots=64, ring=False):
    """Tape of T steps for angles theta (T, [B,] 2N), reading X, Y and Z of every qubit."""
    with qml.queuing.AnnotatedQueue() as q:
        for angles in theta:
            step(angles, ring=ring)
        for pauli in (qml.X, qml.Y, qml.Z):
            for w in range(N):
                qml.expval(pauli(w))
    return qml.tape.QuantumScript.from_queue(q, shots=shots)


def angles(*shape):
    return np.random.default_rng(sum(shape)).normal(size=(*shape, 2 * N))
