"""Readout through an ancilla: the closed forms, the recurrence, and what is refused."""

import math

import numpy as np
import pennylane as qml
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from helpers import reference
from helpers.problems import inputs, network
from qrnn import QRNN, ConfigError, DeviceError
from qrnn.circuit.mid_circuit import MeasuredReadout
from qrnn.devices import DeviceOptions

SHOTS = 4000
EXACT = {
    "default.mixed carried": 1e-5,
    "default.qubit replayed": 1e-5,
    "lightning.qubit replayed": 1e-5,
}
SAMPLED = {"default.qubit": {"seed": 1}, "lightning.qubit": {"seed": 1}, "aer": {"seed": 1}}
PHI = 1.1


def small(dtype=torch.float32, **options):
    """A cell of two qubits with two words that anticommute."""
    changes = {"n_qubits": 2, "readout": ["XI", "ZZ", "IY"], **options}
    return network("default", dtype, **changes)


def measured_on(rnn, name, **options):
    if name not in ("aer", "default.mixed"):
        options = {**options, "strategy": "replayed"}
    return rnn.on(name, readout_mode="measure", readout_angle=PHI, **options)


def state_prep(angles):
    qml.RY(angles[0], 0)
    qml.RZ(angles[1], 0)


@pytest.mark.parametrize("device", ["default.qubit", "default.mixed", "lightning.qubit"])
@pytest.mark.parametrize("phi", [0.3, 1.0, 2.5, math.pi])
@pytest.mark.parametrize("pauli", "XYZ")
def test_outcome_readout_and_dephasing_have_their_closed_forms(device, phi, pauli):
    readout, angles = MeasuredReadout([pauli], phi), (0.9, -2.1)

    @qml.qnode(qml.device(device))
    def read():
        state_prep(angles)
        (m,) = readout.measure()
        return [qml.expval(m), *(qml.expval(p(0)) for p in (qml.X, qml.Y, qml.Z))]

    before = {
        "X": np.sin(angles[0]) * np.cos(angles[1]),
        "Y": np.sin(angles[0]) * np.sin(angles[1]),
        "Z": np.cos(angles[0]),
    }
    m, *after = (float(v) for v in read())
    assert m == pytest.approx(math.sin(phi / 2) ** 2 * (1 - before[pauli]) / 2, abs=1e-6)
    assert float(readout.unbiased(torch.tensor([m]))) == pytest.approx(before[pauli], abs=1e-5)
    for other, value in zip("XYZ", after, strict=True):
        factor = 1 if other == pauli else math.cos(phi / 2)
        assert value == pytest.approx(factor * before[other], abs=1e-6)


def test_on_the_ibm_device_outcome_and_dephasing_have_their_closed_forms():
    pytest.importorskip("qiskit_aer")
    readout, shots = MeasuredReadout(["X"], PHI), 40_000
    device = qml.device("qrnn.ibm", backend="aer", wires=2, seed=3)

    @qml.set_shots(shots=shots)
    @qml.qnode(device)
    def read():
        state_prep((0.9, -2.1))
        (m,) = readout.measure()
        return [qml.expval(m), qml.expval(qml.X(0)), qml.expval(qml.Z(0))]

    x, z = np.sin(0.9) * np.cos(2.1), np.cos(0.9)
    m, x_after, z_after = read()
    assert abs(m - math.sin(PHI / 2) ** 2 * (1 - x) / 2) < 5 * 0.5 / math.sqrt(shots)
    assert abs(x_after - x) < 5 / math.sqrt(shots)
    assert abs(z_after - math.cos(PHI / 2) * z) < 5 / math.sqrt(shots)


words = st.lists(
    st.text("IXYZ", min_size=2, max_size=2).filter(lambda w: w != "II"),
    min_size=1,
    max_size=3,
    unique=True,
)


@settings(max_examples=25, deadline=None)
@given(
    words,
    st.floats(0.1, 3.0),
    st.lists(st.floats(-3, 3), min_size=4, max_size=4),
    st.sampled_from([1, 2]),
)
def test_any_words_at_any_angle_agree_with_kraus_operators(words, phi, angles, ancillas):
    readout = MeasuredReadout(words, phi)

    def prepare():
        for wire in (0, 1):
            qml.RY(angles[wire], wire)
            qml.RZ(angles[2 + wire], wire)
        qml.CNOT([0, 1])

    @qml.qnode(qml.device("default.qubit"), mcm_method="deferred")
    def read():
        prepare()
        outcomes = readout.measure(ancillas)
        return [qml.density_matrix([0, 1]), *(qml.expval(m) for m in outcomes)]

    psi = qml.matrix(prepare, wire_order=[0, 1])()[:, 0]
    expected, rho = reference.measured_step(np.outer(psi, psi.conj()), words, phi)
    got, *m = read()
    np.testing.assert_allclose(got, rho, atol=1e-9)
    z = readout.unbiased(torch.tensor([float(v) for v in m], dtype=torch.float64))
    np.testing.assert_allclose(z, expected, atol=1e-7)
    # Unbiased for the state before the first of the measurements.
    truth = [(psi.conj() @ reference.word_matrix(w) @ psi).real for w in words]
    np.testing.assert_allclose(z, truth, atol=1e-7)


