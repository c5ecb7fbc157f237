"""What is on a run's page is what the run's files say, and nothing else gets in."""

import json
import math
import os
import shlex
import shutil
import sys

import pytest
import torch
import yaml
from hydra import compose, initialize_config_module
from hydra.core.override_parser.overrides_parser import OverridesParser
from hypothesis import given
from hypothesis import strategies as st

import qrnn
from helpers.report_pages import Reader, assert_closed, call, drawings, kept, read
from qrnn.config import register_schemas, to_plain
from qrnn.devices.ibm.ledger import Ledger, recorded_circuits
from qrnn.reporting import commands, plots
from qrnn.reporting import page as pages_of
from qrnn.reporting.folder import read_folder
from qrnn.reporting.parts import Code, Facts, Figure, Page, Table, Text
from qrnn.reporting.write import render
from qrnn.training.history import best_of
from qrnn.utils import program
from qrnn.utils.figure_style import DARK
from qrnn.utils.private import hide

FUSED = "evaluation-fused-limit100.json"
HOSTILE = "<script>alert(1)</script> & \"quotes' $x^2$ </style> \x01 \ud800"


def test_the_sections_are_in_order_and_nothing_is_missing(page):
    assert page.problems == []
    assert page.named("h1") == ["digits · hybrid · fused"]
    assert page.named("h2") == [
        "Data",
        "Training",
        "Results",
        "Circuit",
        "Devices",
        "Time and memory",
        "Configuration",
        "Commands",
        "Environment",
    ]
    assert "missing" not in [attributes.get("class") for _, attributes in page.tags]


def test_the_main_numbers_are_those_of_the_files(made, page):
    told = kept(made / "runs/a/evaluation-fused-limit100.json")
    summary = kept(made / "runs/a/summary.json")
    lead = next(text for name, text in page.texts if name == "p")
    assert lead.startswith(f"{100 * told['accuracy']:.1f}% accuracy on 100 test sequences")
    facts = page.facts
    assert facts["accuracy"] == f"{100 * told['accuracy']:.1f}%"
    assert float(facts["loss"].split()[0]) == pytest.approx(told["loss"], abs=6e-4)
    assert facts["seed"] == "0"
    assert facts["peak memory"] == f"{summary['peak_memory_mb']:,.0f} MB"
    assert facts["optimiser steps"] == "8"
    assert facts["torch threads"] == str(summary["threads"])
    assert facts["total parameters"] == f"{summary['all_parameters']:,}"
    # The circuit of 2 qubits: RY RZ on both and a CZ, twice; XYZ readouts.
    wanted = {"wires": "2", "angles": "8", "readouts": "6", "gates": "10", "two qubit gates": "2"}
    assert wanted.items() <= facts.items()
    assert facts["gates by name"] == "4 RY, 4 RZ, 2 CZ"


def test_an_epoch_without_a_loss_is_not_the_best():
    losses = [(0, math.nan), (1, 0.5), (2, 0.7)]
    best = best_of({"val/loss": losses, "val/accuracy": [(1, 0.25)]})
    assert (best.epoch, best.loss) == (2, 0.5)


def test_best_epoch_is_the_one_with_the_least_validation_loss(run):
    (run / "metrics.csv").write_text(
        "epoch,step,val/loss,val/accuracy,train/loss,train/skipped\n"
        "0,9,0.9,0.1,1.0,0.0\n1,19,0.4,0.625,0.8,0.5\n2,29,0.5,0.7,0.1,0.0\n"
    )
    found = read_folder(run)
    assert pages_of.lead(found).endswith("; best checkpoint: epoch 2, validation accuracy 62.5%.")
    assert found.best == (2, 0.4, "accuracy", 0.625)
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
    cost = kept(made / "runs/a/evaluation-fake_manila-limit2.json")["cost"]
    assert row["jobs"] == str(cost["jobs"]) == "8"
    # Two sequences, three bases, eight steps.
    assert row["circuits"] == "48"
    assert row["executions"] == f"{cost['executions']:,}" == "2,400"
    assert row["QPU s, estimated"] == f"{cost['estimated_seconds']:.1f}" == "16.6"
    assert row["QPU s, metered"] == "none"


