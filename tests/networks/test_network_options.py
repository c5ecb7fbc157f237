"""What a network's options may be, how many parameters it has, and budgets of them."""

import math
from dataclasses import MISSING, fields, replace
from importlib import resources

import pytest
import yaml
from hydra import compose, initialize_config_module

from helpers.slow import slow_but
from helpers.small_networks import CLASSICAL, SMALL, STEPPED, D, build
from qrnn import ConfigError
from qrnn.config import TrainConfig, TrainerConfig, register_schemas, to_typed
from qrnn.data import Shape
from qrnn.devices import DeviceOptions
from qrnn.models.build import build_model
from qrnn.networks import (
    NETWORKS,
    HybridConfig,
    n_parameters,
    solve_width,
)


def count(name, input_size=D, **changes):
    return n_parameters(build(name, input_size, **changes))


def test_parameter_counts_are_those_of_the_formulas():
    h = 5
    assert count("rnn") == h * (D + h + 2)
    assert count("gru") == 3 * h * (D + h + 2)
    assert count("lstm") == 4 * h * (D + h + 2)
    assert count("scornn") == 6 * 5 // 2 + 6 * D + 6
    n, r, p, w = 8, 6, 4, 5  # N = 2^3, XYZ of two qubits, at most 2^2 angles
    controller = (D + r) * w + w + w * p + p
    assert count("orthogonal") == n * (n - 1) // 2 + controller
    assert count("orthogonal", learned=False) == controller
    h, n, depth = 3, 3, 2
    circuits = 3 * n * depth + n * h + h  # Rot angles, and the map behind
    enter = (D + h) * n + n
    assert count("qlstm") == enter + 6 * circuits + h * n + n
    assert count("qlstm", output_circuits=False) == enter + 4 * circuits
    assert count("data_register") == 2 * D + 2 + 2 * (3 * 4 + 4)  # a ring of 4 has 4 pairs


@pytest.mark.parametrize("name", SMALL)
def test_each_layer_and_direction_has_parameters_of_its_own(name):
    size = build(name).output_size
    assert count(name, bidirectional=True) == 2 * count(name)
    assert count(name, num_layers=2) == count(name) + count(name, size)
    both = count(name) + count(name, 2 * size)
    assert count(name, num_layers=2, bidirectional=True) == 2 * both


def test_the_papers_scornn_has_16k_parameters():
    # n = 170 on pixels, with the head of ten classes.
    assert count("scornn", 1, hidden_size=170) + 170 * 10 + 10 == pytest.approx(16000, rel=0.03)


@pytest.mark.parametrize("budget", slow_but([1000, 5000, 10000], 1000))
@pytest.mark.parametrize("name", [*CLASSICAL, *STEPPED])
def test_a_budget_is_met_within_two_percent(name, budget):
    config = replace(NETWORKS[name].schema(), budget=budget)
    if (name, budget) == ("lstm", 1000):  # 4 H (D + H + 2) on pixels has no nearer size
        with pytest.raises(ConfigError, match=r"hidden_size=14 \(952\) or hidden_size=15 \(1080\)"):
            solve_width(config, 1, DeviceOptions())
        config = replace(config, budget=1080)
    solved = solve_width(config, 1, DeviceOptions())
    assert solved.budget is None
    net = NETWORKS[name].build(solved, 1, DeviceOptions())
    assert n_parameters(net) == pytest.approx(config.budget, rel=0.02)


def test_a_budget_that_no_width_changes_is_refused():
    config = HybridConfig(depth=0, budget=10_000)
    with pytest.raises(ConfigError, match=r"model\.budget must be left out, got 10000: no width"):
        solve_width(config, 1, DeviceOptions())


@pytest.mark.parametrize("name", [*CLASSICAL, *STEPPED, "quantum_neuron"])
def test_the_config_file_is_the_schemas_own_defaults(name):
    register_schemas()
    with initialize_config_module("qrnn.configs", version_base="1.3"):
        config = to_typed(compose("train", overrides=[f"model={name}"]).model)
    assert config == NETWORKS[name].schema()
    assert config.name == name
    for field in fields(config):
        assert field.default is not MISSING or field.name == "name"


@pytest.mark.parametrize("group", ["model", "task", "trainer"])
def test_the_files_of_a_group_restate_nothing_that_the_schema_says(group):
    files = [one for one in (resources.files("qrnn.configs") / group).iterdir() if one.is_file()]
    assert files
    for file in files:
        given = yaml.safe_load(file.read_text())
        if group != "trainer":
            assert set(given) <= {"defaults"}, file
        for key, value in given.items():
            assert key == "defaults" or value != getattr(TrainerConfig, key), f"{file}: {key}"


