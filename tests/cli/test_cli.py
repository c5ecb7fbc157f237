"""The command line, run as a user runs it."""

import json
import logging
import os
import re
import shlex
import shutil
import subprocess
import sys
from importlib.metadata import version
from io import StringIO
from pathlib import Path

import pytest

from helpers.commands import qrnn
from qrnn.errors import ConfigError
from qrnn.training.checks import check_trainer
from qrnn.training.run import train
from qrnn.training.trainer import TrainResult


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("cli")
    done = qrnn(
        "train",
        "model.n_qubits=3",
        "model.width=8",
        "trainer.epochs=2",
        "trainer.progress=false",
        "hydra.run.dir=runs/a",
        cwd=folder,
    )
    assert done.returncode == 0, done.stderr
    return folder, done.stdout


def test_alone_and_with_help_it_says_what_to_do_next(tmp_path):
    alone = qrnn(cwd=tmp_path)
    assert alone.returncode == 0
    assert "qrnn train" in alone.stdout
    shown = qrnn("train", "--help", cwd=tmp_path)
    assert "task=mnist" in shown.stdout
    assert "n_qubits: 6" in shown.stdout
    assert max(map(len, alone.stdout.splitlines())) <= 80
    assert qrnn("--version", cwd=tmp_path).stdout == f"qrnn {version('pennylane-qrnn')}\n"


def test_train_says_where_the_checkpoint_is_and_how_to_go_on(trained):
    folder, out = trained
    assert "qrnn evaluate checkpoint=runs/a/best.ckpt" in out
    assert (folder / "runs/a/config.yaml").is_file()


def test_the_next_command_runs_as_it_is_printed(tmp_path):
    folder = tmp_path / "a folder ü"
    folder.mkdir()
    small = ["model.n_qubits=2", "model.width=2", "trainer.epochs=1", "trainer.progress=false"]
    done = qrnn("train", *small, "hydra.run.dir='the first = Lauf ü'", cwd=folder)
    line = next(one for one in done.stdout.splitlines() if one.startswith("  next"))
    _, program, *arguments = shlex.split(line)
    assert program == "qrnn"
    again = qrnn(*arguments, cwd=folder)
    assert again.returncode == 0, again.stderr
    assert (folder / "the first = Lauf ü/evaluation-default.qubit.json").is_file()


def test_evaluate_prints_a_table_and_keeps_the_numbers(trained):
    folder, _ = trained
    done = qrnn(
        "evaluate",
        "checkpoint=runs/a/best.ckpt",
        "device=default.qubit",
        "device.shots=200",
        "device.seed=1",
        "limit=5",
        cwd=folder,
    )
    assert done.returncode == 0, done.stderr
    assert "200 shots" in done.stdout
    assert max(map(len, done.stdout.splitlines())) <= 80
    kept = json.loads((folder / "runs/a/evaluation-default.qubit-limit5.json").read_text())
    assert kept["sequences"] == 5
    assert kept["options"] == {"shots": 200, "seed": 1}
    other = qrnn(
        "evaluate",
        "checkpoint=runs/a/best.ckpt",
        "device=default.qubit",
        "device.shots=100",
        "device.seed=1",
        "limit=5",
        cwd=folder,
    )
    assert "saved to runs/a/evaluation-default.qubit-limit5-2.json" in other.stdout, other.stderr
    assert kept == json.loads((folder / "runs/a/evaluation-default.qubit-limit5.json").read_text())
    again = qrnn(
        "evaluate",
        "checkpoint=runs/a/best.ckpt",
        "device=default.qubit",
        "limit=7",
        "split=val",
        "batch_size=3",
        cwd=folder,
    )
    name = "runs/a/evaluation-default.qubit-val-limit7.json"
    assert f"saved to {name}" in again.stdout
    validated = json.loads((folder / name).read_text())
    assert validated["sequences"] == 7, again.stderr
    assert (kept["split"], validated["split"]) == ("test", "val")
    assert validated["agreement"] == 1
    # The earlier one is still there, also when fewer sequences are tried on the same device.
    qrnn("evaluate", "checkpoint=runs/a/best.ckpt", "device=default.qubit", "limit=1", cwd=folder)
    assert json.loads((folder / "runs/a/evaluation-default.qubit-limit5.json").read_text()) == kept


