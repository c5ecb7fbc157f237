"""Prices: IBM's formula, and estimates that equal what a run then uses."""

import pennylane as qml
import pytest
from qiskit import QuantumCircuit

from helpers.ibm_tapes import N, angles, replay
from qrnn.devices.ibm import IBMDevice, estimate, fake_names, limits
from qrnn.devices.ibm.backends import fake_backend
from qrnn.devices.ibm.batch import Batch
from qrnn.devices.ibm.fakes import used_qubits
from qrnn.devices.ibm.schedule import duration
from qrnn.errors import DeviceError

B, T, SHOTS = 8, 4, 100
THETA = angles(T, B)


def closed_loop():
    return [[replay(THETA[:t], SHOTS)] for t in range(1, T + 1)]


def device(**options):
    return IBMDevice(wires=N, backend="fake_manila", **{"seed": 5, **options})


def test_the_formula_is_ibms():
    assert limits.qpu_seconds([]) == 2
    # Their quick formula, 2 + 0.00035 x executions, is for circuits of 100 us.
    assert limits.qpu_seconds([(1_000_000, 100e-6)]) == pytest.approx(352)
    assert limits.qpu_seconds([(1000, 0.0), (3000, 1e-3)], 1e-3) == pytest.approx(2 + 1 + 6)
    # The largest job fits into the longest time that a job may take.
    largest = [(limits.MAX_EXECUTIONS_PER_JOB, 100e-6)]
    assert limits.qpu_seconds(largest) < limits.MAX_JOB_SECONDS


def test_a_job_is_no_longer_than_ibm_lets_it_run(monkeypatch):
    """Where a backend waits long between executions, as ibm_miami does, time is the limit."""
    tapes = [replay(THETA[:1], SHOTS)]
    whole = estimate(device(), [tapes])
    assert whole.jobs == 1
    most = limits.JOB_SECONDS + 0.6 * (whole.qpu_seconds - limits.JOB_SECONDS)
    monkeypatch.setattr(limits, "MAX_JOB_SECONDS", most / limits.ESTIMATED_SHARE)
    assert estimate(device(), [tapes]).jobs == 2
    on = device()
    on.execute(tapes)
    assert on.jobs == 2
    assert max(entry.estimate for entry in on._runner.ledger.entries()) <= most


@pytest.mark.parametrize(("T", "ring"), [(1, False), (4, True)])
def test_the_length_of_a_circuit_is_what_qiskit_schedules(T, ring):
    one = device()
    tape = replay(THETA[:T], SHOTS, ring=ring)
    for block in Batch([tape], qml.wires.Wires(range(N))).blocks:
        compiled = one.transpiler(block.structure)
        target = one.transpiler.backend.target
        reset = max(target["reset"][(q,)].duration for q in used_qubits(compiled.circuit))
        scheduled = compiled.circuit.estimate_duration(target, "s")
        assert compiled.seconds == pytest.approx(reset + scheduled)
        assert compiled.seconds > 10e-6


def test_a_branch_takes_as_long_as_its_longer_side():
    circuit = QuantumCircuit(2, 1)
    circuit.measure(0, 0)
    with circuit.if_test((0, 1)) as otherwise:
        circuit.cx(0, 1)
        circuit.cx(0, 1)
    with otherwise:
        circuit.sx(0)
    circuit.barrier()
    circuit.sx(1)
    target = fake_backend("fake_manila").target
    time = {name: target[name][q].duration for name, q in [("cx", (0, 1)), ("sx", (1,))]}
    start = max(target["reset"][(q,)].duration for q in range(2))
    start += target["measure"][(0,)].duration
    assert duration(circuit, target) == pytest.approx(start + 2 * time["cx"] + time["sx"])


def test_a_backend_says_how_long_it_waits():
    """Miami's qubits need 16 times the usual delay."""
    assert device().rep_delay == IBMDevice(wires=2, backend="aer").rep_delay == 250e-6
    if "fake_miami" in fake_names():
        assert IBMDevice(wires=2, backend="fake_miami").rep_delay == 4e-3


def test_the_closed_loop_is_a_job_a_step():
    price = estimate(device(), closed_loop())
    assert (price.rounds, price.jobs, price.circuits) == (T, T, T * 3 * B)
    assert price.executions == T * 3 * B * SHOTS
    every = 3 * B * SHOTS * T
    assert 2 * T + 262e-6 * every < price.qpu_seconds < 2 * T + 272e-6 * every
    shorter = estimate(device(), closed_loop()[:2])
    assert price.depth > shorter.depth > 0
    # Three CZ a step; in the Z basis the last ones do not matter.
    assert price.two_qubit_gates == 3 * T


