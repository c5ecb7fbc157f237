"""Damping before each step: as a channel, and through an ancilla that is reset."""

import pickle
from math import pi

import numpy as np
import pennylane as qml
import pytest
import torch

from helpers.problems import gradients, inputs, network
from qrnn import ConfigError, Damping, DeviceError, export
from qrnn.circuit.forgetting import FORGETS
from qrnn.circuit.step import precision_of
from qrnn.inspection.tracing import trace
from qrnn.models.cells import reference_device

DOUBLE = torch.float64
N = 3
pytestmark = pytest.mark.core


def forgetting(forget, dtype=DOUBLE, **options):
    return network("default", dtype, **{"n_qubits": N, "forget": forget, **options})


def layers(angles):
    """The default ansatz, written here: RY, RZ, and CZ on a line, twice."""
    for layer in angles.reshape(2, 2, N):
        for k in range(N):
            qml.RY(layer[0, k], wires=k)
        for k in range(N):
            qml.RZ(layer[1, k], wires=k)
        for k in range(N - 1):
            qml.CZ(wires=[k, k + 1])


def damping(cell, forget, angles):
    """cos(phi) and sin(phi) of each qubit (n, 2) at angles (P,)."""
    phi = {
        "gate": lambda: pi / 6 + angles[4 * N :],
        "constant": lambda: cell.ansatz.forget.angle.detach().numpy(),
        "reset": lambda: np.array([0, 0, pi / 2]),
    }[forget]()
    return np.stack([np.cos(phi), np.sin(phi)], 1)


def reference(cell, forget, theta):
    """z (T, R) at angles (T, P), from Kraus matrices and the matrices of the layers."""
    if forget == "gate":
        assert (np.cos(pi / 6 + theta[:, 4 * N :]) < 0).any()  # damping followed by Z
    rho = np.zeros((2**N, 2**N), complex)
    rho[0, 0] = 1
    z = []
    for angles in theta:
        for k, (c, s) in enumerate(damping(cell, forget, angles)):
            kraus = np.diag([1, c]), np.array([[0, s], [0, 0]])
            kraus = [np.kron(np.kron(np.eye(2**k), m), np.eye(2 ** (N - 1 - k))) for m in kraus]
            rho = sum(m @ rho @ m.T for m in kraus)
        u = qml.matrix(layers, wire_order=range(N))(angles[: 4 * N])
        rho = u @ rho @ u.conj().T
        words = [qml.pauli.string_to_pauli_word(word) for word in cell.circuit.words]
        z.append([np.trace(rho @ qml.matrix(w, wire_order=range(N))).real for w in words])
    return np.array(z)


@pytest.mark.parametrize("forget", FORGETS)
def test_the_state_is_damped_before_each_step(forget):
    rnn, x = forgetting(forget), inputs(4, 1, DOUBLE)
    found = trace(rnn.cell, lambda: rnn(x))
    np.testing.assert_allclose(
        found.z, reference(rnn.cell, forget, found.theta), rtol=0, atol=1e-12
    )
    expected = [damping(rnn.cell, forget, angles)[:, 1] ** 2 for angles in found.theta]
    np.testing.assert_allclose(found.damping, expected, rtol=0, atol=1e-12)
    assert np.unique(found.damping).size == {"gate": 12, "constant": 3, "reset": 2}[forget]


@pytest.mark.parametrize("forget", FORGETS)
def test_an_ancilla_that_is_reset_damps_as_the_channel(forget):
    rnn, x = forgetting(forget), inputs(2, 2, DOUBLE)

    def loss(net, x):
        return net(x)[0].sin().mean()

    exact = rnn.on("default.qubit")
    assert exact.cell.memory.circuit.mid_measurements == 0  # of the circuit as it is written
    torch.testing.assert_close(exact(x)[0], rnn(x)[0], rtol=0, atol=1e-10)
    found, wanted = (gradients(net, loss, x) for net in (exact, rnn))
    torch.testing.assert_close(found, wanted, rtol=0, atol=1e-10)
    with torch.no_grad():
        sampled = rnn.on("lightning.qubit", shots=4000, seed=1)(x)[0]
    assert (sampled - rnn(x)[0]).abs().max() < 5 / 4000**0.5


