"""Lightning's loggers by name."""

import csv
import sqlite3
from dataclasses import replace

import pytest
import yaml

from helpers.small_runs import config, small_digits
from qrnn.devices import DeviceOptions
from qrnn.errors import MissingExtraError
from qrnn.training import loggers
from qrnn.training.trainer import train


def test_csv_has_every_epoch_and_the_configuration_but_no_account(tmp_path):
    given = config(loggers=["csv", "tensorboard"], epochs=2)
    given = replace(given, device=DeviceOptions(seed=None, ledger=None))
    train(given, tmp_path, data=small_digits())
    folder = tmp_path / "csv/version_0"
    with open(folder / "metrics.csv") as file:
        rows = [row["val/loss"] for row in csv.DictReader(file) if row["val/loss"]]
    assert len(rows) == 2
    logged = yaml.safe_load((folder / "hparams.yaml").read_text())
    assert logged["trainer"]["epochs"] == 2
    assert not {"instance", "ledger"} & {*logged["device"]}
    assert list(tmp_path.glob("tensorboard/events*"))


def test_none_is_allowed_and_the_default_is_tensorboard(tmp_path):
    train(config(loggers=[], epochs=1), tmp_path / "none", data=small_digits())
    assert not (tmp_path / "none/tensorboard").exists()
    train(config(epochs=1), tmp_path / "default", data=small_digits())
    names = {path.name for path in (tmp_path / "default").iterdir()}
    assert "tensorboard" in names
    assert not {"csv", "wandb"} & names


@pytest.mark.parametrize("name", ["wandb", "mlflow"])
def test_a_missing_package_is_one_line_before_anything_runs(name, tmp_path, monkeypatch):
    monkeypatch.setattr(loggers.importlib.util, "find_spec", lambda _: None)
    with pytest.raises(MissingExtraError, match=rf"`{name}`: pip install 'pennylane-qrnn\[{name}"):
        train(config(loggers=[name]), tmp_path / "run", data=small_digits())
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
def test_wandb_has_one_run_for_each_of_a_sweep(tmp_path, monkeypatch):
    pytest.importorskip("wandb")
    monkeypatch.setenv("WANDB_MODE", "offline")
    for seed in range(2):
        run = tmp_path / str(seed)
        train(config(loggers=["wandb"], epochs=1, seed=seed), run, data=small_digits())
        assert len(list(run.glob("wandb/offline-run-*/run-*.wandb"))) == 1


@pytest.mark.slow
def test_mlflow_has_all_runs_in_one_local_database(tmp_path, monkeypatch):
    mlflow = pytest.importorskip("mlflow")
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    mlflow.set_tracking_uri(f"sqlite:///{tmp_path}/mlflow.db")
    try:
        for seed in range(2):
            options = {"loggers": ["mlflow"], "epochs": 2, "seed": seed}
            train(config(**options), tmp_path / str(seed), data=small_digits())
    finally:
        mlflow.set_tracking_uri(None)
    with sqlite3.connect(tmp_path / "mlflow.db") as base:
        ended = base.execute("select status from runs").fetchall()
        losses = base.execute("select count(*) from metrics where key = 'val/loss'").fetchone()
        seeds = base.execute("select value from params where key = 'trainer/seed'").fetchall()
    assert ended == [("FINISHED",)] * 2
    assert losses == (4,)
    assert sorted(seeds) == [("0",), ("1",)]
