"""Networks that `trainer.baselines` trains beside a model."""

import pytest
import torch

import qrnn
from helpers.commands import qrnn as command
from qrnn.config import compose
from qrnn.errors import ConfigError
from qrnn.evaluation.trained import load
from qrnn.networks import n_parameters
from qrnn.training.trainer import train

LINE = ["task=forecast", "task.window=8", "task.horizon=2", "model=gru", "model.hidden_size=6"]
LINE += [
    "model.head_dropout=0.1",
    "trainer.schedule=constant",
    "trainer.progress=false",
    "trainer.loggers=[]",
]
BOTH = "trainer.baselines=[lstm,rnn]"


def weights(path):
    return load(path).model.state_dict()


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("run") / "here"
    return qrnn.train([*LINE, "trainer.epochs=3", BOTH], folder)


def test_a_baseline_is_a_run_with_as_many_parameters(run, tmp_path):
    assert list(run.baselines) == ["lstm", "rnn"]
    mine = load(run.best)
    for name, one in run.baselines.items():
        other = load(one.best)
        assert one.run_dir == run.run_dir / "baselines" / name
        assert n_parameters(other.model.rnn) == one.parameters
        assert one.parameters == pytest.approx(run.parameters, rel=0.2)
        assert other.config.model.head_dropout == 0.1
        assert other.config.model.residual == "relative"
        assert other.config.task == mine.config.task
        other.config.trainer.baselines = mine.config.trainer.baselines
        assert other.config.trainer == mine.config.trainer
    alone = qrnn.train([*LINE, "trainer.epochs=3"], tmp_path / "alone")
    assert not alone.baselines
    for name, value in weights(alone.last).items():
        assert torch.equal(value, weights(run.last)[name]), name


def test_each_is_a_row_of_the_evaluation(run):
    found = load(run.best).evaluate(limit=5)
    for name, one in run.baselines.items():
        own = load(one.best).evaluate(limit=5)
        assert found.baselines[f"{name}, {one.parameters:,} weights"] == own.value
    assert "last value" in found.baselines


def test_baselines_are_resumed_with_their_run(run, tmp_path):
    longer = compose("train", [*LINE, "trainer.epochs=5", BOTH])
    wanted = train(longer, tmp_path / "whole")
    longer.resume = str(run.last)
    found = train(longer, tmp_path / "resumed")
    for name, one in wanted.baselines.items():
        again = weights(found.baselines[name].last)
        assert all(torch.equal(value, again[key]) for key, value in weights(one.last).items())


def test_wrong_baselines_are_refused_before_anything_is_trained(tmp_path):
    for names, message in {
        "[lstmm]": "did you mean lstm",
        "[gru]": "others than model gru",
        "[rnn,rnn]": "must name different networks",
        "[quantum_neuron]": "networks with a head",
    }.items():
        with pytest.raises(ConfigError, match=message):
            qrnn.train([*LINE, f"trainer.baselines={names}"], tmp_path / "run")
    with pytest.raises(ConfigError, match=r"must be empty with trainer\.processes=2"):
        qrnn.train([*LINE, BOTH, "trainer.processes=2"], tmp_path / "run")
    (tmp_path / "run/baselines/rnn").mkdir(parents=True)
    (tmp_path / "run/baselines/rnn/last.ckpt").touch()
    with pytest.raises(ConfigError, match="already holds a run"):
        qrnn.train([*LINE, BOTH], tmp_path / "run")
    assert not (tmp_path / "run/metrics.csv").exists()


def test_the_command_shows_them(tmp_path):
    folder = f"hydra.run.dir={tmp_path / 'run'}"
    done = command("train", *LINE, "trainer.epochs=1", "trainer.baselines=[rnn]", folder)
    assert not done.returncode, done.stderr
    assert "  baseline    rnn, " in done.stdout
    assert "(the model has " in done.stdout
    page = qrnn.report(tmp_path / "run").read_text("utf-8")
    assert "Not evaluated yet" in page
    load(tmp_path / "run/best.ckpt")
    command("evaluate", f"checkpoint={tmp_path / 'run/best.ckpt'}", "limit=4")
    assert "weights</td>" in qrnn.report(tmp_path / "run").read_text("utf-8")
