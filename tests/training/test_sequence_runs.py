"""Memory tasks through the command line, and training until a loss is reached."""

import json
import math
import sys
from dataclasses import replace

import pytest
import torch
from lightning.pytorch.callbacks import EarlyStopping

from helpers.task_files import write_mnist
from qrnn import ConfigError
from qrnn.cli import main
from qrnn.config import TrainConfig, TrainerConfig
from qrnn.data import DnaConfig, SimpleConfig, Split, Stream, TaskData, dna, simple
from qrnn.devices import DeviceOptions
from qrnn.evaluation.evaluation import evaluate
from qrnn.models.build import build_model
from qrnn.networks import NETWORKS, LSTMConfig
from qrnn.training.callbacks import Stopper
from qrnn.training.checkpoint import read_checkpoint
from qrnn.training.checks import OPTIMIZERS
from qrnn.training.history import history
from qrnn.training.learner import Learner
from qrnn.training.trainer import train

SIZES = ["task.n_train=64", "task.n_val=16", "task.n_test=16"]
TASKS = [
    ("simple", ["task.length=8"]),
    ("elman_xor", ["task.length=6", *SIZES]),
    ("elman_letters", ["task.length=9", *SIZES]),
    ("dna", ["task.length=6", *SIZES]),
    ("mnist_binary", ["task.data_dir=data", "task.digits=[1,0]"]),
]


def call(monkeypatch, *arguments):
    monkeypatch.setattr(sys, "argv", ["qrnn", *arguments])
    main()


