"""The definition of the quantum-neuron cell: its neurons, their controls and parameters."""

from itertools import combinations
from math import comb

import pytest
import torch

import qrnn
from qrnn.errors import ConfigError
from qrnn.neurons import Definition, QuantumNeuronCell


@pytest.mark.parametrize(
    "sizes", [(5, 3, 1, 3), (1, 1, 0, 1), (2, 3, 0, 2), (4, 1, 3, 2), (8, 2, 2, 2), (1, 2, 2, 5)]
)
def test_the_count_is_the_formula_and_that_of_the_module(sizes):
    w, io, stages, degree = sizes
    cell = QuantumNeuronCell(w, io, stages=stages, degree=degree)
    subsets = sum(comb(w + io - 1, j) for j in range(1, degree + 1))
    formula = (w * (1 + stages) + io) * (1 + subsets) + stages * w
    assert sum(p.numel() for p in cell.parameters()) == formula == cell.definition.n_parameters


def test_the_papers_cell_has_837_parameters():
    cell = QuantumNeuronCell(5, 3, stages=1, degree=3)
    assert sum(p.numel() for p in cell.parameters()) == 837
    shapes = {name: tuple(p.shape) for name, p in cell.named_parameters()}
    assert shapes == {"theta": (13,), "phi": (13, 63), "rotation": (1, 5)}
    assert list(cell.state_dict()) == ["theta", "phi", "rotation"]


@pytest.mark.parametrize("degree", [1, 2, 3, 9])
def test_the_subset_matrix_multiplies_control_bits(degree):
    definition = Definition(3, 2, degree=degree)
    matrix = definition.subset_matrix()
    subsets = [s for j in range(1, degree + 1) for s in combinations(range(4), j)]
    assert definition.subsets == subsets
    assert matrix.shape == (len(subsets), 16)
    for string in range(16):
        bits = [int(b) for b in f"{string:04b}"]
        expected = [float(all(bits[i] for i in subset)) for subset in subsets]
        assert matrix[:, string].tolist() == expected


def test_neurons_go_stage_by_stage_and_see_all_other_qubits():
    definition = Definition(2, 2, stages=2)
    work = [[tuple(neuron) for neuron in layer] for layer in definition.work_layers]
    assert work == [[(0, 2), (1, 3)], [(2, 2), (3, 3)], [(4, 2), (5, 3)]]
    assert [tuple(neuron) for neuron in definition.output_layer] == [(6, 0), (7, 1)]
    assert definition.controls(2) == [0, 1, 3]
    assert list(definition.ancillas) == [4, 5]
    assert definition.bits(2) == [1, 0]


def test_weights_start_as_in_the_paper():
    weights = Definition(8, 4, stages=40, degree=3).start_weights()
    for value, std in ((weights.theta, 0.1), (weights.phi, 0.01), (weights.rotation, 0.1)):
        assert value.std() == pytest.approx(std, rel=0.2)
        assert abs(value.mean()) < 0.2 * std


def test_theta_mean_moves_theta_alone():
    there = QuantumNeuronCell(8, 4, stages=40, degree=1, theta_mean=-1.0)
    assert there.theta.mean().item() == pytest.approx(-1, abs=0.02)
    assert there.theta.std().item() == pytest.approx(0.1, rel=0.2)
    assert abs(there.phi.mean().item()) < 0.002
    assert abs(there.rotation.mean().item()) < 0.02


@pytest.mark.parametrize(
    ("name", "value"),
    [("workspace", 0), ("in_out", 0), ("stages", -1), ("order", 0), ("degree", 0)],
)
def test_sizes_below_their_minimum_are_refused(name, value):
    sizes = {"workspace": 2, "in_out": 1, name: value}
    with pytest.raises(ConfigError, match=f"{name} must be at least {value + 1}, got {value}"):
        QuantumNeuronCell(**sizes)


def test_the_cell_is_a_public_name():
    assert qrnn.QuantumNeuronCell is QuantumNeuronCell


def test_every_weight_gets_a_gradient_but_those_that_a_zero_controls():
    """The output neurons go one after the other: the first sees the other in/out qubits in 0."""
    cell = QuantumNeuronCell(2, 2, stages=1, order=2, degree=3)
    x, targets = torch.randint(4, (2, 5, 16))
    log_p, _ = cell.sequence(x, targets=targets)
    log_p.gather(2, targets[..., None]).sum().backward()
    assert (cell.theta.grad != 0).all()
    assert (cell.rotation.grad != 0).all()
    dead = torch.zeros(6, len(cell.definition.subsets), dtype=torch.bool)
    dead[4] = torch.tensor([0 in subset for subset in cell.definition.subsets])  # in/out 1
    assert torch.equal(cell.phi.grad == 0, dead)
