"""What runs against the double of IBM's service spend, and how the budget stops them."""

import json

import numpy as np
import pennylane as qml
import pytest

from helpers import crash_run, service_double
from helpers.crash_run import SECONDS, T
from qrnn.devices.ibm import limits
from qrnn.errors import DeviceError


def test_the_budget_stops_a_run_cleanly(run, undisturbed):
    with pytest.raises(DeviceError, match="max_qpu_seconds=6"):
        run.table(max_qpu_seconds=6)
    assert run.submissions == int(6 // SECONDS)
    np.testing.assert_array_equal(run.table(max_qpu_seconds=60), undisturbed)
    assert run.submissions == T


def test_ibm_is_told_to_cancel_what_exceeds_the_budget(run):
    """Each job may use what is left, to the second; without a budget, IBM's own limit holds."""
    run.table(max_qpu_seconds=20)
    sent = [json.loads(path.read_text())["limit"] for path in sorted(run.store.glob("*.json"))]
    used = [e["usage"] for e in run.events() if e["state"] == "done"]
    assert sent == [int(20 - sum(used[:t])) for t in range(T)]
    run.ledger = run.ledger.with_name("unlimited")
    run.table()
    last = max(run.store.glob("*.json"))
    assert json.loads(last.read_text())["limit"] is None


def test_jobs_that_run_together_share_what_is_left(run, monkeypatch):
    """Sequences beyond IBM's limit for a job: four jobs, submitted before the first has ended."""
    monkeypatch.setattr(limits, "MAX_EXECUTIONS_PER_JOB", 500)
    device = run.device(max_qpu_seconds=200)
    tape = qml.tape.QuantumScript(
        [qml.RX(np.ones(8), 0)], [qml.expval(qml.Z(0))], shots=crash_run.SHOTS
    )
    device.execute([tape])
    sent = [json.loads(path.read_text())["limit"] for path in sorted(run.store.glob("*.json"))]
    assert len(sent) == 4
    assert 196 <= sum(sent) <= 200
    assert max(sent) - min(sent) <= 1


def test_metered_use_counts_instead_of_the_estimate(run):
    usage = service_double.Job.usage
    run.patch(service_double.Job, "usage", lambda job: 10 * usage(job))
    with pytest.raises(DeviceError, match="max_qpu_seconds"):
        run.table(max_qpu_seconds=40)
    assert run.submissions == 2
    used = run.device().usage
    assert used.metered_seconds == pytest.approx(20 * SECONDS, rel=0.3)
    assert used.estimated_seconds == pytest.approx(2 * SECONDS, rel=0.01)


def test_a_service_that_meters_nothing_does_not_lift_the_budget(run):
    run.patch(service_double.Job, "usage", lambda job: 0)
    with pytest.raises(DeviceError, match="max_qpu_seconds"):
        run.table(max_qpu_seconds=6)
    assert run.submissions == int(6 // SECONDS)


def test_what_is_metered_late_counts_as_soon_as_it_is_known(run, undisturbed):
    """`usage()` is 0 until IBM has finished counting; until then the estimate counts."""
    np.testing.assert_array_equal(run.table({"unmetered": [2, 2]}), undisturbed)
    usages = [e.get("usage") for e in run.events() if e["state"] == "done"]
    assert [u is None for u in usages] == [t == 1 for t in range(T)]
    assert [e["state"] for e in run.events()].count("metered") == 1
    assert run.device().usage.metered_seconds == pytest.approx(T * SECONDS, rel=0.01)


def test_the_end_of_a_run_waits_for_the_meter_and_no_longer_than_it_says(run):
    device = run.device({"unmetered": [T, 3]})
    crash_run.table(device)
    assert device.usage.metered_seconds == pytest.approx((T - 1) * SECONDS, rel=0.01)
    device.settle()
    assert device.usage.metered_seconds == pytest.approx(T * SECONDS, rel=0.01)
    device.close()
    (last,) = (path for path in run.store.glob(f"{T:03d}-*.json"))
    (run.ledger / "ledger.jsonl").write_text("\n".join(run.lines()[:-1]) + "\n")
    late = run.device({"unmetered": [T, 999]})
    late.settle(patience=60)
    assert 60 <= sum(run.clock.waits) < 90
    last.unlink()  # IBM has forgotten the job
    late.settle()
    assert late.usage.metered_seconds == pytest.approx((T - 1) * SECONDS, rel=0.01)


def test_a_failed_job_counts_with_its_estimate_until_it_is_metered(run):
    with pytest.raises(DeviceError, match="failed"):
        run.table({"fail": [1, "it was too hot"], "unmetered": [1, 9]}, max_qpu_seconds=3.9)
    with pytest.raises(DeviceError, match=r"2\.5 s are used"):
        run.table({"unmetered": [1, 9]}, max_qpu_seconds=3.9)
    assert run.submissions == 1
    run.patch(service_double.Job, "usage", lambda job: 0.0)
    with pytest.raises(DeviceError, match="max_qpu_seconds"):
        run.table(max_qpu_seconds=3.9)
    assert run.submissions == 2


def test_an_estimate_beyond_the_budget_is_refused_before_anything_is_sent(run):
    device = run.device(max_qpu_seconds=10)
    device.check_budget(9)
    with pytest.raises(DeviceError, match="estimated at 11"):
        device.check_budget(11)
    assert run.submissions == 0
