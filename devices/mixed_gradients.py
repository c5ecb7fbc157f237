"""What keeps gradients on PennyLane's `default.mixed` right, for any device that runs on it.

PennyLane 0.45 has two faults there: a batch of angles of PhaseShift has no gradient, as it is
copied, and the gradient of an expectation value is NaN if the probability of an outcome is zero, as
it is computed by square roots.
"""

from __future__ import annotations

import pennylane as qml
import torch
from pennylane.measurements import ExpectationMP
from pennylane.tape import QuantumScript

from qrnn.circuit.observables import traces
from qrnn.circuit.step import StepCircuit


def is_mixed(plugin: qml.devices.Device) -> bool:
    """Return whether a PennyLane device is `default.mixed`."""
    return plugin.name == "default.mixed"


def batches_phases(circuit: StepCircuit) -> bool:
    """Return whether batches of a circuit's angles have no gradient on `default.mixed`."""
    return any(isinstance(gate, qml.PhaseShift) for gate in circuit.gates)


@qml.transform
def read_densities(tape: QuantumScript):
    """Read exact expectation values of Pauli words from the density matrix.

    Tapes with shots, or with other measurements, are left as they are.
    """
    read = [m.obs for m in tape.measurements if isinstance(m, ExpectationMP) and m.mv is None]
    words = all(qml.pauli.is_pauli_word(observable) for observable in read)
    if tape.shots or not read or len(read) < len(tape.measurements) or not words:
        return (tape,), lambda results: results[0]
    wires = tape.wires
    places = {wire: place for place, wire in enumerate(wires)}
    names = [qml.pauli.pauli_word_to_string(observable, wire_map=places) for observable in read]

    def values(results):
        z = traces(names, torch.as_tensor(results[0])).unbind(-1)
        return z if len(z) > 1 else z[0]

    return (tape.copy(measurements=[qml.density_matrix(wires=wires)]),), values