def test_circuits_are_those_of_finished_jobs(tmp_path):
    assert recorded_circuits(tmp_path) is None
    ledger = Ledger(tmp_path)
    for key, circuits, state in (("a", 5, "done"), ("b", 7, "submitted"), ("c", 11, "done")):
        ledger.record(key, "intent", circuits=circuits)
        ledger.record(key, state, job_id=key)
    ledger.close()
    assert recorded_circuits(tmp_path) == 16


def test_the_confusion_matrix_has_the_true_class_downwards():
    axes = plots.confusion([0, 0, 0, 0, 1, 1], [0, 0, 0, 1, 1, 1], ("no", "yes")).axes[0]
    assert axes.images[0].get_array().tolist() == [[3, 1], [0, 2]]
    assert [text.get_text() for text in axes.get_yticklabels()] == ["no", "yes"]
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("predicted class", "true class")
    many = plots.confusion([0], [1], [f"class {k}" for k in range(40)])
    assert not any(text.get_text() for text in many.axes[0].texts)


def test_curves_count_epochs_from_one_and_many_decades_are_logarithmic():
    lines = {"train/loss": [(0, 1.0), (1, 1e-3)], "val/accuracy": [(0, 0.5)]}
    loss, accuracy, _ = (axes for figure in plots.curves(lines) for axes in figure.axes)
    assert loss.lines[0].get_xdata().tolist() == [1, 2]
    assert (loss.get_yscale(), accuracy.get_yscale()) == ("log", "linear")


def test_the_first_errors_are_listed(made, page):
    told = kept(made / "runs/a/evaluation-fused-limit100.json")
    pairs = enumerate(zip(told["labels"], told["predictions"], strict=True))
    index, (label, predicted) = next(one for one in pairs if one[1][0] != one[1][1])
    (listed,) = [text for text in page.named("p") if text.startswith("The first errors")]
    assert f": sequence {index}: true {label}, predicted {predicted}; sequence" in listed
    most = max(told["labels"], key=told["labels"].count)
    share = told["labels"].count(most) / len(told["labels"])
    common = f"The most common class, {most}, has {100 * share:.1f}% of the sequences."
    assert any(text.endswith(common) for text in page.named("figcaption"))


def test_the_commands_repeat_the_run(made, page, monkeypatch):
    (code,) = [text for text in page.named("code") if "qrnn train" in text]
    train, *evaluations = code.replace(" \\\n", "").splitlines()
    register_schemas()
    with initialize_config_module("qrnn.configs", version_base="1.3"):
        composed = compose("train", shlex.split(train)[2:])
    saved = yaml.safe_load((made / "runs/a/config.yaml").read_text())
    saved["trainer"]["progress"] = True
    assert to_plain(composed) == saved
    wanted = [
        "qrnn evaluate checkpoint=runs/a-again/best.ckpt limit=100",
        "device=default.mixed device.noise=depolarizing device.strength=0.05 split=val limit=3",
        "device=fake_manila device.shots=50 device.seed=1 limit=2",
    ]
    shown = [" ".join(line.split()) for line in evaluations]
    assert all(line.endswith(end) for line, end in zip(shown, wanted, strict=True)), shown
    # As printed, they give the same numbers.
    monkeypatch.chdir(made)
    for line in (train, evaluations[0]):
        call(monkeypatch, *shlex.split(line)[1:])
    again, told = (kept(made / f"runs/{name}/{FUSED}") for name in ("a-again", "a"))
    assert (again["value"], again["loss"]) == (told["value"], told["loss"])
    assert commands.again(made / "runs/a").name == "a-again2"
    shutil.rmtree(made / "runs/a-again")


