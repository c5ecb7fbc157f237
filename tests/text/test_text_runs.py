"""Tasks of text through the command line: train, evaluate with the task's own metric."""

import json
import sys
from pathlib import Path

import pytest
from hydra import compose, initialize_config_module
from task_files import write_multi30k

from qrnn.cli import main
from qrnn.config import register_schemas, to_typed

SIZES = ["model.n_qubits=2", "model.width=4", "model.embedding=4", "trainer.epochs=2",
         "trainer.batch_size=8", "trainer.progress=false", "hydra.run.dir=run"]  # fmt: skip


def call(monkeypatch, *arguments):
    monkeypatch.setattr(sys, "argv", ["qrnn", *arguments])
    main()


def evaluated(monkeypatch, *arguments):
    call(monkeypatch, "evaluate", "checkpoint=run/best.ckpt", *arguments)
    (kept,) = Path("run").glob("evaluation-*.json")
    return json.loads(kept.read_text())


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("model", ["hybrid", "lstm"])
def test_a_translator_is_judged_by_bleu_and_shows_its_attention(folder, monkeypatch, capsys, model):
    write_multi30k(folder)
    size = SIZES[2:] if model == "lstm" else SIZES
    call(monkeypatch, "train", "task=multi30k", "task.data_dir=.", f"model={model}",
         "model.bidirectional=true", *size, "trainer.epochs=40", "trainer.lr=0.03")  # fmt: skip
    told = evaluated(monkeypatch)
    assert told["metric"] == "bleu"
    assert told["value"] > 50
    assert len(told["translations"]) == 4
    assert (folder / "run" / "attention.png").stat().st_size > 1000
    assert "BLEU" in capsys.readouterr().out


def test_a_translator_runs_on_another_device(folder, monkeypatch):
    write_multi30k(folder)
    call(monkeypatch, "train", "task=multi30k", "task.data_dir=.", *SIZES)
    told = evaluated(monkeypatch, "device=default.qubit", "batch_size=2", "limit=3")
    assert told["rms_z"] < 1e-5
    assert told["agreement"] == 1
    assert len(told["translations"]) == 3


def test_a_language_model_carries_its_state_and_is_judged_by_perplexity(folder, monkeypatch):
    for part, n in (("train", 60), ("valid", 10), ("test", 10)):
        (folder / f"ptb.{part}.txt").write_text(" the cat sat \n" * n)
    call(monkeypatch, "train", "task=ptb", "task.data_dir=.", "task.steps=5", *SIZES,
         "trainer.epochs=20", "trainer.lr=0.03")  # fmt: skip
    told = evaluated(monkeypatch, "batch_size=2", "device=default.qubit")
    assert told["metric"] == "perplexity"
    assert 1 <= told["value"] < 2
    assert told["rms_z"] < 1e-4
    summary = json.loads((folder / "run" / "summary.json").read_text())
    assert summary["parameters"] < summary["all_parameters"]


def test_copying_is_judged_by_cross_entropy(folder, monkeypatch):
    call(monkeypatch, "train", "task=copying", "task.delay=3", "task.n_train=64", "task.n_val=16",
         "task.n_test=16", *SIZES)  # fmt: skip
    told = evaluated(monkeypatch, "device=lightning.qubit", "limit=4")
    assert told["metric"] == "cross_entropy"
    assert told["value"] == told["loss"]
    assert len(told["labels"]) == 4 * 23


@pytest.mark.parametrize(
    "choice",
    ["imdb task.max_words=9", "copying task.delay=7", "ptb task.level=characters",
     "multi30k task.subwords=99"],
)  # fmt: skip
def test_each_is_a_choice_of_the_command_line(choice):
    name, change = choice.split()
    register_schemas()
    with initialize_config_module("qrnn.configs", version_base=None):
        config = to_typed(compose("train", [f"task={name}", change]))
    key, value = change.removeprefix("task.").split("=")
    assert config.task.name == name
    assert str(getattr(config.task, key)) == value
