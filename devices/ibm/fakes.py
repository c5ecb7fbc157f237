"""Fake backends that cost what their circuits cost.

qiskit-ibm-runtime's local mode copies the backend for every job, so a fake backend builds its
noise model anew each time, and Aer re-encodes all of it: 12 s a job on fake_torino, however small
the circuits. The wrapper here is shared instead of copied and gives Aer the errors of the qubits
in use alone; outcomes equal those of the fake backend itself bit for bit.
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
    """A fake backend run in this process, with its noise.

    Args:
        fake: a FakeBackendV2 of qiskit-ibm-runtime.
    """

    def __init__(self, fake: Any):
        super().__init__(name=fake.name, backend_version=fake.backend_version)
        self.fake = fake
        # Over the circuits of a job, not within one: threads slow a small density matrix down.
        self._simulator = AerSimulator(max_parallel_experiments=0)
        self._models: dict[frozenset[int], NoiseModel] = {}

    def __deepcopy__(self, memo: dict) -> SharedFake:
        # Local mode deep-copies its options, this among them; nothing here changes between jobs.
        return self

    @property
    def target(self) -> Target:
        """Gates, couplings and errors of the backend."""
        return self.fake.target

    @property
    def max_circuits(self) -> None:
        """A simulator takes any number of circuits."""
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
        """Return the errors of gates and readout that touch only some physical qubits."""
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
    """Return the indices of the qubits that a circuit's instructions touch, barriers aside."""
    return {
        circuit.find_bit(qubit).index
        for instruction in circuit.data
        if instruction.operation.name != "barrier"
        for qubit in instruction.qubits
    }
