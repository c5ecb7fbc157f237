"""Tasks of text through the command line: train, evaluate with the task's own metric."""

import json
import math
import sys
from pathlib import Path

import pytest
import torch
from hydra import compose, initialize_config_module
from torch.nn.functional import cross_entropy

from helpers.task_files import write_multi30k
from qrnn.cli import main
from qrnn.config import TrainConfig, register_schemas, to_typed
from qrnn.data import Shape, Stream
from qrnn.evaluation.predict import run
from qrnn.models.build import build_model
from qrnn.networks import LSTMConfig
from qrnn.training.history import history
from qrnn.training.run import train

SIZES = [
    "model.n_qubits=2",
    "model.width=4",
    "model.embedding=4",
    "trainer.epochs=2",
    "trainer.batch_size=8",
    "trainer.progress=false",
    "hydra.run.dir=run",
]


def call(monkeypatch, *arguments):
    monkeypatch.setattr(sys, "argv", ["qrnn", *arguments])
    main()


def evaluated(monkeypatch, *arguments):
    call(monkeypatch, "evaluate", "checkpoint=run/best.ckpt", *arguments)
    (kept,) = Path("run").glob("evaluation-*.json")
    told = json.loads(kept.read_text())
    kept.unlink()
    return told


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("model", ["hybrid", "lstm"])
def test_a_translator_is_judged_by_bleu_and_shows_its_attention(folder, monkeypatch, capsys, model):
    write_multi30k(folder)
    size = SIZES[2:] if model == "lstm" else SIZES
    call(
        monkeypatch,
        "train",
        "task=multi30k",
        "task.data_dir=.",
        f"model={model}",
        "model.bidirectional=true",
        *size,
        "trainer.epochs=40",
        "trainer.lr=0.03",
    )
    told = evaluated(monkeypatch)
    assert told["metric"] == "bleu"
    assert told["value"] > 50
    assert len(told["translations"]) == 4
    assert (folder / "run" / "attention.png").stat().st_size > 1000
    assert told["signature"].startswith("sacreBLEU nrefs:1|case:lc|eff:no|tok:13a|")
    assert f"\n{told['signature']}\n" in capsys.readouterr().out


def test_without_sacrebleu_a_translator_is_refused_before_any_work(folder, monkeypatch, capsys):
    write_multi30k(folder)
    call(monkeypatch, "train", "task=multi30k", "task.data_dir=.", *SIZES)
    monkeypatch.setitem(sys.modules, "sacrebleu.metrics", None)
    before = sorted(folder.rglob("*"))
    capsys.readouterr()
    lines = (
        ["train", "task=multi30k", "task.data_dir=nowhere", "hydra.run.dir=other"],
        ["evaluate", "checkpoint=run/best.ckpt", "data_dir=nowhere"],
    )
    for line in lines:
        with pytest.raises(SystemExit):
            call(monkeypatch, *line)
        told = capsys.readouterr()
        install = (
            "the metric BLEU needs the package `sacrebleu`: pip install 'pennylane-qrnn[data]'"
        )
        assert (told.out, told.err) == ("", f"qrnn: {install}\n")
    assert sorted(folder.rglob("*")) == before


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
    call(
        monkeypatch,
        "train",
        "task=ptb",
        "task.data_dir=.",
        "task.steps=5",
        *SIZES,
        "trainer.epochs=20",
        "trainer.lr=0.03",
    )
    told = evaluated(monkeypatch, "batch_size=2", "device=default.qubit")
    assert told["metric"] == "perplexity"
    assert 1 <= told["value"] < 2
    assert told["rms_z"] < 1e-4
    summary = json.loads((folder / "run" / "summary.json").read_text())
    assert summary["parameters"] < summary["all_parameters"]


