"""Weights of the ansatz's own: found in the function, trained, saved, copied, and followed."""

import copy
import io
from functools import partial

import numpy as np
import pennylane as qml
import pytest
import torch
from torch import nn
from torch.func import functional_call

from helpers import reference
from qrnn import QRNN, ConfigError

DOUBLE = torch.float64
DEVICES = [
    ("fused", {}),
    ("default.qubit", {}),
    ("lightning.qubit", {}),
    ("default.mixed", {}),
    ("default.qubit", {"strategy": "replayed"}),
]


def gates(angles, w, wires):
    """Queue two angles, then weights: as they are, scaled, and one that is a gate's own."""
    qml.RY(angles[0], wires[0])
    qml.RY(angles[1], wires[1])
    qml.CNOT(wires)
    qml.RX(w[0] - 0.5 * angles[0], wires[0])
    qml.CRX(2 * w[1], wires)


def scaled(angles, w, wires):
    """Queue products of angles and weights, and a function of weights."""
    qml.RY(angles[0] * w[0], wires[0])
    qml.RX(angles[1] + torch.sin(w[1]), wires[1])
    qml.CNOT(wires)


class Owner(nn.Module):
    """A module whose method, or itself, is the ansatz."""

    def __init__(self, queue=gates):
        super().__init__()
        self.turns = nn.ParameterDict({"w": torch.tensor([0.3, -0.7])})
        self.queue = queue

    def forward(self, angles, wires):
        self.queue(angles, self.turns["w"], wires)

    method = forward


def by_closure(queue):
    w = nn.Parameter(torch.tensor([0.3, -0.7]))
    return lambda angles, wires: queue(angles, w, wires)


def by_list(queue):
    held = {"turns": [nn.Parameter(torch.tensor(0.3)), nn.Parameter(torch.tensor(-0.7))]}
    return lambda angles, wires: queue(angles, held["turns"], wires)


def _keywords(angles, wires, w, queue):
    queue(angles, w, wires)


def by_partial(queue):
    return partial(_keywords, w=nn.Parameter(torch.tensor([0.3, -0.7])), queue=queue)


KINDS = {
    "closure": (by_closure, ["w"]),
    "containers": (by_list, ["held.turns.0", "held.turns.1"]),
    "partial": (by_partial, ["w"]),
    "method": (lambda queue: Owner(queue).method, ["turns.w"]),
    "module": (Owner, ["turns.w"]),
}


def network(function, dtype=DOUBLE, seed=1, **options):
    torch.manual_seed(seed)
    given = {"readout": ["XI", "YZ", "IZ"], "controller": "linear", "depth": 0, **options}
    return QRNN(2, 2, ansatz=function, n_angles=2, bias_range=1.0, **given).to(dtype)


def inputs(dtype=DOUBLE):
    generator = torch.Generator().manual_seed(5)
    return torch.rand(3, 2, 2, generator=generator).to(dtype)  # the same in both


def own(rnn):
    """Return the ansatz's weights of the first cell, by name."""
    return {name: p for name, p in rnn.named_parameters() if name.startswith("cells.0.ansatz.")}


def expected(rnn, queue):
    """Return z of the dense reference, with the weights as the cell holds them."""
    w = torch.cat([p.detach().double().reshape(-1) for p in own(rnn).values()])
    changed = copy.copy(rnn.cell.circuit)
    changed.ansatz = copy.copy(changed.ansatz)
    object.__setattr__(
        changed.ansatz,
        "apply",
        lambda angles, wires: queue(torch.as_tensor(angles), w, list(wires)),
    )
    cell = type("Cell", (), {**vars(rnn.cell), "circuit": changed})()
    cell.controller, cell.quantum = rnn.cell.controller, rnn.cell.quantum
    return reference.run(cell, inputs())[0]


def z_of(rnn, dtype=DOUBLE):
    with torch.no_grad():
        return rnn(inputs(dtype))[0].numpy()


