"""Runs that are killed, cut off or refused, and then go on; a service double stands for IBM's."""

import json
import multiprocessing
import traceback
from pathlib import Path

import numpy as np
import pennylane as qml
import pytest

from helpers import crash_run, service_double
from helpers.slow import slow_but
from qrnn.devices.ibm import IBMDevice, limits, runtime, transpiling
from qrnn.devices.ibm.backends import fake_backend
from qrnn.devices.ibm.ledger import Ledger
from qrnn.errors import DeviceError

T, N, SHOTS, SECONDS = crash_run.T, crash_run.N, crash_run.SHOTS, crash_run.SECONDS


@pytest.fixture(scope="module")
def processes():
    """Fresh processes that have imported Qiskit already."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(
        ["qrnn.devices.ibm.fakes", "qrnn.devices.ibm", "qiskit_ibm_runtime.fake_provider"]
    )
    return context


def test_a_job_is_on_disk_before_its_result_is_awaited(run):
    seen = []
    status = service_double.Job.status

    def look(job):
        seen.append([(e["state"], e.get("job_id")) for e in run.events()][-2:])
        return status(job)

    run.patch(service_double.Job, "status", look)
    run.table()
    assert [state for state, _ in seen[0]] == ["intent", "submitted"]
    (intent, submitted, done) = run.events()[:3]
    assert submitted["job_id"] == done["job_id"]
    assert intent["what"] == {"config": "c0ffee", "step": 0, "sequences": "0-2"}
    assert intent["backend"] == service_double.NAME
    assert intent["backend_version"] == "7.1"
    assert intent["client"]["qiskit-ibm-runtime"]
    assert intent["executions"] == 3 * crash_run.B * crash_run.SHOTS


@pytest.mark.parametrize(
    "fault",
    slow_but(
        ["die_before_submit", "die_after_submit", "die_waiting", "die_fetching"],
        "die_after_submit",
        "die_waiting",
    ),
)
def test_a_killed_process_goes_on(fault, run, undisturbed, processes, tmp_path):
    """A real process dies at the third job (no cleanup at all), and the command is run again."""
    out = tmp_path / "out.json"
    args = (str(run.store), str(run.ledger), str(out))
    first = processes.Process(target=crash_run.run, args=(*args, {fault: 3}))
    first.start()
    first.join()
    assert first.exitcode == 9
    assert not out.exists()
    again = processes.Process(target=crash_run.run, args=args)
    again.start()
    again.join()
    np.testing.assert_array_equal(json.loads(out.read_text())["table"], undisturbed)
    assert run.submissions == T


@pytest.mark.parametrize("number", range(1, T + 1))
@pytest.mark.parametrize("fault", ["die_before_submit", "die_after_submit", "die_waiting"])
def test_a_run_may_die_at_any_job(fault, number, run, undisturbed):
    with pytest.raises(service_double.Killed):
        run.table({fault: number})
    np.testing.assert_array_equal(run.table(), undisturbed)
    assert run.submissions == T


def test_a_run_may_die_while_it_writes(run, undisturbed):
    """Killed between the result on disk and the line that says so."""
    record = Ledger.record

    def cut(self, key, state, **what):
        if state == "done":
            raise service_double.Killed
        record(self, key, state, **what)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Ledger, "record", cut)
        with pytest.raises(service_double.Killed):
            run.table()
    np.testing.assert_array_equal(run.table(), undisturbed)
    assert run.submissions == T


def test_a_finished_run_is_fetched_without_the_service(run, undisturbed):
    run.table()
    for path in run.store.glob("*"):
        path.unlink()
    np.testing.assert_array_equal(run.table(), undisturbed)
    assert run.submissions == 0


@pytest.mark.parametrize("fault", ["lose_request", "lose_answer", "lose_status", "lose_result"])
def test_a_lost_connection_is_waited_out(fault, run, undisturbed):
    np.testing.assert_array_equal(run.table({fault: [2, 3]}), undisturbed)
    assert run.submissions == T
    waits = [seconds for seconds in run.clock.waits if seconds >= 1]
    assert waits[:1] == [1.0]
    if fault != "lose_answer":  # the job is found at the first look
        assert waits == [1.0, 2.0, 4.0]


def test_a_connection_that_stays_lost_ends_the_run_resumably(run, undisturbed):
    with pytest.raises(DeviceError, match=r"reachable.*10 times.*no job is submitted twice"):
        run.table({"lose_status": [2, 99]})
    assert sum(run.clock.waits) > 300
    np.testing.assert_array_equal(run.table(), undisturbed)
    assert run.submissions == T


@pytest.mark.parametrize(
    ("fault", "happened"), [("fail", "failed: it was too hot"), ("cancel", "was cancelled: it")]
)
def test_a_job_that_does_not_succeed_is_submitted_once_more(fault, happened, run, undisturbed):
    with pytest.raises(DeviceError, match=happened):
        run.table({fault: [2, "it was too hot"]})
    assert run.submissions == 2
    np.testing.assert_array_equal(run.table(), undisturbed)
    assert run.submissions == T + 1


def test_a_failed_job_is_not_taken_for_a_lost_one(run, undisturbed):
    """Killed right after the second attempt was submitted: the tag finds both jobs."""
    with pytest.raises(DeviceError, match="failed"):
        run.table({"fail": [2, "it was too hot"]})
    with pytest.raises(service_double.Killed):
        run.table({"die_after_submit": 3})
    np.testing.assert_array_equal(run.table(), undisturbed)
    assert run.submissions == T + 1


def test_a_job_that_stays_in_the_queue_is_awaited_later(run, undisturbed):
    with pytest.raises(DeviceError, match="leave the queue within 60 s, but is still QUEUED"):
        run.table({"stuck": [2, 99]}, queue_timeout=60)
    np.testing.assert_array_equal(run.table(), undisturbed)
    assert run.submissions == T


@pytest.mark.parametrize("state", ["intent", "submitted", "done"])
@pytest.mark.parametrize("damage", ["half", "flipped", "gone"])
def test_a_damaged_ledger_is_mended_from_the_service(damage, state, run, undisturbed):
    with pytest.raises(service_double.Killed):
        run.table({"die_waiting": 3})
    path = run.ledger / "ledger.jsonl"
    lines = run.lines()
    at = max(i for i, e in enumerate(run.events()) if e["state"] == state)
    if damage == "half":  # what a power cut leaves: the end of the file is missing
        lines = [*lines[:at], lines[at][: len(lines[at]) // 2]]
        path.write_text("\n".join(lines))
    elif damage == "flipped":
        lines[at] = lines[at].replace(state, state[:-1] + "X")
        path.write_text("\n".join(lines) + "\n")
    else:
        lines[at] = "\x00" * 40
        path.write_text("\n".join(lines) + "\n")
    np.testing.assert_array_equal(run.table(), undisturbed)
    assert run.submissions == T
    # What was written after the damage is whole: the finished run needs the service no more.
    for file in run.store.glob("*"):
        file.unlink()
    np.testing.assert_array_equal(run.table(), undisturbed)


def test_a_job_id_that_rotted_is_not_believed(run, undisturbed):
    with pytest.raises(service_double.Killed):
        run.table({"die_waiting": 3})
    job_id = run.events()[-1]["job_id"]
    path = run.ledger / "ledger.jsonl"
    path.write_text(path.read_text().replace(job_id, job_id[:-1] + "x"))
    np.testing.assert_array_equal(run.table(), undisturbed)
    assert run.submissions == T


def test_a_damaged_result_is_fetched_again(run, undisturbed):
    run.table()
    for path in (run.ledger / "results").glob("*.npz"):
        path.write_bytes(path.read_bytes()[:100])
    np.testing.assert_array_equal(run.table(), undisturbed)
    assert run.submissions == T
    assert run.device().usage.metered_seconds == pytest.approx(T * crash_run.SECONDS, rel=0.01)


def test_another_run_does_not_take_this_ones_jobs(run, tmp_path):
    run.table()
    run.ledger = tmp_path / "another"
    run.table()
    assert run.submissions == 2 * T


def test_the_same_work_twice_in_a_run_is_two_jobs(run):
    device = run.device()
    first, second = crash_run.table(device)[0], crash_run.table(device)[0]
    assert run.submissions == 2 * T
    assert not np.array_equal(first, second)


def test_one_device_at_a_time_uses_a_folder(run):
    device = run.device()
    with pytest.raises(DeviceError, match="another one has it open"):
        run.device()
    device.close()
    run.device().close()


def test_local_runs_are_kept_too(tmp_path):
    def device():
        return IBMDevice(wires=2, backend="fake_manila", ledger=tmp_path, seed=2)

    first = device()
    table = crash_run.table(first)
    first.close()
    again = device()
    np.testing.assert_array_equal(crash_run.table(again), table)
    assert (first.jobs, again.jobs) == (T, 0)


def test_hardware_needs_a_ledger_and_no_seed(run):
    run.device().close()
    with pytest.raises(DeviceError, match="`ledger` must be a folder"):
        IBMDevice(wires=2, backend=service_double.NAME)
    with pytest.raises(DeviceError, match="`seed` must be left out"):
        IBMDevice(wires=2, backend=service_double.NAME, ledger=run.ledger, seed=1)
    with pytest.raises(DeviceError, match="no queue"):
        IBMDevice(wires=2, backend="fake_manila", queue_timeout=1)


def test_an_unknown_backend_is_refused_with_what_the_account_has(run):
    run.device().close()
    message = rf"ibm_nowhere.*choose {service_double.NAME}, or a simulated one"
    with pytest.raises(DeviceError, match=message):
        IBMDevice(wires=2, backend="ibm_nowhere", ledger=run.ledger)


def test_the_least_busy_backend_stays_the_one_a_run_began_on(run, undisturbed, monkeypatch):
    run.device().close()

    def table(service):
        service_double.install(service, run.patch)
        device = IBMDevice(wires=crash_run.N, backend="least_busy", ledger=run.ledger)
        try:
            return crash_run.table(device)
        finally:
            device.close()

    with pytest.raises(service_double.Killed):
        table(service_double.Service(run.store, {"die_waiting": 2}, crash_run.killed))
    monkeypatch.setattr(service_double.Service, "least_busy", lambda *_, **__: pytest.fail("asked"))
    np.testing.assert_array_equal(table(service_double.Service(run.store)), undisturbed)
    assert run.submissions == T


def tapes(device, rows):
    """A tape of some rows, which is more than one job where IBM's limit is below."""
    circuit = [qml.RX(np.linspace(0, 1, rows), 0)], [qml.expval(qml.Z(0))]
    return [qml.tape.QuantumScript(*circuit, shots=SHOTS)]


