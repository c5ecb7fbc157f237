"""Going on from a checkpoint: as if nothing had happened, wherever the run goes on."""

import json
from dataclasses import replace

import pytest
import torch

from helpers.small_runs import SMALL, config, losses, small_digits
from qrnn import QRNN, ConfigError, QRNNError
from qrnn.config.tables import ForecastConfig, TextsConfig
from qrnn.config.tasks import CopyingConfig, DigitsConfig
from qrnn.data import TaskData, copying
from qrnn.training.callbacks import AtomicCheckpointIO
from qrnn.training.history import history
from qrnn.training.learner import Learner
from qrnn.training.resume import check_unchanged
from qrnn.training.seeding import seed_all
from qrnn.training.trainer import train


@pytest.fixture(scope="module")
def data() -> TaskData:
    return small_digits()


@pytest.fixture(scope="module")
def run(data, tmp_path_factory):
    return train(config(), tmp_path_factory.mktemp("run"), data=data)


@pytest.mark.core
@pytest.mark.parametrize("schedule", ["constant", "cosine"])
def test_a_resumed_run_has_the_losses_of_an_uninterrupted_one(data, tmp_path, schedule):
    class DiedError(Exception):
        pass

    whole = train(config(schedule=schedule), tmp_path / "whole", data=data)
    # The process dies while it writes epoch 3, so that epoch 2's checkpoint is the last one.
    saves = 0
    write = AtomicCheckpointIO.save_checkpoint

    def dying(self, *args, **kwargs):
        nonlocal saves
        if "last.ckpt" in str(args[1]):
            saves += 1
        if saves > 3:  # the first is written before epoch 1
            raise DiedError
        return write(self, *args, **kwargs)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(AtomicCheckpointIO, "save_checkpoint", dying)
        with pytest.raises(DiedError):
            train(config(schedule=schedule), tmp_path / "half", data=data)
    rest = replace(config(schedule=schedule), resume=str(tmp_path / "half" / "last.ckpt"))
    train(rest, tmp_path / "rest", data=data)
    assert losses(tmp_path / "half") == losses(whole.run_dir)[:3]  # written before the checkpoint
    assert history(tmp_path / "rest") == history(whole.run_dir)


class KilledError(Exception):
    pass


def killed(data, into, options, hook, when):
    """Train until a hook of `Learner` is called for the `when`th time, and is killed there."""
    left, before = when, getattr(Learner, hook)

    def dying(self, *rest):
        nonlocal left
        left -= 1
        if not left:
            raise KilledError
        return before(self, *rest)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Learner, hook, dying)
        with pytest.raises(KilledError):
            train(options, into, data=data)


LENGTHS = CopyingConfig(delay=4, n_train=8, n_val=4, n_test=4, curriculum=[1, 2])


@pytest.mark.parametrize(
    ("model", "task", "when"),
    [
        ({}, None, 3),  # dropout, as in `SMALL`, in the first epoch
        ({"dropout": 0.0, "readout_shots": 50}, None, 3),
        ({"embedding": 4}, LENGTHS, 2),  # a loader of its own in each epoch
        ({"embedding": 4}, LENGTHS, 4),  # in the second one
    ],
)
def test_a_run_killed_in_its_first_epoch_has_the_losses_of_an_uninterrupted_one(
    model, task, when, data, tmp_path
):
    options = replace(config(epochs=3, batch_size=4 if task else 32), model=replace(SMALL, **model))
    if task is not None:
        options, data = replace(options, task=task), copying(task)
    whole = train(options, tmp_path / "whole", data=data)
    killed(data, tmp_path / "half", options, "training_step", when)
    rest = replace(options, resume=str(tmp_path / "half" / "last.ckpt"))
    done = train(rest, tmp_path / "half", data=data)
    assert history(done.run_dir) == history(whole.run_dir)
    first, second = (torch.load(one.last, weights_only=True)["state_dict"] for one in (whole, done))
    for key in first:
        torch.testing.assert_close(second[key], first[key], rtol=0, atol=0)


def test_a_run_killed_behind_its_checkpoint_has_the_metrics_of_its_epochs(data, tmp_path):
    whole = train(config(epochs=2), tmp_path / "whole", data=data)
    with pytest.MonkeyPatch.context() as patch:
        left, write = 3, AtomicCheckpointIO.save_checkpoint  # the first is written before epoch 1

        def dying(self, content, path, *rest, **options):
            nonlocal left
            write(self, content, path, *rest, **options)
            left -= "last.ckpt" in str(path)
            if not left:
                raise KilledError

        patch.setattr(AtomicCheckpointIO, "save_checkpoint", dying)
        with pytest.raises(KilledError):
            train(config(epochs=2), tmp_path / "half", data=data)
    rest = replace(config(epochs=2), resume=str(tmp_path / "half" / "last.ckpt"))
    done = train(rest, tmp_path / "rest", data=data)
    assert history(done.run_dir) == history(whole.run_dir)


