"""Translation is exact: unitaries, not samples, are compared."""

import numpy as np
import pennylane as qml
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from qiskit.quantum_info import Operator
from qiskit.transpiler import PassManager
from qiskit.transpiler.exceptions import TranspilerError

from qrnn.devices.ibm.backends import fake_backend
from qrnn.devices.ibm.circuits import build
from qrnn.devices.ibm.translate import GATES, Structure, native, read, rows
from qrnn.devices.ibm.transpiling import Transpiler
from qrnn.errors import DeviceError

N = 3


def of_name(name, wires, angles):
    if name.startswith("Adjoint("):
        return qml.adjoint(getattr(qml, name[8:-1])(wires=wires))
    cls = getattr(qml, name)
    return cls(*angles[: cls.num_params], wires=wires)


def size(name):
    return getattr(qml, name.removeprefix("Adjoint(").removesuffix(")")).num_wires


def assert_same(ops, steps_of):
    found = read(steps_of, {w: w for w in range(N)})
    circuit = build(Structure(N, tuple(found.steps)))
    # Bound as a job binds them: the columns in the order of Qiskit's parameters.
    values = rows(found.angles, None)[0]
    bound = circuit.assign_parameters([values[p.index] for p in circuit.parameters])
    ours = Operator(bound.reverse_bits()).data
    exact = qml.matrix(qml.tape.QuantumScript(ops), wire_order=range(N))
    overlap = np.trace(ours.conj().T @ exact) / 2**N
    assert abs(overlap) == pytest.approx(1, abs=1e-9)  # equal up to a global phase


@pytest.mark.parametrize("name", GATES)
def test_each_gate_is_the_same_unitary(name):
    op = of_name(name, [2, 0, 1][: size(name)], [0.3, -1.1, 0.7])
    assert_same([op], [op])


@st.composite
def circuits(draw):
    ops = []
    for _ in range(draw(st.integers(1, 15))):
        name = draw(st.sampled_from(sorted(GATES)))
        wires = draw(st.permutations(range(N)))[: size(name)]
        angles = draw(st.lists(st.floats(-7, 7), min_size=3, max_size=3))
        ops.append(of_name(name, wires, angles))
    return ops


@settings(max_examples=40, deadline=None)
@given(circuits())
def test_random_circuits_are_the_same_unitary(ops):
    assert_same(ops, ops)


@pytest.mark.parametrize(
    "op",
    [
        qml.Rot(0.1, 0.2, 0.3, 1),
        qml.CRot(0.1, 0.2, 0.3, [0, 2]),
        qml.MultiRZ(0.4, [0, 1, 2]),
        qml.QubitUnitary(qml.matrix(qml.CRot(0.1, 0.2, 0.3, [0, 1])), [2, 0]),
        qml.adjoint(qml.ISWAP([0, 1])),
        qml.ctrl(qml.RX(0.3, 2), [0, 1], control_values=[0, 1]),
        qml.pow(qml.SX(1), 0.5),
        qml.StronglyEntanglingLayers(np.linspace(0, 3, 18).reshape(2, 3, 3), [0, 1, 2]),
    ],
    ids=lambda op: op.name,
)
def test_other_gates_are_decomposed_to_the_same_unitary(op):
    assert_same([op], native([op]))


def test_a_condition_is_the_set_of_outcomes_that_meet_it():
    a, b = (qml.ops.MidMeasure([0], meas_uid=uid) for uid in "ab")
    value = qml.ops.MeasurementValue([b]) & ~qml.ops.MeasurementValue([a])
    always = qml.ops.MeasurementValue([a]) >= 0
    never = qml.ops.MeasurementValue([a]) == 2
    found = read(
        [a, b, *(qml.ops.Conditional(v, qml.X(1)) for v in (value, always, never))],
        {0: 0, 1: 1},
    )
    conditions = [step.condition for step in found.steps if step.name == "PauliX"]
    assert conditions == [((0, 1), (1,)), None]  # b is the lower bit, bit 1; never is dropped
    assert found.bits == {"a": 0, "b": 1}


def test_what_qiskit_cannot_transpile_is_one_line(monkeypatch):
    """As some versions say of fake_cairo, where some pairs have CX in one direction alone."""

    def fail(*arguments, **named):
        raise TranspilerError("'Unable to map source basis\n to target basis'")

    step = Structure(2, tuple(read(native([qml.CNOT([0, 1])]), {0: 0, 1: 1}).steps))
    transpile = Transpiler(fake_backend("fake_cairo"), 2, None, (15, 18))
    monkeypatch.setattr(PassManager, "run", fail)  # at last, as importing Aer runs passes
    message = "Backend fake_cairo must have gates that Qiskit.* it says: Unable to .* basis: use"
    with pytest.raises(DeviceError, match=message):
        transpile(step)
