"""Models saved to a folder or the Hub, as plain JSON and safetensors, and loaded from there."""

import json
import sys
from copy import deepcopy
from types import SimpleNamespace

import pandas as pd
import pytest
import torch

from helpers.problems import D, Twin, affine, inputs
from helpers.small_runs import config, small_digits
from qrnn import QRNN, ConfigError, DataError, MissingExtraError, TrainedModel, load
from qrnn.devices import DeviceOptions
from qrnn.models.identity import model_identity
from qrnn.training.run import train as train_by_line
from qrnn.training.trainer import train
from qrnn.utils.private import published

pytest.importorskip("safetensors")
hub_mixin = pytest.importorskip("huggingface_hub.hub_mixin")
from safetensors.torch import load_file, save_file  # noqa: E402

NETWORKS = {
    "default": QRNN(D, 2),
    "names of torch": QRNN(
        input_size=D, hidden_size=6, num_layers=2, bidirectional=True, batch_first=True, dropout=0.1
    ),
    "options": QRNN(
        D,
        3,
        readout=("XYI", "IIZ"),
        topology=[(0, 2)],
        rotations=("RX",),
        entangler="CRX",
        layers=1,
        controller="glu",
        width=torch.tensor(5),
        feedback_readout=["XYI"],
    ),
    "double": QRNN(D, 2).double(),
    "noise": QRNN(D, 2, device=DeviceOptions("fused", noise="depolarizing", strength=0.1)),
    "moved": QRNN(D, 2, forget="gate").on("default.mixed"),
    "measured": QRNN(D, 2).on("default.mixed", readout_mode="measure", readout_angle=0.5),
}


@pytest.mark.parametrize("case", NETWORKS)
def test_a_network_is_loaded_as_it_was(case, tmp_path):
    rnn = NETWORKS[case].eval()
    before = torch.get_rng_state()
    rnn.save_pretrained(tmp_path)
    other = QRNN.from_pretrained(tmp_path)
    assert torch.equal(torch.get_rng_state(), before)
    assert repr(other) == repr(rnn)
    assert other.cell.device.options == rnn.cell.device.options
    x = inputs(dtype=next(rnn.parameters()).dtype)
    torch.testing.assert_close(other(x)[0], rnn(x)[0], rtol=0, atol=0)
    again = QRNN.from_pretrained(str(tmp_path))
    assert again.state_dict().keys() == rnn.state_dict().keys()
    assert {one.name for one in tmp_path.iterdir()} == {
        "config.json",
        "model.safetensors",
        "README.md",
    }
    assert "qrnn.QRNN.from_pretrained" in (tmp_path / "README.md").read_text()


def with_other_layer():
    rnn = QRNN(D, 2)
    rnn.cell.controller[1] = torch.nn.Tanh()
    return rnn


def needs_ibm(case):
    """Skip cases with a fake backend where the extra is missing, as in `make test-extras`."""
    if case == "jobs":
        pytest.importorskip("qiskit_ibm_runtime")


UNSAVED = {
    "an ansatz": (lambda: QRNN(D, 3, ansatz=affine, n_angles=3), "ansatz must be a name or num"),
    "a controller": (lambda: QRNN(D, 2, controller=Twin(D + 6, 8)), "controller must be a name"),
    "a layer": (with_other_layer, "as its arguments make it to be saved, but a part was replaced"),
    "jobs": (
        lambda: QRNN(D, 2).on("fake_manila", shots=10),
        r"must be on a simulator to be saved, got fake_manila: use .on\('fused'\)",
    ),
}


@pytest.mark.parametrize("case", UNSAVED)
def test_what_is_not_plain_is_not_saved(case, tmp_path):
    needs_ibm(case)
    build, message = UNSAVED[case]
    with pytest.raises(ConfigError, match=message) as caught:
        build().save_pretrained(tmp_path / "model")
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "model").exists()


def harmed(tmp_path, change):
    """Save a network, with a change to its configuration and weights."""
    NETWORKS["default"].save_pretrained(tmp_path)
    read = json.loads((tmp_path / "config.json").read_text())
    weights = load_file(tmp_path / "model.safetensors")
    change(read, weights)
    (tmp_path / "config.json").write_text(json.dumps(read))
    save_file(weights, tmp_path / "model.safetensors")


def put(value, *path):
    def change(read, weights):
        for key in path[:-1]:
            read = read[key]
        read[path[-1]] = value

    return change


