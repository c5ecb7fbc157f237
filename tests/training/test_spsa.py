"""SPSA: its gradients against exact ones, and training with them on simulators."""

import copy
from dataclasses import replace

import pytest
import torch

from helpers.small_runs import SMALL, config, losses, small_digits
from qrnn import QRNN, ConfigError
from qrnn.config import compose
from qrnn.data import Batch
from qrnn.devices import DeviceOptions
from qrnn.models.sequence import SequenceClassifier, SequenceLabeller
from qrnn.networks import NETWORKS
from qrnn.training.checkpoint import load_model, read_checkpoint, weights_of
from qrnn.training.run import fine_tuned
from qrnn.training.spsa import Spsa, gain, theta
from qrnn.training.trainer import train

LABELS = torch.tensor([0, 1, 1])


def model(kind=SequenceClassifier, device="fused", **options):
    torch.manual_seed(3)
    rnn = QRNN(2, 2, batch_first=True, layers=1, width=3, device=device, **options)
    embed = torch.nn.Embedding(5, 2)
    return kind(rnn, 2, embed, width=3).double()


def batch(lengths=None):
    torch.manual_seed(4)
    return Batch(torch.randint(5, (3, 4)), LABELS, lengths)


def mean_loss(model, batch):
    return model.objective.losses(model.answer(batch).logits, batch.y).mean()


def estimated(spsa, batch, step=0):
    """The mean loss of the copies, and the gradient of each weight."""
    many, logits = spsa.answer(batch, step)
    loss = spsa.loss(spsa.model.objective.losses(logits, many.y))
    loss.backward()
    found = {name: p.grad for name, p in spsa.model.named_parameters()}
    spsa.model.zero_grad(set_to_none=True)
    return loss.item(), found


@pytest.mark.parametrize("device", ["fused", DeviceOptions("default.qubit", strategy="replayed")])
@pytest.mark.parametrize("lengths", [None, torch.tensor([4, 2, 3])])
def test_the_copies_of_a_batch_give_what_each_gives_alone(device, lengths):
    """Spall's formula, and the head's exact gradient, from models that run one after the other."""
    whole, data = model(device=device).eval(), batch(lengths)
    spsa, step = Spsa(whole, 2, 0.1, seed=7), 3
    loss, found = estimated(spsa, data, step)
    size = 0.1 / (step + 1) ** 0.101
    expected = {name: torch.zeros_like(p) for name, p in whole.named_parameters()}
    values = []
    for m in range(2):
        for sign in (1, -1):
            one = copy.deepcopy(whole)
            with torch.no_grad():
                for name, p in theta(one).items():
                    p += sign * size * spsa.deltas[name][m]
            value = mean_loss(one, data)
            values.append(value.item())
            for name in theta(one):
                expected[name] += sign * value.item() / (2 * size * 2) * spsa.deltas[name][m]
            head = {f"head.{name}": p for name, p in one.head.named_parameters()}
            for name, g in zip(head, torch.autograd.grad(value, head.values()), strict=True):
                expected[name] += g / 4
    assert loss == pytest.approx(sum(values) / 4)
    assert found.keys() == expected.keys()
    for name, gradient in expected.items():
        torch.testing.assert_close(found[name], gradient, rtol=1e-6, atol=1e-9)


def test_the_mean_of_many_directions_is_the_gradient():
    whole, data = model().eval(), batch()
    _, found = estimated(Spsa(whole, 1000, 1e-3, seed=1), data)
    mean_loss(whole, data).backward()
    exact = torch.cat([p.grad.flatten() for p in theta(whole).values()])
    spsa = torch.cat([found[name].flatten() for name in theta(whole)])
    # The standard error of each entry is |g| / sqrt(1000), relative to the norm sqrt(d / 1000).
    assert (spsa - exact).norm() < 1.5 * (len(exact) / 1000) ** 0.5 * exact.norm()
    for name, p in whole.head.named_parameters():
        torch.testing.assert_close(found[f"head.{name}"], p.grad, rtol=1e-2, atol=1e-5)


def test_directions_depend_on_seed_and_step_alone():
    whole = model()
    torch.manual_seed(1)
    first = estimated(Spsa(whole, 2, 0.1, seed=7), batch(), 5)[1]["rnn.cells.0.quantum.bias"]
    torch.manual_seed(2)
    for seed, step, same in ((7, 5, True), (8, 5, False), (7, 6, False)):
        other = estimated(Spsa(whole, 2, 0.1, seed), batch(), step)[1]["rnn.cells.0.quantum.bias"]
        assert torch.equal(first, other) == same


def test_several_cells_and_labels_of_steps():
    whole = model(SequenceLabeller, num_layers=2, bidirectional=True)
    data = batch()._replace(y=torch.randint(2, (3, 4)))
    many, logits = Spsa(whole, 2, 0.1, seed=7).answer(data, 0)
    assert logits.shape == (12, 4, 2)
    assert torch.equal(many.y[3:6], data.y)


