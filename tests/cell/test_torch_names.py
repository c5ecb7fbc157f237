"""QRNN takes and shows the names of torch.nn.RNN, with its shapes."""

import pennylane as qml
import pytest
import torch
from torch import nn
from torch.nn.functional import dropout
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence, pad_packed_sequence

from helpers.problems import D, inputs
from qrnn import QRNN, Ansatz, ConfigError, QRNNCell
from qrnn.cell.rnn import one_by_one
from qrnn.config.models import ANSAETZE, HybridConfig
from qrnn.devices import DeviceOptions
from qrnn.networks.hybrid import hybrid

NAMES = ("input_size", "hidden_size", "num_layers", "bidirectional", "batch_first", "dropout")
OPTIONS = [
    {},
    {"batch_first": True},
    {"num_layers": 2, "dropout": 0.25},
    {"bidirectional": True, "num_layers": 2, "batch_first": True},
]


def both(**options):
    """Return a QRNN and torch's RNN of the same arguments."""
    return QRNN(input_size=D, hidden_size=6, **options), nn.RNN(D, 6, **options)


@pytest.mark.parametrize("options", OPTIONS)
def test_names_and_shapes_are_those_of_torch(options):
    ours, theirs = both(**options)
    for name in NAMES:
        assert getattr(ours, name) == getattr(theirs, name), name
    x = inputs(5, 3)
    lengths = torch.tensor([2, 5, 3])
    packed = pack_padded_sequence(x, lengths, enforce_sorted=False)
    for given in (x, x[:, 0], packed):
        (z, state), (wanted, h) = ours(given), theirs(given)
        if isinstance(wanted, PackedSequence):
            assert z.data.shape == wanted.data.shape
            z, wanted = (pad_packed_sequence(one)[0] for one in (z, wanted))
        assert z.shape == wanted.shape
        # The last layer's h of both directions; one sequence alone has no batch axis in torch.
        last = h[-(2 if ours.bidirectional else 1) :]
        assert state.z.numel() == last.numel()
    again, _ = ours(input=x, hx=None)
    assert again.shape == theirs(input=x, hx=None)[0].shape


def test_one_sequence_goes_on_with_its_state_as_in_a_batch_of_one():
    ours, _ = both(batch_first=True)
    x = inputs(5, 1)[:, 0]
    whole, _ = ours(x)
    first, state = ours(x[:2])
    rest, _ = ours(x[2:], hx=state)
    torch.testing.assert_close(torch.cat([first, rest]), whole)


def test_the_state_is_hx_and_old_names_still_work():
    ours, _ = both()
    x = inputs(4, 2)
    _, state = ours(x[:2])
    rest, _ = ours(x[2:], hx=state)
    for other in (ours(x[2:], state), ours(x[2:], state=state), ours(x=x[2:], state=state)):
        torch.testing.assert_close(other[0], rest, rtol=0, atol=0)
    assert (ours(x[2:])[0] - rest).abs().max() > 1e-3
    old = QRNN(2, 2, width=32)
    assert (old.cell.circuit.n_wires, old.hidden_size) == (2, 6)


@pytest.mark.parametrize(
    ("options", "n_qubits"),
    [
        ({"hidden_size": 12}, 4),
        ({"hidden_size": 5, "readout": "Z"}, 5),
        ({"hidden_size": 5, "readout": "ZZ"}, 6),
        ({"hidden_size": 5, "readout": "ZZ", "topology": "ring"}, 5),
        ({"hidden_size": 2, "readout": ["XYZ", "IIZ"]}, 3),
        ({"hidden_size": 7, "n_qubits": 4, "readout": "Z+ZZ"}, 4),
    ],
)
def test_hidden_size_is_the_width_that_the_next_layer_reads(options, n_qubits):
    rnn = QRNN(D, **options)
    assert rnn.cell.circuit.n_wires == n_qubits
    head = nn.Linear(rnn.hidden_size, 2)
    assert head(rnn(inputs())[0]).shape == (3, 3, 2)
    assert f"input_size=2, hidden_size={options['hidden_size']}" in repr(rnn)


WRONG = {
    "a readout by name": ({"hidden_size": 6, "readout": {"a": 1}}, "readout must be letters out"),
    "a size between": (
        {"hidden_size": 10},
        r"hidden_size must be the number of readouts of some n_qubits, got 10: with readout 'XYZ' "
        r"it can be 9 \(n_qubits=3\) or 12 \(n_qubits=4\)",
    ),
    "two sizes": (
        {"hidden_size": 12, "n_qubits": 3},
        "hidden_size must be the number of readouts, 9 of 3 qubits, got 12",
    ),
    "other words": (
        {"hidden_size": 3, "readout": ["XX"]},
        "hidden_size must be the number of readouts, 1 of 2 qubits, got 3",
    ),
    "no size": ({}, "n_qubits or hidden_size .* must be given"),
    "a fraction": ({"hidden_size": 12.0}, "hidden_size must be a whole number, got 12.0"),
    "an ansatz": ({"hidden_size": 12, "ansatz": "none"}, "ansatz 'none' is not known"),
    "dropout of one layer": (
        {"n_qubits": 2, "dropout": 0.1},
        "dropout acts between layers.*got dropout=0.1 with num_layers=1: .*controller_dropout",
    ),
    "dropout": ({"n_qubits": 2, "num_layers": 2, "dropout": 1.5}, r"dropout must be in \[0, 1\)"),
}