def test_the_open_loop_is_one_job():
    price = estimate(device(), [[tape for tapes in closed_loop() for tape in tapes]])
    assert (price.rounds, price.jobs) == (1, 1)
    assert price.executions == T * 3 * B * SHOTS


def test_jobs_beyond_the_limit_are_counted(monkeypatch):
    monkeypatch.setattr(limits, "MAX_EXECUTIONS_PER_JOB", 3 * B * SHOTS // 2)
    assert estimate(device(), closed_loop()).jobs == 2 * T


@pytest.mark.parametrize("options", [{}, {"readout_mitigation": 50}, {"zne": [1, 3]}])
def test_a_run_uses_what_was_estimated(options):
    one = device(**options)
    price = estimate(one, closed_loop())
    assert one.jobs == 0
    assert one.transpiler._layouts == []
    program = one.preprocess_transforms()
    for tapes in closed_loop():
        one.execute(program(tapes)[0])
    used = one.usage
    assert (used.jobs, used.executions) == (price.jobs, price.executions)
    assert used.estimated_seconds == pytest.approx(price.qpu_seconds)
    assert used.metered_seconds == 0


def test_mid_circuit_readout_is_priced_too():
    """One circuit yields every step's readout."""
    ops = []
    for _ in range(T):
        ops += [qml.RY(0.3, 0), qml.CRY(1.0, [0, 1]), qml.ops.MidMeasure([1], reset=True)]
    values = [qml.ops.MeasurementValue([op]) for op in ops if isinstance(op, qml.ops.MidMeasure)]
    tape = qml.tape.QuantumScript(ops, [qml.expval(v) for v in values], shots=SHOTS)
    price = estimate(device(), [[tape]])
    assert (price.rounds, price.jobs, price.circuits) == (1, 1, 1)


def test_mid_circuit_measurements_beyond_t2_are_refused():
    """A job that measures for longer than the worst qubit keeps its phase, unless it is forced."""
    ops = [qml.ops.MidMeasure([0], meas_uid=str(i)) for i in range(20)]
    value = qml.ops.MeasurementValue([ops[0]])
    tape = qml.tape.QuantumScript(ops, [qml.expval(value)], shots=SHOTS)
    one = device(initial_layout=[0, 1, 2, 3])
    compiled = one.transpiler(Batch([tape], qml.wires.Wires(range(N))).blocks[0].structure)
    properties = one.transpiler.backend.target.qubit_properties
    shortest = min(properties[q].t2 for q in used_qubits(compiled.circuit))
    assert compiled.coherence == shortest < compiled.seconds
    refusal = f"{1e6 * shortest:.0f} us on fake_manila, but takes {1e6 * compiled.seconds:.0f} us"
    assert refusal in estimate(one, [[tape]]).refusal
    with pytest.raises(DeviceError, match=refusal):
        one.execute([tape])
    assert one.jobs == 0
    forced = device(initial_layout=[0, 1, 2, 3], force_measure=True)
    assert estimate(forced, [[tape]]).refusal is None
    forced.execute([tape])
    for allowed in (tape.copy(operations=ops[:1]), tape.copy(measurements=[qml.expval(qml.Z(1))])):
        assert estimate(one, [[allowed]]).refusal is None
        one.execute([allowed])


def test_what_cannot_run_has_no_price():
    tape = qml.tape.QuantumScript([], [qml.state()], shots=SHOTS)
    with pytest.raises(DeviceError, match="expval"):
        estimate(device(), [[tape]])


def test_a_rehearsal_on_a_fake_stops_where_the_budget_would():
    one = device(max_qpu_seconds=6)
    rounds = closed_loop()
    price = estimate(one, rounds[:2]).qpu_seconds
    assert price < 6 < estimate(one, rounds[:3]).qpu_seconds
    for tapes in rounds[:2]:
        one.execute(tapes)
    with pytest.raises(DeviceError, match="max_qpu_seconds=6"):
        one.execute(rounds[2])
    assert one.usage.estimated_seconds == pytest.approx(price)


def test_circuits_that_ibm_would_refuse_are_refused_first(monkeypatch):
    compiled = device().transpiler(_structure())
    compiled.check_limits()
    monkeypatch.setattr(limits, "MAX_TWO_QUBIT_GATES", 2)
    with pytest.raises(DeviceError, match="at most 2 two-qubit gates"):
        compiled.check_limits()


def _structure():
    return Batch([replay(THETA[:2], SHOTS)], qml.wires.Wires(range(N))).blocks[0].structure
