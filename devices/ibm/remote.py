"""Jobs on IBM's service: submitted once, found again after a crash, and awaited.

The order of events makes a run safe to kill at any moment: an intent is on disk before a job is
submitted with a tag of the run and the key, and the job's id is on disk before its result is
awaited.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar

from qrnn.devices.ibm import runtime
from qrnn.devices.ibm.backends import Backend
from qrnn.devices.ibm.ledger import Ledger
from qrnn.errors import DeviceError

T = TypeVar("T")

# Seconds between two polls of a job's status.
POLL_FIRST, POLL_LAST = 0.5, 15.0
# The latter in a session, whose waits are billed.
POLL_SESSION = 1.0
# Waits after a lost connection: 1, 2, 4, ... 64 s, five minutes in total.
ATTEMPTS, WAIT_LAST = 10, 64.0
# Longest text shown of a connection error, in characters: a gateway may answer with a page.
MAX_ERROR_TEXT = 300


class JobError(DeviceError):
    """A job failed or was cancelled; the ledger has it as failed."""


RESUME_HINT = "run the same command again to resume; no job is submitted twice"


class Remote:
    """The jobs of one run on one IBM backend.

    Args:
        backend: the backend, with its service.
        ledger: the run's ledger.
        instance: CRN of the instance to search for jobs; None: the active one.
        queue_timeout: seconds to wait for a job to leave the queue; None: no limit.
        poll: longest wait between two polls of a job's status, in seconds.
    """

    def __init__(
        self,
        backend: Backend,
        ledger: Ledger,
        instance: str | None,
        queue_timeout: float | None,
        poll: float = POLL_LAST,
    ):
        self.backend = backend
        self.ledger = ledger
        self.instance = instance
        self.queue_timeout = queue_timeout
        self.poll = poll

    def tag(self, key: str) -> str:
        """Return the tag of the job with a key."""
        return f"qrnn-{self.ledger.run}-{key}"

    def find(self, key: str) -> Any | None:
        """Return the job that was submitted for a key and did not fail, or None.

        Raises:
            DeviceError: the service cannot be reached.
        """
        entry = self.ledger.entry(key)
        if entry is not None and entry.state in ("submitted", "done") and entry.job_id:
            job_id = entry.job_id
            return self._retried(lambda: self._job(job_id), f"reading job {job_id}")
        if entry is None and not self.ledger.damaged:
            return None
        where = {"instance": self.instance} if self.instance else {}
        jobs = self._retried(
            lambda: self.backend.service.jobs(job_tags=[self.tag(key)], limit=None, **where),
            "searching for a job by its tag",
        )
        failed = set() if entry is None else entry.failed
        alive = [job for job in jobs if job.job_id() not in failed]
        return alive[0] if alive else None

    def _job(self, job_id: str) -> Any:
        from qiskit_ibm_runtime.exceptions import RuntimeJobNotFound

        try:
            return self.backend.service.job(job_id)
        except RuntimeJobNotFound:
            # Not submitted again, as another account or instance would not know it either.
            raise DeviceError(
                f"Job {job_id} of {self.ledger.place} must be known to IBM, but this account and "
                "instance do not have it: use those that submitted it; if it was deleted, remove "
                "the lines with its id from ledger.jsonl there, and it is submitted anew"
            ) from None

    def submit(self, key: str, send: Callable[[], Any]) -> Any:
        """Submit a job once, whatever happens to the connection.

        Args:
            key: key of the work.
            send: submits and returns the job.

        Raises:
            DeviceError: the service refuses the job or cannot be reached.
        """
        what = "submitting a job"
        for attempt in range(ATTEMPTS):
            # An earlier request may have arrived even though its answer was lost.
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

    def wait(self, key: str, job: Any) -> tuple[Any, float | None]:
        """Wait for a job.

        Args:
            key: key of the work.
            job: its job.

        Returns:
            The result, and the metered QPU seconds if IBM knows them already; see `settle`.

        Raises:
            JobError: the job failed or was cancelled.
            DeviceError: the job is queued for too long, its result cannot be read, or the service
                cannot be reached.
        """
        job_id, name = job.job_id(), self.backend.name
        begun, pause = time.monotonic(), POLL_FIRST
        while (status := self._status(job)) not in ("DONE", "ERROR", "CANCELLED"):
            waited = time.monotonic() - begun
            queued = status != "RUNNING" and self.queue_timeout is not None
            if queued and waited >= (self.queue_timeout or 0):
                raise DeviceError(
                    f"Job {job_id} on {name} must leave the queue within {self.queue_timeout} s, "
                    f"but is still {status}: {RESUME_HINT}"
                )
            time.sleep(pause)
            pause = min(1.5 * pause, self.poll)
        if status == "DONE":
            return self._result(job), self._usage(job)
        reason = self._retried(job.error_message, f"reading the error of job {job_id}")
        self.ledger.record(key, "failed", job_id=job_id, usage=self._usage(job))
        message = runtime.scrub(str(reason)) if reason else "no reason given"
        happened = "failed" if status == "ERROR" else "was cancelled"
        raise JobError(
            f"Job {job_id} on {name} {happened}: {message.rstrip('.')}. Run the same command again "
            "to resubmit it; finished jobs are kept"
        )

    def _result(self, job: Any) -> Any:
        what = f"fetching job {job.job_id()}"
        try:
            return self._retried(job.result, what)
        except (KeyError, TypeError, ValueError) as error:  # of the client's decoders
            raise DeviceError(
                f"The result of job {job.job_id()} must be readable, but {what} failed with "
                f"{type(error).__name__}: update qiskit-ibm-runtime, then {RESUME_HINT}"
            ) from error

    def _status(self, job: Any) -> str:
        return str(self._retried(job.status, f"reading the status of job {job.job_id()}"))

    def _usage(self, job: Any) -> float | None:
        what = f"reading the usage of job {job.job_id()}"
        return self._retried(lambda: runtime.metered(job), what)

    def settle(self, patience: float = 0.0) -> None:
        """Record the QPU seconds of finished jobs that IBM had not metered when they ended.

        The same of sessions that earlier attempts left, which are closed. Jobs that stay unknown
        count with their estimates, and are asked for again the next time.

        Args:
            patience: seconds to wait for IBM.
        """
        begun, pause = time.monotonic(), POLL_FIRST
        while True:
            for key, job_id in self.ledger.unmetered():
                usage = _known(partial(self._metered, job_id))
                if usage is not None:
                    self.ledger.record(key, "metered", job_id=job_id, usage=usage)
            for session in self.ledger.unmetered_sessions():
                usage = _known(partial(runtime.ended_session, self.backend.service, session))
                if usage is not None:
                    self.ledger.record(session, "ended", usage=usage)
            waiting = self.ledger.unmetered() or self.ledger.unmetered_sessions()
            if not waiting or time.monotonic() - begun >= patience:
                return
            time.sleep(pause)
            pause = min(1.5 * pause, POLL_LAST)

    def _metered(self, job_id: str) -> float | None:
        return runtime.metered(self.backend.service.job(job_id))

    def _retried(self, action: Callable[[], T], what: str) -> T:
        """Return the result of an action, retrying it while the connection is lost."""
        for attempt in range(ATTEMPTS):
            try:
                return action()
            except Exception as error:
                _raise_unless_transient(error, what)
                last = error
            time.sleep(min(2.0**attempt, WAIT_LAST))
        raise _unreachable(what, last)


def _known(ask: Callable[[], float | None]) -> float | None:
    """Return what IBM charges; None if it cannot be asked, which is no reason to lose a result."""
    try:
        return ask()
    except Exception as error:
        if not runtime.is_foreign(error):
            raise
        return None


def _raise_unless_transient(error: Exception, what: str) -> None:
    if not runtime.is_foreign(error):
        raise error
    if not runtime.is_transient(error):
        # Not chained, because the text of a request may contain credentials.
        raise DeviceError(
            f"IBM Quantum refused {what}: {runtime.scrub(str(error)).rstrip('.')}. Once that is "
            f"fixed, {RESUME_HINT}"
        ) from None


def _unreachable(what: str, error: Exception) -> DeviceError:
    message = runtime.scrub(str(error), most=MAX_ERROR_TEXT)
    return DeviceError(
        f"IBM Quantum must be reachable, but {what} failed {ATTEMPTS} times, most recently with "
        f"{type(error).__name__}{message and f' ({message})'}: {RESUME_HINT}"
    )
