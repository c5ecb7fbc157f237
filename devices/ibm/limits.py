"""IBM's limits for jobs, and its formula for their cost.

Sources (read in November 2026):
    https://quantum.cloud.ibm.com/docs/guides/job-limits for sizes,
    https://quantum.cloud.ibm.com/docs/guides/max-execution-time for time,
    https://quantum.cloud.ibm.com/docs/guides/estimate-job-run-time for the price.
"""

from __future__ import annotations

from collections.abc import Iterable

# Circuits x shots of one job, counted after the parameter values of a PUB are broadcast.
MAX_EXECUTIONS_PER_JOB = 10_000_000
# Per circuit.
MAX_TWO_QUBIT_GATES = 400_000
MAX_TWO_QUBIT_GATES_DYNAMIC = 100_000
MAX_SX_GATES = 1_600_000
MAX_RZ_GATES = 2_400_000
# QPU seconds after which the service cancels a job; a job is estimated at most this share of it.
MAX_JOB_SECONDS = 3 * 3600
ESTIMATED_SHARE = 0.9

# The Open Plan's QPU seconds in 28 days (https://quantum.cloud.ibm.com/docs/guides/plans-overview).
OPEN_PLAN_SECONDS = 600

# QPU seconds of a Sampler job: a fixed part, and a wait before each execution on most backends.
JOB_SECONDS = 2.0
REP_DELAY = 250e-6


def most_executions(lengths: Iterable[float], rep_delay: float) -> int:
    """Return the largest number of executions of a job of some circuits, by size and time.

    Args:
        lengths: length of each circuit, in seconds.
        rep_delay: the backend's wait before each execution, in seconds.
    """
    longest = rep_delay + max(lengths, default=0.0)
    seconds = ESTIMATED_SHARE * MAX_JOB_SECONDS - JOB_SECONDS
    return (
        min(MAX_EXECUTIONS_PER_JOB, int(seconds / longest)) if longest else MAX_EXECUTIONS_PER_JOB
    )


def qpu_seconds(circuits: Iterable[tuple[int, float]], rep_delay: float = REP_DELAY) -> float:
    """Return the QPU seconds of one Sampler job by IBM's formula.

    `2 + (rep_delay + length) x executions`, from "Workload usage"
    (https://quantum.cloud.ibm.com/docs/guides/estimate-job-run-time).

    Args:
        circuits: executions (circuits x shots) and length of each circuit, in seconds.
        rep_delay: the backend's wait before each execution, in seconds.
    """
    return JOB_SECONDS + sum(number * (rep_delay + length) for number, length in circuits)
