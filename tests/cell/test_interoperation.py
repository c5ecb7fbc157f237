"""QRNN among what torch and Lightning users have around it: modules, loaders, copies, weights."""

import copy
import pickle
import re
import runpy
from types import MethodType

import numpy as np
import pytest
import torch
from torch import nn
from torch.func import functional_call
from torch.nn.utils import clip_grad_norm_, parametrizations, parametrize, prune
from torch.nn.utils.rnn import pack_sequence
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from torch.utils.data import DataLoader

from helpers import reference
from helpers.documents import blocks, difference
from helpers.paths import ROOT
from helpers.problems import D, inputs, network
from qrnn import QRNN, ConfigError, Controller
from qrnn.cell.on_device import on_device
from qrnn.devices import open_device

DEVICES = ["fused", "default.qubit", "lightning.qubit", "default.qubit replayed"]
SAME = {"rtol": 0, "atol": 0}
CLOSE = {"rtol": 0, "atol": 1e-5}


def on(rnn, label):
    name, _, strategy = label.partition(" ")
    return rnn.on(name, strategy=strategy or None)


class Model(nn.Module):
    """A user's module."""

    def __init__(self, **options):
        super().__init__()
        self.embed = nn.Linear(D, 3)
        self.rnn = QRNN(3, 2, width=4, bias_range=2.0, **options)
        self.head = nn.Linear(self.rnn.output_size, 2)

    @torch.compiler.disable
    def recur(self, x):
        return self.rnn(x)

    def forward(self, x):
        _, state = self.recur(self.embed(x).relu())
        return self.head(state.z)


