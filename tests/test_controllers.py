"""Controllers: shapes, initialisation, dropout and what is refused."""

import pytest
import torch
from torch import nn

from helpers.problems import D, inputs, network
from qrnn import ConfigError, Controller
from qrnn.controllers import ACTIVATIONS


@pytest.mark.parametrize("kind", ACTIVATIONS)
@pytest.mark.parametrize("depth", [0, 1, 3])
def test_every_kind_maps_inputs_and_readouts_to_angles(kind, depth):
    controller = Controller(2, 5, 7, kind=kind, width=4, depth=depth)
    assert controller(torch.randn(3, 7)).shape == (3, 7)
    linear = [module for module in controller if isinstance(module, nn.Linear)]
    assert len(linear) == depth + 1
    hidden = [module for module in controller if isinstance(module, ACTIVATIONS[kind])]
    assert len(hidden) == depth
    assert all(layer.out_features == (8 if kind == "glu" else 4) for layer in linear[:-1])


def test_a_linear_controller_is_linear_and_the_others_are_not():
    x = torch.randn(64, 7)
    for kind in ACTIVATIONS:
        controller = Controller(2, 5, 3, kind=kind, width=8)
        bend = controller(x) + controller(-x) - 2 * controller(torch.zeros(1, 7))
        assert (bend.abs().max() < 1e-6) == (kind == "linear"), kind


@pytest.mark.parametrize("depth", [0, 2])
def test_the_output_layer_and_the_feedback_start_small(depth):
    torch.manual_seed(0)
    controller = Controller(2, 5, 7, width=32, depth=depth)
    first, last = controller[0], controller[-1]
    assert (last.bias == 0).all()
    bound = last.in_features**-0.5
    assert last.weight[:, : 2 if depth == 0 else None].abs().max() <= 0.1 * bound
    assert first.weight[:, 2:].abs().max() <= 0.1 * first.weight.shape[1] ** -0.5
    assert first.weight[:, :2].abs().max() > first.weight[:, 2:].abs().max()


def test_dropout_acts_in_training_and_not_in_evaluation():
    controller = Controller(2, 5, 7, dropout=0.5)
    x = torch.randn(4, 7)
    assert not torch.equal(controller(x), controller(x))
    controller.eval()
    assert torch.equal(controller(x), controller(x))
    assert not any(isinstance(m, nn.Dropout) for m in Controller(2, 5, 7))


@pytest.mark.parametrize("kind", ACTIVATIONS)
def test_every_kind_drives_the_network_to_other_readouts(kind):
    with torch.no_grad():
        z, _ = network(controller=kind)(inputs())
        other, _ = network(controller="relu" if kind != "relu" else "gelu")(inputs())
    assert (z - other).abs().max() > 0.05


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"kind": "tanh"}, "controller 'tanh' is not known.*Allowed: gelu, glu, linear, relu"),
        ({"width": 0}, "width must be at least 1, got 0"),
        ({"depth": -1}, "depth must be at least 0, got -1"),
        ({"dropout": 1.0}, r"dropout must be in \[0, 1\), got 1.0"),
        ({"dropout": -0.1}, r"dropout must be in \[0, 1\), got -0.1"),
    ],
)
def test_an_option_out_of_range_is_refused(options, message):
    with pytest.raises(ConfigError, match=message):
        Controller(D, 5, 7, **options)