@pytest.mark.parametrize(("name", "keys"), TASKS)
def test_a_task_is_trained_and_judged_by_the_steps_that_are_asked_for(
    name, keys, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    if name == "mnist_binary":
        (tmp_path / "data").mkdir()
        write_mnist(tmp_path / "data")
    call(
        monkeypatch,
        "train",
        f"task={name}",
        *keys,
        "model=lstm",
        "model.hidden_size=4",
        "model.embedding=4",
        "trainer.epochs=3",
        "trainer.batch_size=8",
        "trainer.steps_per_epoch=2",
        "trainer.progress=false",
        "hydra.run.dir=run",
    )
    summary = json.loads((tmp_path / "run/summary.json").read_text())
    assert (summary["epochs"], summary["steps"], summary["reached"]) == (3, 6, None)
    call(monkeypatch, "evaluate", "checkpoint=run/best.ckpt", "limit=2")
    told = json.loads((tmp_path / "run/evaluation-torch-limit2.json").read_text())
    assert told["metric"] == "accuracy"
    assert told["value"] == told["accuracy"]
    assert 0 < told["loss"] < math.inf
    scored = {"simple": 7, "elman_xor": 2, "dna": 1, "mnist_binary": 1}
    if name in scored:
        assert len(told["labels"]) == 2 * scored[name]


NAMES = ["hybrid", "rnn", "gru", "lstm", "scornn", "orthogonal", "qlstm", "data_register"]


@pytest.mark.parametrize("name", NAMES)
def test_every_network_reads_the_tokens(name):
    data = dna(DnaConfig(length=5, n_train=4, n_val=1, n_test=1))
    model = NETWORKS[name].schema(embedding=3)
    if hasattr(model, "n_qubits"):
        model.n_qubits = 2
    network = build_model(TrainConfig(task=DnaConfig(), model=model), data.shape)
    batch = data.train.batch(slice(0, 4))
    logits = network.answer(batch).logits
    assert logits.shape == (4, 4, 8)
    torch.nn.functional.cross_entropy(logits[:, -1], batch.y[:, -1]).backward()
    assert all(p.grad is not None for p in network.parameters() if p.requires_grad)


@pytest.mark.parametrize("name", ["lstm", "scornn"])
def test_a_model_that_runs_in_torch_alone_takes_no_options_of_a_device(name):
    data = dna(DnaConfig(length=5, n_train=4, n_val=1, n_test=2))
    model = build_model(TrainConfig(task=DnaConfig(), model=NETWORKS[name].schema()), data.shape)
    with pytest.raises(
        ConfigError, match="shots must be left out: the model runs entirely in torch"
    ):
        evaluate(model, data.test, DeviceOptions("default.qubit", shots=100), progress=False)
    assert evaluate(model, data.test, "default.qubit", progress=False).options == {}


def config(**trainer) -> TrainConfig:
    options = {
        "epochs": 4,
        "batch_size": 16,
        "schedule": "constant",
        "progress": False,
        "weight_decay": 0.0,
        "optimizer": "adam",
    } | trainer
    model = LSTMConfig(hidden_size=8, embedding=8)
    return TrainConfig(task=SimpleConfig(), model=model, trainer=TrainerConfig(**options))


@pytest.fixture(scope="module")
def data() -> TaskData:
    return simple(SimpleConfig(length=6))


def losses(run_dir, part="train"):
    return [value for _, value in history(run_dir)[f"{part}/loss"]]


def summary_of(run_dir):
    return json.loads((run_dir / "summary.json").read_text())


def test_training_stops_below_the_loss_and_says_after_how_many_steps(data, tmp_path):
    result = train(
        config(epochs=200, steps_per_epoch=2, stop_below=0.5, lr=0.03), tmp_path, data=data
    )
    *before, last = losses(tmp_path, "val")
    assert min(before) >= 0.5 > last
    assert result.reached is True
    assert result.steps == 2 * len([*before, last]) < 400
    told = summary_of(tmp_path)
    assert (told["reached"], told["steps"], told["epochs"]) == (True, result.steps, result.epochs)
    assert read_checkpoint(result.last)["global_step"] == result.steps


@pytest.mark.parametrize(
    ("options", "reached", "epochs"),
    [
        ({"epochs": 2, "stop_below": 1e-6}, False, 2),
        # A loss that does not fall: patience ends it, with a threshold and without.
        ({"epochs": 50, "stop_below": 1e-6, "patience": 1, "lr": 1e-30}, False, 2),
        ({"epochs": 50, "patience": 1, "lr": 1e-30}, None, 2),
        ({"epochs": 50, "stop_below": 100.0, "patience": 40}, True, 1),
    ],
)
def test_a_loss_that_is_not_reached_ends_by_patience_or_epochs(
    options, reached, epochs, data, tmp_path
):
    result = train(config(**options), tmp_path, data=data)
    assert summary_of(tmp_path)["reached"] is result.reached is reached
    assert result.epochs == epochs
    assert result.steps == 7 * result.epochs  # 100 sequences, 16 a batch


def test_a_resumed_run_takes_the_threshold_and_patience_of_its_own(data, tmp_path):
    first = train(config(epochs=2, stop_below=1e-6, patience=9), tmp_path / "a", data=data)
    again = replace(config(epochs=90, stop_below=100.0, patience=1), resume=str(first.last))
    second = train(again, tmp_path / "b", data=data)
    assert (first.reached, second.reached) == (False, True)
    assert (second.epochs, second.steps) == (3, 21)  # those before are counted
    saved = read_checkpoint(first.last)["callbacks"]
    (key,) = (key for key in saved if key.startswith("EarlyStopping"))
    stopper = Stopper(0.1, 3)
    assert stopper.state_key == key == EarlyStopping("val/loss").state_key  # as it always was
    stopper.load_state_dict(saved[key])
    assert (stopper.patience, stopper.best_score) == (3, saved[key]["best_score"])


def test_an_epoch_of_few_steps_takes_others_each_time_and_resumes(data, tmp_path):
    x = torch.arange(8).repeat_interleave(2).to(torch.uint8)[:, None]
    many = replace(data, train=Split(x, x.to(torch.int8)))
    seen = []
    step = Learner.training_step

    def noting(self, batch, index):
        seen.append(sorted(batch.x.flatten().tolist()))
        return step(self, batch, index)

    options = {"steps_per_epoch": 1, "batch_size": 4}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Learner, "training_step", noting)
        whole = train(config(epochs=6, **options), tmp_path / "whole", data=many)
        half = train(config(epochs=3, **options), tmp_path / "half", data=many)
        rest = replace(config(epochs=6, **options), resume=str(half.last))
        train(rest, tmp_path / "rest", data=many)
    assert (whole.steps, len(losses(tmp_path / "whole", "val"))) == (6, 6)
    assert seen[6:9] + seen[9:] == seen[:6]
    assert len({tuple(batch) for batch in seen[:6]}) > 1
    assert losses(tmp_path / "rest") == losses(tmp_path / "whole")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"stop_below": 0.0}, "trainer.stop_below must be null or positive, got 0.0"),
        ({"stop_below": math.nan}, "trainer.stop_below must be null or positive, got nan"),
        ({"steps_per_epoch": 0}, "trainer.steps_per_epoch must be null or at least 1, got 0"),
        ({"steps_per_epoch": 8}, "must be at most 7, the number of batches .* got 8: choose fewer"),
        ({"optimizer": "adagrad"}, "trainer.optimizer must be adamw or adam or rmsprop or sgd"),
    ],
)
def test_wrong_values_are_one_line(options, message, data, tmp_path):
    with pytest.raises(ConfigError, match=message) as error:
        train(config(**options), tmp_path, data=data)
    assert "\n" not in str(error.value)
    assert not list(tmp_path.iterdir())


def test_a_text_is_read_to_its_end(data, tmp_path):
    text = replace(data, train=Stream(torch.zeros(99, dtype=torch.int64), 5))
    with pytest.raises(ConfigError, match=r"steps_per_epoch must be null for a text, .* got 2"):
        train(config(steps_per_epoch=2), tmp_path, data=text)


@pytest.mark.parametrize("name", ["adamw", "adam", "rmsprop", "sgd"])
def test_an_optimiser_is_torchs_own_and_learns(name, data, tmp_path):
    lr = 0.5 if name == "sgd" else 0.01
    options = {"optimizer": name, "lr": lr, "weight_decay": 0.1}
    optimizer = Learner(config(**options), data).configure_optimizers()
    assert type(optimizer) is OPTIMIZERS[name]
    assert type(optimizer).__name__.lower() == name
    assert (optimizer.defaults["lr"], optimizer.defaults["weight_decay"]) == (lr, 0.1)
    train(config(**options), tmp_path, data=data)
    assert losses(tmp_path)[-1] < 0.9 * losses(tmp_path)[0]
