"""Estimate the cost of a run before submitting it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from pennylane.tape import QuantumScript

from qrnn.devices.ibm import limits
from qrnn.devices.ibm.batch import Batch
from qrnn.devices.ibm.jobs import Work, split
from qrnn.devices.ibm.mitigation import Calibration
from qrnn.errors import DeviceError

if TYPE_CHECKING:
    from qrnn.devices.ibm.device import IBMDevice


@dataclass(frozen=True)
class Estimate:
    """The estimated cost of a run.

    Attributes:
        rounds: number of sequential calls, each of which waits in the queue.
        jobs: number of jobs.
        circuits: number of circuits, one per row of parameter values.
        depth: largest circuit depth on the backend.
        two_qubit_gates: largest number of two-qubit gates in a circuit.
        executions: circuits x shots, summed over the jobs.
        qpu_seconds: QPU seconds by IBM's formula, summed over the jobs.
        seconds_left: QPU seconds that the account has left; None: there is none, or it cannot say.
        refusal: why the run would be refused although it has a price; None: it would not be.
    """

    rounds: int
    jobs: int
    circuits: int
    depth: int
    two_qubit_gates: int
    executions: int
    qpu_seconds: float
    seconds_left: float | None
    refusal: str | None

    def __add__(self, other: Estimate) -> Estimate:
        """Return the cost of both runs."""
        return Estimate(
            self.rounds + other.rounds,
            self.jobs + other.jobs,
            self.circuits + other.circuits,
            max(self.depth, other.depth),
            max(self.two_qubit_gates, other.two_qubit_gates),
            self.executions + other.executions,
            self.qpu_seconds + other.qpu_seconds,
            self.seconds_left,
            self.refusal or other.refusal,
        )

    def __mul__(self, times: int) -> Estimate:
        """Return the cost of several such runs."""
        sums = ("rounds", "jobs", "circuits", "executions", "qpu_seconds")
        return replace(self, **{name: times * getattr(self, name) for name in sums})


def estimate(device: IBMDevice, rounds: Iterable[Sequence[QuantumScript]]) -> Estimate:
    """Estimate the cost of running batches of tapes on a device, one after the other.

    Nothing is run or submitted, and the device does not change. The fake twin (fake_fez for
    ibm_fez) gives the same estimate without an account, except for today's calibration.

    QPU seconds follow `limits.qpu_seconds`, with the length of the transpiled circuits.

    Args:
        device: where the tapes would run.
        rounds: the batches, each one call of `device.execute`: one per time step in the closed
            loop, a single one in the open loop.

    Raises:
        DeviceError: the device cannot run one of the tapes.
    """
    transpiler = device.transpiler.fresh()
    program = device.preprocess_transforms()
    calibration_shots = device.options.readout_mitigation
    count = jobs = circuits = depth = gates = executions = 0
    seconds = 0.0
    refusal = None
    for tapes in rounds:
        prepared, _ = program(tapes)
        blocks = Batch(prepared, device.wires).blocks
        if calibration_shots:
            blocks += Calibration(blocks, transpiler, calibration_shots).blocks
        every = [transpiler(block.structure) for block in blocks]
        count += 1
        for job in split(blocks, limits.MAX_EXECUTIONS_PER_JOB):
            work = Work("", job, [every[index] for index, _ in job], device.rep_delay)
            jobs, executions = jobs + 1, executions + work.executions
            seconds += work.seconds
        for block, compiled in zip(blocks, every, strict=True):
            device.options.check_circuit(block.structure, block.shots)
            circuits += len(block.values)
            depth = max(depth, compiled.circuit.depth())
            gates = max(gates, compiled.two_qubit_gates)
            if block.reads_mid_circuit and not device.options.force_measure:
                try:
                    compiled.check_coherence(device.backend_name)
                except DeviceError as error:
                    refusal = str(error)
    left = device.seconds_left
    return Estimate(count, jobs, circuits, depth, gates, executions, seconds, left, refusal)