@pytest.mark.parametrize("label", EXACT)
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-5), (torch.float64, 1e-10)])
def test_an_exact_device_agrees_with_dense_kraus_operators(label, dtype, tolerance):
    rnn, x = measured_on(small(dtype), label.split()[0]), inputs(2, dtype=dtype)
    with torch.no_grad():
        z, _ = rnn(x)
    expected = reference.run_measured(rnn.cell, x)
    np.testing.assert_allclose(z, expected, rtol=0, atol=tolerance * 10)
    assert np.abs(expected - reference.run(rnn.cell, x)[0]).max() > 0.01  # measuring disturbs


@pytest.mark.parametrize("name", SAMPLED)
def test_a_sampling_device_agrees_within_five_standard_errors(name):
    if name == "aer":
        pytest.importorskip("qiskit_aer")
    rnn, x = measured_on(small(), name, shots=SHOTS, **SAMPLED[name]), inputs(2)
    with torch.no_grad():
        z, _ = rnn(x)
    expected = reference.run_measured(rnn.cell, x, feedback=z)
    a, b = rnn.cell.circuit.outcomes.numpy()
    variance = np.clip((a - expected) * (expected - b), 0, None) / SHOTS
    error = np.abs(z.numpy() - expected)
    assert (error <= 5 * np.sqrt(variance) + 25 * (a - b) / (3 * SHOTS)).all()
    assert error.max() > 1e-6


def test_a_fake_backend_measures_within_a_stated_bound():
    pytest.importorskip("qiskit_aer")
    rnn, x = measured_on(small(), "fake_manila", shots=SHOTS, seed=1, force_measure=True), inputs(1)
    with torch.no_grad():
        z, _ = rnn(x)
    error = z.numpy() - reference.run_measured(rnn.cell, x, feedback=z)
    assert 1e-3 < np.sqrt((error**2).mean()) < 0.3


@pytest.mark.parametrize("label", EXACT)
def test_sequences_that_pause_are_not_measured(label):
    rnn, x = measured_on(small(), label.split()[0]), inputs(2)
    with torch.no_grad():
        z, _ = rnn(x, lengths=torch.tensor([2, 1, 2]))
        longer, state = rnn(x[:1], lengths=torch.tensor([1, 1, 1]))
        after, _ = rnn(x[1:], state)
    np.testing.assert_allclose(z, reference.run_measured(rnn.cell, x, (2, 1, 2)), atol=1e-4)
    np.testing.assert_allclose(
        torch.cat([longer, after]), reference.run_measured(rnn.cell, x), atol=1e-4
    )


@pytest.mark.parametrize("name", ["default.qubit", "lightning.qubit", "aer"])
def test_the_open_loop_is_one_circuit_for_all_steps(name):
    if name == "aer":
        pytest.importorskip("qiskit_aer")
    sampled = {"shots": SHOTS, "seed": 1} if name == "aer" else {}
    rnn = measured_on(small(), name, **sampled)
    controls = torch.randn(3, 2, rnn.cell.circuit.n_angles)
    with qml.Tracker(rnn.cell.qnode.device) as tracker, torch.no_grad():
        z = rnn.cell.memory.run(controls)
    assert tracker.totals["batches"] == 1
    if name == "aer":
        assert rnn.cell.qnode.device.jobs == 1
    angles = (controls + rnn.cell.quantum.bias).detach().double().numpy()
    for b, sequence in enumerate(angles):
        rho = np.zeros((4, 4), complex)
        rho[0, 0] = 1
        for t, step in enumerate(sequence):
            u = reference.step_matrix(rnn.cell.circuit.ansatz, step)
            expected, rho = reference.measured_step(
                u @ rho @ u.conj().T, rnn.cell.circuit.words, PHI
            )
            np.testing.assert_allclose(z[b, t], expected, atol=0.4 if sampled else 1e-4)


@pytest.mark.parametrize("noise", ["depolarizing", "amplitude_damping", "readout"])
def test_noise_acts_on_the_ancillas_gates_and_bits_too(noise):
    """The carried density matrix and the whole circuit with its measurements deferred agree."""
    rnn, x = network("default", n_qubits=1, readout="XZ"), inputs(2, 2)
    options = {"noise": noise, "strength": 0.1}
    z = {}
    for strategy in ("carried", "replayed"):
        device = rnn.on(
            "default.mixed", readout_mode="measure", readout_angle=PHI, strategy=strategy, **options
        )
        with torch.no_grad():
            z[strategy], _ = device(x)
    torch.testing.assert_close(z["carried"], z["replayed"], rtol=0, atol=1e-5)
    ideal = reference.run_measured(device.cell, x)
    assert np.abs(z["carried"].numpy() - ideal).max() > 0.02


