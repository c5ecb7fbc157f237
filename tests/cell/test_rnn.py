"""The cell and the network over sequences, with the conventions of torch.nn.RNN."""

import math

import numpy as np
import pennylane as qml
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence, pad_packed_sequence

from helpers import small_networks
from helpers.problems import D, Twin, inputs, network
from qrnn import QRNN, ConfigError, QRNNCell
from qrnn.cell.on_device import on_device
from qrnn.devices import open_device
from qrnn.errors import DeviceError

DEVICES = ["fused", "default.qubit", "lightning.qubit", "default.mixed"]
DOUBLE = torch.float64


def test_the_default_cell_reads_xyz_of_every_qubit_and_starts_at_zero():
    cell = QRNNCell(D, 3)
    assert cell.n_readouts == 9
    assert cell.circuit.words[0] == "XII"
    state = cell.start(2, torch.zeros(2, D))
    assert state.z.tolist() == [[0] * 6 + [1] * 3] * 2
    torch.testing.assert_close(state.amplitudes()[:, 0].abs(), torch.ones(2))


@pytest.mark.parametrize("words", [["XI", "IZ", "ZZ", "YY", "ZX"], "XYZ", "ZZ"])
def test_the_first_feedback_is_the_readout_of_the_start_state(words):
    cell = QRNNCell(D, 2, readout=words)
    zero = np.eye(4)[0]
    for word, z in zip(cell.circuit.words, cell.circuit.start_readout(), strict=True):
        matrix = qml.matrix(qml.pauli.string_to_pauli_word(word), wire_order=[0, 1])
        assert z == pytest.approx((zero @ matrix @ zero).real)


def test_shapes_are_those_of_torch_rnn():
    x = inputs(5, 4)
    rnn = network()
    first = network(batch_first=True)
    theirs = nn.RNN(D, 9)
    z, state = rnn(x)
    assert z.shape == theirs(x)[0].shape
    assert state.z.shape == theirs(x)[1][0].shape
    torch.testing.assert_close(first(x.transpose(0, 1))[0], z.transpose(0, 1))
    one, _ = rnn(x[:, 2])
    assert one.shape == theirs(x[:, 2])[0].shape
    torch.testing.assert_close(one, z[:, 2])


def test_the_networks_steps_are_the_cells():
    rnn, x = network(), inputs(3, 2)
    z, last = rnn(x)
    state = None
    for t in range(3):
        z_t, state = rnn.cell(x[t], state)
        torch.testing.assert_close(z_t, z[t], rtol=0, atol=2e-6)
    torch.testing.assert_close(state.amplitudes(), last.amplitudes(), rtol=0, atol=2e-6)
    torch.testing.assert_close(last.z, z[-1], rtol=0, atol=0)


def packed_by(who, x, lengths, seed):
    """Return x packed by torch, sorted or not, or in any order that is one of falling lengths."""
    if who == "torch":
        return pack_padded_sequence(x, lengths, enforce_sorted=len(lengths.unique()) == 1)
    ties = torch.rand(len(lengths), generator=torch.Generator().manual_seed(seed))
    order = (ties - lengths).argsort()
    packed = pack_padded_sequence(x[:, order], lengths[order])
    return PackedSequence(packed.data, packed.batch_sizes, order)


@given(st.lists(st.integers(1, 3), min_size=1, max_size=40), st.integers(0, 99))
@example([3] * 32, 0)  # above 16 equal lengths torch's sort is not stable
@example([2] * 20 + [3] * 20, 0)
@pytest.mark.parametrize("who", ["torch", "user"])
@settings(max_examples=10)
def test_a_packed_sequence_keeps_its_order_and_lengths(who, lengths, seed):
    lengths = torch.tensor(lengths)
    rnn, x = network(), inputs(int(lengths.max()), len(lengths))
    packed = packed_by(who, x, lengths, seed)
    with torch.no_grad():
        out, state = rnn(packed)
        z, expected = rnn(x, lengths=lengths)
    assert isinstance(out, PackedSequence)
    for name in ("batch_sizes", "sorted_indices", "unsorted_indices"):
        ours, theirs = getattr(out, name), getattr(packed, name)
        assert (ours is None) == (theirs is None)
        assert ours is None or torch.equal(ours, theirs)
    torch.testing.assert_close(pad_packed_sequence(out)[0], z)
    torch.testing.assert_close(state.z, expected.z)
    torch.testing.assert_close(state.amplitudes(), expected.amplitudes())


def test_readouts_stay_in_their_range_and_the_state_stays_normalised():
    rnn = network()
    with torch.no_grad():
        z, state = rnn(3 * inputs(200, 4))
    assert z.abs().max() <= 1 + 1e-5
    norms = state.amplitudes().abs().square().sum(1)
    torch.testing.assert_close(norms, torch.ones(4), rtol=0, atol=1e-4)