def test_the_jobs_of_a_batch_that_ended_are_submitted_again_together(run, monkeypatch):
    monkeypatch.setattr(limits, "MAX_EXECUTIONS_PER_JOB", 2 * SHOTS)
    ended = run.device({"end": True}, mode="batch")
    with pytest.raises(DeviceError, match="was cancelled: its batch has ended"):
        ended.execute(tapes(ended, 8))
    ended.close()
    again = run.device(mode="batch")
    assert np.shape(again.execute(tapes(again, 8))[0]) == (8,)
    assert run.submissions == 8


def test_a_job_that_ibm_does_not_know_is_submitted_again_only_if_it_is_forgotten(run, undisturbed):
    with pytest.raises(service_double.Killed):
        run.table({"die_waiting": 2})
    job_id = run.events()[-1]["job_id"]
    for path in run.store.glob(f"{job_id}.*"):
        path.unlink()
    with pytest.raises(
        DeviceError, match=f"{run.ledger} must be known.*remove the lines with its id"
    ):
        run.table()
    kept = [line for line in run.lines() if job_id not in line]
    (run.ledger / "ledger.jsonl").write_text("\n".join(kept) + "\n")
    np.testing.assert_array_equal(run.table(), undisturbed)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda found: None, "must have 3 results, but has 0"),
        (lambda found: [*found, *found], "must have 3 results, but has 6"),
        (lambda found: json.loads("{"), "must be readable, but fetching job .* with JSONDecodeErr"),
    ],
)
def test_a_result_of_something_else_is_not_kept(change, message, run, undisturbed):
    with pytest.raises(DeviceError, match=message):
        run.table({"change": change})
    np.testing.assert_array_equal(run.table(), undisturbed)
    assert run.submissions == T


