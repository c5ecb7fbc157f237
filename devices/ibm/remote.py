"""Jobs on IBM's service: each submitted once, found again after a crash, and waited for.

The order of events is what makes a run safe to kill at any moment: an intent is on disk before a
job is submitted, and the job carries a tag made of the run and the key; its id is on disk before
its result is awaited.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, TypeVar

from qrnn.devices.ibm import runtime
from qrnn.devices.ibm.backends import Backend
from qrnn.devices.ibm.ledger import Ledger
from qrnn.errors import DeviceError

T = TypeVar("T")

# Seconds between two looks at a job's status.
POLL_FIRST, POLL_LAST = 0.5, 15.0
# Waits after a lost connection: 1, 2, 4, ... 64 s, five minutes in all.
ATTEMPTS, WAIT_LAST = 10, 64.0
# Characters of what a lost connection says: a gateway may answer with a whole page.
MOST_SAID = 300

AGAIN = "run the same command again to go on; no job is submitted twice"


class Remote:
    """The jobs of one run on one IBM backend.

    Args:
        backend: the backend, with its service.
        ledger: the run's ledger.
        instance: CRN to look for jobs in, or None for the active one.
        queue_timeout: seconds to wait for a job to leave the queue; None waits for ever.
    """

    def __init__(
        self, backend: Backend, ledger: Ledger, instance: str | None, queue_timeout: float | None
    ):
        self.backend = backend
        self.ledger = ledger
        self.instance = instance
        self.queue_timeout = queue_timeout

    def tag(self, key: str) -> str:
        """Return the tag of the job of a piece of work."""
        return f"qrnn-{self.ledger.run}-{key}"

    def find(self, key: str) -> Any | None:
        """Return the job that was submitted for a piece of work and did not fail, if there is one.

        Raises:
            DeviceError: the service cannot be reached.
        """
        entry = self.ledger.entry(key)
        if entry is not None and entry.state in ("submitted", "done") and entry.job_id:
            job_id = entry.job_id
            return self._patiently(
                lambda: self.backend.service.job(job_id), f"asking for job {job_id}"
            )
        if entry is None and not self.ledger.damaged:
            return None
        where = {"instance": self.instance} if self.instance else {}
        jobs = self._patiently(
            lambda: self.backend.service.jobs(job_tags=[self.tag(key)], limit=None, **where),
            "looking for a job by its tag",
        )
        failed = set() if entry is None else entry.failed
        alive = [job for job in jobs if job.job_id() not in failed]
        return alive[0] if alive else None

    def submit(self, key: str, send: Callable[[], Any]) -> Any:
        """Submit a job once, whatever happens to the connection.

        Args:
            key: the piece of work.
            send: submits and returns the job.

        Raises:
            DeviceError: the service refuses the job or cannot be reached.
        """
        what = "submitting a job"
        for attempt in range(ATTEMPTS):
            # After the first time, the request may have arrived although the answer was lost.
            if attempt and (job := self.find(key)):
                return job
            try:
                return send()
            except Exception as error:
                _raise_unless_transient(error, what)
                last = error
            time.sleep(min(2.0**attempt, WAIT_LAST))
        if job := self.find(key):
            return job
        raise _unreachable(what, last)

    def wait(self, key: str, job: Any) -> tuple[Any, float]:
        """Wait for a job.

        Args:
            key: the piece of work.
            job: its job.

        Returns:
            The result and the QPU seconds that the service metered.

        Raises:
            DeviceError: the job failed, was cancelled, stays in the queue too long, or the
                service cannot be reached.
        """
        job_id, name = job.job_id(), self.backend.name
        begun, pause = time.monotonic(), POLL_FIRST
        while (status := self._status(job)) not in ("DONE", "ERROR", "CANCELLED"):
            waited = time.monotonic() - begun
            queued = status != "RUNNING" and self.queue_timeout is not None
            if queued and waited >= (self.queue_timeout or 0):
                raise DeviceError(
                    f"Job {job_id} on {name} must leave the queue within {self.queue_timeout} s, "
                    f"but is still {status}: {AGAIN}"
                )
            time.sleep(pause)
            pause = min(1.5 * pause, POLL_LAST)
        if status == "DONE":
            result = self._patiently(job.result, f"fetching job {job_id}")
            return result, self._usage(job)
        reason = self._patiently(job.error_message, f"asking why job {job_id} failed")
        self.ledger.record(key, "failed", job_id=job_id, usage=self._usage(job))
        said = runtime.scrub(str(reason)) if reason else "no reason given"
        happened = "failed" if status == "ERROR" else "was cancelled"
        raise DeviceError(
            f"Job {job_id} on {name} {happened}: {said.rstrip('.')}. Run the same command again "
            "to submit this one once more; finished jobs are kept"
        )

    def _status(self, job: Any) -> str:
        return str(self._patiently(job.status, f"asking for the state of job {job.job_id()}"))

    def _usage(self, job: Any) -> float:
        return float(self._patiently(job.usage, f"asking for the use of job {job.job_id()}") or 0)

    def _patiently(self, action: Callable[[], T], what: str) -> T:
        """Return what an action returns, trying again while the connection is lost."""
        for attempt in range(ATTEMPTS):
            try:
                return action()
            except Exception as error:
                _raise_unless_transient(error, what)
                last = error
            time.sleep(min(2.0**attempt, WAIT_LAST))
        raise _unreachable(what, last)


def _raise_unless_transient(error: Exception, what: str) -> None:
    if not runtime.is_foreign(error):
        raise error
    if not runtime.is_transient(error):
        # Without its chain: the text of a request may hold credentials.
        raise DeviceError(
            f"IBM Quantum refused {what}: {runtime.scrub(str(error)).rstrip('.')}. If that can be "
            f"mended, {AGAIN}"
        ) from None


def _unreachable(what: str, error: Exception) -> DeviceError:
    said = runtime.scrub(str(error), most=MOST_SAID)
    return DeviceError(
        f"IBM Quantum must be reachable, but {what} failed {ATTEMPTS} times, at last with "
        f"{type(error).__name__}{said and f' ({said})'}: {AGAIN}"
    )
