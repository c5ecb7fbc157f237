"""Each kind of task shows its own."""

from pathlib import Path

import qrnn
from helpers.report_pages import call, kept, read
from helpers.task_files import write_multi30k
from qrnn.reporting.spelling import Spelling

SMALL = [
    "model.n_qubits=2",
    "model.width=4",
    "model.embedding=4",
    "trainer.batch_size=8",
    "trainer.progress=false",
    "hydra.run.dir=run",
]


def test_a_translator_shows_its_sentences_and_where_it_looked(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_multi30k(tmp_path)
    call(monkeypatch, "train", "task=multi30k", "task.data_dir=.", *SMALL, "trainer.epochs=2")
    call(monkeypatch, "evaluate", "checkpoint=run/best.ckpt", "limit=2")
    page = read(qrnn.report("run"))
    told = kept(Path("run/evaluation-fused-limit2.json"))
    rows = page.table("source", "reference")
    assert [row["source"] for row in rows] == ["ein hund rennt .", "zwei katzen ."]
    assert [row["reference"] for row in rows] == ["a dog runs .", "two cats ."]
    assert [row["translation on fused"] for row in rows] == told["translations"]
    looked = [text for text in page.named("figcaption") if text.startswith("Where the decoder")]
    assert len(looked) <= 3
    assert bool(looked) == any(told["translations"])
    assert page.table("part", "steps")[0]["steps"] == "3 to 4, median 3"


def test_a_language_model_shows_the_text_it_read_and_one_that_it_makes_up(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for part, n in (("train", 60), ("valid", 10), ("test", 10)):
        (tmp_path / f"ptb.{part}.txt").write_text(" the cat sat \n" * n)
    call(
        monkeypatch,
        "train",
        "task=ptb",
        "task.data_dir=.",
        "task.steps=5",
        "task.level=characters",
        *SMALL,
        "trainer.epochs=1",
    )
    call(monkeypatch, "evaluate", "checkpoint=run/best.ckpt", "batch_size=2")
    page = read(qrnn.report("run"))
    told = kept(Path("run/evaluation-fused.json"))
    text, said = page.table("", "the next token, on fused")
    assert text["the next token, on fused"] == "he ca"  # of "the cat sat", five steps
    assert len(said["the next token, on fused"]) >= 5
    (made_up,) = page.table("after the text", "sampled by the model")
    assert made_up["after the text"] == "the c"
    assert len(made_up["sampled by the model"]) > 100
    assert page.facts["bits/char"] == f"{told['value']:.2f}"


def test_labels_of_steps_are_shown_beside_what_was_said(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    call(
        monkeypatch,
        "train",
        "task=copying",
        "task.delay=3",
        "task.n_train=64",
        "task.n_val=16",
        "task.n_test=16",
        "model=lstm",
        "model.hidden_size=4",
        *SMALL[2:],
        "trainer.epochs=1",
    )
    call(monkeypatch, "evaluate", "checkpoint=run/best.ckpt", "limit=5")
    page = read(qrnn.report("run"))
    assert page.named("h1") == ["copying · lstm · torch"]
    told = kept(Path("run/evaluation-torch-limit5.json"))
    rows = page.table("sequence", "labels", "said on torch")
    names = Spelling([*(f"a{k}" for k in range(8)), "blank", "marker"])
    for row, cells in enumerate(rows):
        ours = slice(23 * row, 23 * (row + 1))
        assert cells["labels"] == names.text(told["labels"][ours])
        said = names.spans(told["predictions"][ours], told["labels"][ours])
        assert cells["said on torch"] == "".join(span.text for span in said)
        assert "marker blank x 10" in cells["sequence"]
    assert "This model has no circuit that runs on a device." in page.named("p")
    assert "loss" not in page.facts  # the metric is the loss


def test_quantum_neurons_show_what_they_sample(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    call(
        monkeypatch,
        "train",
        "task=simple",
        "task.length=6",
        "task.repeats=2",
        "model=quantum_neuron",
        "model.workspace=2",
        *SMALL[3:],
        "trainer.epochs=1",
    )
    page = read(qrnn.report("run"))
    rows = page.table("begins with", "sampled by the model")
    assert [row["begins with"] for row in rows] == ["0", "4"]
    assert page.facts["wires"] == "7: 3 in/out, 2 workspace, 2 ancillas"
    assert any("RY" in text for text in page.named("code"))
