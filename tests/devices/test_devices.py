"""Devices by name: what each declares, what it refuses, seeds and rounds."""

import math
import re
import warnings
from dataclasses import fields, replace

import pennylane as qml
import pytest
import torch

from helpers.problems import inputs, network
from qrnn import QRNN, ConfigError, DeviceError, devices
from qrnn.config.devices import STRATEGIES, options_where
from qrnn.devices import (
    DeviceOptions,
    add_device,
    device_names,
    device_spec,
    open_device,
    plugins,
)

SEEDED = ["default.qubit", "default.mixed", "lightning.qubit", "fake_manila"]
GRADIENTS = {"backprop", "adjoint", "parameter-shift", "spsa", "none"}


def installed(name):
    return name in device_names() and device_spec(name).missing() is None


def test_every_device_of_the_design_can_be_named():
    names = set(device_names())
    assert {"fused", "default.qubit", "default.mixed", "reference.qubit"} <= names
    assert {"lightning.qubit", "lightning.kokkos", "lightning.gpu"} <= names
    assert "qrnn.ibm" not in names
    if installed("fake_manila"):
        assert {"fake_fez", "fake_manila"} <= names


def test_every_declaration_is_in_the_words_of_the_schema():
    options = {field.name for field in fields(DeviceOptions)} - {"name"}
    for name in device_names():
        spec = device_spec(name)
        assert spec.name == name
        assert spec.strategies
        assert set(spec.strategies) <= set(STRATEGIES)
        assert set(spec.options) <= options
        assert spec.shots in ("no", "optional", "required")
        assert spec.gradients
        assert set(spec.gradients) <= GRADIENTS
        assert spec.max_wires > 0
        assert spec.cost
        assert ("shots" in spec.options) == (spec.shots != "no")
        assert spec.submits_jobs == ("ledger" in spec.options)
        assert spec.missing() is None or spec.missing().startswith("pip install")


@pytest.mark.parametrize(
    ("name", "options", "strategy", "gradient"),
    [
        ("fused", {}, "fused", "backprop"),
        ("default.qubit", {}, "carried", "backprop"),
        ("default.qubit", {"strategy": "replayed"}, "replayed", "backprop"),
        ("default.qubit", {"shots": 10}, "replayed", "parameter-shift"),
        ("default.qubit", {"shots": 10, "gradient": "spsa"}, "replayed", "spsa"),
        ("default.qubit", {"strategy": "replayed", "gradient": "none"}, "replayed", None),
        ("default.mixed", {}, "carried", "backprop"),
        ("lightning.qubit", {}, "carried", "adjoint"),
        ("lightning.qubit", {"shots": 10}, "replayed", "parameter-shift"),
        ("reference.qubit", {}, "replayed", "parameter-shift"),
    ],
)
def test_the_device_decides_the_strategy_and_options_can_force_one(
    name, options, strategy, gradient
):
    device = open_device(name, **options)
    assert device.strategy == strategy
    assert device.spec.gradient(device.options) == gradient
    assert device.exact == ("shots" not in options)
    cell = network().cell.on(name, **options)
    expected = {"fused": "FusedMemory", "replayed": "ReplayedMemory"}.get(strategy, "Carried")
    assert type(cell.memory).__name__.startswith(expected)