@pytest.mark.parametrize("name", ["own_module", "lightning_module"])
def test_the_examples_print_what_the_page_shows(name, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    runpy.run_path(str(ROOT / "examples" / f"{name}.py"), run_name="__main__")
    printed = capsys.readouterr().out.splitlines()
    assert all(float(re.search(r"([\d.]+)%", line)[1]) > 85 for line in printed)
    (block,) = [b for b in blocks(ROOT / "docs" / "interoperation.md") if f"{name}.py" in b.code]
    assert difference(block.output, "\n".join(printed)) is None


def pack(items):
    return pack_sequence(items, enforce_sorted=False)


def test_a_loader_process_packs_sequences_after_the_kernels_have_run():
    sequences = [torch.randn(steps, D) for steps in (3, 1, 5, 2)]
    rnn = network()
    alone = torch.cat([rnn(x)[1].z for x in (one[:, None] for one in sequences)])
    loader = DataLoader(
        sequences, 2, collate_fn=pack, num_workers=1, timeout=60, multiprocessing_context="fork"
    )
    packed = torch.cat([rnn(x)[1].z for x in loader])
    torch.testing.assert_close(packed, alone, **CLOSE)


@pytest.mark.parametrize("meta", [False, True])
def test_the_state_dict_alone_carries_a_model(meta, tmp_path):
    options = {"num_layers": 2, "bidirectional": True}
    model, x = Model(**options), inputs()
    torch.save(model.state_dict(), tmp_path / "model.pt")
    weights = torch.load(tmp_path / "model.pt", weights_only=True)
    with torch.device("meta" if meta else "cpu"):  # as large models are built
        fresh = Model(**options)
    assert {p.device.type for p in fresh.parameters()} == {"meta" if meta else "cpu"}
    fresh.load_state_dict(weights, assign=meta)
    torch.testing.assert_close(fresh(x), model(x), **SAME)
    fresh.rnn = fresh.rnn.on("lightning.qubit")
    torch.testing.assert_close(fresh(x), model(x), **CLOSE)
    del weights["rnn.cells.3.quantum.bias"]
    with pytest.raises(RuntimeError, match=r'Missing key.*"rnn\.cells\.3\.quantum\.bias"'):
        fresh.load_state_dict(weights)


@pytest.mark.parametrize("how", [copy.deepcopy, lambda rnn: pickle.loads(pickle.dumps(rnn))])
@pytest.mark.parametrize("label", [*DEVICES, "lightning.qubit replayed"])
def test_copies_are_equal_and_independent(label, how):
    rnn, x = on(network(), label).eval(), inputs()
    rnn.cell.quantum.bias.requires_grad_(False)
    other = how(rnn)
    z, _ = rnn(x)
    torch.testing.assert_close(other(x)[0], z, **SAME)
    assert [p.requires_grad for p in other.parameters()] == [
        p.requires_grad for p in rnn.parameters()
    ]
    assert not any(module.training for module in other.modules())
    other.requires_grad_()(x)[0].sum().backward()
    assert all(p.grad is not None for p in other.parameters())
    assert all(p.grad is None for p in rnn.parameters())
    with torch.no_grad():
        other.cell.quantum.bias.add_(0.5)
    torch.testing.assert_close(rnn(x)[0], z, **SAME)
    assert (other(x)[0] - z).abs().max() > 0.01


@pytest.mark.parametrize("label", DEVICES)
def test_weights_from_outside_stand_in_for_the_modules_own(label):
    rnn, x = on(network(), label), inputs()
    before, _ = rnn(x)
    weights = {name: (p * 0.7 + 0.1).detach() for name, p in rnn.named_parameters()}
    changed = network()
    changed.load_state_dict(weights)
    expected, _ = reference.run(changed.cell, x)
    z, _ = functional_call(rnn, {k: w.requires_grad_() for k, w in weights.items()}, (x,))
    np.testing.assert_allclose(z.detach(), expected, **CLOSE)
    z.sum().backward()
    assert all(p.grad is not None for p in weights.values())
    torch.testing.assert_close(rnn(x)[0], before, **SAME)
    rnn.load_state_dict(weights, assign=True)
    np.testing.assert_allclose(rnn(x)[0].detach(), expected, **CLOSE)


class Bounded(nn.Module):
    def forward(self, raw):
        return torch.tanh(raw)


@pytest.mark.parametrize("label", DEVICES)
def test_parametrized_weights_are_those_that_run(label):
    rnn, x = on(network(), label), inputs()
    parametrize.register_parametrization(rnn.cell.quantum, "bias", Bounded())
    parametrizations.orthogonal(rnn.cell.controller[0])
    plain = network()
    with torch.no_grad():
        plain.cell.quantum.bias.tanh_()
        plain.cell.controller[0].weight.copy_(rnn.cell.controller[0].weight)
    expected, _ = reference.run(plain.cell, x)
    for module in (rnn, copy.deepcopy(rnn), rnn.on("fused"), rnn.on("default.qubit")):
        z, _ = module(x)
        np.testing.assert_allclose(z.detach(), expected, **CLOSE)
    z.sum().backward()
    assert all(p.grad is not None for p in rnn.parameters())


def test_moving_clones_a_module_of_two_names_once_and_calls_no_method_of_a_user():
    class Named(nn.Module):
        def __init__(self):
            super().__init__()
            self.rnn = self.alias = network()

        def use(self, device):
            raise AssertionError("a method of the user's")

    moved = on_device(Named(), open_device("default.qubit"))
    assert moved.alias is moved.rnn
    assert moved.alias.cell.device.name == "default.qubit"


HOOKS = ["forward", "forward_pre", "full_backward", "full_backward_pre", "state_dict_pre"]


@pytest.mark.parametrize("kind", HOOKS)
def test_a_hook_on_a_copy_is_on_the_copy_alone_and_one_from_before_on_both(kind):
    rnn, x, before, after = network(), inputs().requires_grad_(), [], []
    getattr(rnn.cell, f"register_{kind}_hook")(lambda *_: before.append(1))
    copied = rnn.on("default.qubit")
    handle = getattr(copied.cell, f"register_{kind}_hook")(lambda *_: after.append(1))

    def calls(module):
        before.clear(), after.clear()
        module.state_dict()
        module(x)[0].sum().backward()
        return len(before), len(after)

    n = 1 if kind == "state_dict_pre" else len(x)
    assert calls(rnn) == (n, 0)
    assert calls(copied) == (n, n)
    handle.remove()
    assert calls(copied) == (n, 0)


@pytest.mark.parametrize("persistent", [False, True])
def test_a_buffer_of_a_copy_is_not_the_originals(persistent):
    rnn = network()
    rnn.register_buffer("seen", torch.zeros(1))
    copied = rnn.on("default.qubit")
    copied.register_buffer("seen", torch.ones(1), persistent=persistent)
    copied.register_buffer("mine", torch.ones(1))
    assert [name for name, _ in rnn.named_buffers()] == ["seen"]
    assert rnn.state_dict()["seen"] == 0
    assert ("seen" in copied.state_dict()) == persistent


@pytest.mark.parametrize("label", [*DEVICES, "default.mixed"])
def test_the_state_of_a_stream_can_be_saved_and_gone_on_from(label, tmp_path):
    rnn, x = on(network(num_layers=2), label), inputs()
    _, state = rnn(x[:2])
    torch.save(state.detach(), tmp_path / "state.pt")
    expected = rnn(x[2:], state)[0]
    for saved in (
        torch.load(tmp_path / "state.pt", weights_only=False),
        copy.deepcopy(state.detach()),
        pickle.loads(pickle.dumps(state)),
    ):
        torch.testing.assert_close(rnn(x[2:], saved)[0], expected, **SAME)
        torch.testing.assert_close(rnn(x[2:], saved.detach())[0], expected, **SAME)
        if "replayed" not in label:
            for one, other in zip(saved.cells, state.cells, strict=True):
                torch.testing.assert_close(one.amplitudes(), other.amplitudes(), **SAME)


def test_averages_follow_the_weights_and_clipping_sees_all_of_them():
    model, x = Model(), inputs()
    averaged = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(0.75))
    optimizer = torch.optim.SGD(model.parameters(), lr=1.0)
    expected = None
    for _ in range(3):
        averaged.update_parameters(model)
        now = {name: p.detach().clone() for name, p in model.named_parameters()}
        expected = (
            now
            if expected is None
            else {name: 0.75 * expected[name] + 0.25 * now[name] for name in now}
        )
        optimizer.zero_grad()
        (100 * model(x).square().sum()).backward()
        clip_grad_norm_(model.parameters(), 0.5)
        norm = torch.stack([p.grad.norm() for p in model.parameters()]).norm()
        assert norm.item() == pytest.approx(0.5, rel=1e-4)
        optimizer.step()
    assert (averaged(x) - model(x)).abs().max() > 0.01
    torch.testing.assert_close(averaged(x), functional_call(model, expected, (x,)), **CLOSE)


