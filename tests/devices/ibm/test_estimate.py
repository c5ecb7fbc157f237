"""Prices: IBM's formula, and estimates that equal what a run then uses."""

import pennylane as qml
import pytest

from helpers.ibm_tapes import N, angles, replay
from qrnn.devices.ibm import IBMDevice, estimate, limits
from qrnn.devices.ibm.batch import Batch
from qrnn.errors import DeviceError

B, T, SHOTS = 8, 4, 100
THETA = angles(T, B)


def closed_loop():
    return [[replay(THETA[:t], SHOTS)] for t in range(1, T + 1)]


def device(**options):
    return IBMDevice(wires=N, backend="fake_manila", **{"seed": 5, **options})


def test_the_formula_is_ibms():
    assert limits.qpu_seconds(0) == 2
    assert limits.qpu_seconds(1_000_000) == pytest.approx(352)
    # The largest job fits into the longest time that a job may take.
    assert limits.qpu_seconds(limits.MAX_EXECUTIONS_PER_JOB) < limits.MAX_JOB_SECONDS


def test_the_closed_loop_is_a_job_a_step():
    price = estimate(device(), closed_loop())
    assert (price.rounds, price.jobs, price.circuits) == (T, T, T * 3 * B)
    assert price.executions == T * 3 * B * SHOTS
    assert price.qpu_seconds == pytest.approx(2 * T + 0.00035 * T * 3 * B * SHOTS)
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


def test_what_cannot_run_has_no_price():
    tape = qml.tape.QuantumScript([], [qml.state()], shots=SHOTS)
    with pytest.raises(DeviceError, match="expval"):
        estimate(device(), [[tape]])


def test_a_rehearsal_on_a_fake_stops_where_the_budget_would():
    one = device(max_qpu_seconds=6)
    rounds = closed_loop()
    seconds = limits.qpu_seconds(3 * B * SHOTS)
    allowed = int(6 // seconds)
    for tapes in rounds[:allowed]:
        one.execute(tapes)
    with pytest.raises(DeviceError, match="max_qpu_seconds=6"):
        one.execute(rounds[allowed])
    assert one.usage.estimated_seconds == pytest.approx(allowed * seconds)


def test_circuits_that_ibm_would_refuse_are_refused_first(monkeypatch):
    compiled = device().transpiler(_structure())
    compiled.check_limits()
    monkeypatch.setattr(limits, "MAX_TWO_QUBIT_GATES", 2)
    with pytest.raises(DeviceError, match="at most 2 two-qubit gates"):
        compiled.check_limits()


def _structure():
    return Batch([replay(THETA[:2], SHOTS)], qml.wires.Wires(range(N))).blocks[0].structure
