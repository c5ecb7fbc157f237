"""Mid-circuit measurement, reset, postselection and conditions, against default.qubit."""

import numpy as np
import pennylane as qml
import pytest
import torch

from helpers.ibm_tapes import require_fake
from qrnn import QRNN
from qrnn.devices.ibm import IBMDevice, runtime, transpiling
from qrnn.devices.ibm.batch import Batch
from qrnn.devices.ibm.circuits import build
from qrnn.devices.ibm.schedule import duration
from qrnn.devices.ibm.translate import read
from qrnn.errors import ConfigError, DeviceError

SHOTS = 4000
TOLERANCE = 6 / np.sqrt(SHOTS)


def plain(x):
    qml.RY(x, 0)
    m = qml.measure(0)
    qml.RX(0.8, 0)
    return m, m


def reset(x):
    qml.RY(x, 0)
    qml.CNOT([0, 1])
    m = qml.measure(0, reset=True)
    qml.RX(0.5, 0)
    return m, m


def twice(x):
    """One wire measured twice: the outcomes are two bits."""
    qml.RY(x, 0)
    first = qml.measure(0, reset=True)
    qml.RY(2.0, 0)
    return first, qml.measure(0)


def feedforward(x):
    qml.RY(x, 0)
    m = qml.measure(0)
    qml.cond(m, qml.RY)(0.9, 1)
    return m, m


def with_else(x):
    qml.RY(x, 0)
    m = qml.measure(0)

    def if_one(angle):
        qml.RY(angle, 1)
        qml.CNOT([1, 2])

    qml.cond(m, if_one, lambda angle: qml.RX(2 * angle, 2))(x)
    return m, m


def three_branches(x):
    qml.RY(x, 0)
    qml.RY(1.2, 1)
    a, b = qml.measure(0), qml.measure(1)
    qml.cond(a & b, qml.RY)(0.4, 2)
    qml.cond(~a & b, qml.RY)(1.4, 2)
    qml.cond(~b, qml.RY, qml.RX)(2.8, 2)
    return a, b


def arithmetic(x):
    qml.RY(x, 0)
    qml.RY(1.2, 1)
    a, b = qml.measure(0), qml.measure(1, reset=True)
    qml.cond(a + b == 1, qml.Rot)(0.3, x, 0.2, wires=2)
    qml.cond(a >= b, qml.Hadamard)(0)
    return a, b


CIRCUITS = [plain, reset, twice, feedforward, with_else, three_branches, arithmetic]


def observables(a, b):
    return [qml.expval(p(q)) for p in (qml.X, qml.Y, qml.Z) for q in range(3)]


def outcomes(a, b):
    if a is b:
        return [qml.expval(a), qml.var(a), qml.expval(3 - 2 * a), qml.probs(op=a)]
    return [qml.expval(a), qml.var(b), qml.expval(2 * a - b), qml.probs(op=[a, b])]


def node(device, circuit, statistics, **options):
    @qml.qnode(device, **options)
    def function(x):
        return statistics(*circuit(x))

    return function


@pytest.fixture(scope="module")
def ideal():
    return qml.device("qrnn.ibm", backend="aer", wires=3, seed=11)


@pytest.mark.parametrize("circuit", CIRCUITS)
def test_statistics_are_those_of_default_qubit(circuit, ideal):
    def statistics(a, b):
        return observables(a, b) + outcomes(a, b)

    got = qml.set_shots(node(ideal, circuit, statistics), shots=SHOTS)(1.1)
    exact = node(qml.device("default.qubit"), circuit, statistics, mcm_method="deferred")(1.1)
    for one, other in zip(got, exact, strict=True):
        np.testing.assert_allclose(one, other, atol=2 * TOLERANCE)