def test_evaluate_can_read_a_model_in_another_way_than_it_was_trained(trained):
    folder, _ = trained
    done = qrnn(
        "evaluate",
        "checkpoint=runs/a/best.ckpt",
        "device=default.mixed",
        "limit=2",
        "readout_mode=measure",
        "readout_angle=0.5",
        cwd=folder,
    )
    assert done.returncode == 0, done.stderr
    assert "at 0.50" in done.stdout  # "measured" is on the line above
    kept = json.loads((folder / "runs/a/evaluation-default.mixed-measure-limit2.json").read_text())
    assert (kept["readout_mode"], kept["readout_angle"]) == ("measure", 0.5)
    assert kept["rms_z_steps"][0] < kept["rms_z_steps"][-1]  # measuring disturbs, step by step


def test_a_resumed_run_goes_on_in_its_own_folder(tmp_path, monkeypatch):
    folder = "a = run"
    small = ["model.n_qubits=2", "model.width=2", "trainer.epochs=1", "trainer.progress=false"]
    done = qrnn("train", *small, f"hydra.run.dir='{folder}'", cwd=tmp_path)
    resume = f"resume='{folder}/last.ckpt'"
    more = qrnn("train", resume, "trainer.epochs=2", cwd=tmp_path)
    assert more.returncode == 0, more.stderr
    assert done.stdout.splitlines()[1:] == more.stdout.splitlines()[1:]
    assert [one.name for one in tmp_path.iterdir()] == [folder]
    assert len((tmp_path / folder / "metrics.csv").read_text().splitlines()) == 3

    # From Python, too; but what was learnt after the best epoch is not overwritten.
    monkeypatch.chdir(tmp_path)
    assert train([resume, "trainer.epochs=3"]).run_dir == Path(folder)
    earlier = train([f"resume='{folder}/best.ckpt'", "trainer.epochs=3"])
    assert earlier.run_dir.parent == Path("runs/digits")