def test_a_result_with_other_shots_is_not_kept(run):
    def shortened(found):
        for pub in found:
            pub.data.c = pub.data.c.slice_shots(range(9))
        return found

    device = run.device({"change": shortened})
    with pytest.raises(DeviceError, match=r"must have \(4, 200, 1\) rows, shots and bits, but has"):
        device.execute(tapes(device, 4))


def test_a_recalibrated_backend_keeps_the_qubits_of_a_run(run, monkeypatch):
    options = {"readout_mitigation": SHOTS}
    with pytest.raises(service_double.Killed):
        run.table({"die_waiting": 3}, **options)
    before = run.submissions
    chosen = transpiling.Transpiler._transpile

    def elsewhere(self, structure, layout):
        return chosen(self, structure, layout or (4, 3))

    monkeypatch.setattr(transpiling.Transpiler, "_transpile", elsewhere)
    transpiling._CACHE.clear()
    run.table(**options)
    assert (before, run.submissions) == (3, T)
    assert run.device(**options).transpiler.layout != (4, 3)


def test_circuits_that_ibm_would_refuse_are_not_sent(run, monkeypatch):
    monkeypatch.setattr(limits, "MAX_TWO_QUBIT_GATES", 1)
    with pytest.raises(DeviceError, match="at most 1 two-qubit gates"):
        run.table()
    assert run.submissions == 1  # the first step has one gate, the second two