BIAS = "cells.0.quantum.bias"
DAMAGED = {
    "another library": (put("torch", "library_name"), "config.json must come from qrnn's"),
    "another kind": (put("TrainedModel", "kind"), "kind must be QRNN, got 'TrainedModel'"),
    "no model": (put(3, "model"), "model of config.json must hold values by name"),
    "an unknown argument": (put(3, "model", "more"), "got an unexpected keyword argument 'more'"),
    "a text": (put("x", "model", "n_qubits"), "n_qubits must be a whole number, got 'x'"),
    "an ansatz": (put("os.system", "model", "ansatz"), "ansatz 'os.system' is not known"),
    "an interpolation": (put("${oc.env:HOME}", "model", "readout"), "got the interpolation"),
    "a device": (put({"names": "x"}, "model", "device"), "device must be options by name"),
    "jobs": (
        put({"name": "fake_manila", "shots": 9, "ledger": "x"}, "model", "device"),
        "device must be a simulator, got fake_manila, which submits jobs",
    ),
    "an account": (
        put({"name": "fused", "instance": "crn:x"}, "model", "device"),
        "device must be saved without instance: leave it out",
    ),
    "a number as a device": (put({"name": 3}, "model", "device"), "."),
    "layers": (put(10**9, "model", "num_layers"), "num_layers must be at most 1000"),
    "width": (put(10**12, "model", "width"), "must fit into this machine's memory"),
    "another size": (put(3, "model", "n_qubits"), r"weight .* must be \(.*\), got \("),
    "a weight more": (lambda c, w: w.update(more=torch.ones(1)), "weight more must be none, got"),
    "a weight less": (lambda c, w: w.pop(BIAS), f"weight {BIAS} must be .*, got none"),
    "not a number": (lambda c, w: w.update({BIAS: w[BIAS] / 0}), f"weight {BIAS} must be finite"),
    "integers": (lambda c, w: w.update({BIAS: w[BIAS].long()}), "must be torch.float32, got torch"),
}


@pytest.mark.parametrize("case", DAMAGED)
def test_damaged_files_are_one_line(case, tmp_path):
    needs_ibm(case)
    change, message = DAMAGED[case]
    harmed(tmp_path, change)
    with pytest.raises(DataError, match=message) as caught:
        QRNN.from_pretrained(tmp_path)
    assert "\n" not in str(caught.value)
    assert str(tmp_path) in str(caught.value)


BROKEN = {
    "config.json": [b"[" * 100000, b"{", b"\xff", b"[]", None],
    "model.safetensors": [b"", b"\x00" * 8, b"\xff" * 100, b"{}", None],
}


@pytest.mark.parametrize("which", range(5))
@pytest.mark.parametrize("file", BROKEN)
def test_broken_files_are_one_line(file, which, tmp_path):
    content = BROKEN[file][which]
    NETWORKS["default"].save_pretrained(tmp_path)
    if content is None:
        (tmp_path / file).unlink()
    else:
        (tmp_path / file).write_bytes(content)
    with pytest.raises(DataError, match=rf"{file}.* must (be|come)") as caught:
        QRNN.from_pretrained(tmp_path)
    assert "\n" not in str(caught.value)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    done = train(config(epochs=1), tmp_path_factory.mktemp("run"), data=small_digits())
    return load(done.best)


def test_a_trained_model_is_loaded_as_from_its_checkpoint(run, tmp_path):
    run.save_pretrained(tmp_path)
    other = TrainedModel.from_pretrained(tmp_path)
    assert model_identity(other.model) == model_identity(run.model)
    assert other.config == run.config
    data = small_digits()
    mine, theirs = (one.evaluate(limit=20, data=data) for one in (run, other))
    assert (mine.accuracy, mine.loss) == (theirs.accuracy, theirs.loss)
    assert "qrnn.TrainedModel.from_pretrained" in (tmp_path / "README.md").read_text()
    with pytest.raises(DataError, match="kind must be QRNN, got 'TrainedModel'"):
        QRNN.from_pretrained(tmp_path)


def test_the_account_and_paths_of_a_device_are_not_published(run, tmp_path):
    device = DeviceOptions("ibm_fez", shots=10, instance="crn:secret", ledger="/home/me/jobs")
    config = run.config
    config.device, config.resume, before = device, "/home/me/last.ckpt", config.device
    try:
        run.save_pretrained(tmp_path)
    finally:
        config.device, config.resume = before, None
    text = (tmp_path / "config.json").read_text()
    assert "ibm_fez" in text
    assert "secret" not in text
    assert "/home/me" not in text


def test_secrets_and_paths_of_a_configuration_are_not_published(run, tmp_path):
    config = deepcopy(run.config)
    config.device.options = {"token": "TOPSECRET", "calibration": "/home/me/a.yaml", "level": 3}
    model = TrainedModel(run.model, config)
    model.save_pretrained(tmp_path)
    saved = json.loads((tmp_path / "config.json").read_text())["model"]["config"]
    assert saved["device"]["options"] == {"token": None, "calibration": "a.yaml", "level": 3}
    assert config.device.options["token"] == "TOPSECRET"
    told = {"file": "~/t.csv", "test_file": r"C:\me\u.csv", "time_format": "%d/%m/%Y", "n": 1}
    assert published(
        told | {"vectors": "a/b.vec", "data_dir": "../x", "separator": "/"}
    ) == told | {
        "file": "t.csv",
        "test_file": "u.csv",
        "vectors": "b.vec",
        "data_dir": "x",
        "separator": "/",
    }


