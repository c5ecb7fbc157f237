"""Noise of stated strength on default.mixed: closed forms, and agreement that falls with it."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pennylane as qml
import pytest
import torch

from helpers import reference
from helpers.problems import D, inputs, network
from qrnn import QRNN, ConfigError, devices
from qrnn.devices import add_device, device_spec
from qrnn.devices.noise import MODELS
from qrnn.memory.carried import CarriedDensities, MeasuredDensities

DOUBLE = torch.float64
STRENGTHS = (0.0, 0.01, 0.04, 0.1, 0.2)


def without_feedback(**options):
    """Return a network whose angles do not depend on z, so that noise cannot steer them."""
    rnn = network("default", DOUBLE, **options)
    with torch.no_grad():
        rnn.cell.controller[0].weight[:, D:] = 0
    return rnn


def readouts(rnn, x, **noise):
    with torch.no_grad():
        return rnn.on("default.mixed", **noise)(x)[0]


@pytest.mark.parametrize("noise", MODELS)
@pytest.mark.parametrize("problem", ["default", "CRX on a ring"])
def test_agreement_falls_monotonically_with_the_strength(noise, problem):
    rnn, x = network(problem), inputs()
    exact, _ = reference.run(rnn.cell, x)
    errors = []
    for strength in STRENGTHS:
        z = readouts(rnn, x, noise=noise, strength=strength).numpy()
        errors.append(np.sqrt(((z - exact) ** 2).mean()))
    assert errors[0] < 1e-5
    assert all(a + 1e-3 < b for a, b in pairwise(errors)), errors


@pytest.mark.parametrize("noise", MODELS)
@pytest.mark.parametrize("problem", ["default", "strongly entangling", "affine function"])
def test_carried_and_replayed_noise_are_the_same(noise, problem):
    # Also for templates: both must put noise on the gates that they are made of.
    rnn, x = network(problem, DOUBLE), inputs(dtype=DOUBLE)
    lengths = torch.tensor([3, 1, 2])
    z = [
        rnn.on("default.mixed", strategy=strategy, noise=noise, strength=0.1)(x, lengths=lengths)
        for strategy in ("carried", "replayed")
    ]
    torch.testing.assert_close(z[0][0], z[1][0], rtol=0, atol=1e-9)


class Relaxing(devices.Device):
    """The noise of a user's own on every operation, also with a carried state."""

    def make_plugin(self, n_wires):
        return qml.device("default.mixed", wires=n_wires)

    def transform(self, qnode):
        def relax(op, **_):
            for wire in op.wires:
                qml.ThermalRelaxationError(0.0, 250e-6, 150e-6, 6e-6, wires=wire)

        model = qml.NoiseModel({qml.BooleanFn(lambda op: True): relax})
        return qml.noise.add_noise(qnode, model)

    def carry(self, circuit, layer):
        memory = CarriedDensities if circuit.measured is None else MeasuredDensities
        return memory(circuit, layer, self.plugin(None), self.transform, lambda wires: [])


@pytest.mark.parametrize("mode", ["expval", "measure"])
def test_noise_of_ones_own_spares_the_preparation_of_a_carried_state(mode, monkeypatch):
    table = devices.device_table()
    monkeypatch.setattr(table, "_entries", dict(table._entries))
    spec = replace(device_spec("default.mixed"), name="relaxing", options=("strategy",))
    add_device(spec, Relaxing)
    device = "default.mixed"  # which measures
    rnn = QRNN(1, n_qubits=2, readout="Z", readout_mode=mode, bias_range=1.0, device=device)
    rnn = rnn.to(DOUBLE)
    x = torch.ones(2, 2, 1, dtype=DOUBLE)
    if mode == "expval":
        z = rnn.on("relaxing", strategy="replayed")(x)[0]
        torch.testing.assert_close(rnn.on("relaxing")(x)[0], z, rtol=0, atol=1e-9)
        return
    memory = rnn.on("relaxing").cell.memory
    tape = qml.workflow.construct_tape(memory._couple, level="user")(torch.eye(4) / 4, "ZI")
    assert isinstance(tape.operations[0], qml.QubitDensityMatrix)
    assert not isinstance(tape.operations[1], qml.ThermalRelaxationError)
    assert isinstance(tape.operations[-1], qml.ThermalRelaxationError)


