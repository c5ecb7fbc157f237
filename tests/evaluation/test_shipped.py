"""Checkpoints that the package ships: found by their names, with the figures of their cards."""

import json
import re
import shutil
from pathlib import Path

import pytest
import torch
import yaml

import qrnn
from helpers.paths import ROOT
from helpers.slow import slow_but
from helpers.task_files import REAL, needs_data
from qrnn import ConfigError, DataError
from qrnn.models.identity import model_identity
from qrnn.training.checkpoint import read_checkpoint
from qrnn.utils import checkpoints
from qrnn.utils.checkpoints import CARD, MODEL, PRETRAINED, checkpoint_file, results_folder, shipped

NAMES = shipped()
NEEDS = {"mnist-rows": "mnist", "ptb-characters": "ptb"}  # folders of the tests' data
FIGURES = [
    pytest.param(
        name,
        marks=[
            *([needs_data] if name in NEEDS else []),
            *([pytest.mark.slow] if name == "ptb-characters" else []),
        ],
    )
    for name in NAMES
]


@pytest.mark.parametrize("name", NAMES)
def test_it_is_small_and_plain(name):
    content = torch.load(PRETRAINED / name / MODEL, weights_only=True)
    assert content.keys() == {"qrnn", "state_dict"}  # no state of the training
    assert (PRETRAINED / name / MODEL).stat().st_size < 1_000_000
    assert content["qrnn"]["config"]["task"].get("data_dir") is None
    assert "/" not in json.dumps(content["qrnn"]["config"])  # no path
    assert sorted(one.name for one in (PRETRAINED / name).iterdir()) == [CARD, MODEL]


@pytest.mark.parametrize("name", NAMES)
def test_its_card_says_what_a_reader_must_know(name):
    text = (PRETRAINED / name / CARD).read_text(encoding="utf-8")
    _, front, body = text.split("---\n", 2)
    about = yaml.safe_load(front)
    assert about["license"] == "apache-2.0"
    assert about["library_name"] == "qrnn"
    assert "pennylane" in about["tags"]
    assert about["metrics"]
    assert ("datasets" in about) == (name in NEEDS)
    model = qrnn.load(name)
    assert f'qrnn.load("{name}")' in body
    assert f"| recurrent parameters | {model.model.recurrent_parameters():,} |" in body
    for words in ("qrnn train task=", f"qrnn evaluate checkpoint={name}", "## Limits", "seeds |"):
        assert words in body
    assert "\n\n\n" not in text


def test_it_is_the_same_under_another_default_dtype():
    expected = qrnn.evaluate("sunspots", limit=3)
    torch.set_default_dtype(torch.float64)
    try:
        found = qrnn.evaluate("sunspots", limit=3)
    finally:
        torch.set_default_dtype(torch.float32)
    assert found.value == pytest.approx(expected.value, rel=1e-6)
    assert found.checkpoint == expected.checkpoint


@pytest.mark.parametrize("name", FIGURES)
def test_it_gives_the_figure_of_its_card(name):
    data_dir = str(REAL / NEEDS[name]) if name in NEEDS else None
    sizes = {"mnist-rows": 2000, "copying-100": 100}  # else all at once
    found = qrnn.evaluate(name, data_dir=data_dir, batch_size=sizes.get(name))
    text = (PRETRAINED / name / CARD).read_text(encoding="utf-8")
    match = re.search(r"\| this checkpoint, seed \d \| ([\d.]+)(%?) \|", text)
    value = float(match[1]) / (100 if match[2] else 1)
    assert found.value == pytest.approx(value, rel=6e-4)
    assert f"| {found.sequences:,} " in text


def test_the_package_has_its_files():
    import tomllib

    tool = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]
    patterns = tool["setuptools"]["package-data"]["qrnn"]
    packed = {path for pattern in patterns for path in (ROOT / "qrnn").glob(pattern)}
    for name in NAMES:
        assert {PRETRAINED / name / file for file in (CARD, MODEL)} <= packed


def test_an_existing_path_wins_over_a_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert checkpoint_file("sunspots") == PRETRAINED / "sunspots" / MODEL
    assert results_folder("sunspots") == Path("runs/sunspots")
    Path("sunspots").write_text("mine")
    assert checkpoint_file("sunspots") == Path("sunspots")
    assert results_folder("sunspots") == Path()
    with pytest.raises(DataError, match="checkpoint sunspots is damaged or not a checkpoint"):
        qrnn.load("sunspots")


@pytest.mark.parametrize("name", ["sunspot", "Sunspots", "sunspots/", "../pretrained/sunspots", ""])
def test_an_unknown_name_is_one_line_with_the_known_ones(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DataError, match=f"nor is it shipped: {', '.join(NAMES)}$") as caught:
        qrnn.load(name)
    assert "\n" not in str(caught.value)


