"""The Sampler of fake backends: Aer's probabilities, what is shared, what is left to Aer."""

import numpy as np
import pennylane as qml
import pytest
from qiskit import QuantumCircuit
from qiskit.circuit import Parameter
from qiskit.primitives import BackendSamplerV2
from qiskit.primitives.containers.sampler_pub import SamplerPub
from qiskit.quantum_info import Kraus
from qiskit_aer import AerSimulator
from qiskit_aer.noise import NoiseModel, QuantumError

from helpers.ibm_tapes import N, angles, replay, require_fake
from qrnn.devices.ibm import IBMDevice
from qrnn.devices.ibm.backends import fake_backend
from qrnn.devices.ibm.batch import Batch
from qrnn.devices.ibm.evolution import Evolution
from qrnn.devices.ibm.programs import Angle, Gate, last, split
from qrnn.devices.ibm.sampling import FakeSampler, circuits

BACKENDS = ["fake_manila", "fake_sherbrooke", "fake_fez"]  # CX, ECR and CZ


@pytest.fixture(autouse=True)
def forgotten():
    for name in BACKENDS:
        fake_backend(name).evolved = []


@pytest.fixture
def evolved(monkeypatch):
    """The gates that act on density matrices."""
    gates = []
    work = Evolution._evolve

    def spy(self, vector, circuits, left):
        gates.extend(left)
        return work(self, vector, circuits, left)

    monkeypatch.setattr(Evolution, "_evolve", spy)
    return gates


def device(backend, **options):
    return IBMDevice(wires=N, backend=backend, seed=3, **options)


def pubs_of(device, tape, shots=4000):
    """The PUBs of a tape, and the physical qubit of each of their bits."""
    tapes, _ = device.preprocess_transforms()([tape])
    found = []
    for block in Batch(tapes, device.wires).blocks:
        compiled = device.transpiler(block.structure)
        pub = (compiled.circuit, block.values[:, compiled.columns], shots)
        found.append((SamplerPub.coerce(pub), compiled.read))
    return found


def probabilities(backend, pubs):
    """The probabilities (2, ..., 2, R) of each PUB, with an axis for each qubit, sorted."""
    fake = fake_backend(backend)
    noise = fake.noise([pub.circuit for pub, _ in pubs])
    evolution = Evolution(noise, fake.evolved)
    found = evolution.probabilities([circuits(pub, noise) for pub, _ in pubs])
    fake.evolved = evolution.kept
    return found


def whole_model(noise):
    """The errors of a backend as Aer takes them whole.

    It drops the parts of an error with probabilities below 1e-10; Kraus matrices have none.
    """
    model = NoiseModel(basis_gates=["sx", "x", "rz", "cx", "cz", "ecr"])
    for (name, qubits), error in noise.errors.items():
        if name in ("sx", "x", "cx", "cz", "ecr"):
            model.add_quantum_error(QuantumError(Kraus(error.to_quantumchannel())), name, qubits)
    return model


@pytest.mark.parametrize("backend", BACKENDS)
def test_probabilities_are_those_of_aer_for_the_whole_circuit(backend):
    theta = angles(3, 2)
    probabilities(backend, pubs_of(device(backend), replay(theta[:2])))
    pubs = pubs_of(device(backend), replay(theta))
    noise = fake_backend(backend).noise([pub.circuit for pub, _ in pubs])
    simulator = AerSimulator(method="density_matrix", noise_model=whole_model(noise))
    for (pub, read), found in zip(pubs, probabilities(backend, pubs), strict=True):
        circuit = pub.circuit.remove_final_measurements(inplace=False)
        circuit.save_probabilities(sorted(read, reverse=True))
        bound = [circuit.assign_parameters(values) for values in circuits(pub, noise).values]
        result = simulator.run(bound).result()
        for row in range(2):
            exact = result.data(row)["probabilities"].reshape((2,) * N)
            for axis, qubit in enumerate(sorted(read)):
                exact = np.moveaxis(np.tensordot(exact, noise.flips[qubit], (axis, 0)), -1, axis)
            np.testing.assert_allclose(found[..., row], exact, atol=1e-11)


