"""The same device asked again: after a timeout, an interruption, a refusal, or close()."""

import os

import pennylane as qml
import pytest
from qiskit_ibm_runtime.api.exceptions import RequestsApiError
from qiskit_ibm_runtime.exceptions import IBMRuntimeError

from helpers import service_double
from qrnn.devices.ibm import IBMDevice, limits, remote, runtime
from qrnn.errors import DeviceError

SHOTS = 20


def tape(angle=0.3):
    return qml.tape.QuantumScript([qml.RY(angle, 0)], [qml.expval(qml.Z(0))], shots=SHOTS)


class IBM:
    """The service double, and devices on one folder."""

    def __init__(self, folder, monkeypatch):
        self.folder = folder
        self.patch = monkeypatch.setattr
        self.service = service_double.Service(folder / "service")
        self.clock = service_double.install(self.service, self.patch)

    def device(self, **options):
        return IBMDevice(
            wires=1, backend=service_double.NAME, ledger=self.folder / "run", **options
        )


@pytest.fixture
def ibm(tmp_path, monkeypatch):
    return IBM(tmp_path, monkeypatch)


def test_a_job_that_stays_in_the_queue_is_awaited_by_the_same_device(ibm):
    device = ibm.device(queue_timeout=60)
    ibm.service.faults = {"stuck": [1, 999]}
    for _ in range(2):
        with pytest.raises(DeviceError, match="no job is submitted twice"):
            device.execute([tape()])
    ibm.service.faults.clear()
    device.execute([tape()])
    assert ibm.service.submissions == device.usage.jobs == 1
    device.execute([tape()])  # the first is finished: shots of its own
    assert ibm.service.submissions == device.usage.jobs == 2
    device.close()


def test_a_job_is_awaited_again_after_ctrl_c(ibm):
    status = service_double.Job.status
    presses = iter([True])

    def interrupted(job):
        if next(presses, False):
            raise KeyboardInterrupt
        return status(job)

    ibm.patch(service_double.Job, "status", interrupted)
    device = ibm.device()
    with pytest.raises(KeyboardInterrupt):
        device.execute([tape()])
    device.execute([tape()])
    assert ibm.service.submissions == 1
    device.close()


def test_equal_jobs_of_one_batch_are_two_and_found_again(ibm):
    ibm.patch(limits, "MAX_EXECUTIONS_PER_JOB", SHOTS)
    device = ibm.device(queue_timeout=60)
    ibm.service.faults = {"stuck": [2, 999]}
    with pytest.raises(DeviceError, match="leave the queue"):
        device.execute([tape(), tape()])
    assert ibm.service.submissions == 2
    ibm.service.faults.clear()
    device.execute([tape(), tape()])
    assert ibm.service.submissions == 2
    device.close()


def test_a_job_whose_intent_is_not_on_disk_is_not_sent(ibm, monkeypatch):
    device = ibm.device()
    write = os.write
    left = iter([30])

    def full(file, line):
        part = line[: next(left, 0)]
        if not part:
            raise OSError(28, "No space left on device")
        return write(file, part)

    with monkeypatch.context() as patch:
        patch.setattr(os, "write", full)
        with pytest.raises(DeviceError, match=r"No space left on device\. Free disk"):
            device.execute([tape()])
    assert ibm.service.submissions == 0
    device.execute([tape()])
    assert ibm.service.submissions == 1
    device.close()


# --- after close() --------------------------------------------------------------------------------


def test_a_closed_device_goes_on_in_its_own_ledger(ibm, tmp_path):
    device = ibm.device()
    device.execute([tape()])
    device.close()
    paths = [tmp_path / f"foreign{i}" for i in range(3)]
    foreign = [os.open(path, os.O_RDWR | os.O_CREAT) for path in paths]
    device.execute([tape(0.5)])
    assert [path.read_bytes() for path in paths] == [b""] * 3
    for file in foreign:
        os.close(file)
    with pytest.raises(DeviceError, match="another one has it open"):
        ibm.device()
    device.close()
    assert ibm.device().usage.jobs == 2


def test_a_closed_device_submits_nothing_that_another_one_has_run(ibm):
    device = ibm.device()
    device.close()
    other = ibm.device()
    other.execute([tape()])
    with pytest.raises(DeviceError, match="another one has it open"):
        device.execute([tape()])
    other.close()
    device.execute([tape()])
    assert ibm.service.submissions == 1
    device.close()


# --- what the service refuses ---------------------------------------------------------------------


def refuse(service, status, text):
    """Make the service answer as qiskit-ibm-runtime tells it; return the list of requests."""
    requests = []

    def run(pubs, options):
        requests.append(pubs)
        try:
            raise RequestsApiError(text, status)
        except RequestsApiError as error:
            raise IBMRuntimeError(f"Failed to run program: {error}") from None

    service.run = run
    return requests


@pytest.mark.parametrize("status", [400, 403, 409])
def test_a_refusal_is_told_at_once(status, ibm):
    requests = refuse(ibm.service, status, "Job create exceeds open plan usage limits, 8057.")
    device = ibm.device()
    with pytest.raises(DeviceError, match=r"refused submitting.*exceeds open plan usage"):
        device.execute([tape()])
    assert len(requests) == 1
    assert not ibm.clock.waits
    device.close()


@pytest.mark.parametrize("status", [-1, 429, 500, 503])
def test_an_overloaded_server_is_waited_for_and_its_reason_told(status, ibm, monkeypatch):
    token = "planted-token-0123456789"
    monkeypatch.setenv("QISKIT_IBM_TOKEN", token)
    page = f"Busy for {token}:\n<html>" + "." * 5000
    requests = refuse(ibm.service, status, page)
    device = ibm.device()
    with pytest.raises(DeviceError, match=r"reachable.*10 times.*Busy for \*\*\*") as caught:
        device.execute([tape()])
    assert len(requests) == remote.ATTEMPTS
    said = str(caught.value)
    assert "planted" not in said
    assert "\n" not in said
    assert len(said) < remote.MAX_ERROR_TEXT + 250
    device.close()


def test_no_half_of_a_token_is_left_where_a_text_is_cut(monkeypatch):
    monkeypatch.setenv("QISKIT_IBM_TOKEN", "planted-token-0123456789")
    for most in range(60):
        assert "pl" not in runtime.scrub("Busy for planted-token-0123456789, try later", most)
    assert runtime.scrub("Busy for planted-token-0123456789, try later", 12) == "Busy for ***…"
