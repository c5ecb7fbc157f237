"""PennyLane's own suite for devices, on `qrnn.ibm`, with what the device declares it cannot do."""

import re
import subprocess
import sys

import pennylane as qml
import pytest
from pennylane.devices.tests import get_device_tests
from pennylane.measurements import SampleMeasurement

from qrnn.devices.ibm import IBMDevice
from qrnn.errors import DeviceError

# Refused in one line: a backend has no state. PennyLane expects a warning.
DECLARED = [
    "test_measurements.py::TestStateMeasurement::test_sample_measurement_with_shots"
    "[device_kwargs0]",
]


@pytest.mark.slow
def test_pennylanes_suite_passes_but_for_what_is_declared(tmp_path):
    for package in ("pytest_mock", "flaky"):
        pytest.importorskip(package)
    command = [sys.executable, "-m", "pytest", get_device_tests(), "-q", "-p", "no:cacheprovider"]
    command += ["--device=qrnn.ibm", "--shots=200000", "--skip-ops", "--no-flaky-report"]
    command += ["--tb=no", "-rf", "--device-kwargs", "backend=aer", "seed=1"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    failed = re.findall(r"^FAILED \S*/(test_\w+\.py::\S+)", done.stdout, re.MULTILINE)
    assert failed == DECLARED, done.stdout[-2000:] + done.stderr[-2000:]
    assert int(re.search(r"(\d+) passed", done.stdout)[1]) > 350


class Ones(SampleMeasurement):
    """Counts the ones of a shot, on average."""

    def process_samples(self, samples, wire_order, shot_range=None, bin_size=None):
        return samples.sum(-1).mean(-1)

    def process_counts(self, counts, wire_order):
        raise NotImplementedError


def test_a_custom_measurement_of_samples_runs():
    device = IBMDevice(wires=2, backend="aer", shots=4000, seed=1)

    @qml.qnode(device)
    def circuit():
        qml.RY(1.0, 0)
        qml.CNOT([0, 1])
        return Ones(wires=[0, 1]), qml.expval(qml.Z(0))

    ones, z = circuit()
    assert ones == pytest.approx(1 - z)  # of the same shots, as both read Z
    assert z == pytest.approx(0.5403, abs=0.05)


@pytest.mark.parametrize("measure", [qml.classical_shadow, qml.state, qml.vn_entropy])
def test_what_no_sample_gives_is_refused_in_one_line(measure):
    device = IBMDevice(wires=1, backend="aer", shots=100)

    @qml.qnode(device)
    def circuit():
        qml.H(0)
        return measure() if measure is qml.state else measure(wires=[0])

    with pytest.raises(DeviceError, match=r"must be expval, var, probs, counts or sample, but got"):
        circuit()
