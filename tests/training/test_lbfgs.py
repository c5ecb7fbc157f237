"""L-BFGS: against a plain loop of torch's, and what is counted, drawn and saved around it."""

import random
from dataclasses import replace

import lightning.pytorch as pl
import numpy as np
import pytest
import torch

from helpers.small_runs import SMALL, config, losses
from qrnn import ConfigError, DataError, QRNNClassifier
from qrnn.config import compose
from qrnn.data import DigitsConfig, PtbConfig, Stream, TaskData, digits
from qrnn.training.checkpoint import read_checkpoint, weights_of
from qrnn.training.history import history
from qrnn.training.lbfgs import HISTORY, LBFGS
from qrnn.training.learner import Learner, TaskDataModule
from qrnn.training.trainer import train

STEP = {"optimizer": "lbfgs", "lr": 1.0, "weight_decay": 0.0, "clip": 100.0}
PLAIN = replace(SMALL, dropout=0.0)


def lbfgs(epochs=1, model=SMALL, **changes):
    return replace(config(epochs=epochs, **{**STEP, **changes}), model=model)


@pytest.fixture(scope="module")
def data():
    whole = digits(DigitsConfig())
    return replace(whole, train=whole.train.head(24), val=whole.val.head(8))


def test_a_training_is_a_plain_loop_of_torchs_optimiser(data, tmp_path):
    done = train(lbfgs(2, PLAIN, clip=1e9), tmp_path, data=data)
    pl.seed_everything(0, verbose=False)
    learner = Learner(lbfgs(2, PLAIN), data)
    loader = TaskDataModule(data, learner.config.trainer).train_dataloader()
    optimizer = torch.optim.LBFGS(
        learner.model.parameters(), history_size=HISTORY, line_search_fn="strong_wolfe"
    )
    values, norms = [], []

    def closure():
        optimizer.zero_grad()
        # Not cross_entropy: it rounds otherwise, which 20 steps of a line search amplify.
        loss = learner.model.objective.losses(learner.model.answer(batch).logits, batch.y).mean()
        loss.backward()
        values.append(loss.item())
        norms.append(torch.cat([p.grad.flatten() for p in learner.parameters()]).norm().item())
        return loss

    first = []
    for epoch in range(2):
        loader.sampler.set_epoch(epoch)
        (batch,) = loader
        first.append(len(values))
        optimizer.step(closure)
    assert len(values) > 20
    # Counted once a batch: the loss of the weights before the step.
    seen = history(done.run_dir)
    for name, mine in (("train/loss", values), ("train/gradient", norms)):
        expected = [mine[i] for i in first]
        assert [value for _, value in seen[name]] == pytest.approx(expected, rel=1e-6)
    assert (done.steps, done.epochs) == (2, 2)
    assert losses(done.run_dir)[1] < 0.8 * losses(done.run_dir)[0]


@pytest.mark.parametrize("what", ["dropout and readout noise", "text"])
def test_every_evaluation_of_a_batch_draws_the_same_and_begins_alike(what, data, tmp_path):
    if what == "text":
        stream = Stream(torch.arange(60) ** 2 % 7, 6, None)
        letters = list("abcdefg")
        data = TaskData(stream, stream, stream, letters, kind="label", vocabulary=letters)
        model = replace(PLAIN, embedding=3)
        chosen = replace(lbfgs(model=model, batch_size=3), task=PtbConfig())
    else:
        chosen = lbfgs(model=replace(SMALL, dropout=0.5, readout_shots=20), batch_size=12)
    pairs, once = [], Learner.training_step

    def twice(self, batch, index):
        first = once(self, batch, index)
        random.random(), np.random.rand(), torch.rand(3)
        again = once(self, batch, index)
        pairs.append((index, first.item(), again.item()))
        return again

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Learner, "training_step", twice)
        train(chosen, tmp_path / "run", data=data)
    assert len({index for index, *_ in pairs}) > 1
    for _, first, again in pairs:
        assert first == again


@pytest.mark.parametrize("schedule", ["cosine", pytest.param("constant", marks=pytest.mark.slow)])
def test_a_resumed_run_has_the_losses_of_an_uninterrupted_one(schedule, data, tmp_path):
    options = {"batch_size": 24, "schedule": schedule, "clip": 0.5, "weight_decay": 0.01}
    whole = train(lbfgs(3, **options), tmp_path / "whole", data=data)

    class KilledError(Exception):
        pass

    def killed(self):
        if self.current_epoch == 2:
            raise KilledError
        ends(self)

    ends = Learner.on_validation_epoch_end
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Learner, "on_validation_epoch_end", killed)
        with pytest.raises(KilledError):
            train(lbfgs(3, **options), tmp_path / "half", data=data)
    last = str(tmp_path / "half" / "last.ckpt")
    rest = train(replace(lbfgs(3, **options), resume=last), tmp_path / "half", data=data)
    assert history(rest.run_dir) == history(whole.run_dir)
    mine, theirs = (weights_of(read_checkpoint(one.last)) for one in (rest, whole))
    for name, value in mine.items():
        torch.testing.assert_close(value, theirs[name], rtol=0, atol=0)