def test_a_network_is_saved_as_it_is_now(tmp_path):
    words = ["XYI", "IIZ"]
    rnn = QRNN(D, 3, readout=words, num_layers=2)
    rnn.batch_first, rnn.dropout = True, 0.25
    words[0] = "ZZZ"
    rnn.save_pretrained(tmp_path)
    other = QRNN.from_pretrained(tmp_path)
    assert (other.batch_first, other.dropout) == (True, 0.25)
    assert repr(other) == repr(rnn)
    assert json.loads((tmp_path / "config.json").read_text())["model"]["readout"] == ["XYI", "IIZ"]


def test_a_forecast_keeps_what_reads_its_tables(tmp_path):
    frame = pd.DataFrame({"load": [float(i % 7) for i in range(300)]})
    frame.to_csv(tmp_path / "load.csv", index=False)
    line = ["task=forecast", f"task.file={tmp_path}/load.csv", "task.target=load", "task.window=6"]
    line += ["task.horizon=2", "model.n_qubits=2", "trainer.epochs=1", "trainer.progress=false"]
    model = load(train_by_line(line, tmp_path / "run").best)
    model.save_pretrained(tmp_path / "model")
    other = TrainedModel.from_pretrained(tmp_path / "model")
    pd.testing.assert_frame_equal(other.predict(frame), model.predict(frame))


def test_damage_of_a_trained_model_is_one_line(run, tmp_path):
    run.save_pretrained(tmp_path)
    path = tmp_path / "config.json"
    read = json.loads(path.read_text())
    for key, value, message in (
        ("shape", {"kind": "label"}, "qrnn.shape.* must be"),
        ("config", None, "qrnn.config must hold a configuration"),
        ("objective", [1], "qrnn.objective must hold values by name"),
    ):
        changed = {**read, "model": {**read["model"], key: value}}
        path.write_text(json.dumps(changed))
        with pytest.raises(DataError, match=message) as caught:
            TrainedModel.from_pretrained(tmp_path)
        assert "\n" not in str(caught.value)


def test_a_model_is_pushed_to_the_hub(run, tmp_path, monkeypatch):
    calls = {}

    class Api:
        def __init__(self, token=None):
            calls["token"] = token

        def create_repo(self, repo_id, **options):
            calls["created"] = options
            return SimpleNamespace(repo_id=repo_id)

        def upload_folder(self, folder_path, **options):
            calls["loaded"] = QRNN.from_pretrained(folder_path)
            calls["card"] = (folder_path / "README.md").read_text()
            calls["uploaded"] = options
            return "https://the.hub/commit"

    monkeypatch.setattr(hub_mixin, "HfApi", Api)
    rnn = NETWORKS["default"]
    address = rnn.push_to_hub("me/spins", private=True, token="abc", commit_message="first")
    assert address == "https://the.hub/commit"
    assert calls["created"] == {"private": True, "exist_ok": True}
    assert calls["token"] == "abc"
    assert (calls["uploaded"]["repo_id"], calls["uploaded"]["commit_message"]) == (
        "me/spins",
        "first",
    )
    torch.testing.assert_close(calls["loaded"](inputs())[0], rnn(inputs())[0], rtol=0, atol=0)
    assert 'qrnn.QRNN.from_pretrained("me/spins")' in calls["card"]
    assert "library_name: qrnn" in calls["card"]
    rnn.save_pretrained(tmp_path / "it", push_to_hub=True, repo_id="me/spins")
    assert 'qrnn.QRNN.from_pretrained("me/spins")' in calls["card"]


def test_a_model_is_downloaded_from_the_hub(tmp_path, monkeypatch):
    NETWORKS["default"].save_pretrained(tmp_path)
    asked = []

    def download(repo_id, filename, **options):
        asked.append((repo_id, filename, options))
        if repo_id == "me/none":
            raise OSError("401 Client Error.\nRepository Not Found")
        return str(tmp_path / filename)

    monkeypatch.setattr("huggingface_hub.hf_hub_download", download)
    other = QRNN.from_pretrained("me/spins", revision="v1")
    torch.testing.assert_close(other(inputs())[0], NETWORKS["default"](inputs())[0])
    assert asked == [
        ("me/spins", "config.json", {"revision": "v1"}),
        ("me/spins", "model.safetensors", {"revision": "v1"}),
    ]
    with pytest.raises(DataError, match="model me/none must be a folder or on the Hub: 401") as one:
        QRNN.from_pretrained("me/none")
    assert "\n" not in str(one.value)
    with pytest.raises(ConfigError, match="revision must be left out for a folder"):
        QRNN.from_pretrained(tmp_path, revision="v1")


@pytest.mark.parametrize("package", ["huggingface_hub", "safetensors.torch"])
def test_a_missing_package_is_named_with_its_extra(package, tmp_path, monkeypatch):
    from qrnn.utils.hub import _carrier

    NETWORKS["default"].save_pretrained(tmp_path)
    _carrier.cache_clear()
    monkeypatch.setitem(sys.modules, package, None)
    if package == "huggingface_hub":
        monkeypatch.delitem(sys.modules, "huggingface_hub.hub_mixin")
    with pytest.raises(MissingExtraError, match=r"pennylane-qrnn\[hub\]"):
        NETWORKS["default"].save_pretrained(tmp_path)
