"""Ansaetze: registered ones gate by gate, topologies, and what a user's function may be."""

import numpy as np
import pennylane as qml
import pytest
from hypothesis import given
from hypothesis import strategies as st

from helpers.reference import step_matrix
from qrnn import ANSAETZE, QRNN, Ansatz, ConfigError
from qrnn.circuit.ansatz import ENTANGLERS, ROTATIONS, build_ansatz, pairs_of
from qrnn.circuit.step import StepCircuit
from qrnn.utils.registry import Registry

wire_counts = st.integers(1, 7)


def queued(ansatz, angles=None):
    angles = np.arange(ansatz.n_angles, dtype=float) if angles is None else angles
    with qml.queuing.AnnotatedQueue() as queue:
        ansatz.apply(angles, list(range(ansatz.n_wires)))
    return qml.tape.QuantumScript.from_queue(queue).operations


@given(wire_counts)
def test_a_line_couples_each_neighbour_once(n):
    pairs = pairs_of("line", n)
    assert len(pairs) == n - 1
    assert all(b - a == 1 for a, b in pairs)


@given(wire_counts)
def test_a_ring_closes_the_line_from_three_qubits_on(n):
    degrees = np.bincount(np.ravel(pairs_of("ring", n)).astype(int), minlength=n)
    assert (degrees == {1: 0, 2: 1}.get(n, 2)).all()


@given(wire_counts)
def test_all_couples_every_two_qubits_once(n):
    pairs = pairs_of("all", n)
    assert len(pairs) == n * (n - 1) // 2
    assert len({frozenset(pair) for pair in pairs}) == len(pairs)


@given(st.integers(2, 6), st.data())
def test_a_list_of_pairs_is_taken_as_it_is(n, data):
    pair = st.permutations(range(n)).map(lambda order: order[:2])
    pairs = data.draw(st.lists(pair, max_size=6))
    assert pairs_of(pairs, n) == tuple(map(tuple, pairs))


@given(
    st.integers(1, 4),
    st.integers(1, 3),
    st.lists(st.sampled_from(sorted(ROTATIONS)), min_size=1, max_size=3),
    st.sampled_from(sorted(ENTANGLERS)),
    st.sampled_from(["line", "ring", "all"]),
)
def test_rotations_then_entanglers_are_queued_layer_by_layer(n, layers, turns, entangler, topology):
    ansatz = build_ansatz(
        "rotations", n, layers=layers, rotations=turns, entangler=entangler, topology=topology
    )
    operations = queued(ansatz)
    expected = []
    for _ in range(layers):
        expected += [(turn, (q,)) for turn in turns for q in range(n)]
        expected += [(entangler, pair) for pair in pairs_of(topology, n)]
    assert [(op.name, tuple(op.wires)) for op in operations] == expected
    used = [op.data[0] for op in operations if op.data]
    assert used == list(range(ansatz.n_angles))  # each angle once, in order


def test_the_default_is_two_layers_of_ry_rz_cz_on_a_line():
    ansatz = build_ansatz("rotations", 3)
    names = [op.name for op in queued(ansatz)]
    assert names == (["RY"] * 3 + ["RZ"] * 3 + ["CZ"] * 2) * 2
    assert (ansatz.n_angles, ansatz.pairs) == (12, ((0, 1), (1, 2)))
    np.testing.assert_allclose(step_matrix(ansatz, np.zeros(12)), np.eye(8), atol=1e-12)


@pytest.mark.parametrize(
    ("name", "template"),
    [
        ("strongly_entangling", qml.StronglyEntanglingLayers),
        ("basic_entangler", qml.BasicEntanglerLayers),
    ],
)
def test_a_template_is_pennylanes_own(name, template):
    ansatz = build_ansatz(name, 3, layers=2)
    angles = np.linspace(0, 2, ansatz.n_angles)
    weights = angles.reshape(template.shape(n_layers=2, n_wires=3))
    expected = qml.matrix(template(weights, wires=range(3)), wire_order=range(3))
    np.testing.assert_allclose(step_matrix(ansatz, angles), expected, atol=1e-12)
    assert set(ANSAETZE) >= {"rotations", "strongly_entangling", "basic_entangler"}