@pytest.mark.parametrize("case", WRONG)
def test_sizes_that_cannot_be_are_refused(case):
    options, message = WRONG[case]
    with pytest.raises(ConfigError, match=message) as caught:
        QRNN(D, **options)
    assert "\n" not in str(caught.value)


TORCHS = {
    "dtype": (torch.float64, r"^dtype is not an argument.*: use \.to\(torch\.float64\)"),
    "bias": (False, "^bias is not an argument, got False: leave it out"),
    "nonlinearity": ("relu", "^nonlinearity is not an argument, got 'relu': leave it out"),
    "proj_size": (3, r"^proj_size is not an argument, got 3: use torch\.nn\.Linear"),
}
PLACE = r"device names what runs the circuits.* got '{0}': move the weights with \.to\('{0}'\)"


@pytest.mark.parametrize("build", [QRNN, QRNNCell])
@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        *((name, value, message) for name, (value, message) in TORCHS.items()),
        *(("device", place, PLACE.format(place)) for place in ("cpu", "cuda", "cuda:0")),
        ("device", torch.device("cpu"), PLACE.format("cpu")),
    ],
)
def test_arguments_of_torch_that_a_cell_does_not_have_name_their_remedy(
    build, name, value, message
):
    with pytest.raises(ConfigError, match=message) as caught:
        build(2, 2, **{name: value})
    assert "\n" not in str(caught.value)


def test_an_option_of_an_ansatz_may_have_a_name_of_torch(monkeypatch):
    def biased(n_wires, bias=0.0):
        def apply(angles, wires):
            for angle, wire in zip(angles, wires, strict=True):
                qml.RY(angle + bias, wires=wire)

        return Ansatz(apply, n_wires, n_wires, ())

    monkeypatch.setattr(ANSAETZE, "_entries", {**ANSAETZE._entries, "biased": biased})
    assert QRNN(2, 2, ansatz="biased", bias=1.0).cell.circuit.n_angles == 2
    with pytest.raises(ConfigError, match=r"^dtype is not an argument"):
        QRNN(2, 2, ansatz="biased", dtype=torch.float64)


def test_flatten_parameters_is_there_and_changes_nothing():
    rnn, x = QRNN(2, 2), inputs()
    before, _ = rnn(x)
    rnn.flatten_parameters()
    assert torch.equal(rnn(x)[0], before)


def test_an_argument_of_two_names_is_given_once():
    ours, _ = both()
    _, state = ours(inputs())
    with pytest.raises(ConfigError, match="state must be left out if hx is given"):
        ours(inputs(), state, state=state)
    with pytest.raises(ConfigError, match="input must be a tensor or a PackedSequence, got None"):
        ours(hx=state)


def test_dropout_acts_on_the_readouts_between_layers_in_training_alone():
    rnn, x = QRNN(D, 2, num_layers=2, dropout=0.5), inputs()
    below, above = rnn.cells

    def by_hand(p):
        torch.manual_seed(5)
        z, _ = below.sequence(x)
        return above.sequence(dropout(z, p))[0]

    torch.manual_seed(5)
    torch.testing.assert_close(rnn.train()(x)[0], by_hand(0.5), rtol=0, atol=1e-6)
    assert (by_hand(0.5) - by_hand(0.0)).abs().max() > 1e-3
    torch.testing.assert_close(rnn.eval()(x)[0], by_hand(0.0), rtol=0, atol=1e-6)
    waves, _ = rnn._in_waves(x, [None, None], None, one_by_one)
    torch.testing.assert_close(waves, by_hand(0.0), rtol=0, atol=1e-6)
    dropped, _ = rnn.train()._in_waves(x, [None, None], None, one_by_one)
    assert (dropped - waves).abs().max() > 1e-3


def test_the_key_dropout_of_a_configuration_is_still_the_controllers():
    rnn = hybrid(HybridConfig(n_qubits=2, dropout=0.3, num_layers=2), D, DeviceOptions())
    assert rnn.dropout == 0.0
    assert [m.p for m in rnn.modules() if isinstance(m, nn.Dropout)] == [0.3, 0.3]
    assert QRNN(D, 2, controller_dropout=0.3).cell.controller[2].p == 0.3