@pytest.fixture
def installed(tmp_path, monkeypatch):
    """The folder of a shipped checkpoint, which cannot be written; the shell's is another."""
    place = tmp_path / "site-packages" / "pretrained"
    shutil.copytree(PRETRAINED / "sunspots", place / "sunspots")
    monkeypatch.setattr(checkpoints, "PRETRAINED", place)
    folders = [place / "sunspots", place]
    (tmp_path / "shell").mkdir()
    monkeypatch.chdir(tmp_path / "shell")
    for folder in folders:
        folder.chmod(0o555)
    yield place
    for folder in folders:
        folder.chmod(0o755)
    assert sorted(one.name for one in place.rglob("*")) == [CARD, MODEL, "sunspots"]  # as root, too


def test_commands_write_in_runs_and_not_in_the_package(installed, qrnn_command):
    evaluate = ("evaluate", "checkpoint=sunspots", "limit=1")
    noisy = (*evaluate, "device=fake_manila", "device.shots=20", "device.seed=1")
    first = qrnn_command(*noisy)
    assert first[0] == 0, first[2]
    assert "saved to runs/sunspots/evaluation-fake_manila-limit1.json" in first[1]
    assert "jobs are recorded in runs/sunspots/jobs/fake_manila-" in " ".join(first[2].split())
    (ledger,) = Path("runs/sunspots/jobs").glob("*/ledger.jsonl")
    before = ledger.read_text()
    again = qrnn_command(*noisy)
    assert "already submitted" in again[2]  # it was resumed, and not run again
    assert ledger.read_text() == before


OTHERS = {
    "inspect": (("formats=[svg]", "gradient=false"), "saved to runs/sunspots/inspection/"),
    "export": (("step=0", "output=c.qasm"), "saved to c.qasm"),
    "predict": (("input=new.csv",), "YEAR"),
    "estimate": (("device=fake_manila", "device.shots=20", "limit=1"), "1 sequence"),
}


@pytest.mark.parametrize("command", slow_but(OTHERS, "predict"))
def test_other_commands_take_it_and_leave_the_package_alone(command, installed, qrnn_command):
    table = (ROOT / "qrnn/data/tables/shipped/sunspots.csv").read_text().splitlines()
    Path("new.csv").write_text("\n".join([table[0], *table[-12:]]) + "\n")
    options, words = OTHERS[command]
    status, out, err = qrnn_command(command, "checkpoint=sunspots", *options)
    assert status == 0, err
    assert words in out


def test_a_training_begins_with_it_but_does_not_go_on(installed, qrnn_command):
    options = ("trainer.progress=false", "trainer.epochs=1", "hydra.run.dir=run")
    status, _, err = qrnn_command("train", "finetune=sunspots", "trainer.lr=1e-9", *options)
    assert status == 0, err
    before, after = (read_checkpoint(one) for one in ("sunspots", "run/last.ckpt"))
    for name, value in before["state_dict"].items():
        torch.testing.assert_close(after["state_dict"][name], value, rtol=0, atol=1e-6)
    status, _, err = qrnn_command("report", "run=run")
    assert status == 0, err
    report = Path("run/report.html").read_text(encoding="utf-8")
    assert "finetune=sunspots" in report
    assert "finetune was not found" not in report
    status, _, err = qrnn_command("train", "resume=sunspots", "trainer.epochs=99")
    assert status == 2
    assert "sunspots has no state of its training: begin a new one with finetune=sunspots" in err


def test_missing_data_is_one_line_that_says_where_it_is(tmp_path, qrnn_command, monkeypatch):
    monkeypatch.chdir(tmp_path)
    status, _, err = qrnn_command("evaluate", "checkpoint=mnist-rows", "data_dir=nowhere")
    assert status == 2
    assert re.fullmatch(
        r"qrnn: data_dir must hold .*but nowhere has none of them: download the four .*\n", err
    )


def test_a_model_is_saved_without_the_state_of_its_training(tmp_path):
    # The shipped file may lack keys of the configuration that were added since.
    model = qrnn.load("sunspots")
    model.save(tmp_path / "new" / "one.ckpt")
    other = qrnn.load(tmp_path / "new" / "one.ckpt")
    other.save(tmp_path / "two.ckpt")
    assert (tmp_path / "two.ckpt").read_bytes() == (tmp_path / "new" / "one.ckpt").read_bytes()
    assert model_identity(qrnn.load(tmp_path / "two.ckpt").model) == model_identity(other.model)
    kept, shipped = map(read_checkpoint, (tmp_path / "two.ckpt", PRETRAINED / "sunspots" / MODEL))
    assert kept.keys() == shipped.keys()
    torch.testing.assert_close(kept["state_dict"], shipped["state_dict"], rtol=0, atol=0)
    model.model.made_of = None
    with pytest.raises(ConfigError, match="built from a configuration"):
        model.save(tmp_path / "none.ckpt")
    assert not (tmp_path / "none.ckpt").exists()