def test_a_program_with_its_own_parts_runs_its_own_commands(run):
    content = torch.load(run / "best.ckpt", weights_only=True)
    content["qrnn"]["modules"] |= {"ansatz": "my cell.py"}
    torch.save(content, run / "best.ckpt")
    found = read_folder(run)
    told = commands.commands(found)
    assert told.startswith("python 'my cell.py' train task=digits")
    assert "python 'my cell.py' evaluate checkpoint=run-again/best.ckpt" in told


def test_a_program_is_named_by_its_path(run, tmp_path, monkeypatch):
    content = torch.load(run / "best.ckpt", weights_only=True)
    content["qrnn"]["modules"] |= {"ansatz": "brickwork.py"}
    torch.save(content, run / "best.ckpt")
    told = kept(run / "environment.json") | {"program": "../my programs/brickwork.py"}
    (run / "environment.json").write_text(json.dumps(told))
    for folder in ("my programs", "other"):
        (tmp_path / folder).mkdir()

    def program_from(folder):
        monkeypatch.chdir(tmp_path / folder)
        return commands.commands(read_folder(run)).partition(" train ")[0]

    (tmp_path / "my programs/brickwork.py").touch()
    assert program_from("other") == "python '../my programs/brickwork.py'"
    assert program_from("my programs") == "python brickwork.py"
    assert "program" not in read(qrnn.report(run)).facts
    (tmp_path / "my programs/brickwork.py").rename(tmp_path / "brickwork.py")  # and none is there
    assert program_from("other") == "python ../brickwork.py"
    (tmp_path / "brickwork.py").unlink()
    assert program_from("other") == "python brickwork.py"
    monkeypatch.setenv("PATH", os.defpath)
    monkeypatch.setattr(sys, "executable", str(tmp_path / "other/bin/python"))
    assert program_from("other") == "bin/python brickwork.py"


def test_commands_start_as_the_report_did(run):
    with program.running(program.Started("python -m qrnn")):
        assert commands.commands(read_folder(run)).startswith("python -m qrnn train task=digits")
    content = torch.load(run / "best.ckpt", weights_only=True)
    content["qrnn"]["modules"] |= {"ansatz": "brickwork.py"}
    torch.save(content, run / "best.ckpt")
    for how, wanted in (
        ("python sub/brickwork.py", "python sub/brickwork.py"),
        ("python other.py", "python brickwork.py"),
        ("qrnn", "python brickwork.py"),
    ):
        with program.running(program.Started(how)):
            told = commands.commands(read_folder(run))
        assert told.startswith(f"{wanted} train task=digits")
        assert f"{wanted} evaluate checkpoint=" in told


def test_data_are_named_from_the_folder_of_the_shell(run, tmp_path, monkeypatch):
    home = tmp_path / "home"
    (home / "runs").mkdir(parents=True)
    moved = shutil.copytree(run, home / "runs/x")
    found = read_folder(moved)
    found.config["task"]["file"] = "data/t.csv"
    assert "task.file=data/t.csv" in commands.commands(found)
    assert commands.not_found(found) == ["task.file"]
    (home / "data").mkdir()
    (home / "data/t.csv").touch()
    assert "task.file=home/data/t.csv" in commands.commands(found)
    assert commands.not_found(found) == []
    (tmp_path / "other").mkdir()
    monkeypatch.chdir(tmp_path / "other")
    assert "task.file=../home/data/t.csv" in commands.commands(found)
    monkeypatch.chdir(home)
    assert "task.file=data/t.csv" in commands.commands(found)


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
    assert read(qrnn.report(run)).facts["torch"] == "1.2.3"
    assert set(told) == {"processor", "python", "qrnn", "torch", "pennylane", "lightning", "numba"}


