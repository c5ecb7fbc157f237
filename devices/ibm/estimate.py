"""What a run will cost, before anything is sent."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pennylane.tape import QuantumScript

from qrnn.devices.ibm import limits
from qrnn.devices.ibm.batch import Batch
from qrnn.devices.ibm.jobs import split
from qrnn.devices.ibm.mitigation import Calibration

if TYPE_CHECKING:
    from qrnn.devices.ibm.device import IBMDevice


@dataclass(frozen=True)
class Estimate:
    """The price of a run.

    Attributes:
        rounds: calls that have to wait for the one before: each passes through the queue.
        jobs: jobs submitted.
        circuits: circuits run, one for each row of parameter values.
        depth: depth of the deepest circuit on the backend.
        two_qubit_gates: two-qubit gates of the circuit that has most.
        executions: circuits x shots, summed: what IBM's formula charges for.
        qpu_seconds: by IBM's formula, summed over the jobs.
    """

    rounds: int
    jobs: int
    circuits: int
    depth: int
    two_qubit_gates: int
    executions: int
    qpu_seconds: float


def estimate(device: IBMDevice, rounds: Iterable[Sequence[QuantumScript]]) -> Estimate:
    """Return what it would cost to run batches of tapes on a device, one after the other.

    Nothing is run or sent, and the device is left as it was; its fake twin (fake_torino for
    ibm_torino) gives the same figures without an account, up to today's calibration.

    QPU seconds are those of "Estimate job run time"
    (https://quantum.cloud.ibm.com/docs/guides/estimate-job-run-time):
    `2 + 0.00035 x executions` for each Sampler job.

    Args:
        device: where they would run.
        rounds: the batches; each is one call of `device.execute`. The closed loop has one for
            each time step, the open loop one in all.

    Raises:
        DeviceError: the device cannot run one of the tapes.
    """
    transpiler = device.transpiler.fresh()
    program = device.preprocess_transforms()
    calibration_shots = device.options.readout_mitigation
    count = jobs = circuits = depth = gates = executions = 0
    seconds = 0.0
    for tapes in rounds:
        prepared, _ = program(tapes)
        blocks = Batch(prepared, device.wires).blocks
        if calibration_shots:
            blocks += Calibration(blocks, transpiler, calibration_shots).blocks
        count += 1
        for job in split(blocks, limits.MAX_EXECUTIONS_PER_JOB):
            size = sum(block.executions for _, block in job)
            jobs, executions = jobs + 1, executions + size
            seconds += limits.qpu_seconds(size)
        for block in blocks:
            compiled = transpiler(block.structure)
            circuits += len(block.values)
            depth = max(depth, compiled.circuit.depth())
            gates = max(gates, compiled.two_qubit_gates)
    return Estimate(count, jobs, circuits, depth, gates, executions, seconds)