class Doubled(nn.Linear):
    """A layer of a user's with another forward, as adapters have."""

    def forward(self, x):
        return 2 * super().forward(x)


def patched(layer):
    layer.forward = MethodType(lambda self, x: nn.Linear.forward(self, x) + 1, layer)
    return layer


def doubled_angles(controller):
    controller.forward = MethodType(lambda self, x: 2 * Controller.forward(self, x), controller)


def put(index, make):
    """Return a change of a controller: what is made of a layer takes its place."""

    def change(controller):
        controller[index] = make(controller[index])

    return change


CHANGED = {
    "a layer of another class": put(0, lambda layer: Doubled(*layer.weight.shape[::-1])),
    "no bias": put(0, lambda layer: nn.Linear(*layer.weight.shape[::-1], bias=False)),
    "a forward on the layer": put(0, patched),
    "a forward on the controller": doubled_angles,
    "another activation": put(1, lambda layer: nn.Tanh()),
    "another option of the activation": put(1, lambda layer: nn.GELU("tanh")),
    "one activation of two": put(3, lambda layer: nn.ReLU()),
    "no activation": put(1, lambda layer: nn.Dropout(0.5).eval()),
    "one more activation": lambda controller: controller.append(nn.GELU()),
    "two layers in the place of one": put(
        2, lambda layer: nn.Sequential(nn.Linear(6, 5), nn.Linear(5, 6))
    ),
}


@pytest.mark.parametrize("change", CHANGED)
def test_layers_that_a_user_puts_in_the_controller_are_those_that_run(change):
    rnn, x = network(depth=2), inputs()
    with torch.no_grad():
        before, _ = rnn(x)
        CHANGED[change](rnn.cell.controller)
        z, _ = rnn(x)
    np.testing.assert_allclose(z, reference.run(rnn.cell, x)[0], **CLOSE)
    assert (z - before).abs().max() > 1e-4
    assert type(rnn.cell.controller) is Controller


def test_a_forward_of_the_cell_that_a_user_replaces_runs_at_each_step():
    rnn, x = network(), inputs()
    before, own = rnn(x)[0], rnn.cell.forward

    def forward(x, state=None, active=None):
        z, state = own(x, state, active)
        return -z, state

    rnn.cell.forward = forward
    torch.testing.assert_close(rnn(x)[0], -before, **CLOSE)


@pytest.mark.parametrize("label", DEVICES)
def test_hooks_that_no_device_would_call_are_refused(label):
    rnn = on(network(), label)
    prune.l1_unstructured(rnn.cell.quantum, "bias", amount=0.5)
    with pytest.raises(ConfigError, match=r"cell\.quantum must be without hooks") as caught:
        rnn(inputs())
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("label", DEVICES)
def test_the_circuit_keeps_its_precision_under_autocast(label):
    rnn, x = on(network(), label), inputs()
    z, _ = rnn(x)
    _, state = rnn.cell(x[0])
    step, _ = rnn.cell(x=x[1], state=state)
    torch.testing.assert_close(step, z[1], **CLOSE)
    with torch.autocast("cpu", torch.bfloat16):
        torch.testing.assert_close(rnn(x)[0], z, **SAME)
        torch.testing.assert_close(rnn.cell(x=x[1], state=state)[0], step, **SAME)
        half = nn.Identity()(x.bfloat16())  # what a layer in front of the network gives
        found, _ = rnn(half)
    torch.testing.assert_close(found, rnn(half.float())[0], **SAME)


def test_the_module_around_the_network_can_be_compiled():
    model, x = Model(), inputs()
    compiled = torch.compile(model, backend="aot_eager")
    torch.testing.assert_close(compiled(x), model(x), **CLOSE)
    compiled(x).sum().backward()
    found = [p.grad.clone() for p in model.parameters()]
    model.zero_grad()
    model(x).sum().backward()
    torch.testing.assert_close(found, [p.grad for p in model.parameters()], **CLOSE)