@pytest.mark.parametrize("begin", ["resume", "finetune"])
def test_keys_of_the_checkpoints_task_are_set_beside_it(begin, folder, monkeypatch):
    for part in ("train", "valid", "test"):
        (folder / f"ptb.{part}.txt").write_text(" the cat sat \n" * 20)
    call(monkeypatch, "train", "task=ptb", "task.data_dir=.", "task.steps=5", *SIZES)
    (folder / "elsewhere").mkdir()
    for file in folder.glob("ptb.*.txt"):
        file.rename(folder / "elsewhere" / file.name)
    arguments = [f"{begin}=run/last.ckpt", "task.data_dir=elsewhere", "trainer.epochs=3"]
    call(monkeypatch, "train", *arguments, "trainer.progress=false", "hydra.run.dir=on")
    assert len(history(Path("on"))["val/loss"]) == 3
    found = train([*arguments, "trainer.progress=false", "model.skip=false"], "python")
    assert found.epochs == 3


@pytest.mark.parametrize("model", ["hybrid", "lstm"])
def test_a_text_shorter_than_its_rows_is_learned_and_all_of_it_is_predicted(
    folder, monkeypatch, model
):
    for part, n in (("train", 3), ("valid", 1), ("test", 15)):
        (folder / f"ptb.{part}.txt").write_text(" the cat sat \n" * n)
    call(
        monkeypatch,
        "train",
        "task=ptb",
        "task.data_dir=.",
        "task.steps=5",
        f"model={model}",
        *(SIZES if model == "hybrid" else SIZES[2:]),
        "trainer.batch_size=32",
    )
    log = history(Path("run"))
    for name in ("train/loss", "val/loss", "val/accuracy"):
        assert len(log[name]) == 2
        assert all(math.isfinite(value) for _, value in log[name])
    for limit, read in ((1, 1), (3, 3), (40, 40), (58, 58), (99, 59)):
        told = evaluated(monkeypatch, f"limit={limit}")
        assert told["sequences"] == len(told["predictions"]) == len(told["labels"]) == read
        assert math.isfinite(told["loss"])


def test_the_remainder_of_a_text_is_read_from_the_start_and_other_rows_go_on():
    torch.manual_seed(0)
    text = Stream(torch.randint(4, (24,)), 5)  # 3 rows of 7, and 2 tokens behind them
    rnn = LSTMConfig(hidden_size=4, embedding=4)
    model = build_model(TrainConfig(model=rnn), Shape("label", 4, 4, tokens=True))
    found = run(model, text, 3)
    rows, labels = text.tokens[:21].view(3, 7), text.tokens[1:22].view(3, 7)
    whole = model(rows).detach()
    rest = model(text.tokens[None, 21:23]).detach()
    logits = torch.cat([whole.flatten(0, 1), rest[0]])
    wanted = torch.cat([labels.flatten(), text.tokens[22:]])
    assert found.loss == pytest.approx(cross_entropy(logits, wanted).item(), abs=1e-6)
    order = torch.cat([labels[:, :5].flatten(), labels[:, 5:].flatten(), text.tokens[22:]])
    assert found.labels.tolist() == order.tolist()


def test_copying_is_judged_by_cross_entropy(folder, monkeypatch):
    call(
        monkeypatch,
        "train",
        "task=copying",
        "task.delay=3",
        "task.n_train=64",
        "task.n_val=16",
        "task.n_test=16",
        *SIZES,
    )
    told = evaluated(monkeypatch, "device=lightning.qubit", "limit=4")
    assert told["metric"] == "cross_entropy"
    assert told["value"] == told["loss"]
    assert len(told["labels"]) == 4 * 23


@pytest.mark.parametrize(
    "choice",
    [
        "imdb task.max_words=9",
        "copying task.delay=7",
        "ptb task.level=characters",
        "multi30k task.subwords=99",
    ],
)
def test_each_is_a_choice_of_the_command_line(choice):
    name, change = choice.split()
    register_schemas()
    with initialize_config_module("qrnn.configs", version_base=None):
        config = to_typed(compose("train", [f"task={name}", change]))
    key, value = change.removeprefix("task.").split("=")
    assert config.task.name == name
    assert str(getattr(config.task, key)) == value
