"""Amplitude amplification of the neurons' projections, against theory and dense states."""

from math import cos, pi, sin

import numpy as np
import pennylane as qml
import pytest
import torch

from helpers.neuron_reference import assert_close, cell_of, run, tokens
from qrnn.errors import ConfigError
from qrnn.neurons.amplification import amplify, fixed_point_phases, shots_saved, success
from qrnn.neurons.circuit import apply_neuron, apply_steps
from qrnn.neurons.definition import Definition, Neuron, Weights
from qrnn.neurons.recurrence import Recurrence
from qrnn.neurons.transfer import transfer

ROUNDS = [(0, 0.3), (1, 0.3), (2, 0.3), (3, 0.1), (4, 0.5)]


def order_one(theta, phi):
    """Return an order-1 neuron on wire 1, control 0, ancilla 2, and its weights."""
    definition = Definition(1, 1, 0, 1, 1)
    values = np.array([theta] * 2), np.array([[phi]] * 2), np.zeros((0, 1))
    return definition, Weights(*map(torch.from_numpy, values))


def unitary_of(definition, weights, rounds, delta):
    """Return the matrix of an amplified neuron up to its measurement, wires 0, 1, 2."""
    with qml.queuing.AnnotatedQueue() as queue:
        apply_neuron(definition, weights, Neuron(0, 1))
    (tape,), _ = amplify(qml.tape.QuantumScript.from_queue(queue), 2, rounds=rounds, delta=delta)
    *gates, measurement = tape.operations
    assert measurement.postselect == 0
    return qml.matrix(qml.tape.QuantumScript(gates), wire_order=[0, 1, 2])


@pytest.mark.parametrize(("rounds", "delta"), ROUNDS)
@pytest.mark.parametrize("theta", [-1.2, -0.3, 0.0, 0.9])
def test_the_probability_is_that_of_the_chebyshev_formula(rounds, delta, theta):
    definition, weights = order_one(theta, 0.8)
    matrix = unitary_of(definition, weights, rounds, delta)
    for control in (0, 1):
        eta = (pi / 2 + theta + 0.8 * control) / 2
        p = torch.tensor(cos(eta) ** 4 + sin(eta) ** 4, dtype=torch.float64)
        block = np.reshape(matrix, (2, 2, 2, 2, 2, 2))[control, :, 0, control, :, 0]
        expected = success(p, rounds, delta).item()
        for target in np.eye(2):  # oblivious: for any state of the target
            assert np.linalg.norm(block @ target) ** 2 == pytest.approx(expected, abs=1e-9)
        angle = np.arctan(np.tan(eta) ** 2)  # and the rotation is the neuron's
        rotation = np.array([[cos(angle), -sin(angle)], [sin(angle), cos(angle)]])
        phase = block[0, 0] / abs(block[0, 0])
        np.testing.assert_allclose(block / phase, rotation * expected**0.5, atol=1e-9)


@pytest.mark.parametrize(("rounds", "delta"), ROUNDS[1:])
def test_the_loss_stays_below_delta_squared_where_it_should(rounds, delta):
    p = torch.linspace(0.5, 1, 101).double()
    raised = success(p, rounds, delta)
    width = 1 - np.cosh(np.arccosh(1 / delta) / (2 * rounds + 1)) ** -2
    assert (raised[p >= width] >= 1 - delta**2 - 1e-9).all()
    assert (raised <= 1 + 1e-12).all()
    assert_close(success(p, 0, delta), p)


def amplified_reading(cell, x, targets, rounds, delta):
    """Return p of the last step's in/out (B, 2^io) by the amplified circuit itself."""
    definition, rows = cell.definition, []
    for b in range(x.shape[1]):
        with qml.queuing.AnnotatedQueue() as queue:
            apply_steps(definition, cell.weights, x[:, b].tolist(), targets[:-1, b].tolist())
            qml.probs(wires=list(definition.io_wires))
        tape = qml.tape.QuantumScript.from_queue(queue)
        (tape,), _ = amplify(tape, definition.ancillas[0], rounds=rounds, delta=delta)
        (p,) = qml.execute(
            [tape], qml.device("default.qubit"), diff_method=None, mcm_method="tree-traversal"
        )
        rows.append(torch.as_tensor(p).detach())
    return torch.stack(rows)