@pytest.mark.parametrize("backend", ["fake_fez", "fake_boston"])
def test_a_qubit_is_misread_as_often_as_the_backend_states(backend):
    require_fake(backend)
    fake, qubit, shots = fake_backend(backend), 43, 100_000
    circuit = QuantumCircuit(fake.num_qubits, 1)
    circuit.measure(qubit, 0)
    (found,) = probabilities(backend, [(SamplerPub.coerce((circuit, None, shots)), [qubit])])
    stated = fake.fake.properties().qubit_property(qubit)["prob_meas1_prep0"][0]
    ones = fake.run(circuit, shots=shots, seed_simulator=1).result().get_counts().get("1", 0)
    assert ones / shots == pytest.approx(stated, abs=5 * (stated / shots) ** 0.5)
    assert found[1, 0] == pytest.approx(stated)


def test_samples_follow_these_probabilities():
    shots = 20_000
    pubs = pubs_of(device("fake_fez"), replay(angles(2, 2)), shots)
    exact = probabilities("fake_fez", pubs)
    result = FakeSampler(fake_backend("fake_fez"), 5).run([pub for pub, _ in pubs]).result()
    for (_, read), one, chances in zip(pubs, result, exact, strict=True):
        bits = one.data.c.to_bool_array(order="little")[..., np.argsort(read)].astype(int)
        for row in range(2):
            counts = np.zeros((2,) * N)
            np.add.at(counts, tuple(bits[row].T), 1)
            expected = shots * chances[..., row]
            # 15 degrees of freedom; exceeded with probability 8e-5.
            assert ((counts - expected) ** 2 / expected).sum() < 45


@pytest.mark.parametrize("bases", [3, 1])
@pytest.mark.parametrize(
    ("backend", "ring"), [("fake_manila", True), ("fake_sherbrooke", False), ("fake_fez", False)]
)
def test_bases_and_steps_share_an_evolution(backend, ring, bases, evolved):
    theta, one = angles(6, 2), device(backend)
    grown = []
    for steps in range(1, 7):
        pubs = pubs_of(one, replay(theta[:steps], ring=ring))[:bases]
        before = len(evolved)
        found = probabilities(backend, pubs)
        grown.append(len(evolved) - before)
        fake_backend(backend).evolved, kept = [], fake_backend(backend).evolved
        reference = [probabilities(backend, [pub])[0] for pub in pubs]
        fake_backend(backend).evolved = kept
        np.testing.assert_allclose(found, reference, atol=1e-13)
    assert max(grown[3:]) < 1.2 * min(grown[2:])  # from then on, every job adds as many gates


def test_rows_are_found_wherever_they_are(evolved):
    theta = angles(2, 4)
    probabilities("fake_fez", pubs_of(device("fake_fez"), replay(theta[:1])))
    some = pubs_of(device("fake_fez"), replay(theta[:, [3, 1]]))
    before = len(evolved)
    found = probabilities("fake_fez", some)
    continued = len(evolved) - before
    fake_backend("fake_fez").evolved = []
    np.testing.assert_allclose(found, probabilities("fake_fez", some), atol=1e-13)
    assert continued < len(evolved) - before - continued


def test_other_angles_of_an_earlier_step_are_not_taken_for_these():
    theta = angles(2, 2)
    probabilities("fake_fez", pubs_of(device("fake_fez"), replay(theta[:1])))
    other = theta.copy()
    other[0, 1, 2] += 1e-9
    pubs = pubs_of(device("fake_fez"), replay(other))
    found = probabilities("fake_fez", pubs)
    fake_backend("fake_fez").evolved = []
    np.testing.assert_array_equal(found, probabilities("fake_fez", pubs))


