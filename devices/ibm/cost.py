"""What a run has used on a backend, for results and messages."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from qrnn.devices.ibm.device import IBMDevice


def job_count(jobs: int) -> str:
    """Return a number of jobs as text: "1 job", "8 jobs"."""
    return f"{jobs:,} job{'s' * (jobs != 1)}"


@dataclass(frozen=True)
class Cost:
    """What a run used on an IBM backend, real or fake, over all attempts.

    Attributes:
        backend: IBM's name of the backend.
        jobs: number of jobs.
        submitted: number of jobs submitted by the last attempt; the others were in the ledger.
        executions: circuits x shots.
        estimated_seconds: QPU seconds by IBM's formula.
        metered_seconds: QPU seconds metered by IBM; 0 for a fake backend.
        ledger: the folder that records the jobs, or None.
        metered: number of the jobs that are metered; None: an older version did not record it.
    """

    backend: str
    jobs: int
    submitted: int
    executions: int
    estimated_seconds: float
    metered_seconds: float
    ledger: str | None
    metered: int | None = None

    @property
    def partly(self) -> str:
        """Of how many jobs the metered seconds are, unless of all."""
        if self.metered is None or self.metered >= self.jobs:
            return ""
        return f" for {self.metered} of them"

    def __str__(self) -> str:
        """Return the cost as one line."""
        seconds = self.metered_seconds
        metered = f"metered {seconds:.1f} s{self.partly}" if seconds else "not metered"
        found = self.jobs - self.submitted
        there = f" ({found} found in the ledger)" if found else ""
        return (
            f"{self.backend}: estimate {self.estimated_seconds:.1f} s, {metered}, "
            f"{job_count(self.jobs)}{there}"
        )


def cost_of(plugin: IBMDevice, ledger: Path | None) -> Cost:
    """Return the cost of a run so far.

    Args:
        plugin: the device.
        ledger: folder of its ledger, or None.
    """
    return Cost(
        plugin.backend_name,
        submitted=plugin.jobs,
        **vars(plugin.usage),
        ledger=None if ledger is None else str(ledger),
    )
