"""Qubits of fake backends that relax while they wait, against Qiskit's schedule and Aer's pass."""

import numpy as np
import pennylane as qml
import pytest
from qiskit import QuantumCircuit
from qiskit.circuit import Delay
from qiskit.primitives.containers.sampler_pub import SamplerPub
from qiskit.transpiler import PassManager
from qiskit.transpiler.passes import ALAPScheduleAnalysis, PadDelay
from qiskit_aer import AerSimulator
from qiskit_aer.noise import RelaxationNoisePass

from qrnn.devices.ibm import IBMDevice, transpiling
from qrnn.devices.ibm.backends import fake_backend
from qrnn.devices.ibm.evolution import Evolution
from qrnn.devices.ibm.idle import with_delays
from qrnn.devices.ibm.sampling import circuits
from qrnn.errors import DeviceError

LAYOUT = (3, 2, 1)


@pytest.fixture(scope="module")
def backend():
    return fake_backend("fake_fez")


def waiting():
    """A circuit of the backend in which each qubit waits at some time."""
    circuit = QuantumCircuit(156, 3)
    a, b, c = LAYOUT
    circuit.sx(a)
    circuit.rz(0.3, a)
    circuit.cz(a, b)
    for _ in range(120):
        circuit.sx(b)
    circuit.cz(b, c)
    circuit.rz(0.7, c)
    circuit.sx(c)
    circuit.cz(a, b)
    circuit.sx(a)
    return circuit


def relaxed(circuit, backend):
    """The same by Qiskit and Aer; delays of qubits that have not begun are dropped."""
    target, properties = backend.target, backend.fake.properties()
    schedule = PassManager([ALAPScheduleAnalysis(target=target), PadDelay(target=target)])
    scheduled, found, begun = schedule.run(circuit), circuit.copy_empty_like(), set()
    for one in scheduled.data:
        if one.name != "delay":
            begun.update(one.qubits)
        if begun.issuperset(one.qubits):
            found.append(one)
    times = [[properties.t1(q), min(properties.t2(q), 2 * properties.t1(q))] for q in range(156)]
    return RelaxationNoisePass(*zip(*times, strict=True), dt=target.dt, op_types=Delay)(found)


def test_the_noise_is_that_of_qiskits_schedule_and_aers_pass(backend):
    circuit = waiting()
    circuit.measure(LAYOUT, range(3))
    noise = backend.noise([circuit])
    delayed = with_delays(circuit, backend.target)
    assert delayed.count_ops()["delay"] >= 2
    one = circuits(SamplerPub.coerce((delayed, [], 4000)), noise)
    (found,) = Evolution(noise, []).probabilities([one])
    (without,) = Evolution(noise, []).probabilities(
        [circuits(SamplerPub.coerce((circuit, [], 4000)), noise)]
    )
    assert np.abs(found - without).max() > 1e-3
    reference = relaxed(circuit, backend).remove_final_measurements(inplace=False)
    reference.save_probabilities(sorted(LAYOUT, reverse=True))
    simulator = AerSimulator(method="density_matrix", noise_model=noise.model)
    exact = simulator.run(reference).result().data(0)["probabilities"].reshape((2,) * 3)
    for axis, qubit in enumerate(sorted(LAYOUT)):
        exact = np.moveaxis(np.tensordot(exact, noise.flips[qubit], (axis, 0)), -1, axis)
    np.testing.assert_allclose(found[..., 0], exact, atol=1e-8)


def test_a_qubit_in_its_excited_state_decays_by_its_t1(backend):
    # Mid-circuit measurement: this runs in Aer.
    device = IBMDevice(wires=2, backend="fake_fez", seed=1, idle_noise=True, shots=20_000)

    @qml.qnode(device)
    def circuit():
        qml.X(0)
        qml.CNOT([0, 1])
        for _ in range(30):
            qml.measure(1, reset=True)
        qml.CNOT([0, 1])
        return qml.expval(qml.Z(0)), qml.expval(qml.Z(1))

    found = circuit()
    compiled = list(transpiling._CACHE[device.transpiler.backend].values())[-1]
    (waits,) = [
        one.params[0]
        for one in compiled.circuit.data
        if one.name == "delay" and one.params[0] > 10e-6
    ]
    t1 = backend.fake.properties().t1(compiled.layout[0])
    assert found[0] == pytest.approx(1 - 2 * np.exp(-waits / t1), abs=0.06)


def test_idle_noise_is_refused_where_it_means_nothing():
    with pytest.raises(DeviceError, match="backend aer, whose qubits have no T1 and T2"):
        IBMDevice(wires=2, backend="aer", idle_noise=True)
    device = IBMDevice(wires=2, backend="fake_fez", idle_noise=True, shots=100)

    @qml.qnode(device)
    def branches():
        qml.cond(qml.measure(0), qml.X)(1)
        return qml.expval(qml.Z(1))

    with pytest.raises(DeviceError, match="`idle_noise` must be left out for circuits with br"):
        branches()