def test_the_gain_is_spalls():
    assert gain(0, 50) == 1
    assert gain(20, 50) == pytest.approx((6 / 26) ** 0.602)


SPSA = {"optimizer": "spsa", "schedule": "power", "epochs": 6, "lr": 0.02, "batch_size": 32}


def test_it_trains_on_a_simulator(tmp_path):
    data = small_digits()
    done = train(config(**SPSA), tmp_path / "a", data=data)
    assert losses(done.run_dir)[-1] < losses(done.run_dir)[0] - 0.05
    for key, value in (("perturbation", 0.2), ("directions", 2)):
        other = train(config(**SPSA | {"epochs": 1, key: value}), tmp_path / key, data=data)
        assert losses(other.run_dir) != losses(done.run_dir)[:1]


def test_a_resumed_run_has_the_numbers_of_an_uninterrupted_one(tmp_path):
    data = small_digits()
    options = {**SPSA, "schedule": "constant", "epochs": 2}
    whole = train(config(**options), tmp_path / "whole", data=data)
    train(config(**{**options, "epochs": 1}), tmp_path / "half", data=data)
    rest = replace(config(**options), resume=str(tmp_path / "half" / "last.ckpt"))
    assert losses(train(rest, tmp_path / "half", data=data).run_dir) == losses(whole.run_dir)


REFUSED = [
    (
        {"optimizer": "adam", "directions": 2},
        "trainer.directions must be left out with trainer.opt",
    ),
    ({"perturbation": 0.1}, "trainer.perturbation must be left out with trainer.optimizer=adamw"),
    ({"optimizer": "spsa", "directions": 0}, "trainer.directions must be at least 1"),
    ({"optimizer": "spsa", "perturbation": 0.0}, "trainer.perturbation must be positive"),
    ({"optimizer": "spsa", "baselines": ["gru"]}, "trainer.baselines must be left out with"),
    ({"optimizer": "spsa", "processes": 2}, "trainer.processes must be left out with"),
]


@pytest.mark.parametrize(("options", "message"), REFUSED)
def test_what_spsa_or_the_others_would_ignore_is_refused(options, message, tmp_path):
    with pytest.raises(ConfigError, match=message):
        train(config(**options), tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_model_without_circuits_needs_no_spsa(tmp_path):
    lstm = replace(config(optimizer="spsa"), model=NETWORKS["lstm"].schema(name="lstm"))
    with pytest.raises(ConfigError, match=r"must have a hybrid model .*: leave it out for exact"):
        train(lstm, tmp_path, data=small_digits())


# --- fine-tuning ----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def first(tmp_path_factory):
    return train(config(epochs=1), tmp_path_factory.mktemp("first"), data=small_digits())


def test_finetune_begins_with_the_weights_and_an_own_schedule(first, tmp_path):
    tiny = replace(config(epochs=1, lr=1e-12, weight_decay=0.0), finetune=str(first.best))
    done = train(tiny, tmp_path, data=small_digits())
    assert (done.epochs, done.steps) == (1, 5)
    before, after = (weights_of(read_checkpoint(one.best)) for one in (first, done))
    for name, value in before.items():
        torch.testing.assert_close(after[name], value, rtol=0, atol=1e-6)


def test_finetune_takes_task_and_model_of_the_checkpoint(first):
    line = [f"finetune='{first.best}'", "trainer=spsa", "device=fake_manila", "device.shots=64"]
    found = fine_tuned(compose("train", line), line)
    assert found.model == SMALL
    assert found.task.name == "digits"
    assert found.device == DeviceOptions("fake_manila", shots=64)
    assert (found.trainer.optimizer, found.trainer.schedule) == ("spsa", "power")
    line += ["model.width=9", "trainer.epochs=7"]
    found = fine_tuned(compose("train", line), line)
    assert (found.model, found.trainer.epochs) == (replace(SMALL, width=9), 7)
    assert fine_tuned(compose("train", line), [*line, "++model.width=9"]).model.width == 9
    with pytest.raises(ConfigError, match="experiment must be left out with finetune"):
        fine_tuned(compose("train", line), [*line, "+experiment=sunspots"])
    chosen = [*line, "model=hybrid"]
    assert fine_tuned(compose("train", chosen), chosen).model.n_qubits == 6


def test_a_chosen_trainer_has_the_last_word():
    assert compose("train", ["task=sequences"]).trainer.lr == 0.02  # its recipe
    assert compose("train", ["task=sequences", "trainer=spsa"]).trainer.lr == 1e-3


def test_finetune_must_keep_the_models_size(first, tmp_path):
    other = replace(config(), model=replace(SMALL, width=9), finetune=str(first.best))
    with pytest.raises(ConfigError, match=r"finetune must keep the model's size, but rnn\.cells"):
        train(other, tmp_path, data=small_digits())
    assert load_model(first.best)[0] is not None
    assert not list(tmp_path.iterdir())