@pytest.mark.parametrize("ancillas", [2, 3])
def test_several_ancillas_damp_as_one(ancillas):
    circuit = forgetting("gate").cell.circuit
    theta = torch.linspace(-1, 2, circuit.n_angles, dtype=DOUBLE)[None]

    @qml.qnode(qml.device("default.qubit"), mcm_method="deferred")
    def read(circuit):
        return circuit.replay(theta)

    @qml.qnode(qml.device("default.mixed", wires=N))
    def exact():
        return circuit.replay(theta)

    several = circuit.unitary().with_ancillas(ancillas)
    assert {w for op in qml.workflow.construct_tape(read)(several) for w in op.wires} >= set(
        range(N + ancillas)
    )
    with precision_of(theta):
        np.testing.assert_allclose(read(several), exact(), rtol=0, atol=1e-10)


def test_the_gradient_is_that_of_finite_differences():
    rnn, x = forgetting("gate"), inputs(3, 2, DOUBLE).requires_grad_()
    assert torch.autograd.gradcheck(lambda x: rnn(x)[0], x, fast_mode=True)
    assert gradients(rnn, lambda net, x: net(x)[0].sum(), x)["cells.0.quantum.bias"][-N:].all()


def test_a_constant_strength_is_a_weight_of_its_own_cell():
    rnn = forgetting("constant", num_layers=2)
    first, second = (cell.ansatz.forget.angle for cell in rnn.cells)
    assert first is not second
    assert gradients(rnn, lambda net, x: net(x)[0].sum(), inputs(dtype=DOUBLE))[
        "cells.1.ansatz.forget.angle"
    ].all()
    again = pickle.loads(pickle.dumps(rnn))
    x = inputs(dtype=DOUBLE)
    torch.testing.assert_close(again(x)[0], rnn(x)[0], rtol=0, atol=0)


def test_what_cannot_forget_is_refused_in_one_line():
    with pytest.raises(ConfigError, match="forget 'gates' is not known: did you mean gate"):
        forgetting("gates")
    with pytest.raises(ConfigError, match="forget=reset needs at least 2 qubits"):
        forgetting("reset", n_qubits=1)
    with pytest.raises(DeviceError, match="12 coupled qubits"):
        forgetting("gate", n_qubits=13)
    with pytest.raises(DeviceError, match=r"carried cannot measure mid-circuit: use forget=null"):
        forgetting("gate").on("lightning.qubit", strategy="carried")
    long = forgetting("gate").on("default.qubit")
    with pytest.raises(DeviceError, match="each of 6 x 3 deferred measurements takes a qubit"):
        long(inputs(6, 1, DOUBLE))


def test_the_device_that_is_proposed_next_runs_the_model():
    rnn, x = forgetting("gate"), inputs(6, 1, DOUBLE)
    assert reference_device(forgetting(None)) == "default.qubit"
    torch.testing.assert_close(rnn.on(reference_device(rnn))(x)[0], rnn(x)[0], rtol=0, atol=1e-9)
    assert reference_device(forgetting("gate", n_qubits=11)) == "default.qubit device.shots=1000"


def test_the_export_to_qiskit_resets_the_ancilla():
    pytest.importorskip("qiskit")
    from qiskit.quantum_info import DensityMatrix, Pauli, partial_trace

    rnn, x = forgetting("gate"), inputs(2, 1, DOUBLE)
    found = trace(rnn.cell, lambda: rnn(x))
    circuit = export.qiskit_circuit(rnn.cell, found.theta)
    assert circuit.count_ops()["reset"] == 2 * N
    assert "measure" not in circuit.count_ops()
    rho = partial_trace(DensityMatrix(circuit), [N])
    z = [rho.expectation_value(Pauli(word[::-1])).real for word in rnn.cell.circuit.words]
    np.testing.assert_allclose(z, found.z[-1], rtol=0, atol=1e-10)


def test_half_of_the_qubits_of_each_circuit_are_reset():
    gates = forgetting("reset", n_qubits=6, circuits=2).cell.circuit.gates
    assert [gate.wires[0] for gate in gates if isinstance(gate, Damping)] == [2, 5]