WRONG = [
    ("fusde", {}, ConfigError, "device 'fusde' is not known: did you mean fused"),
    ("fused", {"shot": 3}, ConfigError, "device option 'shot' is not known: did you mean shots"),
    ("fused", {"shots": 100}, ConfigError, "'fused' would ignore device.shots: it reads strategy"),
    (
        "fused",
        {"noise": "readout"},
        ConfigError,
        "device.noise and device.strength must be set tog",
    ),
    ("fused", {"seed": 1}, ConfigError, "'fused' would ignore device.seed"),
    ("fused", {"gradient": "adjoint"}, ConfigError, "'fused' would ignore device.gradient"),
    ("default.qubit", {"noise": "readout"}, ConfigError, "would ignore device.noise: it reads str"),
    ("default.qubit", {"options": {"x": 1}}, ConfigError, "would ignore device.options"),
    ("lightning.kokkos", {"seed": 1}, ConfigError, "would ignore device.seed"),
    ("default.qubit", {"shots": 0}, ConfigError, "device.shots must be at least 1, got 0"),
    ("default.qubit", {"shots": 9, "seed": -1}, ConfigError, "device.seed must be finite and at"),
    ("fake_manila", {"shots": 9, "max_qpu_seconds": math.nan}, ConfigError, "device.max_qpu_s"),
    ("fake_manila", {"shots": 9, "max_qpu_seconds": -1.0}, ConfigError, "at least 0, got -1.0"),
    ("fake_manila", {"shots": 9, "max_qpu_seconds": math.inf}, ConfigError, "finite and at lea"),
    ("default.qubit", {"shots": -5}, ConfigError, "device.shots must be at least 1, got -5"),
    (
        "default.qubit",
        {"strategy": "fused"},
        ConfigError,
        "device.strategy must be carried or replayed on 'default.qubit', got 'fused'",
    ),
    ("fused", {"strategy": "carried"}, ConfigError, "must be fused on 'fused', got 'carried'"),
    (
        "default.qubit",
        {"strategy": "carried", "shots": 10},
        ConfigError,
        "strategy must be replayed with shots, got 'carried' with device.shots=10: use strategy",
    ),
    (
        "default.qubit",
        {"strategy": "replayed", "gradient": "magic"},
        ConfigError,
        "device.gradient must be one of backprop, adjoint.* got 'magic' with strategy replayed",
    ),
    ("default.qubit", {"gradient": "adjoint"}, ConfigError, "got 'adjoint' with strategy carried"),
    (
        "default.qubit",
        {"shots": 10, "gradient": "backprop"},
        ConfigError,
        "device.gradient must be one of parameter-shift, spsa, none with strategy replayed",
    ),
    (
        "lightning.qubit",
        {"strategy": "replayed", "gradient": "backprop"},
        ConfigError,
        "must be one of adjoint, parameter-shift, spsa, none",
    ),
    ("fake_manila", {}, ConfigError, "'fake_manila' samples its readouts: set device.shots"),
    ("fake_manila", {"shots": 10, "noise": "readout"}, ConfigError, "would ignore device.noise"),
    ("fake_atlantis", {"shots": 10}, ConfigError, "device 'fake_atlantis' is not known"),
]


@pytest.mark.parametrize(("name", "options", "error", "message"), WRONG)
def test_what_a_device_would_ignore_or_cannot_do_is_refused(name, options, error, message):
    if name == "fake_manila" and not installed(name):
        pytest.skip("no fake backends without the extra ibm")
    with pytest.raises(error, match=message) as caught:
        open_device(name, **options)
    assert "\n" not in str(caught.value)


def test_a_device_whose_package_is_missing_says_what_to_install():
    spec = replace(device_spec("lightning.gpu"), needs="surely_not_a_module")
    with pytest.raises(DeviceError, match=r"not installed: pip install 'pennylane-qrnn\[gpu\]'"):
        spec.check(DeviceOptions("lightning.gpu"))
    spec = replace(device_spec("reference.qubit"), needs="surely_not_a_module", extra=None)
    with pytest.raises(DeviceError, match="not installed: pip install surely-not-a-module"):
        spec.check(DeviceOptions("reference.qubit"))


@pytest.mark.parametrize(
    ("name", "options", "n"),
    [("default.mixed", {}, 11), ("fused", {}, 31), ("fake_manila", {"shots": 10}, 6)],
)
def test_more_qubits_than_a_device_takes_are_refused_before_anything_runs(name, options, n):
    if not installed(name):
        pytest.skip(f"{name} is not installed")
    most = device_spec(name).max_wires
    message = f"device '{name}' takes at most {most} qubits, got {n}: lower model.n_qubits"
    with pytest.raises(DeviceError, match=re.escape(message)):
        QRNN(1, n, layers=1, readout="Z", device=DeviceOptions(name, **options))


def test_pennylanes_own_refusal_is_one_line_that_names_the_device():
    with pytest.raises(
        DeviceError, match=r"reference.qubit' of another package cannot be made \("
    ) as caught:
        network().on("reference.qubit", options={"no_such_keyword": 1})
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.int64])
@pytest.mark.parametrize("device", ["fused", "default.qubit", "lightning.qubit"])
def test_a_precision_without_a_complex_partner_is_refused(device, dtype):
    with pytest.raises(ConfigError, match=f"x must be torch.float32.* got {dtype}: use x.to"):
        network().on(device)(inputs().to(dtype))


