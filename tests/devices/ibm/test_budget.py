"""What counts against the budget: each job that was paid, once."""

import pytest

from qrnn.devices.ibm.budget import Budget, Usage
from qrnn.devices.ibm.ledger import Ledger
from qrnn.errors import DeviceError


@pytest.fixture
def budget():
    """Ten QPU seconds, of which a job that failed took one."""
    budget = Budget(Ledger(None), 10)
    budget.ledger.record("k", "intent", estimate=6.0, executions=100)
    assert budget.used() == 0
    budget.ledger.record("k", "submitted", job_id="a")
    assert budget.used() == 6
    budget.ledger.record("k", "failed", job_id="a", usage=1.0)
    assert budget.used() == 1
    return budget


def submit_again(budget):
    budget.ledger.record("k", "intent", estimate=6.0, executions=100)
    assert budget.used() == 1
    budget.ledger.record("k", "submitted", job_id="b")


def test_a_job_submitted_again_counts_beside_the_one_that_failed(budget):
    submit_again(budget)
    assert budget.used() == 7
    with pytest.raises(DeviceError, match=r"7\.0 s are used"):
        budget.allow(6)


@pytest.mark.parametrize(("metered", "used"), [(0.0, 7), (5.0, 6)])
def test_the_second_job_counts_with_what_is_metered_of_it(metered, used, budget):
    submit_again(budget)
    budget.ledger.record("k", "done", job_id="b", usage=metered)
    assert budget.used() == used


def test_both_submissions_are_told(budget):
    assert budget.usage == Usage(1, 100, 6.0, 1.0, 1)
    submit_again(budget)
    assert budget.usage == Usage(2, 200, 12.0, 1.0, 1)
    budget.ledger.record("k", "done", job_id="b", usage=5.0)
    assert budget.usage == Usage(2, 200, 12.0, 6.0, 2)


def test_what_a_local_backend_runs_again_counts_once():
    """It is not paid twice on hardware, where the job is found."""
    budget = Budget(Ledger(None), 10)
    for job_id in "ab":
        budget.allow(6, again="k")
        budget.ledger.record("k", "intent", estimate=6.0, executions=100)
        budget.ledger.record("k", "submitted", job_id=job_id)
        assert budget.used() == 6
    assert budget.usage.jobs == 1


def test_failed_work_is_not_begun_and_work_done_again_is_begun_once(budget):
    assert budget.begun == 0
    submit_again(budget)
    assert budget.begun == 6
    budget.ledger.record("k", "done", job_id="b", usage=5.0)
    assert budget.begun == 6
    budget.allow_run(9)  # of which 3 are left to do