ERRORS = [
    ("rnn", {"hidden_size": 0}, "hidden_size must be at least 1, got 0"),
    ("lstm", {"hidden_size": -3}, "hidden_size must be at least 1, got -3"),
    ("gru", {"num_layers": 0}, "num_layers must be at least 1, got 0"),
    ("lstm", {"num_layers": 2, "dropout": 1.0}, r"dropout must be in \[0, 1\), got 1.0"),
    ("lstm", {"dropout": 0.1}, "dropout acts between layers, got dropout=0.1 with num_layers=1"),
    ("scornn", {"hidden_size": 0}, "must be at least 1, got 0"),
    ("scornn", {"num_layers": 0}, "num_layers must be at least 1, got 0"),
    ("scornn", {"negative_share": 1.5}, r"negative_share must be in \[0, 1\], got 1.5"),
    ("scornn", {"skew_lr": 0.0}, "skew_lr must be positive, got 0.0"),
    ("orthogonal", {"n_qubits": 0}, "n_qubits must be at least 1, got 0"),
    ("orthogonal", {"n_angles": 5}, r"n_angles must be in 1..2\^n = 4, got 5"),
    ("orthogonal", {"n_angles": 0}, r"n_angles must be in 1..2\^n = 4, got 0"),
    (
        "orthogonal",
        {"readout": "XYZ+ZZ"},
        "readout ZZ needs coupled qubits, but the ansatz has none",
    ),
    ("orthogonal", {"readout": "A"}, "readout must be letters out of XYZ"),
    ("orthogonal", {"controller": "tanh"}, "controller 'tanh' is not known"),
    ("qlstm", {"hidden_size": 0}, "hidden_size must be at least 1, got 0"),
    ("qlstm", {"n_qubits": 0}, "n_qubits must be at least 1, got 0"),
    ("qlstm", {"depth": 0}, "depth must be at least 1, got 0"),
    ("data_register", {"n_data": 0}, "n_data must be at least 1, got 0"),
    ("data_register", {"n_history": 0}, "n_history must be at least 1, got 0"),
    ("data_register", {"layers": 0}, "layers must be at least 1, got 0"),
    ("data_register", {"topology": "star"}, "topology 'star' is not known"),
]


@pytest.mark.parametrize(("name", "changes", "message"), ERRORS)
def test_wrong_values_are_refused_in_one_line(name, changes, message):
    with pytest.raises(ConfigError, match=message) as error:
        build(name, **changes)
    assert "\n" not in str(error.value)


SHARED = [
    ("head_dropout", -1.0, r"must be in \[0, 1\), got -1.0"),
    ("head_dropout", 1.0, r"must be in \[0, 1\), got 1.0"),
    ("embedding_dropout", 1.5, r"must be in \[0, 1\), got 1.5"),
    ("embedding_dropout", math.nan, "must be a finite number, got nan"),
    ("input_scale", math.nan, "must be a finite number, got nan"),
    ("input_scale", math.inf, "must be a finite number, got inf"),
    ("embedding", -1, "must be at least 1, got -1"),
    ("head_width", 0, "must be null or at least 1, got 0"),
    ("num_layers", 0, "must be at least 1, got 0"),
    ("budget", -5, "must be null or in 1..100000000, got -5"),
]
FINITE = [
    ("hybrid", "dropout"),
    ("hybrid", "bias_range"),
    ("hybrid", "output_lr"),
    ("lstm", "dropout"),
    ("scornn", "skew_lr"),
    ("quantum_neuron", "theta_mean"),
]
SHAPES_OF_TASKS = [
    Shape("classify", 3, D),
    Shape("label", 4, 4, tokens=True),
    Shape("translate", 9, 9, True),
]


@pytest.mark.parametrize("name", [*SMALL, "quantum_neuron"])
@pytest.mark.parametrize(("key", "value", "message"), SHARED)
def test_options_of_every_model_are_refused_in_one_line(name, key, value, message):
    model = replace(NETWORKS[name].schema(), **{key: value})
    for shape in SHAPES_OF_TASKS:
        with pytest.raises(ConfigError, match=f"model.{key} {message}") as error:
            build_model(TrainConfig(model=model), shape)
        assert "\n" not in str(error.value)


@pytest.mark.parametrize(("name", "key"), FINITE)
@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_numbers_of_a_network_are_finite(name, key, value):
    model = replace(NETWORKS[name].schema(), **{key: value})
    with pytest.raises(ConfigError, match=f"model.{key} must be a finite number, got {value}"):
        build_model(TrainConfig(model=model), SHAPES_OF_TASKS[1])
