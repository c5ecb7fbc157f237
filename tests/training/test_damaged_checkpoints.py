"""Checkpoints that load but are not what `qrnn train` wrote: one line, and nothing is used."""

import json

import pytest
import torch

from helpers.small_runs import config
from qrnn import DataError, QRNNError
from qrnn.config import from_plain
from qrnn.data import DigitsConfig, digits
from qrnn.reporting.folder import read_folder
from qrnn.training.checkpoint import load_model
from qrnn.training.trainer import train

INTERPOLATION = "${oc.env:QRNN_TEST_SECRET}"


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    data = digits(DigitsConfig())
    part = data.val.head(40)
    return train(
        config(epochs=1),
        tmp_path_factory.mktemp("run"),
        data=type(data)(part, part, part, data.classes),
    )


@pytest.fixture
def harmed(run, tmp_path):
    """What writes the run's checkpoint with a change: the change to a path."""

    def write(change):
        content = torch.load(run.last, weights_only=True)
        change(content)
        torch.save(content, tmp_path / "harmed.ckpt")
        return tmp_path / "harmed.ckpt"

    return write


def put(value, *path):
    def change(content):
        for key in path[:-1]:
            content = content[key]
        if value is None:
            del content[path[-1]]
        else:
            content[path[-1]] = value

    return change


FIRST = "model.head.weight"
MODEL = [
    (put(3, "qrnn"), "qrnn.config must hold"),
    (put([], "qrnn", "config"), "qrnn.config must hold"),
    (put(None, "qrnn", "config", "task"), "task.name must be the name of a task, got None"),
    (put([1], "qrnn", "config", "model", "name"), "model.name must be the name of a model"),
    (put({"a": torch.ones(1)}, "qrnn", "config", "device"), "must be a plain value, got a Tensor"),
    (put("x", "qrnn", "config", "model", "width"), "does not fit this version"),
    (put(1000, "qrnn", "config", "model", "n_qubits"), "at most 30 qubits, got 1000"),
    (put(INTERPOLATION, "qrnn", "config", "model", "readout"), "got the interpolation"),
    (put([{"a": INTERPOLATION}], "qrnn", "config", "model", "topology"), "got the interpolation"),
    (put(1, "qrnn", "config", INTERPOLATION), "a key of qrnn.config must be a plain value"),
    (put(None, "qrnn", "shape"), "qrnn.shape must have the keys"),
    (put(10**12, "qrnn", "shape", "n_classes"), "qrnn.shape.n_classes must be in"),
    (put("luck", "qrnn", "shape", "kind"), "qrnn.shape.kind 'luck' is not known"),
    (put(True, "qrnn", "shape", "input_size"), "qrnn.shape.input_size must be in"),
    (put(None, "state_dict"), "state_dict must hold weights"),
    (put(None, "state_dict", FIRST), r"must be \(10, 9\), got none"),
    (put("x", "state_dict", FIRST), r"must be \(10, 9\), got str"),
    (lambda c: c["state_dict"].update({"model.more": None}), "must be none, got NoneType"),
    (put("x", "state_dict", "model.more"), "must be none, got str"),
    (put(torch.ones(10, 8), "state_dict", FIRST), r"must be \(10, 9\), got \(10, 8\)"),
    (put(torch.ones(10, 9).long(), "state_dict", FIRST), "must be torch.float32, got torch.int64"),
    (put(torch.full((10, 9), float("nan")), "state_dict", FIRST), "must be finite"),
    (put(torch.ones(1), "state_dict", "model.more"), "must be none, got"),
]


@pytest.mark.parametrize(("change", "message"), MODEL)
def test_a_model_is_not_made_of_it(change, message, harmed, monkeypatch):
    monkeypatch.setenv("QRNN_TEST_SECRET", "nobodys-business")
    with pytest.raises(QRNNError, match=message) as caught:
        load_model(harmed(change))
    assert "\n" not in str(caught.value)
    assert "nobodys" not in str(caught.value)


STATE = ("optimizer_states", 0, "state", 0)
RESUMED = [
    (put(3, "optimizer_states"), "optimizer_states must be as in a new run"),
    (put("x", "global_step"), "global_step must be as in a new run"),
    (put(None, "loops"), "must hold epoch"),
    (put(None, "loops", "fit_loop"), "KeyError|fit_loop"),
    (put("3", "loops", "fit_loop", "epoch_progress", "current", "completed"), "completed must be"),
    (put("x", "callbacks", "EpochTimes", "seconds"), "EpochTimes.seconds must be"),
    (put(["x"], "callbacks", "EpochTimes", "seconds"), "EpochTimes.seconds must be"),
    (put(torch.ones(3), *STATE, "exp_avg"), r"exp_avg must be .*torch.float32 of shape"),
    (put(None, *STATE, "exp_avg_sq"), "must hold step, exp_avg, exp_avg_sq"),
    (put([7], "optimizer_states", 0, "param_groups", 0, "params"), "parameters, in order"),
    (put("x", "optimizer_states", 0, "param_groups", 0, "lr"), "lr must be"),
    (put("no version", "pytorch-lightning_version"), "does not fit"),
    (put(torch.full((10, 9), float("inf")), "state_dict", FIRST), "must be finite"),
]


@pytest.mark.parametrize(("change", "message"), RESUMED)
def test_no_training_goes_on_from_it(change, message, harmed, tmp_path):
    data = digits(DigitsConfig())
    resumed = config(epochs=2)
    resumed.resume = str(harmed(change))
    with pytest.raises(DataError, match=message) as caught:
        train(resumed, tmp_path / "on", data=data)
    assert "\n" not in str(caught.value)
    assert "harmed.ckpt" in str(caught.value)


def test_a_runs_files_resolve_nothing(run, tmp_path, monkeypatch):
    monkeypatch.setenv("QRNN_TEST_SECRET", "nobodys-business")
    text = (run.run_dir / "config.yaml").read_text()
    (tmp_path / "config.yaml").write_text(text.replace("name: digits", f"name: {INTERPOLATION}"))
    with pytest.raises(DataError, match="got the interpolation"):
        read_folder(tmp_path)
    (tmp_path / "config.yaml").unlink()
    summary = json.loads((run.run_dir / "summary.json").read_text())
    summary["config"]["device"]["ledger"] = INTERPOLATION
    (tmp_path / "summary.json").write_text(json.dumps(summary))
    with pytest.raises(DataError, match="got the interpolation"):
        read_folder(tmp_path)
    with pytest.raises(QRNNError, match="got the interpolation"):
        from_plain(summary["config"])


def test_nested_aliases_do_not_stop_a_report(tmp_path):
    lines = ["a0: &a0 [x, x]", *(f"a{i}: &a{i} [*a{i - 1}, *a{i - 1}]" for i in range(1, 40))]
    (tmp_path / "config.yaml").write_text("\n".join([*lines, "task: {name: *a39}"]))
    with pytest.raises(DataError, match=r"config.yaml is damaged .* aliases"):
        read_folder(tmp_path)
