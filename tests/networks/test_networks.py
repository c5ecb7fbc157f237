"""Every registered network: one protocol, whatever it is made of."""

import copy
import pickle
from dataclasses import fields

import pytest
import torch

from helpers.small_networks import CLASSICAL, DOUBLE, SHAPES, SMALL, STEPPED, B, D, T, build, inputs
from qrnn import ConfigError, DeviceError
from qrnn.cell.on_device import on_device
from qrnn.devices import DeviceOptions, open_device
from qrnn.networks import (
    NETWORKS,
    ModelConfig,
)
from qrnn.training.groups import param_groups

each_network = pytest.mark.parametrize("name", SMALL)
each_shape = pytest.mark.parametrize(("num_layers", "bidirectional"), SHAPES)


def assert_close(a, b, atol=1e-10):
    torch.testing.assert_close(a, b, rtol=0, atol=atol)


def test_every_network_is_tested_here():
    reads_tokens = {name for name in NETWORKS if NETWORKS[name].tokens}
    assert set(SMALL) | reads_tokens == set(NETWORKS)
    assert reads_tokens == {"quantum_neuron"}  # tests/neurons


@each_network
@each_shape
def test_outputs_and_state_have_the_promised_shapes(name, num_layers, bidirectional):
    net = build(name, num_layers=num_layers, bidirectional=bidirectional)
    one = build(name).output_size
    assert net.output_size == one * (2 if bidirectional else 1)
    z, state = net(inputs())
    assert z.shape == (B, T, net.output_size)
    assert state.z.shape == (B, net.output_size)
    # Forward at the end, backward at the start.
    expected = z[:, -1] if not bidirectional else torch.cat([z[:, -1, :one], z[:, 0, one:]], 1)
    assert_close(state.z, expected)


@each_network
@pytest.mark.parametrize("num_layers", [1, 2])
def test_a_run_in_two_halves_is_the_whole_run(name, num_layers):
    net, x = build(name, num_layers=num_layers), inputs().requires_grad_()
    z, state = net(x)
    first, middle = net(x[:, :2])
    second, last = net(x[:, 2:], middle)
    assert_close(torch.cat([first, second], 1), z)
    assert_close(last.z, state.z)
    (whole,) = torch.autograd.grad(z.square().sum(), x)
    (halves,) = torch.autograd.grad(first.square().sum() + second.square().sum(), x)
    assert_close(halves, whole)


@each_network
def test_a_detached_state_has_the_same_values_and_no_graph(name):
    net, x = build(name), inputs().requires_grad_()
    _, state = net(x[:, :3])
    z, _ = net(x[:, 3:], state)
    cut, _ = net(x[:, 3:], state.detach())
    assert not state.detach().z.requires_grad
    assert_close(cut, z)
    (grad,) = torch.autograd.grad(z.square().sum(), x, retain_graph=True)
    assert grad[:, :3].abs().max() > 0
    (grad,) = torch.autograd.grad(cut.square().sum(), x)
    assert (grad[:, :3] == 0).all()


@each_network
@each_shape
def test_padding_reaches_neither_values_nor_gradients(name, num_layers, bidirectional):
    net = build(name, num_layers=num_layers, bidirectional=bidirectional)
    lengths = torch.tensor([2, 5, 1, 4])
    x = inputs()
    one_by_one, total = [], 0
    for row, length in enumerate(lengths):
        z, state = net(x[row : row + 1, :length])
        one_by_one.append((z[0], state.z[0]))
        total = total + z.square().sum() + state.z.sum()
    total.backward()
    grads = {key: p.grad.clone() for key, p in net.named_parameters() if p.grad is not None}
    net.zero_grad()
    for row, length in enumerate(lengths):
        x[row, length:] = torch.nan
    z, state = net(x, None, lengths)
    for row, (length, (alone, last)) in enumerate(zip(lengths, one_by_one, strict=True)):
        assert_close(z[row, :length], alone)
        assert (z[row, length:] == 0).all()
        assert_close(state.z[row], last)
    (z.square().sum() + state.z.sum()).backward()
    for key, p in net.named_parameters():
        if key in grads:
            assert_close(p.grad, grads[key])


@each_network
def test_a_state_is_carried_on_behind_each_sequences_own_end(name):
    net, x = build(name), inputs()
    lengths = torch.tensor([2, 5, 1, 4])
    _, state = net(x, lengths=lengths)
    more, _ = net(x[:, :2], state)
    for row, length in enumerate(lengths):
        whole, _ = net(torch.cat([x[row, :length], x[row, :2]])[None])
        assert_close(more[row], whole[0, length:])


