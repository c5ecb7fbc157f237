"""Values and shapes of results, against default.qubit with the same shots."""

import numpy as np
import pennylane as qml
import pytest

SHOTS = 4000
# Six standard deviations of a mean of values in [-1, 1], which no honest run exceeds.
TOLERANCE = 6 / np.sqrt(SHOTS)
HERMITIAN = np.array([[1.0, 0.5 - 0.2j], [0.5 + 0.2j, -0.3]])


def prepare(x):
    qml.RY(x, 0)
    qml.RX(0.4, 1)
    qml.CNOT([0, 1])
    qml.Rot(0.3, x, -0.7, wires=2)
    qml.IsingXX(0.9, [1, 2])


MEASUREMENTS = {
    "Z": lambda: [qml.expval(qml.Z(0))],
    "XYZ": lambda: [qml.expval(p(q)) for p in (qml.X, qml.Y, qml.Z) for q in range(3)],
    "word": lambda: [qml.expval(qml.X(0) @ qml.Y(1) @ qml.Z(2))],
    "sum": lambda: [qml.expval(0.5 * qml.X(0) - 2.0 * qml.Y(1) @ qml.Z(2) + 0.25 * qml.I(0))],
    "hamiltonian": lambda: [
        qml.expval(qml.Hamiltonian([0.3, -1.2, 0.7], [qml.X(0), qml.Z(0) @ qml.Z(1), qml.Y(2)])),
        qml.var(qml.Y(0)),
    ],
    "var": lambda: [qml.var(qml.X(0)), qml.var(2.0 * qml.Z(1) @ qml.X(2))],
    "var of a sum": lambda: [qml.var(qml.X(0) + qml.Z(1))],
    "hermitian": lambda: [qml.expval(qml.Hermitian(HERMITIAN, 1)), qml.expval(qml.X(1))],
    "hermitian in a sum": lambda: [qml.expval(qml.Hermitian(HERMITIAN, 1) + qml.X(0))],
    "hadamard": lambda: [qml.expval(qml.Hadamard(0)), qml.var(qml.Hadamard(2))],
    "projector": lambda: [qml.expval(qml.Projector([0, 1], [0, 1])), qml.expval(qml.Z(0))],
    "identity": lambda: [qml.expval(qml.I(0)), qml.expval(qml.Z(0))],
    "probs": lambda: [qml.probs(wires=[2, 0]), qml.probs(wires=1)],
    "probs of all": lambda: [qml.probs()],
    "probs in a basis": lambda: [qml.probs(op=qml.X(0) @ qml.Y(1))],
    "mixed": lambda: [qml.probs(wires=[0, 1]), qml.expval(qml.Y(0)), qml.var(qml.Z(1))],
}


def tape_of(measurements, x, shots=SHOTS):
    with qml.queuing.AnnotatedQueue() as q:
        prepare(x)
        measurements()
    return qml.tape.QuantumScript.from_queue(q, shots=shots)


def run(device, tape):
    program = device.preprocess_transforms()
    tapes, post = program([tape])
    return post(device.execute(tapes))[0]


def shape(result):
    if isinstance(result, (tuple, list)):
        return [type(result), *(shape(r) for r in result)]
    if isinstance(result, dict):
        return dict
    return np.shape(result)


@pytest.fixture(scope="module")
def ideal():
    return qml.device("qrnn.ibm", backend="aer", wires=3, seed=11)


@pytest.fixture(scope="module")
def reference():
    return qml.device("default.qubit", wires=3, seed=11)


@pytest.mark.parametrize(
    "x", [0.7, np.array([0.7]), np.array([0.7, -1.1])], ids=["one", "B1", "B2"]
)
@pytest.mark.parametrize("kind", MEASUREMENTS)
def test_values_and_shapes_are_those_of_default_qubit(kind, x, ideal, reference):
    tape = tape_of(MEASUREMENTS[kind], x)
    got = run(ideal, tape)
    assert shape(got) == shape(run(reference, tape))
    exact = run(reference, tape.copy(shots=None))
    for a, b in zip(*(r if isinstance(r, tuple) else (r,) for r in (got, exact)), strict=True):
        np.testing.assert_allclose(a, np.reshape(b, np.shape(a)), atol=3 * TOLERANCE)


