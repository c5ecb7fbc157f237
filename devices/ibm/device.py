"""The PennyLane device, which runs a batch of tapes as one Sampler job."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pennylane as qml
from pennylane.devices import Device, ExecutionConfig, MCMConfig
from pennylane.devices.modifiers import simulator_tracking, single_tape_support
from pennylane.devices.preprocess import decompose, null_postprocessing, validate_device_wires
from pennylane.measurements import SampleMeasurement, Shots
from pennylane.tape import QuantumScript
from pennylane.transforms import defer_measurements
from pennylane.transforms.core import CompilePipeline

from qrnn.devices.ibm import runtime
from qrnn.devices.ibm.backends import resolve
from qrnn.devices.ibm.batch import Batch
from qrnn.devices.ibm.budget import Budget, Usage
from qrnn.devices.ibm.fractional import fold_rotations
from qrnn.devices.ibm.jobs import Runner
from qrnn.devices.ibm.ledger import Ledger, recorded_backend
from qrnn.devices.ibm.meeting import meeting_of, together
from qrnn.devices.ibm.mitigation import Calibration, only_pauli_expectations, zero_noise
from qrnn.devices.ibm.options import Options
from qrnn.devices.ibm.remote import POLL_LAST, POLL_SESSION, Remote
from qrnn.devices.ibm.translate import (
    NAME,
    UnsupportedError,
    decomposed,
    is_native,
    unsupported,
)
from qrnn.devices.ibm.transpiling import Transpiler
from qrnn.errors import DeviceError


@qml.transform
def _with_shots(tape: QuantumScript, shots: Shots):
    """Give a tape the device's shots if it has none; fail if the device has none either."""
    if not tape.shots:
        if not shots:
            raise DeviceError(
                f"Device {NAME} samples, so shots must be set, but got none: use "
                "qml.set_shots(qnode, shots=1024) or qml.device(..., shots=1024)"
            )
        tape = tape.copy(shots=shots)
    return (tape,), null_postprocessing


@qml.transform
def _sampled_only(tape: QuantumScript):
    """Refuse measurements that a sampling device cannot make."""
    for mp in tape.measurements:
        if not isinstance(mp, SampleMeasurement):
            raise UnsupportedError(
                f"Measurements on {NAME} must be expval, var, probs, counts or sample, but got "
                f"{mp}: use default.qubit for it"
            )
    return (tape,), null_postprocessing


