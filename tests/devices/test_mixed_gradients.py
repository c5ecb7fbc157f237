"""Gradients on `default.mixed`, also where a device of the user's own runs on it."""

from __future__ import annotations

from dataclasses import replace

import pennylane as qml
import pytest
import torch

from qrnn import QRNN, devices
from qrnn.devices import add_device, device_spec


class OwnMixed(devices.Device):
    """default.mixed, as a user writes it."""

    def make_plugin(self, n_wires):
        return qml.device("default.mixed", wires=n_wires)


class OwnNoise(OwnMixed):
    """With noise after each RY, by PennyLane's own transform."""

    def transform(self, qnode):
        def lose(op, **_):
            qml.DepolarizingChannel(0.2, wires=op.wires)

        return qml.noise.add_noise(qnode, qml.NoiseModel({qml.noise.op_eq(qml.RY): lose}))


@pytest.fixture
def own(monkeypatch):
    """Return a function that registers a class as device `own`, with changes of its spec."""

    def add(cls, **changes):
        table = devices.device_table()
        monkeypatch.setattr(table, "_entries", dict(table._entries))
        spec = device_spec("default.mixed")
        spec = replace(spec, name="own", strategies=("replayed",), gradients=("backprop",))
        add_device(replace(spec, **changes), cls)
        return "own"

    return add


def phases(angles, wires):
    qml.RY(angles[0], wires=wires[0])
    qml.U1(angles[1], wires=wires[0])  # decomposed into PhaseShift
    qml.RX(0.3, wires=wires[0])


def entangled(angles, wires):
    qml.RY(angles[0], wires=wires[0])
    qml.CNOT(wires)


def gradient(rnn, batch):
    rnn.zero_grad()
    rnn(torch.ones(2, batch, 1))[0].sum().backward()
    return rnn.cell.quantum.bias.grad / batch


@pytest.mark.parametrize("batching", [True, False])
@pytest.mark.parametrize("cls", [OwnMixed, OwnNoise])
def test_the_angle_of_a_phase_has_its_gradient_in_a_batch_on_own_devices(cls, batching, own):
    rnn = QRNN(1, n_qubits=1, ansatz=phases, n_angles=2, bias_range=1.0)
    rnn = rnn.on(own(cls, batching=batching))
    alone = gradient(rnn, 1)
    assert (alone.abs() > 1e-3).all()
    torch.testing.assert_close(gradient(rnn, 3), alone)
    if cls is OwnMixed:
        torch.testing.assert_close(gradient(rnn.on("fused"), 3), alone)


def test_the_qnode_of_a_noisy_cell_has_the_gradient_of_its_phases():
    rnn = QRNN(1, n_qubits=1, ansatz=phases, n_angles=2)
    qnode = rnn.on("fused", noise="depolarizing", strength=0.1).cell.qnode
    found = []
    for inputs in (torch.zeros(4), torch.zeros(3, 4)):
        bias = torch.tensor([0.3, 0.4], requires_grad=True)
        torch.stack(qnode(inputs, bias)).sum().backward()
        found.append(bias.grad / (len(inputs) if inputs.ndim == 2 else 1))
    assert (found[0].abs() > 1e-3).all()
    torch.testing.assert_close(found[1], found[0])


@pytest.mark.parametrize("name", ["default.mixed", "own"])
def test_a_gradient_is_a_number_where_an_outcome_is_impossible(name, own):
    own(OwnMixed, batching=True)
    rnn = QRNN(1, n_qubits=2, ansatz=entangled, n_angles=1, readout="XYZ+ZZ", bias_range=1.0)
    found = gradient(rnn.on(name, strategy="replayed"), 2)
    torch.testing.assert_close(found, gradient(rnn.on("fused"), 2))


@pytest.mark.parametrize("batching", [True, False])
def test_a_device_of_ones_own_gets_batches_only_if_its_spec_says_so(batching, own, monkeypatch):
    rnn = QRNN(1, n_qubits=2, ansatz=entangled, n_angles=1).on(own(OwnMixed, batching=batching))
    seen = []

    def execute(self, circuits, execution_config=None):
        seen.extend(tape.batch_size for tape in circuits)
        return run(self, circuits, execution_config)

    cls = type(rnn.cell.plugin)
    run = cls.execute
    monkeypatch.setattr(cls, "execute", execute)
    rnn(torch.ones(1, 3, 1))
    assert seen == ([3] if batching else [None] * 3)