def test_the_shots_of_a_device_are_those_of_the_epoch():
    model = QRNN(2, 2).on("default.qubit", shots=20)
    x = torch.ones(1, 3, 2)
    said = []
    for seed in (1, 2, 1):
        seed_all(seed, model)
        said.append(model(x)[0])
    assert torch.equal(said[0], said[2])
    assert not torch.equal(said[0], said[1])


@pytest.mark.parametrize("below", [1e-6, None])
def test_a_run_that_was_stopped_has_ended_also_when_it_is_resumed(data, tmp_path, below):
    options = config(epochs=9, lr=1e-30, patience=1, stop_below=below)
    first = train(options, tmp_path / "first", data=data)
    assert first.epochs == 2
    again = replace(options, resume=str(first.last))
    done = train(again, tmp_path / "first", data=data)
    reached = None if below is None else False
    assert (done.epochs, done.reached, losses(done.run_dir)) == (2, reached, losses(first.run_dir))
    more = replace(again, trainer=replace(again.trainer, patience=2))
    assert train(more, tmp_path / "more", data=data).epochs == 3


def test_the_last_checkpoint_is_that_of_the_last_epoch_also_if_it_is_not_the_best(data, tmp_path):
    whole = train(config(epochs=3, lr=1e-30), tmp_path / "whole", data=data)
    last, best = (torch.load(one, weights_only=True) for one in (whole.last, whole.best))
    assert (best["global_step"], last["global_step"]) == (5, 15)


VALIDATION = [
    (0.5, 0.5),
    (0.125, 0.875),
    (0.375, 0.625),
    (0.25, 0.75),
]  # loss and accuracy of each epoch


@pytest.mark.parametrize("into", ["first", "second"])
def test_a_resumed_run_keeps_the_best_checkpoint_of_the_epochs_before(
    into, data, tmp_path, monkeypatch
):
    def rated(learner, batch, batch_index):
        loss, accuracy = VALIDATION[learner.current_epoch]
        learner.log("val/loss", loss, batch_size=1)
        learner.log("val/accuracy", accuracy, batch_size=1)

    monkeypatch.setattr(Learner, "validation_step", rated)
    first = train(config(epochs=3), tmp_path / "first", data=data)
    # The folder may have moved, and a run may have ended when it is resumed.
    (tmp_path / "first").rename(tmp_path / "moved")
    into = tmp_path / into.replace("first", "moved")
    rest = replace(config(epochs=3), resume=str(tmp_path / "moved" / first.last.name))
    train(rest, into, data=data)
    rest = replace(config(epochs=4), resume=str(into / "last.ckpt"))
    done = train(rest, into, data=data)
    assert (done.best, done.value) == (into / "best.ckpt", 0.875)
    best = torch.load(done.best, weights_only=True)
    assert best["epoch"] == 1
    assert [value for _, value in history(into)["val/loss"]] == [loss for loss, _ in VALIDATION]
    # A run that had ended leaves the same summary when it is resumed without an epoch to go.
    summary = json.loads((into / "summary.json").read_text())
    ended = tmp_path / "ended"
    left = train(replace(config(epochs=4), resume=str(done.last)), ended, data=data)
    assert left.last.read_bytes() == done.last.read_bytes()
    again = json.loads((ended / "summary.json").read_text())
    for key in ("seconds_per_epoch", "minutes", "steps"):
        assert again[key] == summary[key] > 0


@pytest.mark.parametrize("schedule", ["constant", "cosine"])
def test_a_resumed_run_has_the_rates_that_it_was_given(schedule, data, tmp_path):
    model = replace(SMALL, output_lr=0.5)
    start = replace(config(schedule=schedule, epochs=2), model=model)
    first = train(start, tmp_path / "first", data=data)
    before = torch.load(first.last, weights_only=True)["state_dict"]
    options = {"schedule": schedule, "epochs": 4, "lr": 1e-9, "weight_decay": 0.5}
    rest = replace(start, trainer=config(**options).trainer, resume=str(first.last))
    done = train(rest, tmp_path / "second", data=data)
    content = torch.load(done.last, weights_only=True)
    for key, weight in content["state_dict"].items():
        torch.testing.assert_close(weight, before[key], rtol=0, atol=1e-7)
    groups = content["optimizer_states"][0]["param_groups"]
    assert [group.get("initial_lr", group["lr"]) for group in groups] == [1e-9, 0.5e-9]
    assert {group["weight_decay"] for group in groups} == {0.5}


