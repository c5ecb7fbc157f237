"""QPU seconds: what a run may use, has used, and was estimated to use."""

from __future__ import annotations

from dataclasses import dataclass

from qrnn.devices.ibm.ledger import Ledger
from qrnn.errors import DeviceError


@dataclass(frozen=True)
class Usage:
    """What a run has used so far.

    Attributes:
        jobs: jobs submitted, with those that failed.
        executions: circuits x shots of these jobs.
        estimated_seconds: QPU seconds of these jobs by IBM's formula.
        metered_seconds: QPU seconds that the service reported; 0 on local backends.
    """

    jobs: int
    executions: int
    estimated_seconds: float
    metered_seconds: float


class Budget:
    """The QPU seconds that a run may use, over all its attempts.

    A finished job counts with its metered use, and with its estimate if the service reports none;
    a job that is still under way counts with its estimate, and one that failed with its metered
    use, also once its work is submitted again. On a local backend, which meters
    nothing, every job counts with its estimate: a rehearsal stops where the real run would.

    Args:
        ledger: the run's ledger.
        most: QPU seconds, or None for no limit.
    """

    def __init__(self, ledger: Ledger, most: float | None):
        self.ledger = ledger
        self.most = most

    def used(self, again: str | None = None) -> float:
        """Return the QPU seconds that count against the budget.

        Args:
            again: key of a piece of work that a local backend has not finished and runs again.
        """
        redone = None if again is None else self.ledger.entry(again)
        return sum(
            entry.usage + (0.0 if entry is redone else entry.unmetered)
            for entry in self.ledger.entries()
        )

    def allow(self, seconds: float, what: str = "the next step", again: str | None = None) -> None:
        """Let something that is estimated at some QPU seconds go ahead.

        Args:
            seconds: its estimate.
            what: what it is, for the error.
            again: see `used`.

        Raises:
            DeviceError: it would exceed the budget.
        """
        used = self.used(again)
        if self.most is not None and used + seconds > self.most:
            raise DeviceError(
                f"The budget max_qpu_seconds={self.most:g} must not be exceeded, but {used:.1f} s "
                f"are used and {what} is estimated at {seconds:.1f} s: raise it and run the "
                "same command again to go on, or use fewer shots or sequences"
            )

    def allow_run(self, seconds: float) -> None:
        """Let a whole run go ahead; what an earlier attempt has submitted of it counts once.

        Args:
            seconds: QPU seconds of the run, from its first job to its last, by IBM's formula.

        Raises:
            DeviceError: it would exceed the budget.
        """
        begun = sum(e.estimate for e in self.ledger.entries() if e.state in ("submitted", "done"))
        self.allow(max(0.0, seconds - begun), "what is left of the run" if begun else "the run")

    @property
    def usage(self) -> Usage:
        """What the run has used so far."""
        entries = self.ledger.entries()
        return Usage(
            sum(len(e.jobs) for e in entries),
            sum(len(e.jobs) * e.executions for e in entries),
            sum(len(e.jobs) * e.estimate for e in entries),
            sum(e.usage for e in entries),
        )