@pytest.mark.parametrize("x", [0.7, np.array([0.7, -1.1])], ids=["one", "B2"])
@pytest.mark.parametrize(
    "measurements",
    [
        lambda: [qml.counts()],
        lambda: [qml.counts(wires=[0, 2], all_outcomes=True), qml.sample(wires=1)],
        lambda: [qml.counts(qml.X(0)), qml.counts(qml.Y(0) @ qml.Z(1), all_outcomes=True)],
        lambda: [qml.sample()],
        lambda: [qml.sample(qml.Y(0)), qml.expval(qml.X(0))],
        lambda: [qml.sample(qml.X(0) @ qml.Z(1))],
    ],
)
def test_counts_and_samples_have_the_form_of_default_qubit(x, measurements, ideal, reference):
    tape = tape_of(measurements, x, 50)
    got, expected = run(ideal, tape), run(reference, tape)
    assert shape(got) == shape(expected)

    def check(a, b):
        if isinstance(a, dict):
            assert {type(k) for k in a} == {type(k) for k in b}
            assert sum(a.values()) == 50
        elif isinstance(a, (list, tuple)):
            for one, other in zip(a, b, strict=True):
                check(one, other)
        else:
            assert np.all(np.abs(a) <= 1)
            assert np.asarray(a).dtype == np.asarray(b).dtype

    check(got, expected)


def test_counts_follow_the_distribution(ideal):
    counts = run(ideal, tape_of(lambda: [qml.counts(qml.Z(0))], 0.7))
    assert counts[1.0] / SHOTS == pytest.approx(np.cos(0.35) ** 2, abs=TOLERANCE)


def test_shot_vectors_split_the_shots(ideal, reference):
    tape = tape_of(lambda: [qml.expval(qml.Z(0)), qml.probs(wires=1)], 0.7, (100, 50, 50))
    assert shape(run(ideal, tape)) == shape(run(reference, tape))


def test_labels_of_wires_may_be_anything():
    device = qml.device("qrnn.ibm", backend="aer", wires=["b", "a"], seed=1)

    @qml.set_shots(200)
    @qml.qnode(device)
    def circuit():
        qml.X("a")
        return qml.expval(qml.Z("a")), qml.expval(qml.Z("b")), qml.probs(wires=["a", "b"])

    a, b, probs = circuit()
    assert (a, b) == (-1.0, 1.0)
    np.testing.assert_array_equal(probs, [0, 0, 1, 0])


def test_a_device_without_wires_takes_those_of_the_tape():
    device = qml.device("qrnn.ibm", backend="aer", shots=100, seed=1)

    @qml.qnode(device)
    def circuit():
        qml.X(7)
        qml.CNOT([7, "q"])
        return qml.expval(qml.Z("q"))

    assert circuit() == -1.0


@pytest.mark.parametrize(
    "op",
    [
        qml.StatePrep(np.sqrt(np.arange(1, 9) / 36), [0, 1, 2]),
        qml.BasisState([1, 0, 1], [0, 1, 2]),
        qml.AngleEmbedding([0.1, 0.7, 0.4], [0, 1, 2]),
        qml.SingleExcitation(0.7, [0, 1]),
        qml.ctrl(qml.GlobalPhase(0.6), 0),
        qml.ISWAP([0, 2]),
    ],
    ids=lambda op: op.name,
)
def test_operations_act_as_on_default_qubit(op, ideal, reference):
    ops = [qml.Hadamard(0), qml.T(0), qml.RY(0.6, 1), qml.CNOT([1, 2]), op]
    if isinstance(op, (qml.StatePrep, qml.BasisState)):
        ops = [op]
    measured = [qml.expval(p(q)) for p in (qml.X, qml.Y, qml.Z) for q in range(3)]
    tape = qml.tape.QuantumScript(ops, measured, shots=SHOTS)
    exact = run(reference, tape.copy(shots=None))
    np.testing.assert_allclose(run(ideal, tape), exact, atol=TOLERANCE)


def test_gradients_by_parameter_shift(ideal):
    @qml.set_shots(20_000)
    @qml.qnode(ideal, diff_method="parameter-shift")
    def circuit(x):
        qml.RY(x, 0)
        return qml.expval(qml.Z(0))

    gradient = qml.grad(circuit)(qml.numpy.array(0.7, requires_grad=True))
    assert gradient == pytest.approx(-np.sin(0.7), abs=0.05)
