"""Frozen networks: the head is the ridge regression of the readouts, and nothing else changes."""

import json
import math

import numpy as np
import pytest
import torch

import qrnn
from helpers.commands import qrnn as command
from helpers.tables import labelled_file, series_file
from qrnn import ConfigError
from qrnn.config import compose
from qrnn.data import Labels, Numbers
from qrnn.models.build import build_model
from qrnn.training.checkpoint import load_data, read_checkpoint, weights_of
from qrnn.training.history import history
from qrnn.training.reservoir import STRENGTHS, ridge
from qrnn.training.trainer import pl

KEYS = ["model.frozen=circuit", "model.n_qubits=2", "model.width=4", "trainer.progress=false"]
KEYS += ["trainer.loggers=[]"]


def series(folder, *more):
    return [
        "task=forecast",
        f"task.file={series_file(folder)}",
        "task.target=y",
        "task.window=6",
        *KEYS,
        *more,
    ]


def labelled(folder, *more):
    file = labelled_file(folder)
    return ["task=sequences", f"task.file={file}", "model.head_norm=false", *KEYS, *more]


def solved(x, y, strength):
    """Ridge regression by an augmented least-squares problem, the mean of the squares."""
    n, m = x.shape
    xc, yc = x - x.mean(0), y - y.mean(0)
    a = np.vstack([xc / math.sqrt(n), math.sqrt(strength) * np.eye(m)])
    b = np.vstack([yc / math.sqrt(n), np.zeros((m, y.shape[1]))])
    found = np.linalg.lstsq(a, b, rcond=None)[0]
    return found, y.mean(0) - x.mean(0) @ found


def readouts(model, part):
    """The last readouts, and what the head is to learn."""
    with torch.no_grad():
        _, state = model.rnn(model.embed(part.x), None, part.lengths)
    return state.z.double().numpy()


@pytest.mark.parametrize("make", [series, labelled])
def test_the_head_is_the_ridge_regression_of_the_readouts(make, tmp_path):
    keys = make(tmp_path)
    done = qrnn.train(keys, tmp_path / "run")
    trained = qrnn.load(done.best)
    model, data = trained.model, load_data(trained.config)
    targets = {}
    for name in ("train", "val"):
        part = getattr(data, name)
        if isinstance(model.objective, Numbers):
            residual = part.x[:, -1, :1] if model.residual else 0.0
            targets[name] = (part.y[:, 0] - residual).double().numpy()
        else:
            targets[name] = np.eye(model.objective.n_classes)[part.y]
    x, val = readouts(model, data.train), readouts(model, data.val)
    losses = {}
    for strength in STRENGTHS:
        a, b = solved(x, targets["train"], strength)
        losses[strength] = np.square(val @ a + b - targets["val"]).mean()
    best = min(losses, key=losses.get)
    found = history(tmp_path / "run")
    assert found["ridge"][0][1] == pytest.approx(best)
    assert found["val/loss"][0][1] == pytest.approx(losses[best], rel=1e-3)
    assert (done.epochs, done.steps, done.best_epoch) == (1, 1, 1)
    a, b = solved(x, targets["train"], best)
    assert np.allclose(model.head.weight.detach().numpy(), a.T, rtol=1e-3, atol=1e-4)
    assert np.allclose(model.head.bias.detach().numpy(), b, rtol=1e-3, atol=1e-4)


def test_circuit_and_controller_keep_their_random_weights(tmp_path):
    keys = series(tmp_path)
    done = qrnn.train(keys, tmp_path / "run")
    config = compose("train", keys)
    pl.seed_everything(config.trainer.seed, verbose=False)
    data = load_data(config)
    fresh = build_model(config, data.shape, None, data.objective).state_dict()
    trained = qrnn.load(done.best).model.state_dict()
    changed = {name for name in fresh if not torch.equal(fresh[name], trained[name])}
    assert changed == {"head.weight", "head.bias"}


def test_scikit_learns_ridge_is_the_same(tmp_path):
    from sklearn.linear_model import Ridge

    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(40, 5)), rng.normal(size=(40, 3))
    weights = rng.uniform(0.5, 2, size=(40, 3))
    weights[:4, 1] = 0  # targets that are not known
    for given in (np.ones((40, 3)), weights):
        a, b = ridge(*map(torch.tensor, (x, y, given)), 1e-2)
        for c in range(3):
            w = given[:, c]
            peer = Ridge(alpha=1e-2 * w.sum()).fit(x, y[:, c], sample_weight=w)
            assert np.allclose(a[:, c], peer.coef_)
            assert b[c].item() == pytest.approx(peer.intercept_)