def test_mitigation_shares_the_same_evolution(evolved, monkeypatch):
    sent, sampled = [], FakeSampler.run
    monkeypatch.setattr(
        FakeSampler, "run", lambda self, pubs: sampled(self, sent.extend(pubs) or pubs)
    )
    tape = replay(angles(1), shots=512)
    one = device("fake_manila", readout_mitigation=1024, zne=[1, 3])
    tapes, post = one.preprocess_transforms()([tape])
    before = len(evolved)
    mitigated = np.array(post(one.execute(tapes))[0])
    together = len(evolved) - before
    assert fake_backend("fake_manila").evolved
    before = len(evolved)
    for pub in map(SamplerPub.coerce, sent):  # each alone
        fake_backend("fake_manila").evolved = []
        probabilities("fake_manila", [(pub, None)])
    assert together < 0.7 * (len(evolved) - before)
    exact = qml.device("default.qubit").execute(tape.copy(shots=None))
    np.testing.assert_allclose(mitigated, exact, atol=0.4)
    one.close()
    assert not fake_backend("fake_manila").evolved


def circuit_of(act, n=3):
    """A circuit on fake_manila with qubits 0..n-1 measured at the end."""
    circuit = QuantumCircuit(5, n)
    circuit.sx(range(n))
    circuit.cx(0, 1)
    act(circuit)
    circuit.measure(range(n), range(n))
    return circuit


def squared(circuit):
    angle = Parameter("a")
    circuit.rz(angle * angle, 0)


@pytest.mark.parametrize(
    ("act", "shots"),
    [
        (lambda circuit: circuit.reset(0), 100),
        (lambda circuit: (circuit.measure(0, 0), circuit.sx(0)), 100),
        (lambda circuit: circuit.delay(100, 0), 100),
        (lambda circuit: circuit.rx(0.3, 0), 100),
        (lambda circuit: circuit.ccx(0, 1, 2), 100),
        (squared, 100),
        (lambda circuit: None, 8),  # Aer would run each shot by itself
    ],
    ids=["reset", "measured", "delay", "RX", "CCX", "squared", "few shots"],
)
def test_other_circuits_are_left_to_aer(act, shots):
    """The other circuit of the job is not, and each result stays in its place."""
    fake = fake_backend("fake_manila")
    plain = circuit_of(lambda circuit: circuit.x(1), n=2)
    theirs = circuit_of(act)
    values = np.full((2, theirs.num_parameters), 0.4) if theirs.num_parameters else None
    job = [(plain, None, shots), (theirs, values, shots)]
    ours, one = FakeSampler(fake, 3).run(job).result()
    (reference,) = (
        BackendSamplerV2(backend=fake, options={"seed_simulator": 3}).run(job[1:]).result()
    )
    np.testing.assert_array_equal(one.data.c.array, reference.data.c.array)
    again, _ = FakeSampler(fake, 3).run([job[0], job[0]]).result()
    np.testing.assert_array_equal(ours.data.c.array, again.data.c.array)


def test_bits_are_where_the_circuit_writes_them():
    circuit = QuantumCircuit(5, 4)
    circuit.x([4, 1])
    circuit.measure([4, 0, 1], [0, 1, 3])
    (result,) = FakeSampler(fake_backend("fake_manila"), 3).run([(circuit, None, 400)]).result()
    mean = result.data.c.to_bool_array(order="little").mean(0)
    np.testing.assert_allclose(mean, [1, 0, 0, 1], atol=0.15)
    assert mean[2] == 0  # never written


def test_only_the_order_on_each_qubit_counts():
    a, b = Gate("sx", (0,), (Angle(0.1),)), Gate("sx", (1,), (Angle(0.2),))
    both, c = Gate("cz", (0, 1), (Angle(),) * 2), Gate("sx", (2,), (Angle(),))
    other = a._replace(turns=(Angle(0.3),))
    assert split([a, b, both, c], [b, c]) == ([b, c], [a, both])
    assert split([c, b, a, both, a], [a, b, both]) == ([b, a, both], [c, a])
    assert split([a, both, b], [a, b]) == ([a], [both, b])
    assert split([other, b, both, c], [a, b, both, c]) == ([b, c], [other, both])
    assert last([a, c, both, b, a]) == ([a, both], [c, b, a])