def closed(cell, x, targets, gain):
    """Return p of the last step's in/out by the closed form."""
    matrices, _ = transfer(cell.definition, cell.weights, cell.subsets, gain)
    psi = cell.start(x.shape[1]).carried[0]
    log_p, *_ = Recurrence.apply(matrices, psi, x, targets, None, None)
    return log_p[-1].exp().detach()


@pytest.mark.parametrize(("order", "steps"), [(2, 2), (3, 1)])
def test_from_order_two_on_the_circuit_is_the_closed_form_with_gain(order, steps):
    cell = cell_of(1, 1, 1, order, 1, spread=0.5)
    x, targets = tokens(1, steps, 2)
    got = amplified_reading(cell, x, targets, 1, 0.3)
    expected = closed(cell, x, targets, lambda p: success(p, 1, 0.3))
    assert_close(got, expected, atol=1e-9)
    plain = run(cell, x, targets)[0][-1].detach()
    assert (expected - plain).abs().max() > 1e-3  # and another function than without


def test_where_the_probability_does_not_vary_amplification_changes_nothing():
    for order in (1, 2):
        cell = cell_of(2, 1, 0, order, 1, spread=0.5)
        with torch.no_grad():
            cell.phi.zero_()
        x, targets = tokens(1, 2, 1)
        plain = run(cell, x, targets)[0][-1].detach()
        assert_close(amplified_reading(cell, x, targets, 2, 0.4), plain, atol=1e-9)


def test_shots_saved_are_those_of_theory_and_of_a_device():
    cell = cell_of(1, 1, 0, 2, 1, spread=0.3)
    x, targets = tokens(1, 2, 3)
    saving = shots_saved(cell, x, targets, rounds=1, delta=0.3)
    _, share, _ = run(cell, x, targets)
    torch.testing.assert_close(saving.shots, 1 / share[-1])
    assert saving.rotations == 3
    assert (saving.factor > 4).all()
    shots = 4000
    with qml.queuing.AnnotatedQueue() as queue:
        apply_steps(cell.definition, cell.weights, x[:, 0].tolist(), targets[:1, 0].tolist())
        qml.counts(wires=[0])
    tape = qml.tape.QuantumScript.from_queue(queue, shots=shots)
    (tape,), _ = amplify(tape, cell.definition.ancillas[0], rounds=1, delta=0.3)
    (counts,) = qml.execute(
        [tape],
        qml.device("default.qubit", seed=1),
        diff_method=None,
        mcm_method="tree-traversal",
        postselect_mode="hw-like",
    )
    expected = 1 / saving.amplified[0].item()
    error = (expected * (1 - expected) / shots) ** 0.5
    assert abs(sum(counts.values()) / shots - expected) < 5 * error


def test_amplify_is_a_transform_of_qnodes():
    definition, weights = order_one(0.2, 0.5)

    @qml.qnode(qml.device("default.qubit", seed=1), mcm_method="tree-traversal")
    def circuit():
        apply_neuron(definition, weights, Neuron(0, 1))
        return qml.counts(wires=0)

    plain = sum(qml.set_shots(circuit, 2000)().values())
    raised = sum(qml.set_shots(amplify(circuit, 2, rounds=1, delta=0.3), 2000)().values())
    assert plain < 1200 < 1800 < raised


def test_other_measurements_are_left_alone():
    with qml.queuing.AnnotatedQueue() as queue:
        qml.RY(0.3, 2)
        qml.measure(2)
        qml.measure(2, postselect=0)
        qml.RY(0.3, 1)
        qml.measure(1, postselect=0)
    tape = qml.tape.QuantumScript.from_queue(queue)
    (same,), _ = amplify(tape, 2, rounds=2)
    assert len(same.operations) == 5


@pytest.mark.parametrize("call", [fixed_point_phases, lambda *a: success(torch.ones(1), *a)])
def test_values_out_of_range_are_refused(call):
    with pytest.raises(ConfigError, match="rounds must be at least 0, got -1"):
        call(-1, 0.3)
    with pytest.raises(ConfigError, match="delta must be in"):
        call(1, 1.0)


def test_at_order_one_the_phases_stay():
    """What the module says of its limits; were it not so, it should say that."""
    cell = cell_of(1, 1, 1, 1, 1, spread=0.5)
    x, targets = tokens(1, 2, 2)
    magnitudes_only = closed(cell, x, targets, lambda p: success(p, 1, 0.3))
    assert (amplified_reading(cell, x, targets, 1, 0.3) - magnitudes_only).abs().max() > 1e-3