@pytest.mark.parametrize("device", DEVICES)
def test_every_parameter_gets_a_gradient(device):
    # QLSTM ports keep their circuits in a dict, where no optimiser finds the weights.
    rnn = network(dtype=DOUBLE).on(device)
    rnn(inputs(dtype=DOUBLE))[0].square().sum().backward()
    for name, p in rnn.named_parameters():
        assert p.grad is not None, name
        assert (p.grad != 0).any(), name
    assert (rnn.cell.quantum.bias.grad != 0).all()
    assert "cells.0.quantum.bias" in rnn.state_dict()


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("cut", ["feedback", "state"])
def test_a_step_depends_on_the_one_before_in_value_and_gradient(device, cut):
    # In both ways in which the past can act: through z (the controller) and through |psi>.
    rnn, x = network(dtype=DOUBLE).on(device), inputs(2, 2, DOUBLE).requires_grad_()
    cell = rnn.cell

    def second(x):
        z, state = cell(x[0])
        if cut == "state":
            start = cell.start(2, x[0])
            state = type(state)(z, start.carried, start.memory)
        return cell(x[1], state)[0]

    if cut == "feedback":
        with torch.no_grad():
            cell.controller[0].weight[:, D:] = 0
    (grad,) = torch.autograd.grad(second(x).square().sum(), x)
    assert (grad[0].abs() > 1e-6).all()
    moved = x.detach().clone()
    moved[0] += 0.3
    with torch.no_grad():
        change = (second(moved) - second(x)).abs()
    assert (change.amax(1) > 1e-3).all()


@pytest.mark.parametrize("device", DEVICES)
def test_cutting_the_feedback_changes_later_readouts_only(device):
    rnn, x = network().on(device), inputs()
    with torch.no_grad():
        z, _ = rnn(x)
        start = rnn.cell.circuit.start_readout()
        rnn.cell.controller[0].bias += rnn.cell.controller[0].weight[:, D:] @ start
        rnn.cell.controller[0].weight[:, D:] = 0
        cut, _ = rnn(x)
    torch.testing.assert_close(cut[0], z[0], rtol=0, atol=1e-5)
    assert ((cut[1:] - z[1:]).abs().amax((1, 2)) > 1e-2).all()


def test_each_step_sees_its_own_input_and_no_later_one():
    rnn, x = network(), inputs(4, 2).requires_grad_()
    z, _ = rnn(x)
    for t in range(4):
        (grad,) = torch.autograd.grad(z[t].sum(), x, retain_graph=True)
        assert (grad[: t + 1].abs().amax((1, 2)) > 0).all()
        assert (grad[t + 1 :] == 0).all()


def test_sequences_of_a_batch_do_not_touch_each_other():
    rnn, x = network(), inputs(3, 20)
    z, _ = rnn(x)
    for b in (0, 15, 16, 19):  # within and at the edge of a block of lanes
        torch.testing.assert_close(rnn(x[:, b : b + 1])[0][:, 0], z[:, b], rtol=0, atol=1e-6)


def test_the_state_passed_in_is_not_changed():
    rnn, x = network(), inputs(4, 2)
    with torch.no_grad():
        _, state = rnn(x[:2])
        before = state.amplitudes().clone(), state.z.clone()
        first, _ = rnn(x[2:], state)
        second, _ = rnn(x[2:], state)
    torch.testing.assert_close(first, second, rtol=0, atol=0)
    torch.testing.assert_close((state.amplitudes(), state.z), before, rtol=0, atol=0)


@pytest.mark.parametrize("name", ["hybrid", "scornn", "orthogonal"])
def test_a_change_of_the_outputs_in_place_leaves_the_state_as_it_is(name):
    rnn, x = small_networks.build(name).float(), small_networks.inputs().float()
    with torch.no_grad():
        z, state = rnn(x)
        before = state.z.clone()
        assert torch.equal(before, z[:, -1])
        z.mul_(100)
    assert torch.equal(state.z, before)


def test_moving_to_another_device_shares_every_parameter():
    rnn = network()
    other = rnn.on("lightning.qubit")
    mine, theirs = dict(rnn.named_parameters()), dict(other.named_parameters())
    assert list(mine) == list(theirs)
    assert all(mine[name] is theirs[name] for name in mine)
    assert (rnn.cell.device.name, other.cell.device.name) == ("fused", "lightning.qubit")
    assert rnn.cell.on("default.qubit").quantum.bias is rnn.cell.quantum.bias


def test_moving_keeps_training_mode_and_the_modules_around_the_cell():
    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.rnn = network(controller_dropout=0.5)
            self.head = nn.Linear(9, 2)

        def forward(self, x):
            return self.head(self.rnn(x)[0][-1])

    model = Model().eval()
    moved = on_device(model, open_device("default.qubit"))
    assert moved.head.weight is model.head.weight
    assert not moved.rnn.cell.controller.training
    torch.testing.assert_close(moved(inputs()), model(inputs()), rtol=0, atol=1e-5)
    assert model.rnn.cell.device.name == "fused"


@pytest.mark.parametrize("device", [*DEVICES, "default.qubit replayed"])
def test_the_dtype_of_the_parameters_is_that_of_the_readouts(device):
    name, _, strategy = device.partition(" ")
    rnn = network().on(name, strategy=strategy or None)
    assert rnn(inputs())[0].dtype == torch.float32
    rnn = rnn.to(DOUBLE)
    assert rnn(inputs(dtype=DOUBLE))[0].dtype == DOUBLE


