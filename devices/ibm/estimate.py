"""Estimate the cost of a run before submitting it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

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

    Nothing is run or submitted, and the device does not change. The fake backend (fake_fez for
    ibm_fez) gives the same estimate without an account, except for today's calibration.

    QPU seconds follow `limits.qpu_seconds`, with the length of the transpiled circuits.

    Args:
        device: where the tapes would run.
        rounds: the batches, each one call of `device.execute`: one per time step in the closed
            loop, a single one in the open loop.

    Raises:
        DeviceError: the device cannot run one of the tapes.
    """
    counter, program = Counter(device), device.preprocess_transforms()
    for tapes in rounds:
        counter.add(program(tapes)[0])
    return counter.total()


def estimate_of(device: IBMDevice, run: Callable[[], Any]) -> Estimate:
    """Estimate the cost of what a function executes on a device; see `estimate`.

    Args:
        device: where it would run. Its results are those of measuring 0 everywhere.
        run: executes.

    Raises:
        DeviceError: the device cannot run one of the tapes.
    """
    counter = Counter(device)
    with device.counting(counter):
        run()
    return counter.total()


class Counter:
    """The cost of executions, one after the other.

    Args:
        device: where they would run; it does not change.
    """

    def __init__(self, device: IBMDevice):
        self._device, self._transpiler = device, device.transpiler.copy()
        self._rounds = self._jobs = self._circuits = self._depth = self._gates = 0
        self._executions, self._seconds = 0, 0.0
        self._refusal: str | None = None

    def execute(self, tapes: Sequence[QuantumScript]) -> tuple:
        """Count an execution; return its results, as if all measurements gave 0; see `add`."""
        return self.add(tapes).zeros()

    def add(self, tapes: Sequence[QuantumScript]) -> Batch:
        """Count an execution of preprocessed tapes.

        Raises:
            DeviceError: the device cannot run one of them.
        """
        options, transpiler = self._device.options, self._transpiler
        batch = Batch(tapes, self._device.wires)
        blocks = batch.blocks
        if options.readout_mitigation:
            blocks += Calibration(blocks, transpiler, options.readout_mitigation).blocks
        every = [transpiler(block.structure) for block in blocks]
        self._rounds += 1
        lengths = [compiled.seconds for compiled in every]
        for job in split(blocks, limits.most_executions(lengths, self._device.rep_delay)):
            work = Work("", job, [every[index] for index, _ in job], self._device.rep_delay)
            self._jobs += 1
            self._executions += work.executions
            self._seconds += work.seconds
        for block, compiled in zip(blocks, every, strict=True):
            options.check_circuit(block.structure, block.shots)
            self._circuits += len(block.values)
            self._depth = max(self._depth, compiled.circuit.depth())
            self._gates = max(self._gates, compiled.two_qubit_gates)
            try:
                if not self._device.local:
                    compiled.check_limits()
                if block.reads_mid_circuit and not options.force_measure:
                    compiled.check_coherence(self._device.backend_name)
            except DeviceError as error:
                self._refusal = str(error)
        return batch

    def total(self) -> Estimate:
        """Return the estimate of all executions."""
        return Estimate(
            rounds=self._rounds,
            jobs=self._jobs,
            circuits=self._circuits,
            depth=self._depth,
            two_qubit_gates=self._gates,
            executions=self._executions,
            qpu_seconds=self._seconds,
            seconds_left=self._device.seconds_left,
            refusal=self._refusal,
        )