@pytest.mark.parametrize(
    ("trainer", "model", "message"),
    [
        ({"optimizer": "sgd"}, {}, "trainer.optimizer must stay adamw with resume, got sgd"),
        ({"schedule": "cosine"}, {}, "trainer.schedule must stay constant with resume, got cos"),
        ({}, {"output_lr": 0.5}, "model.output_lr must not change from or to 1 with resume"),
    ],
)
def test_a_resumed_run_cannot_change_its_optimiser(run, data, tmp_path, trainer, model, message):
    other = config(epochs=5, **trainer)
    other = replace(other, model=replace(SMALL, **model), resume=str(run.last))
    summary = run.last.parent / "summary.json"
    assert summary.is_file()
    for folder in (tmp_path / "other", run.last.parent):
        with pytest.raises(QRNNError, match=f"^{message}") as caught:
            train(other, folder, data=data)
        assert "\n" not in str(caught.value)
    assert summary.is_file()  # the run is still finished


@pytest.mark.parametrize(
    ("task", "change"),
    [
        (DigitsConfig("digits"), {"seed": 3}),
        (ForecastConfig("forecast"), {"split": [0.5, 0.3, 0.2]}),
        (TextsConfig("texts"), {"val": 0.4}),
        (CopyingConfig("copying"), {"n_train": 7}),
        (ForecastConfig("forecast"), {"loss": "mae"}),
        (ForecastConfig("forecast"), {"scale": "minmax"}),
        (TextsConfig("texts"), {"class_weights": True}),
    ],
)
def test_a_resumed_run_cannot_change_its_task_but_where_its_data_lie(task, change):
    saved = replace(config(), task=task)
    check_unchanged(saved, saved)
    for moved in {"file", "curriculum"} & {*vars(task)}:
        check_unchanged(saved, replace(saved, task=replace(task, **{moved: "other"})))
    with pytest.raises(ConfigError, match=rf"task\.{next(iter(change))} must stay .* with resume"):
        check_unchanged(saved, replace(saved, task=replace(task, **change)))


def test_without_the_best_checkpoint_beside_it_a_resumed_run_has_the_best_from_there_on(
    data, tmp_path
):
    first = train(config(epochs=2), tmp_path / "first", data=data)
    first.best.unlink()
    done = train(replace(config(), resume=str(first.last)), tmp_path / "second", data=data)
    assert done.best == tmp_path / "second" / "best.ckpt"
    assert done.best.is_file()


@pytest.mark.parametrize("damage", ["3,", "x,y", "\xff\x00", "epoch\n1"])
def test_damaged_metrics_beside_it_do_not_stop_a_resumed_run(damage, data, tmp_path):
    first = train(config(epochs=2), tmp_path / "first", data=data)
    before, table = losses(first.run_dir), first.run_dir / "metrics.csv"
    if "," in damage:  # a line of it
        table.write_bytes(table.read_bytes() + damage.encode())
    else:  # the whole file
        table.write_bytes(damage.encode("latin1"))
        before = []
    done = train(replace(config(epochs=3), resume=str(first.last)), tmp_path / "rest", data=data)
    assert losses(done.run_dir)[:-1] == before


def test_the_epochs_of_a_curriculum_have_their_own_sequences_also_when_resumed(
    tmp_path, monkeypatch
):
    data = copying(CopyingConfig(delay=4, n_train=8, n_val=4, n_test=4, curriculum=[1, 2, 3]))
    seen, step = [], Learner.training_step

    def noting(self, batch, batch_index):
        seen.append(batch.x.shape[1])
        return step(self, batch, batch_index)

    monkeypatch.setattr(Learner, "training_step", noting)
    small = replace(config(batch_size=4), model=replace(SMALL, embedding=4))
    task = CopyingConfig(delay=4)
    done = train(
        replace(small, task=task, trainer=replace(small.trainer, epochs=2)),
        tmp_path / "first",
        data=data,
    )
    assert seen == [21, 21, 22, 22]
    train(replace(small, task=task, resume=str(done.last)), tmp_path / "second", data=data)
    assert seen[4:] == [23, 23, 24, 24]