@simulator_tracking
@single_tape_support
class IBMDevice(Device):
    """PennyLane device on qiskit-ibm-runtime's Sampler, for local fakes, Aer and IBM hardware.

    A batch of tapes is one job. For each measurement setting, broadcast tapes and tapes that differ
    only in their angles are one PUB with rows of parameter values; observables that commute
    qubit-wise share a setting.

    Args:
        wires: number of wires or their labels; None: each tape's own wires.
        backend: "fake_<name>" (a local fake backend with its noise), "aer" (ideal), the name of an
            IBM backend, "least_busy" (a resumed run stays on its backend), or a Qiskit BackendV2.
        shots: shots of tapes without shots; None: `qml.set_shots` is required.
        seed: makes local results reproducible; refused on hardware.
        optimization_level: level of Qiskit's transpiler, 0..3.
        initial_layout: physical qubit of each wire; None: chosen by Qiskit, once per cell.
        instance: CRN of the IBM instance, required with paid plans.
        mode: "job", "batch" or "session" of qiskit-ibm-runtime.
        ledger: folder that records every job, required on hardware. When the same work is run
            again with the same folder, finished jobs are fetched and no job is submitted twice.
        max_qpu_seconds: budget over all attempts of the run; None: no limit.
        queue_timeout: seconds to wait for a queued job, which stays queued; None: no limit.
        readout_mitigation: shots of each of two calibration circuits in every round, which correct
            the readout errors of expectation values; None: no correction.
        zne: odd noise factors such as [1, 3], by which circuits are folded to extrapolate
            expectation values to zero noise; None: no extrapolation.
        dynamical_decoupling: pulses on qubits that wait, "XX", "XpXm" or "XY4"; None: none. This
            and twirling are IBM's: local backends refuse them.
        twirl_gates: whether IBM averages two-qubit gates over random Pauli gates around them.
        twirl_measurements: whether IBM averages measurements over random flips before them.
        fractional_gates: whether to open the backend with IBM's fractional gates, RZZ and RX, and
            run each rotation of two qubits as one RZZ; not with decoupling or gate twirling.
        rep_delay: seconds that the backend waits before each execution; None: its default. A local
            backend only prices it.
        force_measure: whether to run circuits with readouts of mid-circuit measurements although
            they are longer than the shortest T2 of their qubits; they are refused otherwise.
        idle_noise: whether qubits of a fake backend relax while they wait, by their T1 and T2, as
            those of hardware do.

    Attributes:
        options: the options above.
        transpiler: the transpiler for the backend.

    Raises:
        ConfigError: the backend's name is unknown.
        DeviceError: the backend does not support an option.
        MissingExtraError: Qiskit is not installed.
    """

    def __init__(
        self,
        wires: Any = None,
        backend: Any = None,
        *,
        shots: int | None = None,
        seed: int | None = None,
        optimization_level: int = 2,
        initial_layout: Sequence[int] | None = None,
        instance: str | None = None,
        mode: str = "job",
        ledger: str | Path | None = None,
        max_qpu_seconds: float | None = None,
        queue_timeout: float | None = None,
        readout_mitigation: int | None = None,
        zne: Sequence[int] | None = None,
        force_measure: bool = False,
        dynamical_decoupling: str | None = None,
        twirl_gates: bool = False,
        twirl_measurements: bool = False,
        fractional_gates: bool = False,
        rep_delay: float | None = None,
        idle_noise: bool = False,
    ):
        super().__init__(wires=wires)
        # Set here, because the base class warns about shots; a config needs a default.
        self._shots = Shots(shots)
        if backend is None:
            raise DeviceError(
                f"Device {NAME} needs a backend: qml.device({NAME!r}, backend='fake_manila', ...)"
            )
        self.options = Options(
            seed=seed,
            optimization_level=optimization_level,
            initial_layout=None if initial_layout is None else tuple(initial_layout),
            mode=mode,
            ledger=ledger,
            max_qpu_seconds=max_qpu_seconds,
            queue_timeout=queue_timeout,
            readout_mitigation=readout_mitigation,
            zne=None if zne is None else tuple(zne),
            force_measure=force_measure,
            dynamical_decoupling=dynamical_decoupling,
            twirl_gates=twirl_gates,
            twirl_measurements=twirl_measurements,
            fractional_gates=fractional_gates,
            rep_delay=rep_delay,
            idle_noise=idle_noise,
        )
        n = len(self.wires) if self.wires else None
        if backend == "least_busy":  # a resumed run stays on its backend
            backend = recorded_backend(ledger) or backend
        found = resolve(backend, instance, n, fractional_gates=fractional_gates)
        self._backend = replace(found, chosen_delay=rep_delay)
        self.options.check(self._backend, n)
        self.transpiler = Transpiler(
            self._backend.backend,
            optimization_level,
            seed,
            self.options.initial_layout,
            delays=idle_noise,
        )
        record = Ledger(ledger)
        self.transpiler.layouts = record.layouts(found.name, optimization_level)
        local = self._backend.local
        poll = POLL_SESSION if mode == "session" else POLL_LAST
        self._kept: tuple = ()
        self._counter: Any = None
        self._runner = Runner(
            self._backend,
            self.transpiler,
            options=self.options,
            ledger=record,
            budget=Budget(record, max_qpu_seconds),
            remote=None if local else Remote(self._backend, record, instance, queue_timeout, poll),
        )

    @property
    def name(self) -> str:
        """The name for `qml.device`."""
        return NAME

    @property
    def backend_name(self) -> str:
        """Name of the backend."""
        return self._backend.name

    @property
    def local(self) -> bool:
        """Whether the backend is simulated in this process."""
        return self._backend.local

    @property
    def seconds_left(self) -> float | None:
        """QPU seconds that the account has left; None: there is none, or it cannot say."""
        service = self._backend.service
        return None if service is None else runtime.seconds_left(service)

    @property
    def rep_delay(self) -> float:
        """Seconds that the backend waits before each execution."""
        return self._backend.rep_delay

    @property
    def jobs(self) -> int:
        """Number of jobs that this device has submitted in this process."""
        return self._runner.jobs

    @property
    def usage(self) -> Usage:
        """Jobs, executions and QPU seconds of the run so far, over all attempts."""
        return self._runner.budget.usage

    @property
    def begun_seconds(self) -> float:
        """Estimated QPU seconds of the work that is submitted or done, without what failed."""
        return self._runner.budget.begun

    def check_budget(self, qpu_seconds: float) -> None:
        """Check that `max_qpu_seconds` suffices for a run.

        Args:
            qpu_seconds: estimate for the whole run; jobs that are already in the ledger count
                once.

        Raises:
            DeviceError: the estimate exceeds what is left of the budget.
        """
        self._runner.account()
        self._runner.budget.allow_run(qpu_seconds)

    def allow(self, qpu_seconds: float, what: str) -> None:
        """Check that what is left of `max_qpu_seconds` suffices.

        Args:
            qpu_seconds: estimate of jobs that are not in the ledger.
            what: what they are for, for the message.

        Raises:
            DeviceError: the estimate exceeds it.
        """
        self._runner.account()
        self._runner.budget.allow(qpu_seconds, what)

    def annotate(self, **what: Any) -> None:
        """Set a note that the ledger records with each of the next jobs.

        Args:
            **what: JSON values, for example config="3f2a...", step=7, sequences="0-31". A text
                `purpose` keeps the jobs apart from those of the same circuits without it.
        """
        self._runner.note = what

    def settle(self, patience: float = 60.0) -> None:
        """Wait for IBM to meter the jobs that are finished; `usage` then counts what is charged.

        Args:
            patience: seconds to wait; jobs that are not metered by then count with their estimate.
        """
        self._runner.settle(patience)

    def close(self) -> None:
        """Close the batch or session, and release the ledger's folder.

        The next execution opens both again.
        """
        self._runner.close()

    @property
    def kept(self) -> tuple:
        """For each tape of the last `execute`, the fraction (B,) of shots that postselection kept.

        It is averaged over the circuits of the tape's measurements, has shape (1,) without a batch,
        and is None for tapes without postselection.
        """
        return self._kept

    def setup_execution_config(
        self, config: ExecutionConfig | None = None, circuit: QuantumScript | None = None
    ) -> ExecutionConfig:
        """Choose the method of mid-circuit measurement: the backend's own, or deferred if set.

        Raises:
            DeviceError: another method is set, or another postselection than discarding shots.
        """
        config = config or ExecutionConfig()
        mcm = config.mcm_config
        if mcm.mcm_method not in (None, "device", "deferred"):
            raise DeviceError(
                f"Argument `mcm_method` must be 'device' or 'deferred' on {NAME}, but got "
                f"{str(mcm.mcm_method)!r}: leave it out to measure on the backend itself"
            )
        if mcm.postselect_mode not in (None, "device", "hw-like"):
            raise DeviceError(
                f"Argument `postselect_mode` must be 'hw-like' on {NAME}, but got "
                f"{str(mcm.postselect_mode)!r}: a backend can only discard shots"
            )
        config = super().setup_execution_config(replace(config, mcm_config=MCMConfig()), circuit)
        chosen = MCMConfig(mcm.mcm_method or "device", mcm.postselect_mode or "hw-like")
        return replace(config, mcm_config=chosen)

    def preprocess_transforms(
        self, execution_config: ExecutionConfig | None = None
    ) -> CompilePipeline:
        """Return the preprocessing of a tape: shots, wires, measurements and decomposition."""
        program = CompilePipeline()
        program.add_transform(_with_shots, shots=self._shots)
        program.add_transform(validate_device_wires, self.wires, name=NAME)
        program.add_transform(_sampled_only)
        if execution_config and execution_config.mcm_config.mcm_method == "deferred":
            program.add_transform(defer_measurements, allow_postselect=False)
        _add_decomposition(program)
        if self.options.readout_mitigation:
            program.add_transform(only_pauli_expectations, option="readout_mitigation")
        if self.options.zne:
            program.add_transform(only_pauli_expectations, option="zne")
            program.add_transform(zero_noise, factors=self.options.zne)
            _add_decomposition(program)  # decomposes the inverses
        if self.options.fractional_gates:
            program.add_transform(fold_rotations)
        return program

    def execute(
        self, circuits: Sequence[QuantumScript], execution_config: ExecutionConfig | None = None
    ) -> tuple:
        """Run preprocessed tapes in one job, or in several if IBM's limits require it.

        Args:
            circuits: tapes with native operations and shots.
            execution_config: not used.

        Returns:
            One result per tape, with the same shape as from default.qubit.

        Raises:
            DeviceError: a limit of IBM's is exceeded, the backend failed, or another device has
                opened the ledger's folder after `close`.
        """
        if (execute := meeting_of(self)) is not None:
            return tuple(execute(circuits))
        return self._execute(circuits)

    def _execute(self, circuits: Sequence[QuantumScript]) -> tuple:
        if self._counter is not None:
            return self._counter.execute(circuits)
        batch = Batch(circuits, self.wires)
        blocks, corrections = batch.blocks, None
        if self.options.readout_mitigation:
            calibration = Calibration(blocks, self.transpiler, self.options.readout_mitigation)
            bits = self._runner.run(blocks + calibration.blocks)
            corrections = calibration.corrections(bits[len(blocks) :])
        else:
            bits = self._runner.run(blocks)
        results, self._kept = batch.results(bits[: len(blocks)], corrections)
        return results

    def together(self, calls: Sequence[Callable[[], Any]]) -> list[Any]:
        """Return what calls return; what they execute at the same time is one job.

        Args:
            calls: functions of no arguments, none of which waits for another.
        """
        return together(self, meeting_of(self) or self._execute, calls)

    @contextmanager
    def counting(self, counter: Any) -> Iterator[None]:
        """Count what is executed, instead of running it; the results are those of zeros.

        Args:
            counter: has `execute`, called instead of this device's.
        """
        self._counter = counter
        try:
            yield
        finally:
            self._counter = None


def _add_decomposition(program: CompilePipeline) -> None:
    program.add_transform(
        decompose,
        stopping_condition=is_native,
        decomposer=decomposed,
        skip_initial_state_prep=False,
        name=NAME,
        error=unsupported,
    )