@each_network
def test_sequences_of_a_batch_do_not_touch_each_other(name):
    net, x = build(name), inputs()
    z, state = net(x)
    for row in range(B):
        alone, last = net(x[row : row + 1])
        assert_close(alone[0], z[row])
        assert_close(last.z[0], state.z[row])


@each_network
def test_each_step_sees_its_own_input_and_all_earlier_ones(name):
    net, x = build(name), inputs(steps=3).requires_grad_()
    z, _ = net(x)
    for t in range(3):
        (grad,) = torch.autograd.grad(z[:, t].square().sum(), x, retain_graph=True)
        assert (grad[:, : t + 1].abs().amax(2) > 1e-12).all()
        assert (grad[:, t + 1 :] == 0).all()


@each_network
@each_shape
def test_every_parameter_gets_a_gradient(name, num_layers, bidirectional):
    net = build(name, num_layers=num_layers, bidirectional=bidirectional)
    net(inputs())[0].square().sum().backward()
    learned = [key for key, p in net.named_parameters() if p.requires_grad]
    assert learned
    for key in learned:
        p = net.get_parameter(key)
        assert p.grad is not None, key
        assert p.grad.abs().max() > 0, key


@each_network
def test_the_same_parameters_are_saved_and_loaded(name):
    net, other = build(name), build(name)
    with torch.no_grad():
        for p in other.parameters():
            p += 0.1
    assert (net(inputs())[0] - other(inputs())[0]).abs().max() > 1e-6
    other.load_state_dict(net.state_dict())
    assert_close(net(inputs())[0], other(inputs())[0])


@pytest.mark.parametrize("name", CLASSICAL)
@each_shape
def test_classical_networks_are_torchs(name, num_layers, bidirectional):
    net = build(name, num_layers=num_layers, bidirectional=bidirectional)
    kind = {"rnn": torch.nn.RNN, "gru": torch.nn.GRU, "lstm": torch.nn.LSTM}[name]
    theirs = kind(D, 5, num_layers, batch_first=True, bidirectional=bidirectional).to(DOUBLE)
    theirs.load_state_dict(net.rnn.state_dict())
    z, _ = theirs(inputs())
    assert_close(net(inputs())[0], z)


def test_the_forget_gate_of_an_lstm_starts_with_bias_one():
    for layers in (1, 2):
        rnn = build("lstm", num_layers=layers, bidirectional=True).rnn
        for layer in range(layers):
            for end in ("", "_reverse"):
                bias = getattr(rnn, f"bias_ih_l{layer}{end}") + getattr(
                    rnn, f"bias_hh_l{layer}{end}"
                )
                assert (bias[5:10] == 1).all()
                assert (bias[:5] != 1).all()


def naive(net, x):
    """Run one sequence (T, D) with the cells' own steps and Python lists alone."""
    for first in range(0, len(net.cells), net.directions):
        columns = []
        for cell, order in zip(
            net.cells[first : first + net.directions], (1, -1)[: net.directions], strict=True
        ):
            rows, state = [], cell.start(1, x)
            for row in x.unbind()[::order]:
                each, shared = cell.prepare(row[None, None])
                state = cell.step(each[0], state, shared)
                rows.append(state.z[0])
            columns.append(torch.stack(rows[::order]))
        x = torch.cat(columns, 1)
    return x


@pytest.mark.parametrize("name", STEPPED)
@each_shape
def test_layers_and_directions_are_those_of_a_naive_loop(name, num_layers, bidirectional):
    net, x = build(name, num_layers=num_layers, bidirectional=bidirectional), inputs()
    lengths = torch.tensor([3, 5, 1, 2])
    z, _ = net(x, lengths=lengths)
    for row, length in enumerate(lengths):
        assert_close(z[row, :length], naive(net, x[row, :length]))


# What another value of a key must change: the outputs of a run in training, or a learning rate.
OTHER = {
    "hidden_size": 4,
    "dropout": 0.5,
    "negative_share": 0.0,
    "skew_lr": 0.5,
    "n_qubits": 3,
    "n_angles": 2,
    "readout": "Z",
    "learned": False,
    "controller": "relu",
    "width": 4,
    "depth": 3,
    "output_circuits": False,
    "n_data": 3,
    "n_history": 3,
    "layers": 3,
    "topology": "line",
    "num_layers": 2,
    "bidirectional": True,
}
ELSEWHERE = {f.name for f in fields(ModelConfig)} - {"num_layers", "bidirectional"}