def test_the_fused_device_refuses_inputs_that_no_kernels_can_take():
    with pytest.raises(
        DeviceError, match=r"needs weights and inputs on cpu or cuda, got meta: use .to"
    ):
        network().to("meta")(inputs().to("meta"))


@pytest.mark.parametrize("device", ["default.qubit", "default.mixed", "lightning.qubit"])
def test_a_replayed_state_shows_no_amplitudes(device):
    _, state = network().on(device, strategy="replayed")(inputs(1, 1))
    with pytest.raises(
        DeviceError, match=r"amplitudes need a device that gives access to its state.*\.on\("
    ):
        state.amplitudes()


@pytest.mark.parametrize("name", SEEDED)
def test_a_seed_repeats_the_samples_and_another_does_not(name):
    if not installed(name):
        pytest.skip(f"{name} is not installed")

    def sample(seed):
        with torch.no_grad():
            return network().on(name, shots=200, seed=seed)(inputs(2, 2))[0]

    first = sample(5)
    assert torch.equal(sample(5), first)
    assert not torch.equal(sample(6), first)


@pytest.mark.parametrize("name", ["default.qubit", "lightning.qubit", "reference.qubit"])
def test_samples_are_multiples_of_one_over_the_shots(name):
    with torch.no_grad():
        z, _ = network().on(name, shots=50)(inputs(2, 2))
    hits = (z + 1) * 25
    torch.testing.assert_close(hits, hits.round(), rtol=0, atol=1e-4)


@pytest.mark.parametrize(
    ("name", "options"),
    [("default.qubit", {"strategy": "replayed"}), ("fake_manila", {"shots": 20, "seed": 1})],
)
def test_t_steps_are_t_rounds_and_no_gradient_is_paid_for(name, options):
    if not installed(name):
        pytest.skip(f"{name} is not installed")
    rnn = network().on(name, **options)
    with qml.Tracker(rnn.cell.qnode.device) as tracker:
        rnn(inputs(3, 4))
    assert tracker.totals["batches"] == 3
    assert "derivatives" not in tracker.totals


def test_the_sampled_gradient_has_the_mean_of_the_exact_one():
    rnn, x = network(n_qubits=1, layers=1), inputs(1, 1)
    noisy = rnn.on("default.qubit", shots=2000, seed=3)
    exact, sampled = (
        torch.autograd.grad(on(x)[0].sum(), rnn.cell.quantum.bias)[0] for on in (rnn, noisy)
    )
    assert (exact - sampled).abs().max() < 6 * (3 / 2000) ** 0.5


@pytest.mark.parametrize("device", ["default.qubit", "lightning.qubit"])
def test_opening_a_device_runs_nothing(device, monkeypatch):
    def refuse(*args, **kwargs):
        raise AssertionError("executed")

    cls = type(qml.device(device, wires=1))
    monkeypatch.setattr(cls, "execute", refuse)
    rnn = network().on(device)
    with pytest.raises(AssertionError, match="executed"):
        rnn(inputs())


def test_a_device_of_ones_own_is_known_by_its_name(monkeypatch):
    table = devices.device_table()  # which outlives this test
    monkeypatch.setattr(table, "_entries", dict(table._entries))
    spec = replace(device_spec("default.qubit"), name="mine", max_wires=2)
    add_device(spec, type(open_device("default.qubit")))
    assert "mine" in device_names()
    assert device_spec("mine").max_wires == 2
    with pytest.raises(DeviceError, match="'mine' takes at most 2 qubits, got 3"):
        QRNN(1, n_qubits=3, device="mine")
    z, _ = QRNN(1, n_qubits=2, device="mine")(torch.rand(3, 1, 1))
    assert z.shape == (3, 1, 6)


def simulator(device, wires):
    return qml.device("default.qubit", wires=wires)


def misspelt(device, wires):
    raise KeyError("n_wires")


