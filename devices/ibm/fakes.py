"""Fake backends without the overhead per job.

A fake backend builds the noise model of all its qubits, and Aer encodes all of it for each job:
12 s per job with 133 qubits, even for small circuits. The wrapper here passes Aer only the errors
of the qubits in use. Its outcomes are bit-identical to those of the fake backend.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

from qiskit import QuantumCircuit
from qiskit.providers import BackendV2, Options
from qiskit.transpiler import Target
from qiskit_aer import AerSimulator
from qiskit_aer.noise import NoiseModel
from qiskit_aer.noise.device import basic_device_gate_errors, basic_device_readout_errors


class SharedFake(BackendV2):
    """A fake backend with its noise, run in this process.

    Args:
        fake: a FakeBackendV2 of qiskit-ibm-runtime.
    """

    def __init__(self, fake: Any):
        super().__init__(name=fake.name, backend_version=fake.backend_version)
        self.fake = fake
        # Parallel over circuits, not within one: threads slow down a small density matrix.
        self._simulator = AerSimulator(max_parallel_experiments=0)
        self._models: dict[frozenset[int], NoiseModel] = {}

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
        qubits = frozenset(q for circuit in circuits for q in used_qubits(circuit))
        return self._simulator.run(circuits, noise_model=self.noise_model(qubits), **options)

    def noise_model(self, qubits: frozenset[int]) -> NoiseModel:
        """Return the gate and readout errors on some physical qubits."""
        if qubits in self._models:
            return self._models[qubits]
        properties = self.fake.properties()
        properties.gates = [gate for gate in properties.gates if qubits.issuperset(gate.qubits)]
        model = NoiseModel(basis_gates=self.fake.configuration().basis_gates)
        with warnings.catch_warnings():
            # Snapshots with T2 > 2 T1 are truncated; the fake backend silences this too.
            warnings.filterwarnings("ignore", module="qiskit_aer.noise.device.models")
            for name, on, error in basic_device_gate_errors(properties):
                model.add_quantum_error(error, name, on)
        for on, error in basic_device_readout_errors(properties):
            if qubits.issuperset(on):
                model.add_readout_error(error, on)
        self._models[qubits] = model
        return model


def used_qubits(circuit: QuantumCircuit) -> set[int]:
    """Return the indices of the qubits that a circuit's instructions act on, except barriers."""
    return {
        circuit.find_bit(qubit).index
        for instruction in circuit.data
        if instruction.operation.name != "barrier"
        for qubit in instruction.qubits
    }
