"""The page of a run: what is on it is what the run's files say, and nothing else gets in."""

import json
import math
import re
import shlex
import shutil
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from hydra import compose, initialize_config_module
from hydra.core.override_parser.overrides_parser import OverridesParser
from hypothesis import given
from hypothesis import strategies as st
from pages import Reader, call, kept, read, train_digits
from rich.console import Console
from test_text_runs import write_multi30k

import qrnn
from qrnn import ConfigError, DataError
from qrnn.cli import main
from qrnn.config import register_schemas, to_plain
from qrnn.data import IGNORED, DigitsConfig, Split, Stream, TaskData, digits
from qrnn.devices.ibm.ledger import Ledger, recorded_circuits
from qrnn.evaluation import Evaluation
from qrnn.reporting import behaviour, commands, comparison, dataset, figures
from qrnn.reporting import page as pages_of
from qrnn.reporting.comparison import differences
from qrnn.reporting.folder import hide, read_folder
from qrnn.reporting.parts import Code, Facts, Figures, Page, Section, Span, Table, Text
from qrnn.reporting.spelling import Spelling
from qrnn.reporting.write import render

HOSTILE = "<script>alert(1)</script> & \"quotes' $x^2$ </style> \x01 \ud800"
SMALL = ["model.n_qubits=2", "model.width=4", "model.embedding=4", "trainer.batch_size=8",
         "trainer.progress=false", "hydra.run.dir=run"]  # fmt: skip


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A tiny run of the digits with three evaluations, and its page."""
    folder = tmp_path_factory.mktemp("report")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        train_digits(patch, "runs/a")
        best = "checkpoint=runs/a/best.ckpt"
        call(patch, "evaluate", best, "limit=100")
        call(patch, "evaluate", best, "limit=3", "device=default.mixed",
             "device.noise=depolarizing", "device.strength=0.05", "split=val")  # fmt: skip
        call(patch, "evaluate", best, "limit=2", "device=fake_manila", "device.shots=50",
             "device.seed=1")  # fmt: skip
        train_digits(patch, "runs/b", "trainer.seed=1")
        call(patch, "evaluate", "checkpoint=runs/b/best.ckpt", "limit=100")
        call(patch, "report", "run=runs/a")
    return folder


@pytest.fixture
def run(made, tmp_path, monkeypatch):
    """A copy of that run, to do harm to."""
    monkeypatch.chdir(tmp_path)
    return Path(shutil.copytree(made / "runs/a", tmp_path / "run"))


@pytest.fixture(scope="module")
def page(made):
    return read(made / "runs/a/report.html")


def test_the_sections_are_in_order_and_nothing_is_missing(page):
    assert page.problems == []
    assert page.named("h1") == ["digits · hybrid · fused"]
    assert page.named("h2") == ["Data", "Training", "Results", "Circuit", "Devices",
                                "Time and memory", "Configuration", "Commands",
                                "Environment"]  # fmt: skip
    assert "missing" not in [attributes.get("class") for _, attributes in page.tags]
    links = [attributes["href"] for tag, attributes in page.tags if tag == "a"]
    assert links == ["#" + attributes["id"] for tag, attributes in page.tags if tag == "section"]


def test_the_main_numbers_are_those_of_the_files(made, page):
    told = kept(made / "runs/a/evaluation-fused.json")
    summary = kept(made / "runs/a/summary.json")
    lead = next(text for name, text in page.texts if name == "p")
    assert lead.startswith(f"{100 * told['accuracy']:.1f}% accuracy on 100 test sequences")
    facts = page.facts
    assert facts["accuracy"] == f"{100 * told['accuracy']:.1f}%"
    assert float(facts["loss"]) == pytest.approx(told["loss"], abs=6e-4)
    assert facts["seed"] == "0"
    assert facts["peak memory"] == f"{summary['peak_memory_mb']:,.0f} MB"
    assert facts["optimiser steps"] == "8"
    assert facts["threads of torch"] == str(summary["threads"])
    tile = next(text for name, text in page.texts if "recurrent;" in text)
    assert tile == f"recurrent; {summary['all_parameters']:,} in all"
    # The circuit of 2 qubits: RY RZ on both and a CZ, twice; XYZ readouts.
    wanted = {"wires": "2", "angles": "8", "readouts": "6", "gates": "10", "two qubit gates": "2"}
    assert wanted.items() <= facts.items()
    assert facts["gates by name"] == "4 RY, 4 RZ, 2 CZ"


def test_best_epoch_is_the_one_with_the_least_validation_loss(run):
    (run / "metrics.csv").write_text(
        "epoch,step,val/loss,val/accuracy,train/loss,train/skipped\n"
        "0,9,0.9,0.1,1.0,0.0\n1,19,0.4,0.625,0.8,0.5\n2,29,0.5,0.7,0.1,0.0\n"
    )
    found = read_folder(run)
    assert "validation accuracy 62.5% in epoch 2, the best" in pages_of.lead(found, None)
    assert pages_of.best_epoch(found) == (2, 0.4, 0.625)
    assert any("adds up to 0.5" in getattr(part, "text", "") for part in pages_of.training(found))


def test_devices_are_compared_by_what_their_files_say(made, page):
    rows = page.table("device", "agreement", "RMS z")
    assert [row["device"] for row in rows] == ["fused", "default.mixed", "fake_manila"]
    for row in rows:
        (path,) = (made / "runs/a").glob(f"evaluation-{row['device']}*.json")
        told = kept(path)
        assert row["sequences"] == str(told["sequences"])
        for name in ("accuracy", "agreement"):
            assert row[name] == f"{100 * told[name]:.1f}%"
        assert float(row["loss"]) == pytest.approx(told["loss"], rel=5e-3)
        assert float(row["RMS z"]) == pytest.approx(told["rms_z"], rel=0.05, abs=6e-4)
    assert [row["shots"] for row in rows] == ["exact", "exact", "50"]
    assert rows[1]["read"] == "depolarizing 0.05, exact"


def test_what_it_cost_is_what_the_ledger_says(made, page):
    (row,) = page.table("jobs", "circuits", "QPU s, estimated")
    cost = kept(made / "runs/a/evaluation-fake_manila.json")["cost"]
    assert row["jobs"] == str(cost["jobs"]) == "8"
    # Two sequences, three bases, eight steps.
    assert row["circuits"] == "48"
    assert row["executions"] == f"{cost['executions']:,}" == "2,400"
    assert row["QPU s, estimated"] == f"{cost['estimated_seconds']:.1f}" == "16.8"
    assert row["QPU s, metered"] == "none"


def test_circuits_are_those_of_finished_jobs(tmp_path):
    assert recorded_circuits(tmp_path) is None
    ledger = Ledger(tmp_path)
    for key, circuits, state in (("a", 5, "done"), ("b", 7, "submitted"), ("c", 11, "done")):
        ledger.record(key, "intent", circuits=circuits)
        ledger.record(key, state, job_id=key)
    ledger.close()
    assert recorded_circuits(tmp_path) == 16


def test_the_confusion_matrix_counts_what_was_taken_for_what():
    counts = np.array([[3, 1], [0, 2]])
    drawn = str(figures.confusion(counts, ("no", "yes"), "here").svg)
    # matplotlib writes the cells row by row, each text with its place.
    numbers = re.findall(r">(\d)<", drawn)
    assert numbers == ["3", "1", "2"]
    places = [
        (float(x), float(y))
        for x, y in re.findall(r'<text style="[^"]*" x="([\d.]+)" y="([\d.]+)"[^>]*>\d<', drawn)
    ]
    (left, top), (right, same), (last, below) = places
    assert left < right == last
    assert top == same < below  # the true class downwards, the predicted one to the right
    assert "83.3% on the diagonal" in drawn


def test_what_was_taken_for_what_is_listed(made, page):
    told = kept(made / "runs/a/evaluation-fused.json")
    pairs = list(zip(told["labels"], told["predictions"], strict=True))
    first = page.table("class", "taken for")[0]
    most = max(pairs.count(pair) for pair in pairs if pair[0] != pair[1])
    assert int(first["times"]) == most
    pair = (int(first["class"]), int(first["taken for"]))
    assert pairs.count(pair) == most
    share = most / told["labels"].count(pair[0])
    assert first["of the class"] == f"{100 * share:.1f}%"


def test_the_commands_repeat_the_run(made, page):
    (code,) = [text for text in page.named("code") if "qrnn train" in text]
    train, *evaluations = code.replace(" \\\n", "").splitlines()
    register_schemas()
    with initialize_config_module("qrnn.configs", version_base="1.3"):
        composed = compose("train", shlex.split(train)[2:])
    saved = yaml.safe_load((made / "runs/a/config.yaml").read_text())
    saved["trainer"]["progress"] = True
    assert to_plain(composed) == saved
    wanted = [
        "qrnn evaluate checkpoint=runs/a/best.ckpt limit=100",
        "device=default.mixed device.noise=depolarizing device.strength=0.05 split=val limit=3",
        "device=fake_manila device.shots=50 device.seed=1 limit=2",
    ]
    shown = [" ".join(line.split()) for line in evaluations]
    assert all(line.endswith(end) for line, end in zip(shown, wanted, strict=True)), shown


PLAIN = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=9)


@given(PLAIN | st.lists(PLAIN, max_size=3))
def test_an_override_is_read_by_hydra_as_it_was_meant(value):
    text = commands.override("a.b", value)
    (parsed,) = OverridesParser.create().parse_overrides([text])
    found = parsed.value()
    if isinstance(value, float) and isinstance(found, int | float):
        assert math.isclose(found, value) or found == value
    else:
        assert found == value
        assert type(found) is type(value) or isinstance(value, str)


def test_the_environment_is_that_of_the_training(run):
    told = kept(run / "environment.json")
    assert told["torch"] == torch.__version__
    (run / "environment.json").write_text(json.dumps(told | {"torch": "1.2.3"}))
    (part,) = pages_of.surroundings(read_folder(run))
    assert dict(part.pairs)["torch"] == "1.2.3"
    assert set(told) == {"processor", "python", "qrnn", "torch", "pennylane", "lightning", "numba"}


def test_no_secret_and_no_environment_variable_is_on_the_page(run, monkeypatch):
    monkeypatch.setenv("QRNN_SECRET_OF_A_TEST", "swordfish-1")
    config = yaml.safe_load((run / "config.yaml").read_text())
    config["device"] |= {"instance": "crn:swordfish-2", "options": {"api_token": "swordfish-3"}}
    (run / "config.yaml").write_text(yaml.safe_dump(config))
    told = kept(run / "evaluation-fake_manila.json")
    told["options"]["token"] = "swordfish-4"
    (run / "evaluation-fake_manila.json").write_text(json.dumps(told))
    html = qrnn.report(run).read_text()
    assert "swordfish" not in html
    assert "(left out)" in html
    assert "max_tokens" not in hide({"max_tokens": 3}) or hide({"max_tokens": 3}) == {
        "max_tokens": 3
    }
    nested = {"options": [{"password": "a", "keys": 1}], "auth_token": None}
    assert hide(nested) == {"options": [{"password": "(left out)", "keys": 1}], "auth_token": None}


def assert_closed(page):
    """No script, and nothing that is asked for outside of the page."""
    assert not {tag for tag, _ in page.tags} & {
        "script",
        "iframe",
        "object",
        "embed",
        "img",
        "base",
    }
    assert not [name for _, attributes in page.tags for name in attributes if name.startswith("on")]
    for address in page.loads:
        assert address.startswith(("#", "data:")), address


def test_the_page_loads_nothing(made, page):
    assert_closed(page)
    html = (made / "runs/a/report.html").read_text()
    style = html.partition("<style>")[2].partition("</style>")[0]
    assert "url(" not in style
    assert "@import" not in style
    assert "default-src 'none'" in html
    ids = [attributes["id"] for _, attributes in page.tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    used = {address[1:] for address in page.loads if address.startswith("#")}
    assert used <= set(ids)


def test_hostile_names_stay_text(run):
    config = yaml.safe_load((run / "config.yaml").read_text())
    config["task"]["name"] = config["model"]["name"] = "<script>alert(1)</script>"
    (run / "config.yaml").write_text(yaml.safe_dump(config))
    told = kept(run / "evaluation-default.mixed-val.json")
    (run / "evaluation-x.json").write_text(json.dumps(told | {"device": HOSTILE}))
    page = read(qrnn.report(run))
    assert_closed(page)
    assert page.problems == []
    assert page.named("h1") == ["<script>alert(1)</script> · <script>alert(1)</script> · fused"]
    rows = page.table("device", "agreement")
    assert any(row["device"].startswith("<script>alert(1)</script> & \"quotes'") for row in rows)


def test_every_part_of_a_page_is_escaped():
    drawn = [
        figures.confusion(np.eye(2, dtype=int), (HOSTILE, "b"), HOSTILE),
        figures.attention(np.eye(2), [HOSTILE, "b"], [HOSTILE, "b"]),
        figures.examples([np.eye(3), np.ones((5, 1))], [HOSTILE, "b"], HOSTILE),
        figures.over_epochs({HOSTILE: [(0, 1.0)], "b": [(0, 2.0)]}, "y", HOSTILE, HOSTILE),
    ]
    parts = [
        Table([HOSTILE], [[HOSTILE], [[Span(HOSTILE, wrong=True)]]], caption=HOSTILE),
        Figures(drawn), Facts([(HOSTILE, HOSTILE)]), Text(HOSTILE), Text(HOSTILE, missing=True),
        Code(HOSTILE, title=HOSTILE), Code(HOSTILE),
    ]  # fmt: skip
    page = Reader(
        render(
            Page(HOSTILE, HOSTILE, [(HOSTILE,) * 3], [Section("a", HOSTILE, parts)], HOSTILE,
                 [HOSTILE])
        )
    )  # fmt: skip
    assert_closed(page)
    assert page.problems == []
    assert "mark" in {tag for tag, _ in page.tags}
    shown = HOSTILE.replace("\ud800", "?").replace("\x01", "\x01")
    assert page.named("h1") == page.named("h2") == [shown]
    assert page.named("mark") == [shown]


def harm_json(change):
    def harm(path):
        told = kept(path)
        change(told)
        path.write_text(json.dumps(told))

    return harm


BROKEN = [
    ("evaluation-fused.json", lambda path: path.write_text("{"), "evaluation-fused.json is damag"),
    ("evaluation-fused.json", lambda path: path.write_text("[1]"), "must hold names and values"),
    ("evaluation-fused.json", harm_json(lambda t: t.pop("value")), "value must be a number"),
    ("evaluation-fused.json", harm_json(lambda t: t.update(metric="luck")), "metric must be one"),
    ("evaluation-fused.json", harm_json(lambda t: t.update(labels=["a"])), "labels must be a list"),
    ("evaluation-fused.json", harm_json(lambda t: t.update(options=3)), "evaluation-fused.json is"),
    ("evaluation-default.mixed-val.json", harm_json(lambda t: t["options"].pop("strength")), "str"),
    ("evaluation-fake_manila.json", harm_json(lambda t: t["cost"].pop("jobs")), "jobs must be"),
    ("metrics.csv", lambda path: path.write_text("epoch,val/loss\nx,1\n"), "metrics.csv is dam"),
    ("metrics.csv", lambda path: path.write_bytes(b"\xff\xfe\x00"), "metrics.csv"),
    ("summary.json", lambda path: path.write_text("null"), "summary.json is damaged"),
    ("summary.json", harm_json(lambda t: t.update(minutes="1")), "minutes must be a number"),
    ("summary.json", lambda path: path.unlink(), "the training has not ended"),
    ("environment.json", lambda path: path.write_text("}"), "environment.json is damaged"),
    ("config.yaml", lambda path: path.write_text("task: ["), "config.yaml is damaged"),
    ("config.yaml", lambda path: path.write_text("task: 3"), "must hold the group task"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "harm", "told"), BROKEN)
def test_what_is_damaged_or_missing_is_told(run, name, harm, told):
    before = read_folder(run)
    harm(run / name)
    found = read_folder(run)
    assert [one for one in found.missing if one.startswith(name) and told in one], found.missing
    assert found.config == before.config
    lost = name.startswith("evaluation")
    assert len(found.evaluations) == len(before.evaluations) - lost


def test_a_run_of_which_little_is_left_gives_a_page(run):
    for path in run.glob("evaluation-*.json"):
        path.unlink()
    (run / "environment.json").unlink()
    (run / "metrics.csv").write_text("epoch,val/loss\nx,1\n")
    (run / "summary.json").write_text("null")
    (run / "best.ckpt").write_bytes(b"no")
    page = read(qrnn.report(run))
    assert page.problems == []
    assert len(page.named("h2")) == 9
    said = " ".join(page.named("p") + page.named("li"))
    for told in (
        "No epoch has ended yet.",
        "metrics.csv is damaged",
        "summary.json is damaged",
        "best.ckpt is damaged or not a checkpoint",
        f"Not evaluated yet: qrnn evaluate checkpoint={run}/best.ckpt",
        "No device has been evaluated yet.",
        "environment.json is missing",
    ):
        assert told in said, told


def test_a_bare_checkpoint_is_a_run_too(run):
    for path in run.iterdir():
        if path.name != "last.ckpt":
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    page = read(qrnn.report(run))
    assert page.named("h1") == ["digits · hybrid · fused"]
    assert "No epoch has ended yet." in page.named("p")


def test_a_run_whose_data_is_gone_gives_a_page(run):
    config = yaml.safe_load((run / "config.yaml").read_text())
    config["task"] = {"name": "mnist", "data_dir": "nowhere", "sequence": "rows"}
    (run / "config.yaml").write_text(yaml.safe_dump(config))
    page = read(qrnn.report(run))
    assert any("nowhere/train-images-idx3-ubyte.gz is not there" in t for t in page.named("p"))
    console = Console(quiet=True)
    loaded = pages_of.load(read_folder(run), "elsewhere", console)
    assert "elsewhere/train-images" in loaded.missing["data"]


def test_several_runs_are_compared(made, monkeypatch):
    monkeypatch.chdir(made)
    page = read(qrnn.report(["runs/a", "runs/b"]))
    assert_closed(page)
    assert page.problems == []
    assert page.named("h1") == ["2 runs: digits"]
    told = {name: kept(made / f"runs/{name}/evaluation-fused.json") for name in "ab"}
    rows = page.table("run", "model", "result")
    assert [row["run"] for row in rows] == ["a", "b"]
    for row in rows:
        assert row["result"] == f"{100 * told[row['run']]['accuracy']:.1f}% accuracy"
    assert page.table("key", "a", "b") == [{"key": "trainer.seed", "a": "0", "b": "1"}]
    assert [row["run"] for row in page.table("run", "device")] == ["a"] * 3 + ["b"]
    assert any(text.startswith("Only the seed differs") for text in page.named("p"))
    captions = page.named("figcaption")
    assert captions[0] == "Validation loss, over the epochs"


def with_value(run, value, metric="accuracy", **trainer):
    config = {**run.config, "trainer": {**run.config["trainer"], **trainer}}
    judged = replace(run.main, value=value, metric=metric)
    return replace(run, config=config, evaluations=(judged,))


def test_seeds_have_a_mean_and_the_best_run_is_named(made):
    one = read_folder(made / "runs/a")
    runs = [with_value(one, value, seed=seed) for seed, value in enumerate((0.5, 0.9, 0.7))]
    names = ["first", "second", "third"]
    told = list(comparison.metrics(runs, names, differences(runs)))[-1].text
    assert told.startswith("Only the seed differs: 70.0% ± 20% accuracy, mean and standard")
    assert told.endswith("of 3 seeds.")
    assert comparison.lead(runs, names).startswith("Best: second, with 90.0% accuracy")
    lower = [with_value(one, value, "perplexity") for value in (50.0, 9.0, 70.0)]
    assert comparison.lead(lower, names).startswith("Best: second, with 9.00 perplexity")
    others = [with_value(one, 0.5, lr=lr, seed=1) for lr in (0.1, 0.2)]
    parts = list(comparison.metrics(others, names[:2], differences(others)))
    assert not any(isinstance(part, Text) for part in parts)
    mixed = [with_value(one, 0.5), with_value(one, 9.0, "perplexity")]
    assert "none of them is the best" in comparison.lead(mixed, names[:2])


def test_only_keys_that_say_something_differ(made):
    one = read_folder(made / "runs/a")
    config = json.loads(json.dumps(one.config))
    config["model"] |= {"width": 5, "extra": None, "more": [1, 2]}
    config["trainer"]["progress"] = not config["trainer"]["progress"]
    other = replace(one, config=config)
    assert differences([one, other]) == {"model.width": ["4", "5"], "model.more": ["—", "[1, 2]"]}


@pytest.mark.parametrize(
    ("run", "options", "message"),
    [
        ("runs/c", {}, "but runs/c is not there"),
        ("runs/a/best.ckpt", {}, "but runs/a/best.ckpt is a file"),
        ("runs", {}, r"choose of the 2 in it, e.g. run=\[runs/a,runs/b\]"),
        (".", {}, "holds no config.yaml$"),
        ([], {}, r"run must name one folder or different ones, got \[\]"),
        (["runs/a", "runs/../runs/a"], {}, "run must name one folder or different ones"),
        (3, {}, "run must be a folder or several, got 3"),
        (["runs/a", 3], {}, "run must be a folder or several"),
        ("runs/a", {"data_dir": "x"}, "data_dir must be left out: task digits reads no files"),
        (["runs/a", "runs/b"], {"data_dir": "x"}, "data_dir must be left out with 2 runs"),
        ("runs/a", {"output": "runs"}, "output must name a file, got the folder runs"),
    ],
)
def test_wrong_input_is_one_line(made, monkeypatch, run, options, message):
    monkeypatch.chdir(made)
    with pytest.raises((ConfigError, DataError), match=message) as error:
        qrnn.report(run, **options)
    assert "\n" not in str(error.value)


def test_the_command_writes_the_page_and_says_where(made, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(made)
    call(monkeypatch, "report", "run=[runs/a,runs/b]", f"output={tmp_path}/both.html")
    assert "both.html: open it in a browser" in capsys.readouterr().out
    assert read(tmp_path / "both.html").named("h1") == ["2 runs: digits"]
    for arguments, told in ((["run=nothing"], "nothing is not there"), ([], "run must name")):
        monkeypatch.setattr(sys, "argv", ["qrnn", "report", *arguments])
        with pytest.raises(SystemExit) as ended:
            main()
        assert ended.value.code == 2
        error = capsys.readouterr().err
        assert told in error
        assert error.count("\n") == 1


# What each kind of task shows of single sequences.


def test_a_translator_shows_its_sentences_and_where_it_looked(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_multi30k(tmp_path)
    call(monkeypatch, "train", "task=multi30k", "task.data_dir=.", *SMALL, "trainer.epochs=2")
    call(monkeypatch, "evaluate", "checkpoint=run/best.ckpt", "limit=2")
    page = read(qrnn.report("run"))
    told = kept(Path("run/evaluation-fused.json"))
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
    call(monkeypatch, "train", "task=ptb", "task.data_dir=.", "task.steps=5",
         "task.level=characters", *SMALL, "trainer.epochs=1")  # fmt: skip
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
    call(monkeypatch, "train", "task=copying", "task.delay=3", "task.n_train=64", "task.n_val=16",
         "task.n_test=16", "model=lstm", "model.hidden_size=4", *SMALL[2:],
         "trainer.epochs=1")  # fmt: skip
    call(monkeypatch, "evaluate", "checkpoint=run/best.ckpt", "limit=5")
    page = read(qrnn.report("run"))
    assert page.named("h1") == ["copying · lstm · torch"]
    told = kept(Path("run/evaluation-torch.json"))
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
    call(monkeypatch, "train", "task=simple", "task.length=6", "task.repeats=2",
         "model=quantum_neuron", "model.workspace=2", *SMALL[3:], "trainer.epochs=1")  # fmt: skip
    page = read(qrnn.report("run"))
    rows = page.table("begins with", "sampled by the model")
    assert [row["begins with"] for row in rows] == ["0", "4"]
    assert page.facts["wires"] == "7: 3 in/out, 2 workspace, 2 ancillas"
    assert any("RY" in text for text in page.named("code"))


def evaluation(**values):
    known = {"device": "fused", "options": {}, "reference": "fused", "feedback": "closed",
             "readout_mode": "expval", "readout_angle": None, "metric": "accuracy", "value": 0.5,
             "loss": 1.0, "accuracy": 0.5, "agreement": 1.0, "rms_z": 0.0, "rms_z_steps": [0.0],
             "seconds": 1.0, "translations": [], "predictions": [], "labels": []}  # fmt: skip
    return Evaluation(**(known | {"sequences": len(values["labels"])} | values))


def test_the_evaluated_part_is_known_by_its_labels():
    data = digits(DigitsConfig())
    for name in ("test", "val", "train"):
        labels = getattr(data, name).y[:20].tolist()
        assert dataset.split_of(evaluation(labels=labels), data) == name
        assert dataset.split_of(evaluation(labels=labels, split=name), data) == name
    assert dataset.split_of(evaluation(labels=labels, split="test"), data) is None
    labels[3] = (labels[3] + 1) % 10
    assert dataset.split_of(evaluation(labels=labels), data) is None


def test_of_a_long_text_the_end_is_shown_beside_what_was_said():
    words = tuple(f"w{k}" for k in range(100))
    part = Split(torch.arange(100).repeat(2, 1), torch.tensor([0, 1]), torch.tensor([100, 70]))
    data = TaskData(part, part, part, ("bad", "good"), vocabulary=words)
    table = dataset.describe(data)[1]
    assert [row[0].split()[::60] for row in table.rows] == [["…", "w99"], ["…", "w69"]]
    assert [row[1] for row in table.rows] == ["bad", "good"]
    one = evaluation(labels=[0, 1], predictions=[0, 0])
    *_, said = behaviour.results(one, data, "test", "reviews")
    assert [row[0] for row in said.rows] == [row[0] for row in table.rows]
    assert [row[2] for row in said.rows] == [[Span("bad")], [Span("bad", wrong=True)]]


def test_of_a_text_the_first_row_is_shown():
    tokens = torch.arange(100) % 7
    data = TaskData(*(Stream(tokens + k, 6) for k in range(3)), tuple("abcdefghi"))
    # Rows of 33 tokens, read 6 at a time: the labels of the first row come first.
    labels = [*range(1, 7), *(int(token) for token in tokens[34:40])]
    one = evaluation(labels=labels, sequences=99)
    assert dataset.leading(one, data.train) == 6
    assert dataset.split_of(one, data) == "train"
    few = evaluation(labels=[1, 2, 3, 0, 0], sequences=5)
    assert dataset.leading(few, data.train) == 3


def test_pixels_in_any_order_are_the_image():
    image = torch.arange(9.0).reshape(3, 3)
    order = (4, 0, 8, 2, 6, 1, 3, 5, 7)
    shuffled = image.flatten()[list(order)][:, None]
    assert np.array_equal(dataset.picture(shuffled, order), image)
    assert np.array_equal(dataset.picture(image.flatten()[:, None], None), image)
    assert np.array_equal(dataset.picture(image, None), image)
    assert dataset.picture(torch.ones(5, 1), None).shape == (5, 1)


def test_sizes_are_those_of_the_data():
    x = torch.zeros(4, 5, 1)
    y = torch.tensor([[0, 1, IGNORED, 0, 1]] * 4)
    part = Split(x, y, torch.tensor([2, 5, 5, 3]))
    data = TaskData(part, part.head(2), part.head(1), ("a", "b"), kind="label")
    table = dataset.describe(data)[0]
    assert list(table.rows[0]) == ["training", "4", "2 to 5, median 3", "16"]
    assert list(table.rows[2]) == ["test", "1", "2 to 2, median 2", "4"]


def test_tokens_are_written_short():
    words = Spelling(["a", "b", "<eos>", "long"])
    assert words.text([3, 0, 0, 0, 1]) == "long a a a b"
    assert words.text([0] * 4 + [3]) == "a x 4 long"
    assert words.text([3, 1] * 100) == "long b " * 30 + "…"
    assert words.text([3, 1] * 100, end=True) == "…" + " long b" * 30
    letters = Spelling(["a", "b", "<eos>", "unused 3"])
    assert letters.text([0, 1, 1, 1, 1, 2]) == "abbbb<eos>"
    assert letters.text([0, 77]) == "a77"
    spans = words.spans([0, 1, 3], [0, 3, 3])
    assert spans == [Span("a"), Span(" "), Span("b", wrong=True), Span(" "), Span("long")]


def test_figures_follow_the_pages_colours_and_keep_to_themselves():
    lines = {"a": [(0, 1.0), (1, 1e-3)], "b": [(0, 2.0)]}
    one, other = (str(figures.over_epochs(lines, "y", "c", "t").svg) for _ in range(2))
    assert "var(--blue)" in one
    assert "#0072b2" not in one.lower()
    assert "#000000" not in one
    assert "font-family" not in one
    ids = [set(re.findall(r' id="([^"]+)"', svg)) for svg in (one, other)]
    assert ids[0]
    assert not ids[0] & ids[1]
    assert "http" not in one
    assert ">0.01<" in one  # powers of ten, as the values span three
    assert "<style" not in one
    assert 'role="img"' in one


def test_an_epoch_is_counted_from_one():
    for line, epochs in (([(0, 0.3)], "1"), ([(0, 0.3), (1, 0.6)], "12")):
        drawn = str(figures.over_epochs({"a": line}, "y", "c", "t").svg)
        assert re.findall(r">(\d)<", drawn) == list(epochs)