def test_an_ansatz_object_and_a_function_are_taken_as_they_are():
    ansatz = build_ansatz("rotations", 2)
    assert build_ansatz(ansatz, 2) is ansatz
    wrapped = build_ansatz(ansatz.apply, 2, n_angles=8)
    assert wrapped == Ansatz(ansatz.apply, 2, 8, ((0, 1),))


def rx(angles, wires):
    qml.RX(angles[0], wires=wires[0])


def on_wire_0(angles, wires):
    qml.RX(angles[0], wires=0)


WRONG = {
    "no qubits": (lambda: build_ansatz("rotations", 0), "n_qubits must be at least 1, got 0"),
    "an unknown name": (
        lambda: build_ansatz("rotation", 2),
        "ansatz 'rotation' is not known: did you mean rotations.*Allowed: basic_entangler",
    ),
    "an unknown option": (
        lambda: build_ansatz("rotations", 2, layer=2),
        "ansatz 'rotations': .*unexpected keyword argument 'layer'",
    ),
    "the number of angles of a registered ansatz": (
        lambda: build_ansatz("rotations", 2, n_angles=8),
        "n_angles is set by the ansatz 'rotations': leave it out",
    ),
    "a function without its number of angles": (
        lambda: build_ansatz(rx, 2),
        "a custom ansatz needs its number of angles: pass n_angles",
    ),
    "options of a function": (
        lambda: build_ansatz(rx, 2, n_angles=1, layers=2),
        r"a custom ansatz takes no options, got \['layers'\]",
    ),
    "an ansatz of another size": (
        lambda: build_ansatz(build_ansatz("rotations", 3), 2),
        "n_qubits must be the ansatz's 3, got 2",
    ),
    "no layers": (
        lambda: build_ansatz("rotations", 2, layers=0),
        "layers must be at least 1, got 0",
    ),
    "no layers of a template": (
        lambda: build_ansatz("basic_entangler", 2, layers=0),
        "layers must be at least 1, got 0",
    ),
    "an unknown rotation": (
        lambda: build_ansatz("rotations", 2, rotations=["RW"]),
        "rotation 'RW' is not known.*Allowed: RX, RY, RZ",
    ),
    "an unknown entangler": (
        lambda: build_ansatz("rotations", 2, entangler="CXX"),
        "entangler 'CXX' is not known.*Allowed: CNOT, CRX",
    ),
    "an unknown topology": (
        lambda: pairs_of("circle", 3),
        "topology 'circle' is not known: .*Allowed: all, line, ring",
    ),
    "a pair of one wire": (
        lambda: pairs_of([(0, 1), (1, 1)], 3),
        r"two different wires of 0..2, got \[1, 1\]",
    ),
    "a pair of three wires": (
        lambda: pairs_of([(0, 1, 2)], 3),
        r"two different wires of 0..2, got \[0, 1, 2\]",
    ),
    "a wire that is not there": (
        lambda: pairs_of([(0, 3)], 3),
        r"two different wires of 0..2, got \[0, 3\]",
    ),
    "a pair that is a number": (lambda: pairs_of([0, 1], 3), "two different wires of .* got .0."),
    "pairs of an ansatz beyond its wires": (
        lambda: Ansatz(rx, 3, 1, ((0, 1), (2, 3))),
        r"pairs: each pair must be two different wires of 0..2, got \[2, 3\]",
    ),
    "pairs of an ansatz that are none": (
        lambda: Ansatz(rx, 3, 1, None),
        "pairs must be a list of pairs of wires, got None",
    ),
    "wires named by number in one of several circuits": (
        lambda: StepCircuit(build_ansatz(on_wire_0, 4, 1, circuits=2)),
        r"wires that it is given, \[2, 3\] in circuit number 1 of circuits=2, got RX on wire 0",
    ),
    "a registered name twice": (
        lambda: ANSAETZE.add("rotations", rx),
        "ansatz 'rotations' is already registered: choose another name",
    ),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_is_not_allowed_is_refused_in_one_line(case):
    call, message = WRONG[case]
    with pytest.raises(ConfigError, match=message) as caught:
        call()
    assert "\n" not in str(caught.value)


def wrong_wires(angles, wires):
    qml.RX(angles[0], wires="ancilla")


def measures(angles, wires):
    qml.RX(angles[0], wires=wires[0])
    qml.measure(wires[0])


def expects(angles, wires):
    qml.RX(angles[0], wires=wires[0])
    qml.expval(qml.Z(wires[0]))


def prepares(angles, wires):
    qml.StatePrep([0, 1], wires=wires[0])
    qml.RX(angles[0], wires=wires[0])


def noisy(angles, wires):
    qml.RX(angles[0], wires=wires[0])
    qml.BitFlip(0.1, wires=wires[0])


def branches(angles, wires):
    gate = qml.RX if angles[0] > 0 else qml.RY
    gate(angles[0], wires=wires[0])


def fixed(angles, wires):
    qml.Hadamard(wires=wires[0])


def ignores(angles, wires):
    qml.RX(angles[1], wires=wires[0])


def greedy(angles, wires):
    qml.RX(angles[7], wires=wires[0])


def of_angles_alone(angles):
    qml.RX(angles[0], wires=0)


class Opaque(qml.operation.Operator):
    num_params, num_wires = 1, 1


def opaque(angles, wires):
    Opaque(angles[0], wires=wires[0])


def evolves(angles, wires):
    qml.evolve(qml.dot([0.3, 0.7], [qml.X(wires[0]) @ qml.Z(wires[1]), qml.Z(wires[0])]), angles[0])


FUNCTIONS = [
    (wrong_wires, r"must use wires 0..1, got \['ancilla'\]"),
    (measures, "must have unitary gates only, got .*pass observables as `readout`"),
    (expects, "must have unitary gates only, got expval"),
    (prepares, "must have unitary gates only, got StatePrep"),
    (noisy, "must have unitary gates only, got BitFlip.*noise as a device's noise model"),
    (
        branches,
        "must queue the same gates for all angles.*use (the )?angles as gate parameters only",
    ),
    (fixed, "must use its angles, got no gate with a parameter"),
    (ignores, "must use each of its 3 angles, but ignores number 0, 2: lower n_angles"),
    (greedy, "must accept 3 angles on 2 wires, but failed with: index 7 is out of bounds"),
    (of_angles_alone, "must accept 3 angles on 2 wires, but failed with: .*positional argument"),
    (
        opaque,
        "must have gates that PennyLane can decompose into the gate set, got Opaque.*: use ga",
    ),
    (evolves, "can decompose into the gate set, got Evolution .*: use gates of Identity, RX"),
]


@pytest.mark.parametrize(("function", "message"), FUNCTIONS)
def test_a_function_that_is_no_ansatz_is_refused_with_the_reason(function, message):
    with pytest.raises(ConfigError, match=message) as caught:
        StepCircuit(build_ansatz(function, 2, n_angles=3), "Z")
    assert "\n" not in str(caught.value)


def test_a_registry_names_its_entries_and_the_nearest_ones():
    shapes = Registry("shape")
    shapes.register("round")(1)
    assert (shapes["round"], "round" in shapes, list(shapes)) == (1, True, ["round"])
    with pytest.raises(ConfigError, match="shape 'rund' is not known: did you mean round"):
        shapes["rund"]


def test_a_registered_ansatz_must_return_one(monkeypatch):
    monkeypatch.setattr(ANSAETZE, "_entries", dict(ANSAETZE._entries))
    ANSAETZE.register("function")(lambda n_wires: lambda angles, wires: None)
    with pytest.raises(ConfigError, match=r"'function' must return a qrnn\.Ansatz, got function"):
        QRNN(1, 2, ansatz="function")