@pytest.mark.parametrize("circuit", [plain, arithmetic])
def test_a_batch_gives_each_row_its_own_outcomes(circuit, ideal):
    x = np.array([0.0, 1.1, np.pi])
    got = qml.set_shots(node(ideal, circuit, observables_of_three), shots=SHOTS)(x)
    reference = node(qml.device("default.qubit"), circuit, observables_of_three)
    exact = [reference(value) for value in x]
    assert np.shape(got) == (4, 3)
    np.testing.assert_allclose(got, np.transpose(exact), atol=2 * TOLERANCE)


def observables_of_three(a, b):
    return [qml.expval(a), qml.expval(qml.Z(0)), qml.expval(qml.X(2)), qml.expval(qml.Z(2))]


@pytest.mark.parametrize(
    "statistics",
    [
        lambda a, b: [qml.expval(a)],
        lambda a, b: [qml.sample(a), qml.sample([a, b]), qml.sample(a + b)],
        lambda a, b: [qml.counts(a), qml.counts([a, b]), qml.counts(a, all_outcomes=True)],
        lambda a, b: [qml.probs(op=[a, b]), qml.sample(qml.Z(0)), qml.counts(wires=[0, 2])],
    ],
)
def test_forms_are_those_of_default_qubit(statistics, ideal):
    options = {"shots": 60}
    got = qml.set_shots(node(ideal, twice, statistics), **options)(1.1)
    reference = qml.device("default.qubit")
    expected = qml.set_shots(node(reference, twice, statistics, mcm_method="deferred"), **options)(
        1.1
    )
    for one, other in zip(got, expected, strict=True):
        assert np.shape(one) == np.shape(other)
        if isinstance(one, dict):
            assert {type(k) for k in one} == {type(k) for k in other}


@pytest.mark.parametrize("wanted", [0, 1])
def test_postselection_discards_shots_and_says_how_many_are_kept(wanted, ideal):
    def circuit(x):
        qml.RY(x, 0)
        qml.CNOT([0, 1])
        qml.RY(0.3, 1)
        return (qml.measure(0, postselect=wanted),) * 2

    def statistics(a, b):
        return qml.expval(qml.Z(1)), qml.probs(wires=1), qml.expval(a)

    got = qml.set_shots(node(ideal, circuit, statistics), shots=SHOTS)(1.1)
    exact = node(qml.device("default.qubit"), circuit, statistics)(1.1)
    share = np.sin(0.55) ** 2 if wanted else np.cos(0.55) ** 2
    assert ideal.kept[0] == pytest.approx(share, abs=TOLERANCE)
    for one, other in zip(got, exact, strict=True):
        np.testing.assert_allclose(one, other, atol=2 * TOLERANCE)


def test_postselection_in_a_batch_keeps_shots_row_by_row(ideal):
    def circuit(x):
        qml.RY(x, 0)
        qml.CNOT([0, 1])
        return (qml.measure(0, postselect=1),) * 2

    x = np.array([0.0, 1.1, np.pi])

    def statistics(*_):
        return qml.expval(qml.Z(1)), qml.expval(qml.X(1)), qml.counts(wires=1)

    z, _, counts = qml.set_shots(node(ideal, circuit, statistics), shots=SHOTS)(x)
    assert np.isnan(z[0])  # nothing is kept there
    np.testing.assert_array_equal(z[1:], [-1, -1])
    np.testing.assert_allclose(ideal.kept[0], np.sin(x / 2) ** 2, atol=TOLERANCE)
    assert counts[2] == {"1": SHOTS}
    samples = qml.set_shots(node(ideal, circuit, lambda *_: qml.sample(wires=1)), shots=SHOTS)
    with pytest.raises(DeviceError, match="equally many"):
        samples(x)
    assert len(samples(1.1)) == round(SHOTS * ideal.kept[0][0])


def test_without_postselection_nothing_is_reported(ideal):
    qml.set_shots(node(ideal, plain, lambda a, b: qml.expval(a)), shots=10)(0.3)
    assert ideal.kept == (None,)


