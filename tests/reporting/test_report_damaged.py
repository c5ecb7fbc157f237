"""A run that is damaged or of which little is left gives a page that says so."""

import json
import shutil

import pytest
import yaml
from rich.console import Console

import qrnn
from helpers.report_pages import kept, read
from qrnn.reporting import page as pages_of
from qrnn.reporting.folder import read_folder


def harm_json(change):
    def harm(path):
        told = kept(path)
        change(told)
        path.write_text(json.dumps(told))

    return harm


FUSED = "evaluation-fused-limit100.json"
MIXED = "evaluation-default.mixed-val-limit3.json"
COPY = "evaluation-fake_manila-limit2.json"
BROKEN = [
    (FUSED, lambda path: path.write_text("{"), "fused-limit100.json is dam"),
    (FUSED, lambda path: path.write_text("[1]"), "must be a JSON object"),
    (FUSED, harm_json(lambda t: t.pop("value")), "value"),
    (FUSED, harm_json(lambda t: t.update(metric="luck")), "metric must be one"),
    (FUSED, harm_json(lambda t: t.update(labels=["a"])), "labels must be list"),
    (FUSED, harm_json(lambda t: t["labels"].append(0.5)), "labels must be list"),
    (FUSED, harm_json(lambda t: t["labels"].pop()), "labels and predictions must have the s"),
    (FUSED, harm_json(lambda t: t.update(split=["test"])), "split must be str | None"),
    (FUSED, harm_json(lambda t: t.update(options=3)), "fused-limit100.json is"),
    (MIXED, harm_json(lambda t: t["options"].pop("strength")), "str"),
    (COPY, harm_json(lambda t: t["cost"].pop("jobs")), "'jobs'"),
    ("metrics.csv", lambda path: path.write_text("epoch,val/loss\nx,1\n"), "metrics.csv is dam"),
    ("metrics.csv", lambda path: path.write_bytes(b"\xff\xfe\x00"), "metrics.csv"),
    ("summary.json", lambda path: path.write_text("null"), "summary.json is damaged"),
    ("summary.json", harm_json(lambda t: t.update(minutes="1")), "minutes must be float"),
    ("summary.json", lambda path: path.unlink(), "the training has not finished"),
    ("environment.json", lambda path: path.write_text("}"), "environment.json is damaged"),
    ("config.yaml", lambda path: path.write_text("task: ["), "config.yaml is damaged"),
    ("config.yaml", lambda path: path.write_text("task: 3"), "must hold the group task"),
]


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
        "No epoch has finished yet.",
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
    assert "No epoch has finished yet." in page.named("p")


def test_a_run_whose_data_is_gone_gives_a_page(run):
    config = yaml.safe_load((run / "config.yaml").read_text())
    config["task"] = {"name": "mnist", "data_dir": "nowhere", "sequence": "rows"}
    (run / "config.yaml").write_text(yaml.safe_dump(config))
    page = read(qrnn.report(run))
    assert any("but nowhere has none of them" in t for t in page.named("p"))
    console = Console(quiet=True)
    loaded = pages_of.load(read_folder(run), "elsewhere", console)
    assert "but elsewhere has none of them" in loaded.missing["data"]