def test_no_secret_and_no_environment_variable_is_on_the_page(run, monkeypatch):
    monkeypatch.setenv("QRNN_SECRET_OF_A_TEST", "swordfish-1")
    config = yaml.safe_load((run / "config.yaml").read_text())
    config["device"] |= {"instance": "crn:swordfish-2", "options": {"api_token": "swordfish-3"}}
    (run / "config.yaml").write_text(yaml.safe_dump(config))
    told = kept(run / "evaluation-fake_manila-limit2.json")
    told["options"]["token"] = "swordfish-4"
    (run / "evaluation-fake_manila-limit2.json").write_text(json.dumps(told))
    html = qrnn.report(run).read_text()
    assert "swordfish" not in html
    assert "(hidden)" in html
    assert "max_tokens" not in hide({"max_tokens": 3}) or hide({"max_tokens": 3}) == {
        "max_tokens": 3
    }
    nested = {"options": [{"password": "a", "keys": 1}], "auth_token": None}
    assert hide(nested) == {"options": [{"password": "(hidden)", "keys": 1}], "auth_token": None}


def test_the_page_loads_nothing(made, page):
    assert_closed(page)
    html = (made / "runs/a/report.html").read_text()
    style = html.partition("<style>")[2].partition("</style>")[0]
    assert "url(" not in style
    assert "@import" not in style
    assert "default-src 'none'" in html
    drawn = drawings(page)
    assert len(drawn) == 6  # three curves, confusion, circuit, errors of the readouts
    assert all(DARK in "".join(root.itertext()) for root in drawn)
    assert all(attributes["alt"] for tag, attributes in page.tags if tag == "img")


def test_hostile_names_stay_text(run):
    config = yaml.safe_load((run / "config.yaml").read_text())
    config["task"]["name"] = config["model"]["name"] = "<script>alert(1)</script>"
    (run / "config.yaml").write_text(yaml.safe_dump(config))
    told = kept(run / "evaluation-default.mixed-val-limit3.json")
    (run / "evaluation-x.json").write_text(json.dumps(told | {"device": HOSTILE}))
    page = read(qrnn.report(run))
    assert_closed(page)
    assert page.problems == []
    assert page.named("h1") == ["<script>alert(1)</script> · <script>alert(1)</script> · fused"]
    rows = page.table("device", "agreement")
    assert any(row["device"].startswith("<script>alert(1)</script> & \"quotes'") for row in rows)


@pytest.mark.filterwarnings("error")
def test_the_pieces_of_a_long_circuit_are_few():
    figures, left_out = plots.circuit(qrnn.QRNN(8, 4, layers=40).cell.circuit)
    assert len(figures) == plots.PIECES
    assert left_out > 100
    figures, left_out = plots.circuit(qrnn.QRNN(8, 4, layers=3).cell.circuit)
    assert 1 < len(figures) <= plots.PIECES
    assert left_out == 0


def test_every_part_of_a_page_is_escaped():
    drawn = [
        plots.confusion([0, 1], [1, 1], (HOSTILE, "b")),
        plots.errors_by_step([HOSTILE], [[0.1, 0.2]]),
    ]
    parts = [
        Table([HOSTILE], [[HOSTILE]], caption=HOSTILE),
        *(Figure(plots.data_url(one), HOSTILE, HOSTILE) for one in drawn),
        Facts([(HOSTILE, HOSTILE)]),
        Text(HOSTILE),
        Text(HOSTILE, missing=True),
        Code(HOSTILE, title=HOSTILE),
        Code(HOSTILE),
    ]
    page = Reader(render(Page(HOSTILE, HOSTILE, {HOSTILE: parts}, [HOSTILE]), HOSTILE))
    assert_closed(page)
    assert page.problems == []
    shown = HOSTILE.replace("\ud800", "?")
    assert page.named("h1") == page.named("h2") == page.named("caption") == [shown]
    texts = [text for root in drawings(page) for text in root.itertext()]
    assert any("<script>alert(1)</script> & \"quotes' $x^2$" in text for text in texts)