# --- modes and credentials ------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["batch", "session"])
def test_all_jobs_of_a_device_share_one_batch_or_session(mode, run, undisturbed):
    np.testing.assert_array_equal(run.table(mode=mode), undisturbed)
    (opened,) = run.service.modes
    assert opened.kind == mode
    assert opened.closed


@pytest.mark.parametrize("mode", ["job", "batch", "session"])
def test_modes_work_on_fakes(mode):
    device = IBMDevice(wires=2, backend="fake_manila", seed=2, mode=mode)
    assert crash_run.table(device).shape == (T, 6, crash_run.B)
    device.close()


def test_a_batch_that_cannot_be_closed_loses_no_result(run, undisturbed):
    with pytest.warns(UserWarning, match=r"mode could not be closed \(ConnectionError\)"):
        np.testing.assert_array_equal(run.table({"lose_close": T}, mode="batch"), undisturbed)


def test_opening_a_batch_is_tried_again(run, undisturbed):
    found = run.table({"lose_open": [1, 3]}, mode="batch")
    np.testing.assert_array_equal(found, undisturbed)
    assert run.clock.waits[:3] == [1.0, 2.0, 4.0]
    assert run.submissions == T


def test_a_session_has_no_more_time_than_is_left_of_the_budget(run):
    run.table(max_qpu_seconds=100, mode="session")
    (opened,) = run.service.modes
    assert opened.limit == 100


def test_the_waits_of_a_session_count_against_the_budget(run):
    options = {"max_qpu_seconds": 100, "mode": "session"}
    with pytest.raises(service_double.Killed):
        run.table({"die_waiting": 3}, **options)
    device = run.device(**options)
    budget = device._runner.budget
    assert budget.used() == pytest.approx(100)  # until IBM says what it was
    assert device.usage.metered_seconds == pytest.approx(2 * SECONDS, rel=0.1)
    run.service.charge = 40.0
    crash_run.table(device)
    assert budget.used() == pytest.approx(40 + 2 * SECONDS - SECONDS, rel=0.1)
    (opened,) = run.service.modes
    assert opened.limit == pytest.approx(60, abs=SECONDS)


def test_sessions_of_an_open_plan_are_refused_by_name(monkeypatch):
    import qiskit_ibm_runtime

    def refuse(backend, max_time):
        raise qiskit_ibm_runtime.exceptions.IBMRuntimeError(
            "You are not authorized to run a session when using the open plan."
        )

    monkeypatch.setattr(qiskit_ibm_runtime, "Session", refuse)
    with pytest.raises(DeviceError, match="use mode='batch'"):
        runtime.open_mode("session", fake_backend("fake_manila"))


def test_a_paid_plan_must_be_named():
    service = service_double.Service(Path("unused"))
    runtime.require_instance(service, None)
    service.plans.append({"crn": "crn:paid", "plan": "premium", "name": "ours"})
    with pytest.raises(DeviceError, match="premium"):
        runtime.require_instance(service, None)
    runtime.require_instance(service, "crn:paid")


def test_no_token_comes_out(run, monkeypatch, capfd):
    """A planted token is in no file, no exception, no repr and no output."""
    token = "planted-token-0123456789"
    monkeypatch.setenv("QISKIT_IBM_TOKEN", token)
    texts = []
    faults = (
        {"fail": [2, f"denied for {token}, Bearer {token[::-1]}"]},
        {"lose_status": [3, 99]},
        {},
    )
    for fault in faults:
        try:
            run.table(fault)
        except DeviceError as error:
            texts.append("".join(traceback.format_exception(error)))
    assert len(texts) == 2
    device = run.device()
    texts += [repr(device), str(device), repr(device._runner.budget.usage), *capfd.readouterr()]
    texts += [
        path.read_bytes().decode("latin1") for path in run.ledger.rglob("*") if path.is_file()
    ]
    assert len(texts) > 8
    assert not [text for text in texts if token in text or token[::-1] in text]


def test_opening_an_account_tells_no_secret(monkeypatch):
    import qiskit_ibm_runtime

    def refuse(instance):
        raise ValueError("token planted-token-0123456789 is wrong")

    monkeypatch.setattr(qiskit_ibm_runtime, "QiskitRuntimeService", refuse)
    with pytest.raises(DeviceError, match="saved account") as caught:
        runtime.open_service(None)
    assert "planted" not in "".join(traceback.format_exception(caught.value))


def test_faults_of_this_package_keep_their_traceback(run):
    def broken(job):
        raise TypeError("a fault")

    run.patch(service_double.Job, "status", broken)
    with pytest.raises(TypeError):
        run.table()