def test_one_training_step_lowers_the_loss_and_moves_every_parameter():
    rnn, x = network(), inputs(4, 8)
    before = [p.detach().clone() for p in rnn.parameters()]
    optimiser = torch.optim.Adam(rnn.parameters(), lr=0.02)
    losses = []
    for _ in range(15):
        optimiser.zero_grad()
        loss = (rnn(x)[0][-1] - 0.3).square().mean()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert losses[-1] < 0.7 * losses[0]
    assert all((p != old).any() for p, old in zip(rnn.parameters(), before, strict=True))


def test_a_new_cell_starts_with_a_bias_as_wide_as_asked_that_inputs_change_little():
    cell = QRNNCell(D, 4, bias_range=math.pi)
    bias = cell.quantum.bias.detach()
    assert math.pi / 2 < bias.abs().max() <= math.pi
    assert bias.std() > 1
    x = inputs(1, 8)[0]
    angles = cell.controller(torch.cat([x, cell.start(8, x).z], 1))
    assert angles.abs().max() < 0.2
    assert 0.03 < QRNNCell(D, 4).quantum.bias.std() < 0.1
    # Blank inputs do nothing where there is no bias.
    still = QRNNCell(D, 4, bias_range=0.0)
    with torch.no_grad():
        z, _ = still(torch.zeros_like(x))
    assert (z[:, 8:] > 0.8).all()  # Z readouts of a state near |0...0>
    with pytest.raises(
        ConfigError, match="bias_range must be finite and at least 0 radians, got -1"
    ):
        QRNNCell(D, 4, bias_range=-1)


def test_the_qnode_is_a_real_qnode_that_replays_the_steps():
    rnn, x = network(), inputs(2, 1)
    cell = rnn.cell
    assert isinstance(cell.qnode, qml.QNode)
    assert isinstance(cell.quantum, qml.qnn.TorchLayer)
    z, state = cell(x[0])
    first = cell.controller(torch.cat([x[0], cell.start(1, x[0]).z], 1))
    second = cell.controller(torch.cat([x[1], z], 1))
    values = cell.qnode(torch.cat([first, second], 1)[0], cell.quantum.bias)
    torch.testing.assert_close(torch.stack(values).float(), cell(x[1], state)[0][0])


def test_the_drawing_and_the_resources_are_of_one_step():
    cell = QRNNCell(D, 3)
    drawing = cell.draw()
    assert drawing.count("\n") == 2
    assert (drawing.count("RY"), drawing.count("RZ")) == (6, 6)
    assert "RY(0.50)" in cell.draw(theta=[0.5] * 12)
    specs = cell.specs()
    assert specs["gate_types"] == {"RY": 6, "RZ": 6, "CZ": 4}
    assert (specs["wires"], specs["angles"], specs["readouts"]) == (3, 12, 9)
    assert (specs["gates"], specs["two_qubit_gates"]) == (16, 4)
    figure, _ = cell.circuit.draw_mpl()
    assert figure.axes


def test_the_printed_cell_names_its_sizes_and_device():
    text = repr(QRNNCell(D, 3, device="default.qubit"))
    assert f"{D}, n_qubits=3, n_angles=12, n_readouts=9, device='default.qubit'" in text


def test_a_custom_controller_is_trained_saved_and_moved_like_a_built_in_one():
    rnn = QRNN(D, 2, controller=Twin(D + 6, 8))
    assert "cells.0.controller.a.weight" in rnn.state_dict()
    other = QRNN(D, 2, controller=Twin(D + 6, 8), device="default.qubit")
    other.load_state_dict(rnn.state_dict())
    torch.testing.assert_close(other(inputs())[0], rnn(inputs())[0], rtol=0, atol=1e-5)


def test_a_part_of_the_readouts_is_fed_back():
    cell = QRNNCell(D, 3, readout="Y+ZZ+X", feedback_readout="Y+ZZ", width=4)
    assert cell.controller[0].in_features == D + 5
    assert QRNNCell(D, 3, readout=["XII", "IZI"], feedback_readout=["XII"]).n_fed_back == 1
    assert (QRNNCell(D, 3).n_fed_back, QRNNCell(D, 3, feedback=False).n_fed_back) == (9, 0)


@pytest.mark.parametrize(
    ("device", "options"),
    [
        ("fused", {}),
        ("lightning.qubit", {}),
        ("lightning.qubit", {"strategy": "replayed"}),
        ("default.qubit", {}),
    ],
)
def test_torch_func_differentiates_where_torch_does(device, options):
    rnn, x = network(dtype=DOUBLE).on(device, **options), inputs(dtype=DOUBLE)

    def loss(x):
        return rnn(x)[0].sum()

    if device != "default.qubit":
        with pytest.raises(DeviceError, match=r"torch\.func must be left out"):
            torch.func.grad(loss)(x)
        return
    (wanted,) = torch.autograd.grad(loss(x.requires_grad_()), x)
    torch.testing.assert_close(torch.func.grad(loss)(x), wanted)
