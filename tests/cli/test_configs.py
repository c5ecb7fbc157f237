"""Configurations from files: experiments, shipped or one's own, and a run's `config.yaml`."""

import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hydra.errors import OverrideParseException

from helpers.paths import ROOT
from qrnn.config import compose
from qrnn.config.errors import config_error_line

EXPERIMENTS = sorted(path.stem for path in (ROOT / "configs/experiment").glob("*.yaml"))
QUICK = ["trainer.epochs=1", "trainer.steps_per_epoch=2", "trainer.progress=false"]
OWN = """# @package _global_
defaults:
  - override /model: lstm
model:
  hidden_size: 3
trainer:
  epochs: 1
"""


@pytest.fixture
def conf(tmp_path, monkeypatch):
    """A folder of configurations, in the working directory."""
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "conf/experiment"
    folder.mkdir(parents=True)
    (folder / "own.yaml").write_text(OWN)
    (folder / "bare.yaml").write_text(OWN.partition("\n")[2])
    (tmp_path / "conf/whole.yaml").write_text("defaults: [train, _self_]\ntrainer: {epochs: 2}\n")
    (tmp_path / "conf/part.yaml").write_text("trainer: {epochs: 2}\n")
    (tmp_path / "conf/odd.yaml").write_text("defaults: [_self_]\ntrainer: {epochs: 2}\n")
    (tmp_path / "conf/wrong.yaml").write_text("trainr: {epochs: 2}\n")
    (tmp_path / "conf/list.yaml").write_text("- trainer\n")
    (tmp_path / "conf/leak.yaml").write_text("task: {name: '${oc.env:HOME}'}\n")
    return folder.parent


def vowels() -> str:
    """Return a table of 18 short sequences of two classes."""
    rows = [f"{k},{t},{(-1) ** k * t},{k % 2}" for k in range(18) for t in range(3)]
    return "\n".join(["id,step,c0,label", *rows]) + "\n"


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_the_shipped_experiments_train(name, qrnn_command, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("table.csv").write_text(vowels())
    keys = ["task.file=table.csv"] if name == "vowels" else []
    keys += QUICK if name != "vowels" else [QUICK[0], QUICK[2]]
    status, out, err = qrnn_command("train", f"+experiment={name}", *keys, "hydra.run.dir=run")
    assert (status, err) == (0, ""), name
    assert "validation" in out
    assert "+experiment=" in qrnn_command("completion", "bash")[1]


def test_an_experiment_and_a_runs_own_configuration_are_found_in_a_folder(conf, qrnn_command):
    train = ["train", "--config-dir", "conf", "trainer.progress=false"]
    status, _, err = qrnn_command(*train, "+experiment=own", "hydra.run.dir=first")
    assert (status, err) == (0, "")
    first = Path("first/config.yaml").read_text()
    assert "hidden_size: 3" in first
    again = ["train", "--config-dir=first", "-cn", "config.yaml"]
    assert qrnn_command(*again, "hydra.run.dir=second")[0] == 0
    assert Path("second/config.yaml").read_text() == first
    changed = [*again, "model=gru", "model.hidden_size=2", "trainer.seed=7", "hydra.run.dir=third"]
    assert qrnn_command(*changed)[0] == 0
    third = Path("third/config.yaml").read_text()
    assert "name: gru" in third
    assert "seed: 7" in third
    assert "progress: false" in third  # of the file
    shown = qrnn_command("train", "--config-dir", "conf", "--config-name", "part", "--cfg", "job")
    assert "epochs: 2" in shown[1]
    shown = qrnn_command("train", "--config-dir", "conf", "--config-name", "whole", "--cfg", "job")
    assert "epochs: 2" in shown[1]


WRONG = [
    (["+experiment=ow"], "experiment 'ow' is not known: did you mean own"),
    (["experiment=own"], "experiment must be added to the configuration: write +experiment=NAME"),
    (["+experiment=bare"], "an experiment's file must begin with `# @package _global_`"),
    (
        ["--config-name=odd"],
        "--config-name must name a run's config.yaml, or a file whose defaults",
    ),
    (["--config-name=wrong"], "'trainr' is not known: did you mean trainer"),
    (["--config-name=leak"], "must be a plain value, got the interpolation"),
    (["--config-name=list"], "conf/list.yaml must hold keys with their values, as a run's"),
    (["--config-name=none"], "--config-name 'none' is not known"),
    (
        ["--config-name=part", "trainer.epoch=3"],
        "key 'trainer.epoch' is not known: did you mean epochs? Allowed: baselines",
    ),
    (["epochs=3"], "key 'epochs' is not known here: did you mean trainer.epochs?"),
    (["shots=3"], "key 'shots' is not known here: did you mean device.shots?"),
    (["+experiment=own", "resume=x.ckpt"], "experiment must be left out with resume"),
    (["hydra/launcher=submitit_slurm"], "another package: pip install hydra-submitit-launcher"),
    (["trainer.loggers=[csw]"], "trainer.loggers 'csw' is not known: did you mean csv"),
    (["trainer.loggers=[csv,csv]"], "trainer.loggers must be different names, got ['csv', 'csv']"),
    (["trainer.loggers=csv"], "trainer.loggers must be a list: write trainer.loggers=[...]"),
]


@pytest.mark.parametrize(("arguments", "message"), WRONG)
def test_what_is_wrong_with_a_file_is_one_line(conf, qrnn_command, arguments, message):
    before = sorted(Path().rglob("*"))
    status, _, err = qrnn_command("train", "--config-dir", "conf", *arguments)
    assert status == 2
    assert message in err
    assert err.count("\n") == 1
    assert sorted(Path().rglob("*")) == before


def test_a_runs_configuration_is_of_train_alone(conf, qrnn_command):
    status, _, err = qrnn_command("evaluate", "--config-dir=conf", "-cn=part", "checkpoint=x")
    assert (status, err.count("\n")) == (2, 1)
    assert "--config-name must name a run's config.yaml" in err


def test_an_argument_that_cannot_be_read_is_told_in_one_short_line():
    for given in ("task.file=[a\nb", "task.file=a=\nb", "task.file=[" + 999 * "a", 999 * "=a"):
        line = config_error_line(OverrideParseException(given, "mismatched"))
        assert "\n" not in line
        assert len(line) < 260
    assert "all its brackets, got [a b" in config_error_line(
        OverrideParseException("task.file=[a\nb", "mismatched")
    )


def test_threads_compose_what_each_asked_for():
    def composed(i):
        return compose("train", ["task=sequences", f"model.n_qubits={i % 4 + 1}"]).model.n_qubits

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)  # so that they meet
    try:
        with ThreadPoolExecutor(4) as threads:
            assert list(threads.map(composed, range(16))) == [i % 4 + 1 for i in range(16)]
    finally:
        sys.setswitchinterval(interval)
