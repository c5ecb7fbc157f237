"""The page of each kind of task."""

from pathlib import Path

import pytest
import torch

import qrnn
from helpers.report_pages import assert_closed, call, kept, read
from helpers.task_files import write_multi30k
from qrnn.data import IGNORED, Split

SMALL = ["trainer.batch_size=8", "trainer.epochs=1", "trainer.progress=false", "hydra.run.dir=run"]
HYBRID = ["model.n_qubits=2", "model.width=4", "model.embedding=4"]


@pytest.fixture(autouse=True)
def _in_a_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def page_of(monkeypatch, train, *evaluate):
    """Return the page of a small run, and its evaluation."""
    call(monkeypatch, "train", *train, *SMALL)
    call(monkeypatch, "evaluate", "checkpoint=run/best.ckpt", *evaluate)
    page = read(qrnn.report("run"))
    assert_closed(page)
    assert page.problems == []
    (path,) = Path("run").glob("evaluation-*.json")
    return page, kept(path)


def test_sizes_are_those_of_the_data():
    y = torch.tensor([[0, 1, IGNORED, 0, 1]] * 4)
    part = Split(torch.zeros(4, 5, dtype=torch.int8), y, torch.tensor([2, 5, 5, 3]))
    assert list(part.describe().values()) == ["4", "2 to 5, median 3", "16"]
    assert list(Split(torch.zeros(2, 7, 1), torch.tensor([0, 1])).describe().values()) == [
        "2",
        "7",
        "2",
    ]


def test_a_translation(tmp_path, monkeypatch):
    write_multi30k(tmp_path)
    page, told = page_of(monkeypatch, ["task=multi30k", "task.data_dir=.", *HYBRID], "limit=2")
    assert page.table("part", "steps")[0]["steps"] == "3 to 4, median 3"
    assert page.facts["computed by"] == told["signature"]
    assert page.facts["BLEU"] == f"{told['value']:.4f}"


def test_a_text(tmp_path, monkeypatch):
    for part, n in (("train", 60), ("valid", 10), ("test", 10)):
        (tmp_path / f"ptb.{part}.txt").write_text(" the cat sat \n" * n)
    task = ["task=ptb", "task.data_dir=.", "task.steps=5", "task.level=characters"]
    page, told = page_of(monkeypatch, [*task, *HYBRID], "batch_size=2")
    assert page.facts["bits/char"] == f"{told['value']:.2f}"
    sizes = page.table("part", "tokens", "steps per batch")
    assert [row["part"] for row in sizes] == ["training", "validation", "test"]
    assert sizes[0]["steps per batch"] == "5"
    assert sizes[2]["tokens"] == f"{told['sequences']:,}"


def test_labels_of_steps_by_a_classical_model(monkeypatch):
    task = ["task=copying", "task.delay=3", "task.n_train=64", "task.n_val=16", "task.n_test=16"]
    page, told = page_of(monkeypatch, [*task, "model=lstm", "model.hidden_size=4"], "limit=5")
    assert page.named("h1") == ["copying · lstm · torch"]
    assert page.facts["cross entropy"] == f"{told['value']:.2f}"
    assert page.facts["baseline without memory"].endswith(" cross entropy")
    assert "This model has no quantum circuit that runs on a device." in page.named("p")


def test_quantum_neurons(monkeypatch):
    task = ["task=simple", "task.length=6", "task.repeats=2"]
    page, _ = page_of(monkeypatch, [*task, "model=quantum_neuron", "model.workspace=2"])
    assert page.facts["wires"] == "7: 3 in/out, 2 workspace, 2 ancillas"
    assert any("RY" in text for text in page.named("code"))