@pytest.mark.parametrize("queue", [gates, scaled])
@pytest.mark.parametrize("kind", KINDS)
def test_weights_are_parameters_under_their_names_and_the_circuit_follows_them(kind, queue):
    build, names = KINDS[kind]
    rnn = network(build(queue))
    assert [name.removeprefix("cells.0.ansatz.") for name in own(rnn)] == names
    np.testing.assert_allclose(z_of(rnn), expected(rnn, queue), atol=1e-12)
    before = z_of(rnn)
    with torch.no_grad():
        for p in own(rnn).values():
            p += 1.0
    np.testing.assert_allclose(z_of(rnn), expected(rnn, queue), atol=1e-12)
    assert abs(z_of(rnn) - before).max() > 0.1


@pytest.mark.parametrize("queue", [gates, scaled])
@pytest.mark.parametrize(("device", "options"), DEVICES)
def test_values_and_gradients_are_right_on_every_device(device, options, queue):
    rnn = network(by_closure(queue), device=device).to(DOUBLE).on(device, **options)
    with torch.no_grad():
        for p in own(rnn).values():
            p += 0.4
    np.testing.assert_allclose(z_of(rnn), expected(rnn, queue), atol=1e-10)
    names, values = zip(*rnn.named_parameters(), strict=True)

    def function(*values):
        return functional_call(rnn, dict(zip(names, values, strict=True)), (inputs(),))[0]

    assert torch.autograd.gradcheck(function, values, fast_mode=True)
    rnn(inputs())[0].square().sum().backward()
    assert all(p.grad.abs().min() > 1e-4 for p in own(rnn).values())


def test_an_open_loop_on_a_replayed_device_follows_the_weights():
    rnn = network(by_closure(scaled))
    with torch.no_grad():
        next(iter(own(rnn).values())).add_(0.4)
    controls = torch.rand(2, 3, 2, dtype=DOUBLE)
    there = rnn.on("default.qubit", strategy="replayed").cell.memory.run(controls)
    torch.testing.assert_close(there, rnn.cell.memory.run(controls).detach())


def test_whole_sequences_in_float32_follow_the_weights_and_train_them():
    rnn = network(by_closure(gates), torch.float32)
    assert rnn.cell.circuit.affine() is not None
    optimizer = torch.optim.SGD(rnn.parameters(), lr=0.3)
    for _ in range(3):
        optimizer.zero_grad()
        rnn(inputs(torch.float32))[0].sum().backward()
        slow = rnn.on("default.qubit")(inputs(torch.float32))[0].sum()
        (w,) = own(rnn).values()
        torch.testing.assert_close(torch.autograd.grad(slow, w)[0], w.grad, rtol=1e-4, atol=1e-5)
        optimizer.step()
    np.testing.assert_allclose(z_of(rnn, torch.float32), expected(rnn, gates), atol=2e-6)


