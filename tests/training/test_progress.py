"""What a training says while it runs: a bar on a terminal, lines in a log file."""

import re

import pytest

from helpers.small_runs import config, small_digits
from qrnn.data import TaskData
from qrnn.training.history import history
from qrnn.training.trainer import train

LINE = (
    r"epoch (\d) of 2: training loss (\S+), accuracy (\S+); "
    r"validation loss (\S+), accuracy (\S+); \S+ s"
)


@pytest.fixture(scope="module")
def data() -> TaskData:
    return small_digits()


@pytest.fixture(autouse=True)
def no_terminal(monkeypatch):
    for name in ("FORCE_COLOR", "TTY_COMPATIBLE"):
        monkeypatch.delenv(name, raising=False)


def test_without_a_terminal_each_epoch_is_a_line(data, tmp_path, capsys):
    train(config(epochs=2, progress=True), tmp_path, data=data)
    out, err = capsys.readouterr()
    assert out == ""
    found = [re.fullmatch(LINE, line).groups() for line in err.splitlines()]
    assert [epoch for epoch, *_ in found] == ["1", "2"]
    names = ("train/loss", "train/accuracy", "val/loss", "val/accuracy")
    for epoch, (_, *values) in enumerate(found):
        kept = [history(tmp_path)[name][epoch][1] for name in names]
        assert [float(value) for value in values] == pytest.approx(kept, rel=6e-3)


def test_on_a_terminal_a_bar_shows_both_metrics(data, tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "80")
    done = train(config(epochs=2, progress=True), tmp_path, data=data)
    accuracy = history(done.run_dir)["train/accuracy"][-1][1]
    err = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", capsys.readouterr().err)
    assert f"epoch 2 of 2, accuracy {accuracy:.3g}, val " in err
    assert "training loss" not in err
    assert max(map(len, re.split(r"[\r\n]", err))) <= 80


def test_without_progress_nothing_is_said(data, tmp_path, capsys):
    train(config(epochs=1), tmp_path, data=data)
    assert capsys.readouterr() == ("", "")
