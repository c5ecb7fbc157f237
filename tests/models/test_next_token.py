"""Quantum neurons as a model by config: what they are projected on, sampling, the command line."""

import itertools
import json
import sys
from pathlib import Path

import pytest
import torch

from helpers.slow import slow_but
from qrnn import ConfigError, QuantumNeuronRNN
from qrnn.cli import main
from qrnn.config import TrainConfig
from qrnn.data import IGNORED, Batch, ElmanXorConfig, Shape
from qrnn.devices import DeviceOptions
from qrnn.models.build import build_model
from qrnn.models.next_token import NextToken, next_tokens
from qrnn.networks import NETWORKS, QuantumNeuronConfig, n_parameters, solve_width

DOUBLE = torch.float64
_ = IGNORED


@pytest.fixture
def model():
    torch.manual_seed(0)
    rnn = QuantumNeuronRNN(2, 1, order=1, degree=2, batch_first=True).to(DOUBLE)
    with torch.no_grad():
        for p in rnn.parameters():
            p.uniform_(-1, 1)
    return NextToken(rnn)


def test_outputs_are_projected_on_labels_and_elsewhere_on_the_next_input():
    x = torch.tensor([[0, 1, 1, 0], [1, 1, 0, 0]])
    y = torch.tensor([[_, 3, _, 2], [2, _, 1, _]])
    batch = Batch(x, y, torch.tensor([4, 3]))
    assert next_tokens(batch).tolist() == [[1, 3, 0, 2], [2, 0, 1, 0]]
    assert next_tokens(Batch(x[:1], y[:1])).tolist() == [[1, 3, 0, 2]]
    for lengths in (torch.tensor([4, 2]), None):
        with pytest.raises(ConfigError, match="must have a label at each sequence's last step"):
            next_tokens(Batch(x, y, lengths))


def test_the_likelihoods_of_all_sequences_add_up_to_one(model):
    tokens = torch.tensor([(1, *rest) for rest in itertools.product((0, 1), repeat=4)])
    batch = Batch(tokens[:, :-1], tokens[:, 1:])
    answer = model.answer(batch)
    losses = torch.nn.functional.cross_entropy(
        answer.logits.flatten(0, 1), batch.y.flatten(), reduction="none"
    ).reshape(16, 4)
    likelihood = (-losses.sum(1)).exp()
    assert likelihood.sum().item() == pytest.approx(1, abs=1e-12)
    assert likelihood.std() > 0.01
    assert torch.equal(answer.z, answer.logits.exp())

    # Sampling draws each of them as often as that.
    drawn = model.generate(
        torch.ones(20_000, 1, dtype=torch.long), 4, torch.Generator().manual_seed(0)
    )
    found = (drawn * torch.tensor([8, 4, 2, 1])).sum(1).bincount(minlength=16) / 20_000
    error = (likelihood * (1 - likelihood) / 20_000).sqrt()
    assert ((found - likelihood).abs() < 5 * error + 1e-9).all()


def test_a_start_is_read_before_anything_is_sampled(model):
    start = torch.tensor([[1, 0, 0]])
    first = model.generate(start.expand(20_000, -1), 1, torch.Generator().manual_seed(0))
    batch = Batch(start, torch.tensor([[0, 0, 1]]))
    p = model.answer(batch).z[0, -1, 1].item()
    assert first.double().mean().item() == pytest.approx(p, abs=5 * (p * (1 - p) / 20_000) ** 0.5)
    assert p != pytest.approx(model.answer(Batch(start[:, :1], start[:, 1:2])).z[0, 0, 1].item())


@pytest.mark.parametrize(("shape", "steps"), [((2, 0), 1), ((2,), 1), ((2, 1), 0)])
def test_sampling_needs_a_start_and_steps(model, shape, steps):
    with pytest.raises(ConfigError, match=r"start must have shape|steps must be at least 1, got 0"):
        model.generate(torch.zeros(shape, dtype=torch.long), steps)


def test_the_config_makes_as_many_in_out_qubits_as_the_tokens_need():
    def built(tokens, **options):
        return NETWORKS["quantum_neuron"].build(
            QuantumNeuronConfig(workspace=2, **options), tokens, DeviceOptions()
        )

    assert [built(tokens).output_size for tokens in (2, 3, 4, 5, 8)] == [2, 4, 4, 8, 8]
    assert built(4, in_out=3).output_size == 8
    assert (built(4, theta_mean=-1.0).cell.theta < -0.5).all()
    with pytest.raises(ConfigError, match=r"model\.in_out must be at least 3, for 5 tokens, got 2"):
        built(5, in_out=2)
    for wrong in ({"num_layers": 2}, {"bidirectional": True}):
        with pytest.raises(ConfigError, match="must have one layer in one direction"):
            built(4, **wrong)
    for wrong in ({"skip": True}, {"head_norm": True}, {"head_width": 3}, {"embedding": 5}):
        with pytest.raises(ConfigError, match=f"{next(iter(wrong))} must be left out with model q"):
            built(4, **wrong)


def test_a_budget_is_met_by_the_workspace():
    config = QuantumNeuronConfig(budget=840, degree=3)  # 837 in the paper: w5 io3 stages1
    solved = solve_width(config, 8, DeviceOptions())
    assert solved.workspace == 5
    net = NETWORKS["quantum_neuron"].build(solved, 8, DeviceOptions())
    assert n_parameters(net) == 837


@pytest.mark.parametrize("shape", [Shape("classify", 10, 8), Shape("classify", 2, 50, tokens=True)])
def test_tasks_of_other_kinds_are_refused(shape):
    with pytest.raises(ConfigError, match="must have a task of tokens with one label per step"):
        build_model(TrainConfig(ElmanXorConfig(), QuantumNeuronConfig()), shape)


@pytest.mark.parametrize("device", slow_but(["fused", "default.qubit"], "fused"))
def test_it_trains_and_is_evaluated_by_the_command_line(tmp_path, monkeypatch, device):
    monkeypatch.chdir(tmp_path)

    def call(*arguments):
        monkeypatch.setattr(sys, "argv", ["qrnn", *arguments])
        main()

    call(
        "train",
        "task=elman_xor",
        "task.length=9",
        "model=quantum_neuron",
        "model.workspace=2",
        "model.order=1",
        "model.degree=2",
        "task.n_train=64",
        "task.n_val=16",
        "task.n_test=4",
        "trainer.epochs=2",
        "trainer.progress=false",
        "hydra.run.dir=run",
    )
    summary = json.loads(Path("run/summary.json").read_text())
    assert summary["parameters"] == summary["all_parameters"] == (2 * 2 + 2) * (1 + 3 + 3) + 2
    call("evaluate", "checkpoint=run/best.ckpt", f"device={device}", "limit=2")
    (kept,) = Path("run").glob("evaluation-*.json")
    told = json.loads(kept.read_text())
    assert told["device"] == device
    assert told["agreement"] == 1
    assert told["rms_z"] < 1e-5
    assert 0 < told["loss"] < 3