@pytest.mark.parametrize("objective", [Labels(3, (1.0, 2.0, 0.5)), Numbers(("a", "b"), 2)])
def test_the_weighted_square_is_the_loss(objective):
    objective, outputs = objective.squared(), torch.randn(5, objective.n_outputs)
    y = torch.tensor([0, 1, 2, 1, 0])
    if isinstance(objective, Numbers):
        y = torch.randn(5, 2, 2)
        y[0, 1], y[3, 0, 0] = math.nan, math.nan
    targets, weights = objective.least_squares(y)
    squares = (weights * (outputs - targets).square()).sum(1)
    torch.testing.assert_close(squares.float(), objective.losses(outputs, y))


def test_the_command_line_trains_resumes_evaluates_and_reports(tmp_path):
    def told(*arguments):
        done = command(*arguments, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        return done.stdout

    out = told("train", *series(tmp_path), "hydra.run.dir=run")
    assert "1 epoch; best checkpoint: epoch 1, validation RMSE" in out
    assert "next        qrnn evaluate checkpoint=run/best.ckpt" in out
    before = read_checkpoint(tmp_path / "run/best.ckpt")["state_dict"]
    told("train", "resume=run/last.ckpt")  # nothing is left to do
    after = read_checkpoint(tmp_path / "run/last.ckpt")["state_dict"]
    assert all(torch.equal(before[name], after[name]) for name in before)
    told("evaluate", "checkpoint=run/best.ckpt", "device=aer", "device.shots=4000", "limit=2")
    saved = json.loads((tmp_path / "run/evaluation-aer-limit2.json").read_text())
    assert saved["cost"]["jobs"] == 6
    told("report", "run=run")
    assert "ridge" in (tmp_path / "run/metrics.csv").read_text()


def test_scores_are_not_told_as_probabilities(tmp_path):
    done = qrnn.train(labelled(tmp_path), tmp_path / "run")
    model = qrnn.load(done.best)
    assert model.objective == Labels(2, loss="squared")
    columns = set(model.predict(labelled_file(tmp_path)).columns)
    assert {"score_a", "score_b"} <= columns
    assert not {"p_a", "p_b"} & columns
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(30, 4)), np.repeat(["a", "b"], 15)
    x[y == "b"] += 2
    fitted = qrnn.QRNNClassifier(n_qubits=2, overrides=("model.frozen=circuit",)).fit(x, y)
    assert fitted.score(x, y) > 0.8
    with pytest.raises(ConfigError, match="predict_proba must have a model that learned prob"):
        fitted.predict_proba(x)


REFUSED = [
    ("model.frozen=all", "model.frozen must be null or circuit, got all"),
    ("model.head_width=4", "model.head_width must be null with model.frozen"),
    ("model.dropout=0.1", "model.dropout must be 0.0 with model.frozen"),
    ("trainer.patience=3", "trainer.patience must be null with model.frozen"),
    ("trainer.optimizer=spsa", "trainer.optimizer=spsa must be left out with model.frozen"),
    ("device=fake_manila", "device must be a simulator to train a frozen network"),
    ("task.loss=mae", "task.loss must be mse for a closed form, got mae"),
]


@pytest.mark.parametrize(("key", "message"), REFUSED)
def test_what_has_no_closed_form_is_refused(key, message, tmp_path):
    with pytest.raises(ConfigError, match=message):
        qrnn.train(series(tmp_path, key), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_epochs_that_are_not_run_are_a_warning(tmp_path, caplog):
    qrnn.train(series(tmp_path, "trainer.epochs=3"), tmp_path / "three")
    (warning,) = caplog.messages
    assert warning == (
        "warning: trainer.epochs=3 has no effect with model.frozen: one pass solves the head"
    )
    caplog.clear()
    qrnn.train(series(tmp_path, "trainer.epochs=1"), tmp_path / "one")
    assert caplog.messages == []


def test_the_head_is_solved_anew_whatever_it_was(tmp_path):
    first = qrnn.train(series(tmp_path), tmp_path / "first")
    again = qrnn.train([*series(tmp_path), f"finetune='{first.best}'"], tmp_path / "again")
    one, other = (weights_of(read_checkpoint(done.best)) for done in (first, again))
    torch.testing.assert_close(other, one, rtol=1e-4, atol=1e-5)
    assert again.value == pytest.approx(first.value, rel=1e-4)


def test_probabilities_and_another_training_are_refused(tmp_path):
    copying = ["task=copying", "task.delay=2", "task.n_train=8", "task.n_val=8", "task.n_test=8"]
    with pytest.raises(ConfigError, match="gives scores, not probabilities"):
        qrnn.train([*copying, *KEYS], tmp_path / "copying")
    qrnn.train(series(tmp_path), tmp_path / "run")
    with pytest.raises(ConfigError, match="must stay circuit with resume, got None"):
        qrnn.train([f"resume={tmp_path / 'run/last.ckpt'}", "model.frozen=null"], tmp_path / "new")