@pytest.mark.parametrize(
    ("changes", "make", "says"),
    [
        ({}, None, "device 'mine' must define make_plugin, which returns a PennyLane device"),
        ({}, misspelt, "could not be opened: KeyError: 'n_wires'"),
        ({}, lambda device, wires: "lightning", "must return a PennyLane device, got str"),
        ({"strategies": ("carried",)}, simulator, "must define carry for strategy carried"),
        ({"needs": "no_such_package.part"}, None, "not installed: pip install no-such-package"),
    ],
)
def test_what_a_device_of_ones_own_lacks_is_said(changes, make, says, monkeypatch):
    table = devices.device_table()
    monkeypatch.setattr(table, "_entries", dict(table._entries))
    own = type("Mine", (devices.Device,), {} if make is None else {"make_plugin": make})
    spec = replace(device_spec("default.qubit"), name="mine", strategies=("replayed",))
    add_device(replace(spec, **changes), own)
    with pytest.raises(DeviceError, match=says) as caught:
        QRNN(1, n_qubits=2, device="mine")(torch.rand(3, 1, 1))
    assert "\n" not in str(caught.value)


def test_what_is_registered_for_a_device_must_make_one(monkeypatch):
    table = devices.device_table()
    monkeypatch.setattr(table, "_entries", dict(table._entries))
    add_device(replace(device_spec("default.qubit"), name="mine"), lambda spec, options: "mine")
    with pytest.raises(ConfigError, match=r"device 'mine' must be a qrnn\.devices\.Device, got"):
        open_device("mine")


def test_a_plugin_that_samples_by_itself_is_not_taken_for_exact(monkeypatch):
    for shots in (None, 7):
        with pytest.raises(ConfigError, match=r"device.options must be without shots, got 20: set"):
            network().on("reference.qubit", shots=shots, options={"shots": 20})

    def always_sampling(name, wires=None):
        return qml.device("default.qubit", wires=wires, shots=9)

    with warnings.catch_warnings(), monkeypatch.context() as patch:
        warnings.simplefilter("ignore")  # PennyLane's, of the shots above
        made = always_sampling("reference.qubit", 3)
        patch.setattr(plugins.qml, "device", lambda *_, **__: made)
        with pytest.raises(ConfigError, match=r"samples its readouts.*set device.shots=9$"):
            network().on("reference.qubit")(inputs())


def test_a_device_without_gradients_trains_without_them_alone():
    from qrnn.config import TrainConfig, TrainerConfig
    from qrnn.training.checks import check_device

    without = DeviceOptions("default.qubit", strategy="replayed", gradient="none")
    with pytest.raises(ConfigError, match=r"trainer.optimizer must be spsa on .*, got adamw"):
        check_device(TrainConfig(device=without))
    check_device(TrainConfig(device=without, trainer=TrainerConfig(optimizer="spsa")))
    check_device(TrainConfig(device=replace(without, gradient="adjoint")))
    assert "null.qubit" not in device_names()


@pytest.mark.parametrize("name", ["fused", "ibm_fez"])
def test_the_name_of_another_device_is_refused(name):
    with pytest.raises(ConfigError, match=f"device '{name}' is already registered"):
        add_device(replace(device_spec("fused"), name=name), devices.Device)


def test_an_open_device_is_passed_on_and_other_options_open_another():
    device = open_device("default.qubit", seed=1)
    assert open_device(device) is device
    assert open_device(device, shots=7).options == replace(device.options, shots=7)
    rnn = QRNN(1, 2, num_layers=2, device=device)
    assert all(cell.device is device for cell in rnn.cells)
    assert rnn.on(device).cell.device is device


def test_the_cells_of_a_network_share_one_device():
    first, second = QRNN(1, 2, num_layers=2, device="default.qubit").cells
    assert first.device is second.device


def test_a_run_goes_on_with_other_options_that_no_result_depends_on():
    free = set(options_where(lambda one: not one.identity))
    run = {"mode", "instance", "max_qpu_seconds", "queue_timeout", "ledger"}
    assert free == run | {"strategy", "gradient", "force_measure"}


def test_a_simulated_copy_gets_no_option_of_real_backends():
    given = DeviceOptions("ibm_fez", shots=9, zne=[1, 3], instance="crn", queue_timeout=3.0)
    assert given.on_fake("fake_fez") == DeviceOptions("fake_fez", shots=9, zne=[1, 3])


def test_a_fake_backend_has_its_own_number_of_qubits():
    pytest.importorskip("qiskit_ibm_runtime")
    shown = {name: device_spec(name) for name in ("fake_manila", "fake_fez")}
    assert {name: (spec.qubits, spec.max_wires) for name, spec in shown.items()} == {
        "fake_manila": (5, 5),
        "fake_fez": (156, 20),
    }