@pytest.mark.parametrize(
    "label", ["default.mixed carried", "default.mixed replayed", "default.qubit replayed"]
)
def test_gradients_are_those_of_finite_differences(label):
    name, strategy = label.split()
    rnn = measured_on(small(torch.float64, width=3), name, strategy=strategy)
    x = inputs(2, 2, torch.float64)

    def loss(bias):
        return torch.func.functional_call(rnn, {"cells.0.quantum.bias": bias}, (x,))[0].sum()

    bias = rnn.cell.quantum.bias
    (gradient,) = torch.autograd.grad(rnn(x)[0].sum(), bias)
    with torch.no_grad():
        for i in range(0, len(bias), 3):
            values = []
            for step in (1e-5, -1e-5):
                bias[i] += step
                values.append(rnn(x)[0].sum().item())
                bias[i] -= step
            assert (values[0] - values[1]) / 2e-5 == pytest.approx(gradient[i].item(), abs=1e-5)


@pytest.mark.parametrize(
    ("name", "gradient"), [("default.mixed", "backprop"), ("default.qubit", "adjoint")]
)
def test_gradients_that_measured_circuits_rule_out_are_refused(name, gradient):
    with pytest.raises(ConfigError, match=f"must not be {gradient} where circuits measure mid-c"):
        measured_on(small(), name, strategy="replayed", gradient=gradient)


def test_a_readout_can_be_changed_and_changed_back_without_touching_the_original():
    rnn = small()
    measured = rnn.on("default.mixed", readout_mode="measure")
    assert measured.cell.circuit.measured.angle == math.pi / 4
    assert rnn.cell.circuit.measured is None
    back = measured.on("default.qubit", readout_mode="expval")
    torch.testing.assert_close(back(inputs())[0], rnn(inputs())[0], rtol=0, atol=1e-5)
    turned = measured.on("default.mixed", readout_angle=0.5)
    assert turned.cell.circuit.measured.angle == 0.5


@pytest.mark.parametrize("mode", [None, "measure"])
def test_a_measured_cell_keeps_its_angle_unless_another_is_named(mode):
    cell = small(readout_mode="measure", readout_angle=PHI, device="default.mixed").cell
    assert cell.on("default.mixed", readout_mode=mode).circuit.measured.angle == PHI
    assert cell.circuit.read_by(mode).measured.angle == PHI
    assert cell.circuit.read_by(mode, 0.5).measured.angle == 0.5


def test_the_drawing_and_the_resources_show_the_ancilla():
    cell = small(readout_mode="measure", device="default.mixed").cell
    assert "│0⟩" in cell.draw()
    specs = cell.specs()
    assert specs["wires"] == 3
    assert specs["gate_types"]["CRY"] == 3
    assert specs["gate_types"]["MidMeasureMP"] == 3


REFUSED = [
    ("fused", {}, DeviceError, "'fused' with strategy fused cannot measure mid-circuit: use"),
    ("reference.qubit", {}, DeviceError, "cannot measure mid-circuit"),
    ("default.qubit", {"strategy": "carried"}, DeviceError, "with strategy carried cannot measure"),
    ("default.mixed", {"readout_angle": 0.0}, ConfigError, r"must be in \(0, pi\] radians, got 0"),
    ("default.mixed", {"readout_angle": 4.0}, ConfigError, r"must be in \(0, pi\] radians, got 4"),
    ("default.mixed", {"readout_angle": math.pi}, ConfigError, "erases ZZ before it is read"),
    ("default.mixed", {"readout_mode": "measured"}, ConfigError, "did you mean measure"),
    ("fused", {"readout_mode": "expval", "readout_angle": 1.0}, ConfigError, "must be left out"),
]


@pytest.mark.parametrize(("device", "options", "error", "message"), REFUSED)
def test_what_cannot_be_measured_is_refused_in_one_line(device, options, error, message):
    choice = {key: options.pop(key) for key in list(options) if key.startswith("readout")}
    with pytest.raises(error, match=message) as caught:
        small().on(device, **{"readout_mode": "measure", **choice}, **options)
    assert "\n" not in str(caught.value)
    with pytest.raises(error, match=message):
        QRNN(
            2,
            2,
            readout=["XI", "ZZ", "IY"],
            device=DeviceOptions(device, **options),
            **{"readout_mode": "measure", **choice},
        )


def test_more_deferred_measurements_than_fit_are_refused_before_they_run():
    rnn = small().on("default.qubit", readout_mode="measure")
    with pytest.raises(DeviceError, match="at most 20 qubits, got 21: each of 6 x 3 deferred meas"):
        rnn(inputs(6, 1))