@pytest.mark.parametrize("noise", MODELS)
def test_the_open_loop_has_the_same_noise(noise):
    cell = network("affine function", DOUBLE).cell
    controls = torch.randn(2, 3, 3, dtype=DOUBLE)
    with torch.no_grad():
        z = [
            cell.on("default.mixed", strategy=s, noise=noise, strength=0.1).memory.run(controls)
            for s in ("carried", "replayed")
        ]
    torch.testing.assert_close(z[0], z[1], rtol=0, atol=1e-9)
    assert np.abs(z[0].numpy() - reference.open_loop(cell, controls)).max() > 0.01


@pytest.mark.parametrize("strategy", ["carried", "replayed"])
def test_a_readout_error_shrinks_a_word_by_its_letters_and_spares_the_state(strategy):
    # E = (1 - 2 p)^letters <P> at every step: the error of one step is not carried to the next.
    words = ["XII", "IYI", "IIZ", "XYI", "ZIX", "YZX"]
    rnn, x, p = without_feedback(readout=words), inputs(dtype=DOUBLE), 0.07
    exact, _ = reference.run(rnn.cell, x)
    letters = np.array([3 - word.count("I") for word in words])
    z = readouts(rnn, x, strategy=strategy, noise="readout", strength=p)
    np.testing.assert_allclose(z, exact * (1 - 2 * p) ** letters, rtol=0, atol=1e-10)


@pytest.mark.parametrize("strategy", ["carried", "replayed"])
def test_depolarising_shrinks_every_readout_by_the_number_of_gates(strategy):
    # A channel of strength p takes the Bloch vector to (1 - 4 p / 3) of it, and commutes with
    # every gate of one qubit: after t steps of four gates a wire, the factor to the power 4 t.
    rnn, x, p = without_feedback(topology=[]), inputs(dtype=DOUBLE), 0.03
    exact, _ = reference.run(rnn.cell, x)
    shrink = (1 - 4 * p / 3) ** (4 * np.arange(1, 4))[:, None, None]
    z = readouts(rnn, x, strategy=strategy, noise="depolarizing", strength=p)
    np.testing.assert_allclose(z, exact * shrink, rtol=0, atol=1e-10)


def turned(angles, wires):
    qml.RX(angles[0], wires[0])
    qml.CNOT(wires)


def turned_and_nothing(angles, wires):
    qml.RX(angles[0], wires[0])
    qml.GlobalPhase(0.3, wires=wires)
    qml.Identity(wires[1])
    qml.CNOT(wires)


@pytest.mark.parametrize(
    ("device", "options"),
    [
        ("fused", {}),
        ("fused", {"trajectories": 3, "seed": 1}),
        ("default.mixed", {}),
        ("default.mixed", {"strategy": "replayed"}),
    ],
)
def test_a_global_phase_and_identity_have_no_noise(device, options):
    found = []
    for function in (turned, turned_and_nothing):
        torch.manual_seed(0)
        rnn = QRNN(1, n_qubits=2, ansatz=function, n_angles=1, readout="XYZ+ZZ", bias_range=1.0)
        rnn = rnn.on(device, noise="depolarizing", strength=0.2, **options)
        found.append(rnn(torch.ones(3, 2, 1))[0])
    torch.testing.assert_close(found[0], found[1])


def test_a_gate_on_two_wires_has_one_channel_on_each():
    def function(angles, wires):
        qml.IsingXX(angles[0], wires=wires)

    rnn = QRNN(1, 2, ansatz=function, n_angles=1, readout=["ZI", "IZ", "ZZ"], width=2).to(DOUBLE)
    x, p = torch.ones(1, 1, 1, dtype=DOUBLE), 0.1
    exact, _ = reference.run(rnn.cell, x)
    z = readouts(rnn, x, noise="depolarizing", strength=p)
    letters = np.array([1, 1, 2])
    np.testing.assert_allclose(z, exact * (1 - 4 * p / 3) ** letters, rtol=0, atol=1e-10)