@pytest.mark.parametrize("assign", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_a_saved_state_brings_the_weights_back(kind, assign):
    build, _ = KINDS[kind]
    there, here = network(build(gates)), network(build(gates), seed=2)
    assert own(there)
    with torch.no_grad():
        for p in own(there).values():
            p += 0.9
    here.load_state_dict(copy.deepcopy(there.state_dict()), assign=assign)
    np.testing.assert_allclose(z_of(here), z_of(there), atol=1e-14)


@pytest.mark.parametrize("queue", [gates, scaled])
@pytest.mark.parametrize("kind", KINDS)
def test_a_deep_copy_has_weights_of_its_own(kind, queue):
    build, _ = KINDS[kind]
    rnn = network(build(queue))
    before, twin = z_of(rnn), copy.deepcopy(rnn)
    with torch.no_grad():
        for p in own(twin).values():
            p += 1.0
    np.testing.assert_array_equal(z_of(rnn), before)
    np.testing.assert_allclose(z_of(twin), expected(twin, queue), atol=1e-12)
    twin.on("lightning.qubit")(inputs())[0].sum().backward()
    assert all(p.grad is not None for p in own(twin).values())
    assert all(p.grad is None for p in own(rnn).values())


def test_a_pickled_network_keeps_weights_that_can_be_pickled():
    rnn = network(by_partial(gates))
    with torch.no_grad():
        next(iter(own(rnn).values())).add_(1.0)
    file = io.BytesIO()
    torch.save(rnn, file)
    file.seek(0)
    np.testing.assert_allclose(z_of(torch.load(file, weights_only=False)), z_of(rnn), atol=1e-14)


def test_a_function_in_several_cells_has_one_set_of_weights():
    rnn = network(by_closure(gates), num_layers=2, bidirectional=True)
    held = [p for name, p in rnn.named_parameters(remove_duplicate=False) if "ansatz" in name]
    assert len(held) == 4
    assert all(p is held[0] for p in held)
    assert rnn.on("default.qubit").cell.ansatz.w is held[0]


class Whole(nn.Module):
    """A model that holds both the network and the weights that its method uses."""

    def __init__(self):
        super().__init__()
        self.w = nn.Parameter(torch.tensor([0.3, -0.7]))
        self.rnn = network(self.circuit)

    def circuit(self, angles, wires):
        gates(angles, self.w, wires)


def test_a_models_method_can_be_the_ansatz_of_its_own_network():
    model = Whole()
    assert model.rnn.cell.ansatz.w is model.w
    twin = copy.deepcopy(model)
    with torch.no_grad():
        twin.w += 1.0
    assert twin.rnn.cell.ansatz.w is twin.w
    np.testing.assert_allclose(z_of(twin.rnn), expected(twin.rnn, gates), atol=1e-12)
    assert abs(z_of(twin.rnn) - z_of(model.rnn)).max() > 0.1


class Encoder(nn.Module):
    """A module with a linear layer, a frozen parameter and a buffer before the gates."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(2, 2)
        self.frozen = nn.Parameter(torch.tensor(0.2), requires_grad=False)
        self.register_buffer("shift", torch.tensor(0.1))
        self.unused = nn.Linear(3, 3)

    def forward(self, angles, wires):
        turns = self.layer(angles)
        qml.RY(turns[0] + self.shift, wires[0])
        qml.RX(turns[1], wires[1])
        qml.RZ(self.frozen, wires[1])
        qml.CNOT(wires)


@pytest.mark.parametrize("dtype", [torch.float32, DOUBLE])
def test_layers_buffers_and_frozen_parameters_of_a_module_are_followed(dtype):
    torch.manual_seed(0)
    module = Encoder()
    rnn = network(module, dtype)
    names = {name for name in rnn.state_dict() if name.startswith("cells.0.ansatz")}
    parts = ("layer.weight", "layer.bias", "frozen", "shift")
    assert names == {f"cells.0.ansatz.{part}" for part in parts}
    state = {name: value + 0.5 for name, value in rnn.state_dict().items()}
    twin = network(Encoder(), dtype)
    twin.load_state_dict(state)
    other = rnn.on("default.qubit")
    rnn.load_state_dict(state)
    assert abs(z_of(twin, dtype) - z_of(rnn, dtype)).max() == 0
    np.testing.assert_allclose(z_of(other, dtype), z_of(rnn, dtype), atol=1e-5)
    rnn.cell.draw(theta=[0.1, 0.2])  # in float64, whatever the cell's dtype


class Turned(nn.Module):
    """Gates with a buffer and a parameter in a child, affine in them or not."""

    def __init__(self, affine):
        super().__init__()
        self.affine = affine
        self.register_buffer("shift", torch.tensor(0.5))
        self.inner = nn.ParameterDict({"turn": nn.Parameter(torch.tensor(0.25))})

    def forward(self, angles, wires):
        a = angles + self.inner.turn
        qml.RY(a[0] + self.shift if self.affine else a[0] * self.shift, wires[0])
        qml.RY(a[1], wires[1])


@pytest.mark.parametrize("device", ["fused", "default.qubit", "lightning.qubit"])
@pytest.mark.parametrize("affine", [True, False])
@pytest.mark.parametrize("name", ["shift", "turn"])
def test_a_tensor_that_is_assigned_anew_is_refused_and_one_changed_in_place_is_followed(
    name, affine, device
):
    module = Turned(affine)
    rnn = network(module, torch.float32).on(device)
    before = z_of(rnn, torch.float32)
    owner = module if name == "shift" else module.inner
    with torch.no_grad():
        getattr(owner, name).add_(1.0)
    assert abs(z_of(rnn, torch.float32) - before).max() > 0.01
    old = getattr(owner, name)
    setattr(owner, name, type(old)(old.detach().clone()))
    with pytest.raises(ConfigError, match=rf"must keep the tensors .*'{name}' was assigned anew"):
        z_of(rnn, torch.float32)


@pytest.mark.parametrize("affine", [True, False])
def test_tensors_that_torch_replaces_in_the_module_and_the_cell_are_followed(affine):
    module = Turned(affine)
    both = nn.ModuleDict({"module": module, "rnn": network(module)})
    x = inputs()
    z = both.rnn(x)[0]
    replaced = {name: value.clone() for name, value in both.state_dict().items()}
    torch.testing.assert_close(functional_call(both.rnn, part(replaced), (x,))[0], z)
    torch.testing.assert_close(both.float().double().rnn(x)[0], z)
    both.load_state_dict(replaced, assign=True)
    torch.testing.assert_close(both.rnn(x)[0], z)
    torch.testing.assert_close(copy.deepcopy(both).rnn(x)[0], z)


def part(state):
    """Return the entries of a state dict that are those of `rnn`."""
    return {name[4:]: value for name, value in state.items() if name.startswith("rnn.")}


def test_drawings_and_circuits_for_others_show_the_weights_as_they_are():
    from qrnn.export import source, tape

    w = nn.Parameter(torch.tensor([0.3, -0.7]))
    own_gate = nn.Parameter(torch.tensor(0.25))

    def function(angles, wires):
        gates(angles, w, wires)
        qml.RZ(own_gate, wires[0])

    rnn = copy.deepcopy(network(function))
    with torch.no_grad():
        rnn.cell.ansatz.w.fill_(0.625)
        rnn.cell.ansatz.own_gate.fill_(0.875)
    for shown in (rnn.cell.draw(theta=[0.0, 0.0], decimals=3), source(rnn.cell, [0.0, 0.0])):
        assert "0.625" in shown
        assert "1.25" in shown
        assert "0.875" in shown
    assert tape(rnn.cell, [0.0, 0.0]).operations[-1].data[0].item() == 0.875
    assert rnn.cell.specs()["gate_types"]["RX"] == 1


def reads(angles, w, wires):
    qml.RY(angles[0], wires[0])
    qml.RX(angles[1] * float(w[0]), wires[1])


def stale():
    w = nn.Parameter(torch.ones(2))
    v = 2 * w
    return lambda angles, wires: gates(angles, v, wires)


def no_parameter():
    w = torch.ones(2, requires_grad=True)
    return lambda angles, wires: gates(angles, w, wires)


REFUSED = {
    "the value of a weight": (
        lambda: by_closure(reads),
        r"reads the value of an angle or a weight \(__float__\)",
    ),
    "a tensor computed outside": (
        stale,
        "must compute with its parameters inside the function",
    ),
    "a tensor that is no parameter": (no_parameter, "must hold its weights as torch.nn.Parameter"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_could_not_be_followed_is_refused_in_one_line(case):
    build, message = REFUSED[case]
    with pytest.raises(ConfigError, match=message) as caught:
        network(build())
    assert "\n" not in str(caught.value)