def test_feedforward_runs_on_a_fake_backend():
    """pennylane-qiskit 0.45 raises for qml.measure here, whatever mcm_method is."""
    device = IBMDevice(wires=3, backend="fake_manila", seed=3)
    got = qml.set_shots(node(device, with_else, observables), shots=SHOTS)(1.1)
    exact = node(qml.device("default.qubit"), with_else, observables)(1.1)
    np.testing.assert_allclose(got, exact, atol=0.25)


def test_weak_readout_through_an_ancilla_is_unbiased(ideal):
    """E[m] = sin^2(phi/2) (1 - <P>)/2 (shared design, section 1), step after step."""
    phi = 1.3

    def circuit(x):
        values = []
        for _ in range(2):
            qml.RY(x, 0)
            qml.CRY(phi, [0, 1])
            values.append(qml.measure(1, reset=True))
        return values

    a, b = qml.set_shots(
        node(ideal, circuit, lambda a, b: (qml.expval(a), qml.expval(b))), shots=40_000
    )(0.6)
    weight = np.sin(phi / 2) ** 2
    # The Pauli that anticommutes, X, has shrunk by cos(phi/2) when step 2 turns it into Z.
    second = np.cos(0.6) ** 2 - np.cos(phi / 2) * np.sin(0.6) ** 2
    assert 1 - 2 * a / weight == pytest.approx(np.cos(0.6), abs=0.04)
    assert 1 - 2 * b / weight == pytest.approx(second, abs=0.04)


def test_else_branches_share_one_if():
    tape = qml.workflow.construct_tape(
        node(IBMDevice(wires=3, backend="aer"), with_else, observables)
    )(1.1)
    device = IBMDevice(wires=3, backend="aer")
    tapes, _ = device.preprocess_transforms()([tape.copy(shots=10)])
    circuit = build(Batch(tapes, device.wires).blocks[0].structure)
    assert circuit.count_ops()["if_else"] == 1


def test_deferred_measurement_is_there_on_request():
    device = IBMDevice(wires=3, backend="fake_lima", seed=3)
    circuit = node(device, feedforward, lambda a, b: qml.expval(qml.Z(1)), mcm_method="deferred")
    assert qml.set_shots(circuit, shots=SHOTS)(1.1) == pytest.approx(0.9, abs=0.2)


@pytest.mark.parametrize(
    ("backend", "circuit", "instruction"),
    [
        ("fake_lima", feedforward, "if_else"),
        ("fake_melbourne", reset, "reset"),
    ],
)
def test_a_backend_without_an_instruction_is_refused_by_name(
    backend, circuit, instruction, monkeypatch
):
    monkeypatch.setattr(runtime, "local_sampler", lambda *_: pytest.fail("a job was submitted"))
    function = node(IBMDevice(wires=3, backend=backend), circuit, lambda a, b: qml.expval(a))
    with pytest.raises(DeviceError, match=f"{backend} lacks the instruction '{instruction}'"):
        qml.set_shots(function, shots=10)(0.3)


@pytest.mark.parametrize(
    "options",
    [
        {"mcm_method": "one-shot"},
        {"mcm_method": "tree-traversal"},
        {"postselect_mode": "fill-shots"},
    ],
)
def test_other_ways_of_measuring_are_refused(options, ideal):
    function = node(ideal, plain, lambda a, b: qml.expval(a), **options)
    with pytest.raises(DeviceError, match=next(iter(options))):
        qml.set_shots(function, shots=10)(0.3)


@pytest.mark.parametrize(("reads", "expected"), [(False, ["reset"]), (True, ["measure", "reset"])])
def test_a_reset_is_measured_only_if_its_outcome_is_read(reads, expected):
    with qml.queuing.AnnotatedQueue() as queue:
        m = qml.measure(0, reset=True)
        qml.cond(m if reads else qml.measure(1), qml.X)(1)
        qml.expval(qml.Z(1))
    tape = qml.tape.QuantumScript.from_queue(queue)
    found = read(tape.operations, {0: 0, 1: 1}, tape.measurements)
    assert [step.name for step in found.steps if step.wires == (0,)] == expected
    assert len(found.bits) == 1


