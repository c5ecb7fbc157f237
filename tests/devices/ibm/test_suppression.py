"""Error suppression by IBM's Sampler: what is sent, what is refused, what it costs."""

import json

import numpy as np
import pennylane as qml
import pytest
from qiskit.primitives.containers.sampler_pub import SamplerPub
from qiskit_ibm_runtime import SamplerV2
from qiskit_ibm_runtime.utils.utils import is_valid_rzz_pub

from helpers.crash_run import B
from qrnn.config.device_table import device_spec
from qrnn.devices import DeviceOptions
from qrnn.devices.ibm import IBMDevice, estimate, runtime
from qrnn.devices.ibm.backends import fake_backend
from qrnn.devices.ibm.batch import Batch
from qrnn.devices.ibm.fractional import folded
from qrnn.errors import ConfigError, DeviceError

GIVEN = {
    "dynamical_decoupling": "XY4",
    "twirl_gates": True,
    "twirl_measurements": True,
    "rep_delay": 1e-4,
}
SENT = {
    "dynamical_decoupling": {"enable": True, "sequence_type": "XY4"},
    "twirling": {"enable_gates": True, "enable_measure": True},
    "execution": {"rep_delay": 1e-4},
}
make_sampler = runtime.make_sampler  # before the double replaces it


def tape(shots=64, branch=False, reset=False, reads=False):
    with qml.queuing.AnnotatedQueue() as q:
        qml.RX(np.ones(B), 0)
        if branch:
            qml.cond(qml.measure(0), qml.X)(1)
        if reset:
            qml.measure(0, reset=True)
        if reads:
            qml.expval(qml.measure(0))
        qml.expval(qml.Z(1))
    return qml.tape.QuantumScript.from_queue(q, shots=shots)


def execute(device, *tapes):
    try:
        device.execute(device.preprocess_transforms()(tapes)[0])
    finally:
        device.close()


@pytest.mark.parametrize(
    ("given", "form"),
    [
        (
            {"dynamical_decoupling": "XX"},
            {"dynamical_decoupling": {"enable": True, "sequence_type": "XX"}},
        ),
        (
            {"twirl_measurements": True},
            {"twirling": {"enable_gates": False, "enable_measure": True}},
        ),
        ({"rep_delay": 0.0}, {"execution": {"rep_delay": 0.0}}),
        (GIVEN, SENT),
    ],
    ids=["decoupling", "measurements", "delay", "all"],
)
def test_ibm_gets_what_is_set_and_nothing_else(run, given, form):
    execute(run.device(), tape())
    execute(run.device(**given), tape())  # other samples, so another job
    plain, last = [
        json.loads(path.read_text())["options"] for path in sorted(run.store.glob("*.json"))
    ]
    assert plain.keys() == {"environment"}
    assert last == {"environment": last["environment"], **form}
    execute(run.device(**given), tape())
    assert run.submissions == 2


@pytest.mark.parametrize("make", [make_sampler, SamplerV2], ids=["newest", "SamplerV2"])
def test_both_samplers_take_the_options(run, make):
    options = run.device(**GIVEN).options.sampler
    taken = make(mode=fake_backend("fake_fez"), options=options).options
    for group, values in SENT.items():
        for name, value in values.items():
            assert getattr(getattr(taken, group), name) == value


def test_the_delay_is_priced(run):
    priced = [
        estimate(IBMDevice(2, "fake_manila", rep_delay=delay), [[tape()]]).qpu_seconds
        for delay in (None, 250e-6, 450e-6)
    ]
    assert priced[0] == priced[1]
    assert priced[2] - priced[1] == pytest.approx(200e-6 * B * 64)
    execute(run.device(rep_delay=450e-6), tape())
    (intent,) = [event for event in run.events() if event["state"] == "intent"]
    assert intent["estimate"] == pytest.approx(priced[2], rel=1e-3)


