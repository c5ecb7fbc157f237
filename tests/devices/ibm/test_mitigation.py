"""Mitigation lowers the error of z on a fake backend, and refuses what it cannot correct."""

import numpy as np
import pennylane as qml
import pytest

from helpers.ibm_tapes import N, replay
from qrnn.devices.ibm import IBMDevice
from qrnn.devices.ibm.batch import Batch
from qrnn.errors import DeviceError

B, SHOTS = 16, 4096


def rms(T, **options):
    """RMS error of the readouts of the last of T steps on fake_manila."""
    theta = 0.7 * np.random.default_rng(T).normal(size=(2 * T, B, 2 * N))
    tape = replay(theta, SHOTS)
    device = IBMDevice(wires=N, backend="fake_manila", seed=1, **options)
    tapes, post = device.preprocess_transforms()([tape])
    z = np.array(post(device.execute(tapes))[0])
    exact = np.array(qml.device("default.qubit").execute(tape.copy(shots=None)))
    return np.sqrt(np.mean((z - exact) ** 2))


def test_readout_mitigation_lowers_the_error():
    assert rms(1, readout_mitigation=8192) < 0.6 * rms(1)
    assert rms(4, readout_mitigation=8192) < 0.9 * rms(4)


def test_extrapolation_lowers_the_error():
    assert rms(4, zne=[1, 3]) < 0.8 * rms(4)


def test_both_together_lower_it_most():
    both = rms(4, zne=[1, 3], readout_mitigation=8192)
    assert both < 0.8 * min(rms(4, zne=[1, 3]), rms(4, readout_mitigation=8192))


def test_readout_mitigation_is_unbiased_for_words():
    device = IBMDevice(wires=3, backend="fake_manila", seed=1, readout_mitigation=100_000)
    plain = IBMDevice(wires=3, backend="fake_manila", seed=1)
    words = [qml.Z(0), qml.Z(1) @ qml.Z(2), qml.Z(0) @ qml.Z(1) @ qml.Z(2)]
    tape = qml.tape.QuantumScript(
        [qml.X(0), qml.X(1), qml.X(2)], [qml.expval(w) for w in words], shots=100_000
    )
    exact = np.array([-1, 1, -1])
    np.testing.assert_allclose(device.execute([tape])[0], exact, atol=0.01)
    assert np.max(np.abs(np.array(plain.execute([tape])[0]) - exact)) > 0.05


@pytest.mark.parametrize("T", [1, 2])
def test_calibration_reads_the_qubits_that_are_read(T):
    """SWAPs move wires, so the qubit that a bit is read on is not where its wire began."""
    device = IBMDevice(wires=N, backend="fake_manila", seed=5)
    batch = Batch([replay(np.ones((T, 2 * N)), ring=True)], qml.wires.Wires(range(N)))
    for block in batch.blocks:
        compiled = device.transpiler(block.structure)
        final = compiled.circuit.layout.final_index_layout(filter_ancillas=True)
        assert compiled.read == tuple(final[p] for p in block.structure.measured)


def test_folds_are_run_and_not_cancelled():
    device = IBMDevice(wires=N, backend="fake_manila", seed=5, zne=[1, 3, 5])
    tapes, _ = device.preprocess_transforms()([replay(np.ones((2, 2 * N)))])
    gates = [
        max(device.transpiler(b.structure).two_qubit_gates for b in Batch([t], device.wires).blocks)
        for t in tapes
    ]
    assert gates == [6, 18, 30]


def test_a_line_is_extrapolated_exactly():
    """Results on a line in the noise factor give its value at noise zero, in every shape."""
    device = IBMDevice(wires=1, backend="fake_manila", zne=[1, 3, 5])
    for measurements in ([qml.expval(qml.Z(0))], [qml.expval(qml.Z(0)), qml.expval(qml.X(0))]):
        tape = qml.tape.QuantumScript([qml.RX(np.ones(2), 0)], measurements, shots=10)
        _, post = device.preprocess_transforms()([tape])
        z = [np.array([0.5, -0.2]) - 0.1 * factor for factor in (1, 3, 5)]
        several = len(measurements) > 1
        (got,) = post([(v, v) if several else v for v in z])
        np.testing.assert_allclose(got, [[0.5, -0.2]] * 2 if several else [0.5, -0.2])


@pytest.mark.parametrize("option", [{"readout_mitigation": 100}, {"zne": [1, 3]}])
@pytest.mark.parametrize(
    "measurement", [qml.probs(wires=0), qml.var(qml.Z(0)), qml.expval(qml.Hadamard(0))]
)
def test_what_is_not_corrected_is_refused(option, measurement):
    device = IBMDevice(wires=2, backend="fake_manila", **option)
    tape = qml.tape.QuantumScript([qml.RX(0.1, 0)], [measurement], shots=10)
    with pytest.raises(DeviceError, match=next(iter(option))):
        device.preprocess_transforms()([tape])


def test_mid_circuit_measurement_cannot_be_folded():
    device = IBMDevice(wires=2, backend="fake_manila", zne=[1, 3])
    tape = qml.tape.QuantumScript(
        [qml.ops.MidMeasure([0], reset=True)], [qml.expval(qml.Z(0))], shots=10
    )
    with pytest.raises(DeviceError, match="unitary"):
        device.preprocess_transforms()([tape])


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ({"zne": [1]}, "at least one larger"),
        ({"zne": [1, 2]}, "odd"),
        ({"zne": [3, 5]}, "1 and at least one larger"),
        ({"readout_mitigation": 0}, "calibration shots"),
        ({"mode": "queue"}, "job, batch, session"),
    ],
)
def test_wrong_options_are_refused(option, message):
    with pytest.raises(DeviceError, match=message):
        IBMDevice(wires=2, backend="fake_manila", **option)
