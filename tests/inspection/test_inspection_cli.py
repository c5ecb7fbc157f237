"""`qrnn inspect` and `qrnn.inspect`: from a checkpoint to numbers and figures."""

from functools import partial

import numpy as np
import pytest
import torch

import qrnn
import qrnn.configs
from qrnn.config import TrainConfig, to_plain
from qrnn.data import TASKS, DigitsConfig, digits
from qrnn.inspection import figures
from qrnn.models.build import build_model
from qrnn.networks import NETWORKS


def keep(path, config, shape):
    """Write an untrained model as `qrnn train` writes a trained one."""
    torch.manual_seed(3)
    weights = build_model(config, shape).state_dict()
    content = {"config": to_plain(config), "shape": vars(shape)}
    torch.save({"qrnn": content, "state_dict": {f"model.{k}": v for k, v in weights.items()}}, path)
    return path


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    config = TrainConfig(task=DigitsConfig())
    config.model.n_qubits, config.model.width, config.model.bias_range = 3, 4, 2.0
    folder = tmp_path_factory.mktemp("inspect")
    return keep(folder / "best.ckpt", config, digits(DigitsConfig()).shape)


@pytest.fixture
def command(qrnn_command, monkeypatch, tmp_path):
    """What runs `qrnn inspect`: arguments to (status, stdout, stderr)."""
    monkeypatch.chdir(tmp_path)
    return partial(qrnn_command, "inspect")


def test_the_command_keeps_numbers_and_figures_beside_the_checkpoint(command, checkpoint):
    status, out, err = command(f"checkpoint={checkpoint}", "index=12", "formats=[svg]")
    assert status == 0, err
    folder = checkpoint.parent / "inspection" / "test-12"
    assert sorted(path.name for path in folder.iterdir()) == [
        "angles-12.svg",
        "bloch-12.svg",
        "entropy-12.svg",
        "fidelity-12.svg",
        "gradient-12.svg",
        "inspection.npz",
        "overview-12.svg",
        "readouts-12.svg",
        "spheres-12.svg",
    ]
    kept = np.load(folder / "inspection.npz")
    found = qrnn.inspect(checkpoint, 12)
    for name, values in found.arrays().items():
        np.testing.assert_array_equal(kept[name], values)
    data = digits(DigitsConfig()).test
    np.testing.assert_array_equal(kept["x"][0], data.x[12])
    assert kept["labels"] == [[data.y[12]]]
    assert kept["bloch"].shape == (1, 8, 3, 3)
    assert "state" not in kept.files
    lines = out.splitlines()
    assert lines[0].startswith(f"test sequence 12, true {int(data.y[12])}, predicted ")
    assert lines[1] == "8 steps of cell 0 (layer 1) on fused"
    assert lines[2].split() == ["first", "min", "max", "last"]
    fidelity = found.trace.fidelity_start[0]
    shown = (fidelity[0], fidelity.min(), fidelity.max(), fidelity[-1])
    assert lines[4].split() == ["fidelity", "with", "the", "start", *(f"{v:.3g}" for v in shown)]
    assert lines[-1].endswith("inspection/test-12: inspection.npz and the figures")
    assert max(map(len, lines[:-1])) <= 80


def test_gradients_of_a_forecast_have_no_unit(command, tmp_path):
    status, out, err = command("checkpoint=sunspots", "formats=[svg]")
    assert status == 0, err
    assert "gradient norm  " in out
    assert "nats" not in out
    plot = tmp_path / "runs/sunspots/inspection/test-0/gradient-0.svg"
    assert "nats" not in plot.read_text()


def test_the_command_takes_several_sequences_and_a_second_device(
    command, checkpoint, tmp_path, monkeypatch
):
    # The test above draws all figures; here a few will do.
    every = figures.figures
    monkeypatch.setattr(figures, "figures", lambda one: list(every(one))[-1:])
    status, out, err = command(
        f"checkpoint={checkpoint}",
        "index=[3,5]",
        "split=val",
        "device=default.mixed",
        "device.noise=depolarizing",
        "device.strength=0.01",
        "gradient=false",
        "states=true",
        "formats=[png]",
        "folder=here",
    )
    assert status == 0, err
    assert sorted(path.name for path in (tmp_path / "here").iterdir()) == sorted(
        ["devices-3.png", "devices-5.png", "inspection.npz"]
    )
    kept = np.load(tmp_path / "here" / "inspection.npz")
    assert kept["index"].tolist() == [3, 5]
    assert kept["split"] == "val"
    assert kept["device_beside"] == "default.mixed, depolarizing 0.01"
    assert kept["state"].shape == (2, 8, 8)
    assert kept["beside_state"].shape == (2, 8, 8, 8)
    assert "gradient_norm" not in kept.files
    np.testing.assert_array_equal(kept["x"], digits(DigitsConfig()).val.x[[3, 5]])
    assert "\ncompared with default.mixed, depolarizing 0.01\n" in out
    assert "  the difference rises most in step " in out
    found = qrnn.inspect(
        checkpoint, [3, 5], split="val", device="default.mixed", noise="depolarizing", strength=0.01
    )
    np.testing.assert_array_equal(kept["rms_z"], found.rms_z)
    np.testing.assert_array_equal(kept["fidelity"], found.fidelity)
    assert max(map(len, out.splitlines())) <= 80


WRONG = {
    "": "checkpoint must name a file: qrnn inspect checkpoint=FILE index=12",
    "checkpoint=none.ckpt": "must be a file that `qrnn train` wrote, but none.ckpt is not one",
    "MODEL index=360": "0..359 (test has 360 sequences), got 360: use index=12 or index=[3,12]",
    "MODEL index=[]": "index must be one or several whole numbers",
    "MODEL index=x": "got 'x'",
    "MODEL split=all": "split 'all' is not known",
    "MODEL cell=1": "cell must be one of 0 (layer 1), got 1",
    "MODEL device=fake_fez": "set device.shots, e.g. 1024",
    "MODEL device.shots=9": "device must be named with its options, got only device.shots",
    "MODEL device=default.qubit device.noise=readout": "would ignore device.noise",
    "MODEL formats=[gif]": "formats must be among svg, pdf, png, got ['gif']",
    "MODEL data_dir=x": "data_dir must be left out: task digits reads no files",
    "MODEL indx=3": "key 'indx' is not known: did you mean index",
    "checkpoint=lstm.ckpt": "the model to inspect must have a hybrid cell, got model=lstm",
    "checkpoint=neuron.ckpt": "must have a hybrid cell, got model=quantum_neuron: only model=hybri",
}


def test_wrong_input_is_one_line_with_status_2(command, checkpoint, tmp_path):
    config = TrainConfig(task=DigitsConfig(), model=NETWORKS["lstm"].schema())
    keep(tmp_path / "lstm.ckpt", config, digits(DigitsConfig()).shape)
    task = TASKS["elman_xor"].schema()
    config = TrainConfig(task=task, model=NETWORKS["quantum_neuron"].schema())
    keep(tmp_path / "neuron.ckpt", config, TASKS["elman_xor"].load(task).shape)
    for words, message in WRONG.items():
        status, out, err = command(*words.replace("MODEL", f"checkpoint={checkpoint}").split())
        assert (status, out) == (2, ""), words
        assert err.startswith("qrnn: "), words
        assert message in err, words
        assert err.count("\n") == 1, words
