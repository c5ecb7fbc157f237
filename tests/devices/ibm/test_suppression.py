"""Error suppression by IBM's Sampler: what is sent, what is refused, what it costs."""

import json

import numpy as np
import pennylane as qml
import pytest
from qiskit_ibm_runtime import SamplerV2

from helpers.crash_run import B
from qrnn.config.device_table import device_spec
from qrnn.devices import DeviceOptions
from qrnn.devices.ibm import IBMDevice, estimate, runtime
from qrnn.devices.ibm.backends import fake_backend
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


def tape(shots=64, branch=False):
    with qml.queuing.AnnotatedQueue() as q:
        qml.RX(np.ones(B), 0)
        if branch:
            qml.cond(qml.measure(0), qml.X)(1)
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