@pytest.mark.parametrize(
    ("noise", "factors"),
    [
        # Behind RY(t) on |0>, (x, y, z) = (sin t, 0, cos t): what one channel of strength p makes.
        ("phase_damping", lambda p: (np.sqrt(1 - p), 1, 0)),
        ("amplitude_damping", lambda p: (np.sqrt(1 - p), 1 - p, p)),
        ("depolarizing", lambda p: (1 - 4 * p / 3, 1 - 4 * p / 3, 0)),
    ],
)
def test_one_gate_and_one_channel_are_the_textbook_map(noise, factors):
    def function(angles, wires):
        qml.RY(angles[0], wires=wires[0])

    rnn = QRNN(1, 1, ansatz=function, n_angles=1, width=2).to(DOUBLE)
    x, p = torch.ones(1, 1, 1, dtype=DOUBLE), 0.2
    (sin, _, cos) = reference.run(rnn.cell, x)[0][0, 0]
    x_factor, z_factor, z_offset = factors(p)
    z = readouts(rnn, x, noise=noise, strength=p)[0, 0]
    np.testing.assert_allclose(z, [x_factor * sin, 0, z_factor * cos + z_offset], atol=1e-10)


@pytest.mark.parametrize("noise", MODELS)
def test_sampled_noise_has_the_mean_of_the_exact_one(noise):
    shots = 4000
    rnn, x = without_feedback(), inputs(2, 2, DOUBLE)
    exact = readouts(rnn, x, noise=noise, strength=0.1)
    sampled = readouts(rnn, x, noise=noise, strength=0.1, shots=shots, seed=2)
    bound = 5 * ((1 - exact**2).clamp(min=0) / shots).sqrt() + 50 / (3 * shots)
    assert ((sampled - exact).abs() <= bound).all()


@pytest.mark.parametrize("noise", MODELS)
def test_the_gradient_through_noise_is_that_of_finite_differences(noise):
    rnn = network("default", DOUBLE, n_qubits=2, layers=1)
    noisy = rnn.on("default.mixed", noise=noise, strength=0.1)
    x = inputs(2, 1, DOUBLE).requires_grad_()
    assert torch.autograd.gradcheck(lambda x: noisy(x)[0], (x,))


def test_noise_mixes_the_carried_state_and_readout_errors_do_not():
    def purity(**noise):
        with torch.no_grad():
            rho = network().on("default.mixed", **noise)(inputs())[1].amplitudes()
        torch.testing.assert_close(rho.diagonal(dim1=1, dim2=2).sum(1).real, torch.ones(3))
        return (rho @ rho).diagonal(dim1=1, dim2=2).sum(1).real

    torch.testing.assert_close(purity(), torch.ones(3), rtol=0, atol=1e-5)
    assert (purity(noise="depolarizing", strength=0.05) < 0.8).all()
    readout = purity(noise="readout", strength=0.1)
    torch.testing.assert_close(readout, torch.ones(3), rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"noise": "thermal", "strength": 0.1}, "device.noise 'thermal' is not known.*Allowed: am"),
        ({"noise": "depolarising", "strength": 0.1}, "did you mean depolarizing"),
        (
            {"noise": "readout"},
            "device.noise and device.strength must be set together.*strength=None",
        ),
        (
            {"strength": 0.1},
            "device.noise and device.strength must be set together, got noise=None",
        ),
        (
            {"noise": qml.NoiseModel({}), "strength": 0.1},
            r"device.noise must be a name, got NoiseModel: for your own noise, subclass qrnn.dev",
        ),
        ({"noise": qml.BitFlip, "strength": 0.1}, "device.noise must be a name, got BitFlip"),
        ({"noise": "readout", "strength": 0.6}, r"in \[0, 0.5\] for readout noise, got 0.6"),
        ({"noise": "phase_damping", "strength": -0.1}, r"in \[0, 1\] for phase_damping noise, got"),
    ],
)
def test_a_noise_model_that_is_not_one_is_refused(options, message):
    with pytest.raises(ConfigError, match=message):
        network().on("default.mixed", **options)