def test_a_forget_gate_runs_on_a_fake_backend():
    torch.manual_seed(0)
    rnn = QRNN(2, 2, forget="gate", width=4, bias_range=1.0)
    x = torch.randn(2, 2, 2)
    with torch.no_grad():
        exact, found = (one(x)[0] for one in (rnn, rnn.on("fake_manila", shots=SHOTS, seed=1)))
    assert (exact - found).abs().max() < 0.15


@pytest.mark.parametrize(
    ("backend", "expected"),
    [
        ("fake_boston", {"measure", "measure_2", "reset_2"}),
        ("fake_kingston", {"measure", "measure_2", "reset"}),
        ("fake_fez", {"measure", "reset"}),
    ],
)
def test_a_backends_own_instructions_measure_in_between(backend, expected):
    require_fake(backend)
    device = IBMDevice(wires=2, backend=backend, shots=400, seed=1)

    def circuit(x):
        qml.RY(x, 0)
        m = qml.measure(0, reset=True)
        qml.RY(x, 0)
        return m, qml.Z(0)

    got = node(device, circuit, lambda m, z: (qml.expval(m), qml.expval(z)))(2.0)
    np.testing.assert_allclose(got, [(1 - np.cos(2.0)) / 2, np.cos(2.0)], atol=0.2)
    compiled = list(transpiling._CACHE[device.transpiler.backend].values())[-1]
    names = set(compiled.circuit.count_ops())
    assert {name for name in names if name.startswith(("measure", "reset"))} == expected


def tape_of(rnn, steps):
    """The transpilable tape of some steps."""
    circuit, device = rnn.cell.circuit, rnn.cell.device
    node = device.qnode(circuit, rnn.cell.quantum.qnode.device)
    inputs = torch.zeros(steps * circuit.n_angles)
    tape = qml.workflow.construct_tape(node)(inputs, torch.zeros(circuit.n_angles))
    (tape,), _ = node.device.preprocess_transforms()([tape])
    return tape


@pytest.mark.parametrize("model", ["measured", "forgetting"])
def test_with_several_ancillas_a_step_is_shorter_and_its_readouts_are_the_same(model):
    torch.manual_seed(0)
    rnn = QRNN(
        2, 2, width=4, readout="Z", **({} if model == "measured" else {"forget": "constant"})
    )
    mode = {"readout_mode": "measure"} if model == "measured" else {}
    x = torch.randn(2, 3, 2)
    lengths, z = [], []
    for ancillas in (1, 2):
        on = rnn.on("fake_fez", shots=SHOTS, seed=1, ancillas=ancillas, **mode)
        with torch.no_grad():
            z.append(on(x)[0])
        (plugin,) = on.cell.device._opened
        assert len(plugin.wires) == 2 + ancillas
        (block,) = Batch([tape_of(on, 2)], plugin.wires).blocks
        compiled = plugin.transpiler(block.structure)
        lengths.append(duration(compiled.circuit, plugin._backend.backend.target))
    assert lengths[1] < 0.7 * lengths[0]
    assert (z[0] - z[1]).abs().max() < 0.2  # noise and shots


def test_ancillas_are_refused_where_they_mean_nothing():
    rnn = QRNN(2, 2, width=4)
    with pytest.raises(ConfigError, match=r"device\.ancillas must be left out where nothing is"):
        rnn.on("aer", shots=100, ancillas=2)
    with pytest.raises(ConfigError, match="at most the number of qubits, 2, got 3"):
        rnn.on("aer", shots=100, ancillas=3, readout_mode="measure")
    with pytest.raises(ConfigError, match="ancillas"):
        rnn.on("default.mixed", ancillas=2, readout_mode="measure")