def test_the_gradients_it_gets_are_clipped(data, tmp_path):
    norms, step = [], torch.optim.LBFGS.step

    def seen(self, closure):
        def noted():
            loss = closure()
            grads = [p.grad.flatten() for p in self.param_groups[0]["params"]]
            norms.append(torch.cat(grads).norm().item())
            return loss

        return step(self, noted)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch.optim.LBFGS, "step", seen)
        train(lbfgs(clip=0.01), tmp_path, data=data)
    assert len(norms) > 2
    assert max(norms) <= 0.01 * (1 + 1e-5)


def test_weight_decay_is_half_the_squared_weights():
    a, p = torch.tensor([3.0, -1.0]), torch.nn.Parameter(torch.zeros(2))
    optimizer = LBFGS([p], weight_decay=0.25)

    def closure():
        optimizer.zero_grad()
        loss = 0.5 * (p - a).square().sum()
        loss.backward()
        return loss

    optimizer.step(closure)
    torch.testing.assert_close(p.detach(), a / 1.25, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("bad", ["loss", "gradient"])
def test_a_step_that_overflows_is_taken_back(bad):
    p, calls = torch.nn.Parameter(torch.tensor([1.0, 2.0])), []
    optimizer = LBFGS([p])

    def closure():
        calls.append(p.detach().clone())
        optimizer.zero_grad()
        loss = (p**2).sum()
        loss.backward()
        if len(calls) == 3:
            if bad == "gradient":  # as the learner does with one that is not finite
                optimizer.zero_grad(set_to_none=True)
            return loss * torch.inf if bad == "loss" else loss
        return loss

    optimizer.step(closure)
    assert not torch.equal(calls[2], calls[0])
    torch.testing.assert_close(p.detach(), torch.tensor([1.0, 2.0]), rtol=0, atol=0)
    assert not optimizer.state
    optimizer.step(closure)
    assert p.detach().abs().max() < 1e-3


def test_a_batch_whose_gradient_overflows_is_skipped(data, tmp_path):
    with pytest.MonkeyPatch.context() as patch:
        whole = Learner.training_step

        def overflowing(self, batch, index):
            return whole(self, batch, index) * (torch.inf if index == 1 else 1.0)

        patch.setattr(Learner, "training_step", overflowing)
        done = train(lbfgs(batch_size=12), tmp_path, data=data)
    assert history(done.run_dir)["train/skipped"][0][1] == 0.5
    assert done.failure is None


REFUSED = [
    ({"processes": 2}, SMALL, "trainer.processes must be left out with trainer.optimizer=lbfgs"),
    ({"directions": 2}, SMALL, "trainer.directions must be left out with trainer.optimizer=lbfgs"),
    ({}, replace(SMALL, output_lr=0.1), "model.output_lr must be 1 with .*lbfgs, .* got 0.1"),
    ({}, replace(PLAIN, frozen="circuit"), "trainer.optimizer=lbfgs must be left out with model.f"),
]


@pytest.mark.parametrize(("changes", "model", "message"), REFUSED)
def test_what_cannot_go_with_it_is_refused(changes, model, message, data, tmp_path):
    with pytest.raises(ConfigError, match=message) as caught:
        train(lbfgs(model=model, **changes), tmp_path, data=data)
    assert "\n" not in str(caught.value)
    assert not list(tmp_path.iterdir())


def test_its_trainer_sets_the_keys_that_go_with_it(data, tmp_path):
    chosen = compose("train", ["trainer=lbfgs"]).trainer
    assert (chosen.optimizer, chosen.lr, chosen.schedule) == ("lbfgs", 1.0, "constant")
    mixed = compose("train", ["trainer=spsa", "trainer.optimizer=lbfgs", "trainer.directions=4"])
    with pytest.raises(ConfigError, match=r"directions must be left out with .*=lbfgs, got 4"):
        train(mixed, tmp_path, data=data)


def test_an_estimator_learns_with_it():
    x = np.random.default_rng(0).normal(size=(30, 4, 1))
    y = x[:, :, 0].mean(1) > 0
    model = QRNNClassifier(
        n_qubits=2, width=4, epochs=2, overrides=("trainer=lbfgs", "model.output_lr=1")
    )
    assert model.fit(x, y).score(x, y) > 0.9


@pytest.fixture(scope="module")
def checkpoint(data, tmp_path_factory):
    done = train(lbfgs(2, batch_size=12), tmp_path_factory.mktemp("run"), data=data)
    return torch.load(done.last, weights_only=True)


DAMAGE = {
    "d": torch.zeros(3),
    "t": "x",
    "old_dirs": [torch.zeros(3)],
    "old_stps": [],
    "ro": [1.0] * 50,
    "H_diag": torch.zeros(2),
    "prev_flat_grad": None,
    "al": ["x"],
    "n_iter": "x",
}


@pytest.mark.parametrize("name", DAMAGE)
def test_a_damaged_state_is_one_line(name, checkpoint, data, tmp_path):
    saved = {**checkpoint["optimizer_states"][0]["state"][0], name: DAMAGE[name]}
    state = {**checkpoint["optimizer_states"][0], "state": {0: saved}}
    torch.save({**checkpoint, "optimizer_states": [state]}, path := tmp_path / "last.ckpt")
    resumed = replace(lbfgs(3, batch_size=12), resume=str(path))
    with pytest.raises(DataError, match=r"optimizer_states.state\.\w+ must be") as caught:
        train(resumed, tmp_path, data=data)
    assert "\n" not in str(caught.value)
