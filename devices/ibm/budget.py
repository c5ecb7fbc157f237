"""The budget of a run in QPU seconds, and its usage."""

from __future__ import annotations

import math
from dataclasses import dataclass

from qrnn.devices.ibm import limits
from qrnn.devices.ibm.ledger import Ledger
from qrnn.errors import DeviceError


@dataclass(frozen=True)
class Usage:
    """The usage of a run so far.

    Attributes:
        jobs: number of jobs submitted, including failed ones.
        executions: circuits x shots of these jobs.
        estimated_seconds: QPU seconds of these jobs by IBM's formula.
        metered_seconds: QPU seconds reported by the service; 0 on local backends.
        metered: number of the jobs that these are of.
    """

    jobs: int
    executions: int
    estimated_seconds: float
    metered_seconds: float
    metered: int


class BudgetError(DeviceError):
    """A budget does not suffice.

    Attributes:
        used: QPU seconds that are used.
        seconds: estimated QPU seconds of what does not fit.
    """

    def __init__(self, message: str, used: float, seconds: float):
        super().__init__(message)
        self.used, self.seconds = used, seconds


class Budget:
    """The QPU seconds that a run may use, over all its attempts.

    The waits of a session count too, which IBM bills until it ends; see `ledger.Session.waits`.

    A finished job counts with its metered usage, or its estimate if none is reported; a pending job
    with its estimate; a failed job with its metered usage once IBM knows it, even after its work is
    resubmitted. On a
    local backend, which meters nothing, every job counts with its estimate, so that a rehearsal
    stops where the real run would.

    Args:
        ledger: the run's ledger.
        most: budget in QPU seconds; None: no limit.
    """

    def __init__(self, ledger: Ledger, most: float | None):
        self.ledger = ledger
        self.most = most

    def used(self, again: str | None = None) -> float:
        """Return the QPU seconds that count against the budget.

        Args:
            again: key of a job that is run again, because a local backend did not finish it.
        """
        redone = None if again is None else self.ledger.entry(again)
        jobs = sum(one.usage + one.unmetered(again=one is redone) for one in self.ledger.entries())
        return jobs + self.waits

    @property
    def waits(self) -> float:
        """QPU seconds of sessions that are not those of their jobs."""
        return sum(session.waits for session in self.ledger.sessions.values())

    @property
    def metered_waits(self) -> float:
        """The same, of the sessions that IBM has metered."""
        sessions = self.ledger.sessions.values()
        return sum(session.waits for session in sessions if session.metered is not None)

    @property
    def left(self) -> float | None:
        """QPU seconds that are left of the budget; None: there is none."""
        return None if self.most is None else self.most - self.used()

    def allow(self, seconds: float, what: str = "the next step", again: str | None = None) -> None:
        """Check that the budget suffices.

        Args:
            seconds: estimated QPU seconds.
            what: what they are for, for the message.
            again: see `used`.

        Raises:
            BudgetError: the estimate exceeds what is left of the budget.
        """
        used = self.used(again)
        if self.most is not None and used + seconds > self.most:
            raise BudgetError(
                f"The budget max_qpu_seconds={self.most:g} must not be exceeded, but {used:.1f} s "
                f"are used and {what} is estimated at {seconds:.1f} s: raise it and run the "
                "same command again to resume, or use fewer shots or sequences",
                used,
                seconds,
            )

    def limit(self, seconds: float, waiting: float, again: str | None = None) -> int | None:
        """Return the QPU seconds after which IBM should cancel a job; None: there is no budget.

        It is what is left of the budget, shared with the jobs that are submitted before this one
        ends, in whole seconds; but never less than the job's estimate.

        Args:
            seconds: estimated QPU seconds of the job.
            waiting: the same of it and of the jobs that share the rest.
            again: see `used`.
        """
        if self.most is None:
            return None
        # What runs now may use more than its estimate.
        running = sum(
            max(0.0, entry.limit - entry.estimate)
            for key, entry in self.ledger.items()
            if entry.state == "submitted" and key != again and entry.limit is not None
        )
        share = (self.most - self.used(again) - running) * seconds / waiting
        return min(max(int(share), math.ceil(seconds)), limits.MAX_JOB_SECONDS)

    def allow_run(self, seconds: float) -> None:
        """Check that the budget suffices for a whole run, counting jobs of earlier attempts once.

        Args:
            seconds: estimated QPU seconds of all jobs of the run, by IBM's formula.

        Raises:
            DeviceError: the estimate exceeds what is left of the budget.
        """
        begun = self.begun
        self.allow(max(0.0, seconds - begun), "the rest of the run" if begun else "the run")

    @property
    def begun(self) -> float:
        """Estimated QPU seconds of the work that is submitted or done, without what failed."""
        return sum(e.estimate for e in self.ledger.entries() if e.state in ("submitted", "done"))

    @property
    def usage(self) -> Usage:
        """The usage of the run so far."""
        entries = self.ledger.entries()
        return Usage(
            sum(len(e.jobs) for e in entries),
            sum(len(e.jobs) * e.executions for e in entries),
            sum(len(e.jobs) * e.estimate for e in entries),
            sum(e.usage for e in entries) + self.metered_waits,
            sum(len(e.metered) for e in entries),
        )
