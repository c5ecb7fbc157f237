"""IBM's limits for jobs, and its formula for their cost.

Sources (read in November 2026):
    https://quantum.cloud.ibm.com/docs/guides/job-limits for sizes,
    https://quantum.cloud.ibm.com/docs/guides/max-execution-time for time,
    https://quantum.cloud.ibm.com/docs/guides/estimate-job-run-time for the price.
"""

from __future__ import annotations

# Circuits x shots of one job, counted after the parameter values of a PUB are broadcast.
MAX_EXECUTIONS_PER_JOB = 10_000_000
# Per circuit.
MAX_TWO_QUBIT_GATES = 400_000
MAX_TWO_QUBIT_GATES_DYNAMIC = 100_000
MAX_SX_GATES = 1_600_000
MAX_RZ_GATES = 2_400_000
# QPU seconds after which the service cancels a job.
MAX_JOB_SECONDS = 3 * 3600

# QPU seconds of a Sampler job: a fixed part, and a part per execution.
JOB_SECONDS = 2.0
EXECUTION_SECONDS = 0.00035


def qpu_seconds(executions: int) -> float:
    """Return the QPU seconds of one Sampler job by IBM's formula.

    `2 + 0.00035 x executions`, from "Estimate job run time"
    (https://quantum.cloud.ibm.com/docs/guides/estimate-job-run-time).

    Args:
        executions: circuits x shots of the job.
    """
    return JOB_SECONDS + EXECUTION_SECONDS * executions
