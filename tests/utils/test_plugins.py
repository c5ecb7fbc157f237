"""Names of installed packages: they work in every command, and are imported only when used."""

import json
import os
import subprocess
import sys

import pytest
import torch

from helpers.plugin_package import install
from qrnn.errors import ConfigError
from qrnn.training.checkpoint import load_model, read_checkpoint
from qrnn.training.origins import config_of
from qrnn.utils import registry
from qrnn.utils.registry import Registry

SCRIPT = """
import contextlib, io, json, sys
from hydra.core.global_hydra import GlobalHydra
from qrnn.cli import main
results = []
for arguments in json.load(sys.stdin):
    GlobalHydra.instance().clear()
    sys.argv = ["qrnn", *arguments]
    out, err, status = io.StringIO(), io.StringIO(), 0
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            main()
        except SystemExit as exit:
            status = exit.code
    results.append([status, out.getvalue(), err.getvalue(), "acme" in sys.modules])
json.dump(results, sys.stdout)
"""
TRAIN = ["train", "task=flip", "task.flips=2", "model=pair", "model.width=2", "device=acme.qubit"]
TRAIN += ["trainer.epochs=1", "trainer.progress=false", "hydra.run.dir=run"]
CHECKPOINT = "checkpoint=run/best.ckpt"
LOST = "task 'lost' of the package acme-qrnn cannot be loaded (ModuleNotFoundError: No module named"
UNMADE = "ansatz 'unmade' of the package acme-qrnn is not registered by acme.parts: update or un"
TAKEN = "task 'digits' of the package acme-qrnn is left out: the name is taken"


def run(folder, lines, path=""):
    """Run commands in one process; return status, output, errors, and whether acme is imported."""
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT],
        input=json.dumps(lines),
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=240,
        env={**os.environ, "PYTHONPATH": str(path)},
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.fixture(scope="module")
def told(tmp_path_factory):
    """What each command printed, in a folder with the run of a plug-in's task and network."""
    folder = tmp_path_factory.mktemp("plugins")
    install(folder / "site")
    lines = [
        ["draw"],
        ["train", "task=flop"],
        ["train", "--help"],
        ["train", "task=lost"],
        TRAIN,
        ["train", "task=flip", "--help"],
        ["evaluate", CHECKPOINT, "device=acme.qubit", "limit=4"],
        ["report", "run=run"],
        ["devices"],
        ["devices", "acme.qubit"],
        ["draw", "model.n_qubits=2", "model.ansatz=turns"],
        ["draw", "model.ansatz=unmade"],
        ["completion", "bash"],
        ["train", "--config-dir", "run", "--config-name", "config", "hydra.run.dir=again"],
    ]
    found = run(folder, lines, folder / "site")
    names = [" ".join(line[:2]) for line in lines]
    return folder, dict(zip(names, found, strict=True)) | {"again": found[-1], "help": found[2]}


def test_nothing_is_imported_until_a_name_is_used(told):
    found = told[1]
    for command in ("draw", "train task=flop", "train --help", "train task=lost"):
        if command != "train task=lost":  # whose module is in the package
            assert not found[command][3], command
    assert found["train task=flip"][3]


def test_the_names_of_a_package_work_in_every_command(told):
    folder, found = told
    assert found["train task=flop"][2].startswith("qrnn: task 'flop' is not known: did you mean fl")
    assert "flip" in found["help"][1]
    assert "pair" in found["help"][1]
    for command in ("evaluate", "report", "devices acme.qubit", "draw model.n_qubits=2", "again"):
        (line,) = [found[name] for name in found if name.startswith(command)]
        assert line[0] == 0, line
    assert "acme.qubit" in found["devices"][1]
    assert "model.width=" in found["completion bash"][1]
    assert "task.flips=" in found["completion bash"][1]
    assert (folder / "run/config.yaml").read_text() == (folder / "again/config.yaml").read_text()
    assert (folder / "run/evaluation-acme.qubit-limit4.json").is_file()


def test_a_broken_plug_in_is_one_line_and_breaks_no_other(told):
    found = told[1]
    status, _, err, _ = found["train task=lost"]
    assert (status, err.count("\n")) == (2, 1)
    assert LOST in err
    status, _, err, _ = found["draw model.ansatz=unmade"]
    assert (status, err.count("\n")) == (2, 1)
    assert UNMADE in err
    status, _out, err, _ = found["completion bash"]
    assert status == 0
    assert LOST in err
    assert TAKEN in err
    assert err.count("\n") == 2


@pytest.mark.slow
def test_a_checkpoint_says_which_modules_it_needs(told):
    folder = told[0]
    content = read_checkpoint(folder / "run/best.ckpt")
    assert content["qrnn"]["modules"] == dict.fromkeys(
        ("task", "model", "ansatz", "device"), "acme.parts"
    )
    (status, _, err, _), (reported, *_) = run(
        folder, [["evaluate", CHECKPOINT, "device=fused"], ["report", "run=run"]]
    )
    assert status == 2
    assert err == (
        "qrnn: task 'flip' of the checkpoint is not known here; it was defined in acme.parts: "
        "install its package, or import it first\n"
    )
    assert reported == 0
    del content["qrnn"]["modules"]  # as before there were any
    torch.save(content, folder / "old.ckpt")
    with pytest.raises(ConfigError, match="task 'flip' is not known"):
        load_model(folder / "old.ckpt")
    content["qrnn"]["modules"] = {"task": 3}
    torch.save(content, folder / "damaged.ckpt")
    with pytest.raises(ValueError, match=r"qrnn\.modules must hold names of modules"):
        load_model(folder / "damaged.ckpt")


def test_a_program_that_registers_a_name_is_named_by_the_checkpoint(monkeypatch):
    shapes = Registry("shape")
    shapes.add("round", "circle", "__main__")
    monkeypatch.setattr(sys.modules["__main__"], "__file__", "/home/me/mine.py", raising=False)
    assert shapes.module("round") == "mine.py"
    ours = {"config": {"task": {"name": "own"}}, "modules": {"task": "mine.py"}}
    with pytest.raises(ConfigError, match=r"defined in mine.py: run `python mine.py` in place of"):
        config_of({"qrnn": ours})


def test_two_packages_cannot_have_the_same_name(monkeypatch):
    from importlib.metadata import EntryPoint

    points = tuple(EntryPoint("one", value, "shapes") for value in ("a:one", "b:one"))
    monkeypatch.setattr(registry, "_declared", lambda group: points)
    with pytest.raises(ConfigError, match="'one' must be of one package, but a:one and b:one decl"):
        Registry("shape", "shapes")["one"]


def test_a_module_that_exits_is_one_line(monkeypatch, tmp_path):
    from importlib.metadata import EntryPoint

    (tmp_path / "leaves.py").write_text("import sys\nsys.exit(3)\n")
    monkeypatch.syspath_prepend(tmp_path)
    point = EntryPoint("one", "leaves:one", "shapes")
    monkeypatch.setattr(registry, "_declared", lambda group: (point,))
    with pytest.raises(ConfigError, match=r"cannot be loaded \(SystemExit: 3\)"):
        Registry("shape", "shapes")["one"]