@pytest.mark.parametrize(
    ("given", "chosen"),
    [
        (["resume=a/last.ckpt"], "a"),
        (["++resume='a = b/last.ckpt'"], "a = b"),
        (["resume=a/last.ckpt", "hydra.run.dir=b"], "b"),
        (["resume=a/last.ckpt", "++hydra.run.dir=b"], "b"),
        (["--config-dir=conf", "--config-name=mine", "resume=a/last.ckpt"], "mine"),
        (["resume=a/best.ckpt"], "runs/digits/"),
        (["resume=null"], "runs/digits/"),
        (["trainer.epochs=2"], "runs/digits/"),
    ],
)
def test_the_folder_of_a_run(trained, tmp_path, monkeypatch, qrnn_command, given, chosen):
    monkeypatch.chdir(tmp_path)
    for name in ("a/last.ckpt", "a/best.ckpt", "a = b/last.ckpt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        shutil.copy(trained[0] / "runs/a/last.ckpt", name)
    (tmp_path / "conf").mkdir()
    mine = "defaults: [train, _self_]\nhydra: {run: {dir: mine}}\n"
    (tmp_path / "conf/mine.yaml").write_text(mine)
    status, out, err = qrnn_command(
        "train", *given, "--cfg", "all", "--package", "hydra.run", "--resolve"
    )
    assert status == 0, err
    assert f"dir: {chosen}" in out


@pytest.mark.parametrize(
    ("command", "key", "file"),
    [
        ("train", "resume", "last.ckpt"),
        ("train", "finetune", "best.ckpt"),
        ("evaluate", "checkpoint", "best.ckpt"),
    ],
)
def test_a_run_in_place_of_its_checkpoint(trained, monkeypatch, qrnn_command, command, key, file):
    monkeypatch.chdir(trained[0])
    status, _, err = qrnn_command(command, f"{key}=runs/a")
    message = f"qrnn: {key} must be a file, but runs/a is a folder: use runs/a/{file}\n"
    assert (status, err) == (2, message)


@pytest.mark.parametrize(("chosen", "rate"), [([], 0.02), (["task=narma10"], 0.003)])
def test_a_chosen_task_brings_its_recipe_to_finetune(qrnn_command, chosen, rate):
    arguments = ["finetune=sunspots", *chosen, "--cfg", "job", "--package", "trainer"]
    status, out, err = qrnn_command("train", *arguments)
    assert status == 0, err
    assert f"\nlr: {rate}\n" in out


def test_resume_takes_the_checkpoints_configuration(trained):
    folder, _ = trained
    done = qrnn(
        "train", "resume=runs/a/last.ckpt", "trainer.epochs=3", "hydra.run.dir=runs/b", cwd=folder
    )
    assert done.returncode == 0, done.stderr
    config = (folder / "runs/b/config.yaml").read_text()
    assert "n_qubits: 3" in config
    assert "epochs: 3" in config
    other = qrnn("train", "resume=runs/a/last.ckpt", "model.width=9", cwd=folder)
    assert other.returncode == 2
    assert "resume must keep the model's size, but model." in other.stderr
    assert "is (8,) in the checkpoint and (9,) now" in other.stderr
    assert other.stderr.count("\n") == 1


def test_devices_are_listed_within_80_columns(tmp_path):
    done = qrnn("devices", cwd=tmp_path)
    assert done.returncode == 0
    for name in ("fused", "default.mixed", "lightning.gpu", "fake_* ("):
        assert name in done.stdout
    assert len(done.stdout.splitlines()) < 40
    fakes = qrnn("devices", "fake", cwd=tmp_path).stdout
    assert re.search(r"^fake_manila +5$", fakes, re.MULTILINE)
    assert re.search(r"^fake_fez +156$", fakes, re.MULTILINE)
    assert max(map(len, done.stdout.splitlines())) <= 80
    one = qrnn("devices", "lightning.gpu", cwd=tmp_path)
    assert "gradients    adjoint" in one.stdout
    assert "runs here    pip install 'pennylane-qrnn[gpu]'" in one.stdout
    assert "pip install" in done.stdout
    assert "[gpu]" in done.stdout


def test_draw_shows_the_circuit_and_its_size(tmp_path):
    done = qrnn("draw", "model.n_qubits=3", "model.entangler=CNOT", cwd=tmp_path)
    assert "╰X" in done.stdout
    assert "CNOT 4" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["checkpoint=runs/a/best.ckpt", "limit=0"], "limit must be at least 1"),
        (["checkpoint=runs/a/best.ckpt", "data_dir=x"], "task digits reads no files"),
        (["checkpoint=runs/a/best.ckpt", "readout_mode=measure"], "fused cannot measure mid-circ"),
        (["checkpoint=runs/a/best.ckpt", "readout_angle=1"], "readout_angle must be left out"),
    ],
)
def test_evaluate_refuses_what_does_not_fit_the_checkpoint(trained, arguments, message):
    done = qrnn("evaluate", *arguments, cwd=trained[0])
    assert done.returncode == 2
    assert message in done.stderr


def test_a_fault_is_one_line_that_names_its_traceback(qrnn_command, monkeypatch):
    def broken(*_):
        raise TypeError("a\nfault")

    monkeypatch.setattr("qrnn.cell.cell.QRNNCell.draw", broken)
    status, out, err = qrnn_command("draw")
    assert (status, out, err.count("\n")) == (1, "", 1)
    found = re.fullmatch(r"qrnn: unexpected TypeError: a fault; please report .*, (.*\.log)\n", err)
    file = Path(found[1])
    assert "in broken\n" in file.read_text()
    file.unlink()


