"""Fake backends without the overhead per job.

A fake backend builds the noise model of all its qubits, and Aer encodes all of it for each job:
12 s per job with 133 qubits, even for small circuits. The wrapper here has only the errors of the
qubits in use; in Aer, its outcomes are bit-identical to those of the fake backend. Most circuits
need no Aer (`sampling.py`).

Newer backends (fake_boston) state the error of a measurement twice: as the probabilities to read a
qubit wrongly, and as a gate's error. Aer applies both, so that a qubit is misread twice as often as
stated; here the first alone acts.
"""

from __future__ import annotations

import functools
import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
from qiskit import QuantumCircuit
from qiskit.circuit import CircuitInstruction, Gate, Measure, Reset
from qiskit.circuit.library import IGate
from qiskit.providers import BackendV2, Options
from qiskit.transpiler import Target
from qiskit_aer import AerSimulator
from qiskit_aer.noise import NoiseModel, QuantumError, thermal_relaxation_error
from qiskit_aer.noise.device import basic_device_gate_errors, basic_device_readout_errors

from qrnn.devices.ibm import pauli
from qrnn.devices.ibm.circuits import MID_CIRCUIT
from qrnn.devices.ibm.idle import label, waits

MEASUREMENTS = ("measure", MID_CIRCUIT["measure"])


class Noise:
    """The errors of some qubits of a fake backend.

    Args:
        fake: a FakeBackendV2 of qiskit-ibm-runtime.
        qubits: physical qubits.

    Attributes:
        errors: the error of each gate, by its name and qubits.
        flips: the readout error of each qubit: (2, 2) probabilities of outcome j (column) in state
            i (row).
    """

    def __init__(self, fake: Any, qubits: frozenset[int]):
        properties = fake.properties()
        properties.gates = [gate for gate in properties.gates if qubits.issuperset(gate.qubits)]
        self._basis = fake.configuration().basis_gates
        self._readouts = [
            (on, error)
            for on, error in basic_device_readout_errors(properties)
            if qubits.issuperset(on)
        ]
        with warnings.catch_warnings():
            # Snapshots with T2 > 2 T1 are truncated; the fake backend silences this too.
            warnings.filterwarnings("ignore", module="qiskit_aer.noise.device.models")
            self.errors: dict[tuple[str, tuple[int, ...]], QuantumError] = {
                (name, tuple(on)): error
                for name, on, error in basic_device_gate_errors(properties)
                if name not in MEASUREMENTS and not error.ideal()
            }
        self.flips: dict[int, np.ndarray] = {
            on[0]: error.probabilities for on, error in self._readouts
        }
        self._properties = fake.properties()
        self.channels: dict[tuple[str, tuple[int, ...]], pauli.Channel] = {}

    @functools.cached_property
    def model(self) -> NoiseModel:
        """The errors as Aer's noise model."""
        model = NoiseModel(basis_gates=self._basis)
        for (name, on), error in self.errors.items():
            model.add_quantum_error(error, name, on)
        for on, error in self._readouts:
            model.add_readout_error(error, on)
        return model

    def channel(
        self, instruction: CircuitInstruction, qubits: tuple[int, ...]
    ) -> pauli.Channel | None:
        """Return the channel of a fixed gate on one or two qubits; None: it is something else."""
        key = label(instruction), qubits
        if waits(instruction):
            if key not in self.channels:
                self.channels[key] = pauli.noisy(IGate(), self.relaxation(instruction, qubits[0]))
            return self.channels[key]
        if key not in self.channels and not instruction.params and len(qubits) <= 2:
            gate = instruction.operation
            if isinstance(gate, Gate):
                self.channels[key] = pauli.noisy(gate, self.errors.get(key))
        return None if instruction.params else self.channels.get(key)

    def relaxation(self, delay: CircuitInstruction, qubit: int) -> QuantumError:
        """Return the error of a qubit that waits, by its T1 and T2."""
        t1, t2 = self._properties.t1(qubit), self._properties.t2(qubit)
        return thermal_relaxation_error(t1, min(t2, 2 * t1), delay.params[0])


class SharedFake(BackendV2):
    """A fake backend with its noise, run in this process.

    Args:
        fake: a FakeBackendV2 of qiskit-ibm-runtime.

    Attributes:
        fake: the fake backend.
        evolved: the density matrices of the last job; see `sampling.py`.
    """

    def __init__(self, fake: Any):
        super().__init__(name=fake.name, backend_version=fake.backend_version)
        self.fake = fake
        self.evolved: list[Any] = []
        # Parallel over circuits, not within one: threads slow down a small density matrix.
        self._simulator = AerSimulator(max_parallel_experiments=0)
        self._noises: dict[frozenset[int], Noise] = {}

    def __deepcopy__(self, memo: dict) -> SharedFake:
        # Copies of a device share it, as jobs do not change it.
        return self

    @property
    def target(self) -> Target:
        """Gates, couplings and errors of the backend."""
        return self.fake.target

    @property
    def max_circuits(self) -> None:
        """A simulator has no limit on the number of circuits."""
        return

    @classmethod
    def _default_options(cls) -> Options:
        return AerSimulator._default_options()

    def run(self, run_input: QuantumCircuit | Sequence[QuantumCircuit], **options: Any) -> Any:
        """Run circuits in Aer with this backend's noise; see `AerSimulator.run`."""
        circuits = [run_input] if isinstance(run_input, QuantumCircuit) else list(run_input)
        noise = self.noise(circuits)
        circuits = [known_to_aer(circuit, noise) for circuit in circuits]
        return self._simulator.run(circuits, noise_model=noise.model, **options)

    def noise(self, circuits: Sequence[QuantumCircuit]) -> Noise:
        """Return the errors of the physical qubits that some circuits use."""
        qubits = frozenset(q for circuit in circuits for q in used_qubits(circuit))
        if qubits not in self._noises:
            self._noises[qubits] = Noise(self.fake, qubits)
        return self._noises[qubits]


def known_to_aer(circuit: QuantumCircuit, noise: Noise) -> QuantumCircuit:
    """Return a circuit with Aer's `measure` and `reset`, and errors for delays."""
    if not {"delay", *MID_CIRCUIT.values()}.intersection(circuit.count_ops()):
        return circuit
    plain = {MID_CIRCUIT["measure"]: Measure(), MID_CIRCUIT["reset"]: Reset()}
    found = circuit.copy_empty_like()
    for one in circuit.data:
        operation = plain.get(one.name, one.operation)
        if waits(one):
            operation = noise.relaxation(
                one, circuit.find_bit(one.qubits[0]).index
            ).to_instruction()
        found.append(one.replace(operation=operation))
    return found


def used_qubits(circuit: QuantumCircuit) -> set[int]:
    """Return the indices of the qubits that a circuit's instructions act on, except barriers."""
    used = {q for one in circuit.data if one.name != "barrier" for q in one.qubits}
    return {circuit.find_bit(qubit).index for qubit in used}
