"""The PennyLane device: tapes in, one Sampler job for all of them, PennyLane's results out."""

from __future__ import annotations

from collections.abc import Sequence
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

from qrnn.devices.ibm.backends import resolve
from qrnn.devices.ibm.batch import Batch
from qrnn.devices.ibm.budget import Budget, Usage
from qrnn.devices.ibm.jobs import Runner
from qrnn.devices.ibm.ledger import Ledger, recorded_backend
from qrnn.devices.ibm.mitigation import Calibration, only_pauli_expectations, zero_noise
from qrnn.devices.ibm.options import Options
from qrnn.devices.ibm.remote import Remote
from qrnn.devices.ibm.translate import NAME, decomposed, is_native, unsupported
from qrnn.devices.ibm.transpiling import Transpiler
from qrnn.errors import DeviceError


@qml.transform
def _with_shots(tape: QuantumScript, shots: Shots):
    """Give a tape the device's shots if it has none, and refuse it if there are none at all."""
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
    """Refuse measurements that no sampling device can make."""
    for mp in tape.measurements:
        if not isinstance(mp, SampleMeasurement):
            raise DeviceError(
                f"Measurements on {NAME} must be expval, var, probs, counts or sample, but got "
                f"{mp}: take default.qubit for it"
            )
    return (tape,), null_postprocessing


@simulator_tracking
@single_tape_support
class IBMDevice(Device):
    """PennyLane device over qiskit-ibm-runtime's Sampler, for local fakes, Aer and IBM hardware.

    A batch of tapes is one job. Tapes that differ only in their angles, and broadcast tapes, are
    one PUB with rows of parameter values for each measurement setting; observables that commute
    qubit by qubit share a setting.

    Args:
        wires: number of wires or their labels; None takes each tape's own.
        backend: "fake_<name>" (a local fake backend with its noise), "aer" (ideal), the name of an
            IBM backend, "least_busy" (a run that goes on stays on the one it began on), or a
            Qiskit BackendV2.
        shots: shots of tapes that bring none; None makes `qml.set_shots` obligatory.
        seed: makes local results reproducible; refused on hardware.
        optimization_level: Qiskit's transpiler level, 0..3.
        initial_layout: physical qubit of each wire; None lets Qiskit choose, once per cell.
        instance: CRN of the IBM instance, obligatory with paid plans.
        mode: "job", "batch" or "session" of qiskit-ibm-runtime.
        ledger: folder that records every job, obligatory on hardware. A device on the same folder
            that does the same work again fetches what is finished and submits nothing twice.
        max_qpu_seconds: budget over all attempts of the run; None for no limit.
        queue_timeout: seconds after which waiting for a queued job is given up (the job stays);
            None waits for ever.
        readout_mitigation: shots of each of two calibration circuits that every job carries;
            expectation values are corrected by what they show. None corrects nothing.
        zne: odd noise factors, say [1, 3]: circuits are folded by each, and expectation values
            extrapolated to no noise. None runs them as they are.

    Attributes:
        options: these options.
        transpiler: what turns its circuits into the backend's.

    Raises:
        ConfigError: the backend's name is not known.
        DeviceError: the backend cannot do what is asked.
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
    ):
        super().__init__(wires=wires)
        # Not through the base class, whose warning asks for set_shots: a config needs a default.
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
        )
        n = len(self.wires) if self.wires else None
        if backend == "least_busy":  # a run that goes on stays where it began
            backend = recorded_backend(ledger) or backend
        self._backend = resolve(backend, instance, n)
        self.options.check(self._backend, n)
        self.transpiler = Transpiler(
            self._backend.backend, optimization_level, seed, self.options.initial_layout
        )
        record = Ledger(ledger)
        local = self._backend.local
        self._kept: tuple = ()
        self._runner = Runner(
            self._backend,
            self.transpiler,
            options=self.options,
            ledger=record,
            budget=Budget(record, max_qpu_seconds),
            remote=None if local else Remote(self._backend, record, instance, queue_timeout),
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
    def jobs(self) -> int:
        """How many jobs this device has submitted, in this process."""
        return self._runner.jobs

    @property
    def usage(self) -> Usage:
        """Jobs, executions and QPU seconds of the run so far, over all its attempts."""
        return self._runner.budget.usage

    def check_budget(self, qpu_seconds: float) -> None:
        """Refuse a run whose estimate exceeds what is left of `max_qpu_seconds`.

        Args:
            qpu_seconds: the estimate of the whole run. What the ledger shows of it already counts
                once.

        Raises:
            DeviceError: it does.
        """
        self._runner.budget.allow_run(qpu_seconds)

    def annotate(self, **what: Any) -> None:
        """Say what the next executions compute; the ledger keeps it with each job.

        Args:
            **what: for example config="3f2a...", step=7, sequences="0-31"; JSON values.
        """
        self._runner.note = what

    def close(self) -> None:
        """Close the batch or session, and release the ledger's folder.

        An execution after that takes both again.
        """
        self._runner.close()

    @property
    def kept(self) -> tuple:
        """For each tape of the last `execute`, the share (B,) of shots that postselection kept.

        None for tapes that postselect nothing; (1,) without a batch; averaged over the circuits
        that the tape's measurements needed.
        """
        return self._kept

    def setup_execution_config(
        self, config: ExecutionConfig | None = None, circuit: QuantumScript | None = None
    ) -> ExecutionConfig:
        """Choose the way of mid-circuit measurement: the backend's own, or deferred on request.

        Raises:
            DeviceError: another way, or another postselection than discarding shots, is asked for.
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
        """Return what a tape goes through first: shots, wires, measurements, decomposition."""
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
            _add_decomposition(program)  # of the inverses
        return program

    def execute(
        self, circuits: Sequence[QuantumScript], execution_config: ExecutionConfig | None = None
    ) -> tuple:
        """Run preprocessed tapes in one job (more only at IBM's limits).

        Args:
            circuits: tapes with native operations and shots.
            execution_config: not used.

        Returns:
            One result for each tape, of the shape that default.qubit gives.

        Raises:
            DeviceError: IBM's limits forbid it, the backend failed, or after `close` another
                device has the ledger's folder.
        """
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


def _add_decomposition(program: CompilePipeline) -> None:
    program.add_transform(
        decompose,
        stopping_condition=is_native,
        decomposer=decomposed,
        skip_initial_state_prep=False,
        name=NAME,
        error=unsupported,
    )