def test_a_refused_run_leaves_what_was_there(qrnn_command, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs/old").mkdir(parents=True)
    (tmp_path / "runs/old/train.log").write_text("old")
    before = sorted(tmp_path.rglob("*"))
    assert qrnn_command("train", "trainer.epochs=0", "hydra.run.dir=runs/old")[0] == 2
    assert qrnn_command("train", "trainer.epochs=0", "hydra.run.dir=runs/new/one")[0] == 2
    assert sorted(tmp_path.rglob("*")) == before

    def broken(config, run_dir, data=None):
        (tmp_path / run_dir / "last.ckpt").write_text("hours of work")
        raise ConfigError("late")

    monkeypatch.setattr("qrnn.training.trainer.train", broken)
    status, _, err = qrnn_command("train", "hydra.run.dir=runs/new/two")
    assert (status, err) == (2, "qrnn: late\n")
    assert (tmp_path / "runs/new/two/last.ckpt").is_file()


def test_of_several_runs_only_the_refused_one_goes(qrnn_command, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def checked(config, run_dir, data=None):
        check_trainer(config.trainer)
        best = (tmp_path, tmp_path, tmp_path, "accuracy", 1.0, 1)
        return TrainResult(*best, 1, 1, None, False, True, 1, "default.qubit")

    monkeypatch.setattr("qrnn.training.trainer.train", checked)
    several = ("train", "-m", "hydra.sweep.dir=runs", "trainer.seed=1,-1")
    assert qrnn_command(*several)[0] == 2
    assert sorted(path.name for path in (tmp_path / "runs").iterdir()) == ["0", "multirun.yaml"]


@pytest.mark.slow
@pytest.mark.skipif(not __file__.isascii(), reason="such a Python cannot read its path")
def test_a_terminal_without_utf_8_shows_the_circuit(tmp_path):
    environment = {**os.environ, "LC_ALL": "C", "PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"}
    done = subprocess.run(
        [sys.executable, "-m", "qrnn", "draw", "model.n_qubits=2", "model.layers=1"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=240,
        env=environment,
    )
    assert done.stdout.startswith("0: --RY--RZ-+*-|  <X>"), done.stderr
    assert "1: --RY--RZ-+Z-|  <X>" in done.stdout


class Closed(StringIO):
    """A pipe whose reader has gone."""

    def fileno(self):
        return os.open(os.devnull, os.O_WRONLY)

    def flush(self):
        raise BrokenPipeError


@pytest.mark.parametrize("arguments", [[], ["--version"], ["devices"], ["train", "--help"]])
def test_a_pipe_that_is_closed_early_is_no_error(tmp_path, arguments):
    done = qrnn(*arguments, cwd=tmp_path, stdout=Closed())
    assert (done.returncode, done.stderr) == (1, "")


def test_ctrl_c_during_an_import_is_one_line(qrnn_subprocess):
    code = """
import builtins, sys
imported = builtins.__import__
def press(name, *others):  # as Ctrl-C: an import that it ends cannot be repeated
    if name == "hydra._internal.utils":
        sys.modules["hydra"] = None
        raise KeyboardInterrupt
    return imported(name, *others)
builtins.__import__ = press
from qrnn.cli import main
sys.argv = ["qrnn", "draw"]
main()
"""
    done = qrnn_subprocess(code, check=False, stderr=subprocess.PIPE)
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "qrnn: interrupted\n")


def test_results_are_shown_before_they_are_saved(trained, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device", "runs/a/evaluation.json")

    monkeypatch.setattr("qrnn.evaluation.files.save", full)
    done = qrnn("evaluate", "checkpoint=runs/a/best.ckpt", "limit=2", cwd=trained[0])
    assert (done.returncode, "accuracy" in done.stdout) == (2, True)
    assert done.stderr == "qrnn: runs/a/evaluation.json: No space left on device\n"


def test_messages_of_other_packages_are_not_in_the_output(tmp_path, monkeypatch):
    def checked(config, run_dir, data=None):
        for name in ("torch.fake_tensor", "qiskit.passmanager"):
            logging.getLogger(name).info("cache stats")
        raise ConfigError("end")

    monkeypatch.setattr("qrnn.training.trainer.train", checked)
    done = qrnn("train", cwd=tmp_path)
    assert (done.stdout, done.stderr) == ("", "qrnn: end\n")
    for arguments in (["-m", "trainer.seed=1"], ["trainer.seed=1", "-m"], ["--multirun"]):
        done = qrnn("train", *arguments, cwd=tmp_path)
        assert "Launching 1 jobs locally" in done.stdout