@pytest.mark.parametrize(
    ("name", "key"),
    [
        (n, f.name)
        for n in [*CLASSICAL, *STEPPED]
        for f in fields(SMALL[n])
        if f.name not in ELSEWHERE
    ],
)
def test_each_key_changes_something(name, key):
    base = {"num_layers": 2} if key == "dropout" and name in CLASSICAL else {}
    value = 2 if (name, key) == ("qlstm", "n_qubits") else OTHER[key]

    def told(**changes):
        net = build(name, **base, **changes)
        torch.manual_seed(0)
        z, _ = net(inputs())
        rates = [(group["lr"], len(group["params"])) for group in param_groups(net, 1)]
        return z, [(p.shape, p.requires_grad) for p in net.parameters()], rates

    (z, *facts), (other, *others) = told(), told(**{key: value})
    assert facts != others or z.shape != other.shape or (z - other).abs().max() > 1e-6


@each_network
@pytest.mark.parametrize("how", [copy.deepcopy, lambda net: pickle.loads(pickle.dumps(net))])
def test_copies_are_equal_and_independent(name, how):
    net = build(name)
    other = how(net)
    assert_close(other(inputs())[0], net(inputs())[0], 0)
    with torch.no_grad():
        for parameter in other.parameters():
            parameter.mul_(1.1).add_(0.1)
    assert (other(inputs())[0] - net(inputs())[0]).abs().max() > 1e-3


@pytest.mark.parametrize(
    ("name", "key", "count"), [("hybrid", "output_lr", 6), ("scornn", "skew_lr", 2)]
)
def test_learning_rates_outlive_copies_and_assigned_weights(name, key, count):
    net = build(name, num_layers=2, **{key: 0.25})
    rates = [(group["lr"], len(group["params"])) for group in param_groups(net, 1.0)]
    assert (0.25, count) in rates
    assigned = build(name, num_layers=2, **{key: 0.25})
    assigned.load_state_dict(net.state_dict(), assign=True)
    for other in (copy.deepcopy(net), pickle.loads(pickle.dumps(net)), assigned):
        groups = param_groups(other, 1.0)
        assert [(group["lr"], len(group["params"])) for group in groups] == rates
        mine = {id(p) for p in other.parameters()}
        assert {id(p) for group in groups for p in group["params"]} == mine


def test_a_parameter_keeps_a_factor_of_its_own():
    layer = torch.nn.Linear(2, 2)
    layer.bias.lr_scale = 0.5
    assert [group["lr"] for group in param_groups(layer, 1.0)] == [1.0, 0.5]


def test_second_derivatives_of_a_whole_sequence_are_refused_by_scornn():
    net, x = build("scornn"), inputs().requires_grad_()
    with pytest.raises(DeviceError, match="got True: call the cell step by step"):
        torch.autograd.grad(net(x)[0].sum(), x, create_graph=True)


def test_skew_lr_and_learned_change_what_they_say():
    net = build("scornn", skew_lr=0.3)
    (group,) = [group for group in param_groups(net, 2.0) if group["lr"] == 0.6]
    assert group["params"] == [p for name, p in net.named_parameters() if "skew" in name]
    net = build("orthogonal", learned=False)
    net(inputs())[0].sum().backward()
    assert net.cells[0].mix.skew.grad is None


@pytest.mark.parametrize("name", [*CLASSICAL, *STEPPED])
def test_wrong_inputs_are_refused_in_one_line(name):
    net = build(name)
    with pytest.raises(ConfigError, match=r"x must have shape .*3\).*, got"):
        net(inputs()[:, :, :2])
    for lengths in ([1, 2, 3], [0, 1, 1, 1], [1, 1, 1, 6]):
        with pytest.raises(ConfigError, match=r"lengths must be 4 whole numbers of 1..5, got"):
            net(inputs(), lengths=torch.tensor(lengths))
    with pytest.raises(ConfigError, match="at least one"):
        net(inputs()[:0])
    _, state = net(inputs())
    with pytest.raises(ConfigError, match=r"state must be from .*2 sequences.* got"):
        net(inputs()[:2], state)
    with pytest.raises(ConfigError, match="input_size must be at least 1, got 0"):
        build(name, 0)


def test_a_device_that_would_be_ignored_is_refused():
    with pytest.raises(ConfigError, match=r"got device=default\.mixed"):
        NETWORKS["data_register"].build(
            SMALL["data_register"], D, DeviceOptions(name="default.mixed")
        )


def test_a_qlstm_runs_on_another_device():
    rnn = build("qlstm")
    other = on_device(rnn, open_device("default.qubit"))
    x = torch.rand(2, 3, D, dtype=torch.float64)
    assert type(other.cells[0].memory) is not type(rnn.cells[0].memory)
    assert torch.allclose(other(x)[0], rnn(x)[0], atol=1e-5)
    assert other.cells[0].angles is rnn.cells[0].angles
    with pytest.raises(ConfigError, match="readout_mode and readout_angle must be left out"):
        on_device(rnn, open_device("default.qubit"), "measure")