def test_what_ibm_cannot_do_is_refused_before_anything_is_sent(run):
    for given, circuit, told in (
        ({"twirl_gates": True}, tape(shots=100), "Shots must be a multiple of 64 with twirling"),
        ({"twirl_gates": True}, tape(shots=2049), "Shots must be a multiple of 64 with twirling"),
        ({"dynamical_decoupling": "XX"}, tape(branch=True), "left out for circuits with branches"),
        ({"twirl_gates": True}, tape(branch=True), "left out for circuits with branches"),
        ({"twirl_measurements": True}, tape(branch=True), "left out for circuits with branches"),
        ({"twirl_measurements": True}, tape(reset=True), "left out for circuits with resets"),
        ({"twirl_measurements": True}, tape(reads=True), "circuits with mid-circuit measurements"),
    ):
        with pytest.raises(DeviceError, match=told):
            execute(run.device(**given), circuit)
    with pytest.raises(DeviceError, match="must be XX, XpXm or XY4, but got 'CPMG'"):
        run.device(dynamical_decoupling="CPMG")
    with pytest.raises(DeviceError, match="`rep_delay` must be a number of seconds"):
        run.device(rep_delay=-1.0)
    assert run.submissions == 0
    with pytest.raises(DeviceError, match=r"`rep_delay` must be in 0\.\.0\.0005 s on fake_fez"):
        IBMDevice(2, "fake_fez", rep_delay=1e-3)


def test_what_a_simulated_backend_would_ignore_is_refused():
    for name, value in GIVEN.items():
        options = DeviceOptions("fake_fez", shots=64, **{name: value})
        if name == "rep_delay":  # which it prices
            device_spec("fake_fez").check(options)
            continue
        with pytest.raises(ConfigError, match=f"'fake_fez' would ignore device.{name}"):
            device_spec("fake_fez").check(options)
        with pytest.raises(DeviceError, match=f"`{name}` must be left out for the local backend"):
            IBMDevice(2, "fake_fez", **{name: value})


ROTATIONS = ["IsingXX", "IsingYY", "IsingZZ", "CRX", "CRY", "CRZ", "ControlledPhaseShift"]


@pytest.mark.parametrize("name", ROTATIONS)
def test_folded_rotations_are_the_same_with_angles_that_ibm_runs(name):
    for theta in (*np.linspace(-9, 9, 37), 0.0, np.pi, -np.pi, np.pi / 2, -np.pi / 2):
        op = getattr(qml, name)(theta, wires=[0, 1])
        ops = folded(op)
        (rotation,) = [one for one in ops if len(one.wires) > 1]
        assert rotation.name == "IsingZZ"
        assert 0 <= rotation.data[0] <= np.pi / 2
        overlap = np.trace(qml.matrix(qml.prod(*ops[::-1]), [0, 1]) @ op.matrix().conj().T) / 4
        assert abs(overlap) == pytest.approx(1)


def test_fractional_gates_halve_the_gates_and_agree_with_the_exact_circuit(run):
    theta = np.linspace(-6, 6, 8)
    with qml.queuing.AnnotatedQueue() as q:
        qml.Hadamard(0)
        qml.CRY(theta, [0, 1])
        qml.IsingXX(theta, [0, 1])
        qml.expval(qml.X(0)), qml.expval(qml.Z(1))
    circuit = qml.tape.QuantumScript.from_queue(q, shots=4096)
    found, gates = {}, {}
    for fractional in (False, True):
        device = run.device(fractional_gates=fractional)
        gates[fractional] = estimate(device, [[circuit]]).two_qubit_gates
        tapes, _ = device.preprocess_transforms()([circuit])
        found[fractional] = np.array(device.execute(tapes)[0])
        for block in Batch(tapes, device.wires).blocks:
            compiled = device.transpiler(block.structure).circuit
            angles = block.values[:, device.transpiler(block.structure).columns]
            assert fractional == (
                is_valid_rzz_pub(SamplerPub.coerce((compiled, angles))) == ""
                and "rzz" in compiled.count_ops()
            )
        device.close()
    assert gates == {False: 4, True: 2}
    exact = np.array(qml.execute([circuit.copy(shots=None)], qml.device("default.qubit"))[0])
    for values in found.values():
        np.testing.assert_allclose(values, exact, atol=0.25)
    assert run.submissions == 2


def test_fractional_gates_are_refused_where_ibm_has_none(run):
    for other in ({"dynamical_decoupling": "XX"}, {"twirl_gates": True}):
        with pytest.raises(DeviceError, match="must be left out with fractional gates"):
            run.device(fractional_gates=True, **other)
    with pytest.raises(DeviceError, match="left out on fake_fez, whose target has no RZZ"):
        IBMDevice(2, "fake_fez", fractional_gates=True)
