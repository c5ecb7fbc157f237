"""What is no whole number, no number in its range or none of the cell's is refused by name."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from helpers.problems import D
from helpers.slow import slow_but
from helpers.small_networks import SMALL, build, inputs
from helpers.small_runs import config
from qrnn import QRNN, ConfigError, NumericsError, QRNNCell
from qrnn.circuit.readout_noise import ReadoutNoise
from qrnn.controllers import Controller
from qrnn.data import Split, Stream, loader
from qrnn.devices import DeviceOptions, open_device
from qrnn.models.attention import Attention
from qrnn.models.next_token import NextToken
from qrnn.models.sequence import SequenceClassifier
from qrnn.networks.classical import Classical
from qrnn.networks.qlstm import QLSTMCell
from qrnn.networks.scornn import ScoRNNCell
from qrnn.neurons import QuantumNeuronRNN
from qrnn.training.trainer import train
from qrnn.utils.checks import whole

CELL, WIDTH = (lambda **options: QRNNCell(D, 2, **options)), 4
NEURONS = QuantumNeuronRNN(1, 1, batch_first=True)
CALLS = {
    "input_size": lambda v: QRNN(v, 2),
    "n_qubits": lambda v: QRNN(D, v),
    "num_layers": lambda v: QRNN(D, 2, num_layers=v),
    "n_angles": lambda v: CELL(ansatz=lambda a, w: None, n_angles=v),
    "layers": lambda v: CELL(layers=v),
    "width": lambda v: CELL(width=v),
    "depth": lambda v: CELL(depth=v),
    "readout_shots": lambda v: CELL(readout_shots=v),
    "n_readouts": lambda v: Controller(D, v, 3),
    "hidden_size": lambda v: Classical("gru", D, v),
    "n_classes": lambda v: SequenceClassifier(Classical("gru", D, 3), v),
    "query_size": lambda v: Attention(v, 2),
    "in_out": lambda v: QuantumNeuronRNN(1, v),
    "order": lambda v: QuantumNeuronRNN(1, 1, order=v),
    "steps": lambda v: NextToken(NEURONS).generate(torch.zeros(1, 1, dtype=torch.long), v),
    "batch_size": lambda v: loader(Split(torch.zeros(2, 2, 1), torch.zeros(2)), v, shuffle=False),
    "limit": lambda v: Split(torch.zeros(2, 2, 1), torch.zeros(2)).head(v),
    "carry": lambda v: Stream(torch.arange(9), 2, v),
    "device.shots": lambda v: open_device("default.qubit", shots=v),
    "device.seed": lambda v: open_device("default.qubit", shots=8, seed=v),
    "device.optimization_level": lambda v: open_device("aer", shots=8, optimization_level=v),
}


def line_of(call, *arguments):
    with pytest.raises(ConfigError) as caught:
        call(*arguments)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("name", CALLS)
@pytest.mark.parametrize("value", [2.5, "2", True, torch.tensor(2.0), np.array([2])])
def test_what_is_no_whole_number_is_refused_by_name(name, value):
    assert f"{name} must be a whole number" in line_of(CALLS[name], value)


@pytest.mark.parametrize("value", [3, np.int16(3), torch.tensor(3), np.array(3)])
def test_whole_numbers_of_numpy_and_torch_are_taken(value):
    assert type(whole("n", value)) is int
    assert Controller(D, value, value, width=value)[0].in_features == D + 3
    assert QRNN(2, value).cell.circuit.n_wires == 3


NUMBERS = {
    "bias_range": lambda v: CELL(bias_range=v),
    "dropout": lambda v: CELL(dropout=v),
    "readout_angle": lambda v: CELL(
        readout_mode="measure", readout_angle=v, device="default.qubit"
    ),
    "readout_depolarizing": lambda v: ReadoutNoise(None, v),
    "theta_mean": lambda v: QuantumNeuronRNN(1, 1, theta_mean=v),
    "negative_share": lambda v: ScoRNNCell(D, 4, negative_share=v),
    "skew_lr": lambda v: ScoRNNCell(D, 4, skew_lr=v),
    "head's dropout": lambda v: SequenceClassifier(Classical("gru", D, 3), 2, dropout=v),
    "device.strength": lambda v: open_device("default.mixed", noise="readout", strength=v),
    "device.queue_timeout": lambda v: open_device("ibm_fez", shots=8, queue_timeout=v),
}


@pytest.mark.parametrize("name", NUMBERS)
@pytest.mark.parametrize("value", [math.nan, math.inf, "0.1", None])
def test_what_is_no_finite_number_is_refused_by_name(name, value):
    if value is None and name in ("readout_angle", "device.queue_timeout", "device.strength"):
        pytest.skip("None leaves it out")
    assert line_of(NUMBERS[name], value).startswith(name.removeprefix("head's ") + " must be")


@pytest.mark.parametrize(
    "call",
    [
        lambda: QRNN(D, 2, bidirectional="no"),
        lambda: QRNN(D, 2, batch_first=None),
        lambda: CELL(feedback="no"),
        lambda: QLSTMCell(D, 2, output_circuits="no"),
    ],
)
def test_what_is_neither_yes_nor_no_is_refused(call):
    assert "must be True or False, got" in line_of(call)


@pytest.mark.parametrize("theta", ["pi", [1.0], [math.nan] * 8, [[1.0] * 7]])
@pytest.mark.parametrize("call", ["draw", "draw_mpl"])
def test_angles_to_draw_are_as_many_finite_numbers_as_the_circuit_has(call, theta):
    assert line_of(getattr(CELL().circuit, call), theta).startswith("theta must ")


@pytest.mark.parametrize(
    ("group", "changes", "message"),
    [
        ("trainer", {"epochs": 2.5}, "trainer.epochs must be a whole number, got 2.5"),
        ("trainer", {"lr": "1e-3"}, "trainer.lr must be a number, got '1e-3'"),
        ("task", {"seed": True}, "task.seed must be a whole number, got True"),
        ("model", {"n_qubits": "3"}, "model.n_qubits must be a whole number, got '3'"),
        ("model", {"feedback": "no"}, "model.feedback must be True or False, got 'no'"),
        ("device", {"zne": [1, 2.5]}, "each of device.zne must be a whole number, got 2.5"),
    ],
)
def test_a_configuration_that_python_filled_is_checked_too(group, changes, message, tmp_path):
    whole_config = config()
    if group == "device":
        open_ibm = replace(DeviceOptions("ibm_fez", shots=8), **changes)
        assert line_of(open_device, open_ibm) == message
        return
    changed = replace(getattr(whole_config, group), **changes)
    assert line_of(train, replace(whole_config, **{group: changed}), tmp_path) == message


def test_a_device_is_a_name_or_options():
    assert "device must be a name or DeviceOptions, got 3" in line_of(open_device, 3)
    assert "device.shots must be a whole number" in line_of(
        lambda: QRNN(D, 2, device=DeviceOptions("default.qubit", shots="8"))
    )


@pytest.mark.parametrize("name", SMALL)
@pytest.mark.parametrize(
    "lengths",
    [
        [1.5, 3, 2, 2],
        torch.tensor([1.0, 3.0, 2.0, 2.0]),
        [True] * 4,
        ["1"] * 4,
        [1, 6, 2, 2],
        [0, 3, 2, 2],
        [1, 3, 2],
    ],
)
def test_lengths_that_are_no_whole_numbers_of_steps_are_refused(name, lengths):
    line = line_of(build(name), inputs(), None, lengths)
    assert "lengths must be 4 whole numbers of 1..5, got" in line


@pytest.mark.parametrize("name", ["hybrid", "scornn", "lstm"])
@pytest.mark.parametrize("dtype", slow_but([torch.uint8, torch.int8, torch.int32], torch.int8))
def test_lengths_of_any_integer_type_are_the_same(name, dtype):
    x, lengths = torch.cat([inputs(steps=100)] * 2, 1), torch.tensor([150, 3, 200, 1])
    if dtype == torch.int8:
        x, lengths = x[:, :100], torch.tensor([100, 3, 99, 1])
    net = build(name, bidirectional=True)
    assert torch.equal(net(x, None, lengths.to(dtype))[0], net(x, None, lengths)[0])


@pytest.mark.parametrize("name", SMALL)
@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_every_network_refuses_inputs_that_are_not_finite(name, value):
    net, x = build(name), inputs()
    x[1, 2, 0] = value
    with pytest.raises(NumericsError, match="x must be finite, got NaN or infinity at step 2 of"):
        net(x)
    net(x, None, torch.tensor([5, 2, 5, 5]))  # where it only pads


def twin(**changes):
    return build("hybrid", **changes)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"readout": ["XI", "YI", "ZI", "IX", "IY", "IZ"]}, "readouts"),
        ({"entangler": "CNOT"}, "circuit"),
        ({"layers": 1}, "circuit"),
    ],
)
def test_a_state_of_another_circuit_or_other_readouts_is_refused(changes, words):
    state = twin(**changes)(inputs())[1]
    line = line_of(twin(), inputs(), state)
    assert line.startswith("state must be from this cell's last call")
    assert words in line
    twin()(inputs(), twin(width=3)(inputs())[1])  # another controller hands its state over


@pytest.mark.parametrize(
    ("name", "other"),
    [
        ("lstm", "gru"),
        ("gru", "lstm"),
        ("qlstm", "hybrid"),
        ("scornn", "qlstm"),
        ("hybrid", "lstm"),
        ("orthogonal", "scornn"),
        ("data_register", "orthogonal"),
    ],
)
def test_a_state_of_another_network_is_refused(name, other):
    for state in (build(other)(inputs())[1], torch.zeros(4, 6)):
        assert line_of(build(name), inputs(), state).startswith("state must be from this ")
