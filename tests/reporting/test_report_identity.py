"""Results are shown only with the model that they are of."""

import json
import shutil

import numpy as np
import torch

import qrnn
from helpers.report_pages import call, kept, read
from qrnn.models.identity import model_identity
from qrnn.reporting.folder import read_folder
from qrnn.training.checkpoint import checkpoint_identity, load_model, read_checkpoint

FUSED = "evaluation-fused-limit100.json"


def changed(path, change):
    content = torch.load(path, weights_only=True)
    change(content)
    torch.save(content, path)


def of(path):
    return checkpoint_identity(read_checkpoint(path))


def test_a_model_has_one_identity_wherever_it_is_and_another_one_has_its_own(run, tmp_path):
    first = of(run / "best.ckpt")
    model, _ = load_model(shutil.copy(run / "best.ckpt", tmp_path / "moved.ckpt"))
    assert model_identity(model) == of(tmp_path / "moved.ckpt") == first
    assert kept(run / FUSED)["checkpoint"] == first

    def train_on(content):  # what training keeps, and learns by
        content["optimizer_states"], content["epoch"] = [], 99
        content["qrnn"]["config"]["trainer"]["epochs"] = 99

    changed(tmp_path / "moved.ckpt", train_on)
    assert of(tmp_path / "moved.ckpt") == first
    with torch.no_grad():
        model.head.weight[0, 0] += 1
    assert model_identity(model) != first
    changed(tmp_path / "moved.ckpt", lambda c: c["qrnn"]["config"]["model"].update(input_scale=2.0))
    assert of(tmp_path / "moved.ckpt") != first


def test_evaluations_of_another_model_are_left_out_in_a_line(run, monkeypatch):
    old = json.loads((run / FUSED).read_text())
    del old["checkpoint"]  # as older versions wrote them
    (run / FUSED).write_text(json.dumps(old))
    page = read(qrnn.report(run))
    told = page.named("li")
    assert len(told) == 1
    assert told[0].startswith(f"{FUSED} is left out: it does not record its model. Evalu")
    command = "qrnn evaluate checkpoint=run/best.ckpt limit=100"
    assert told[0].endswith(f": {command}")
    assert len(page.table("device", "read")) == 2
    # The command makes it again.
    call(monkeypatch, *command.split()[1:])
    assert len(read(qrnn.report(run)).table("device", "read")) == 3
    # A training that goes on in the folder leaves the old evaluations behind.
    changed(run / "best.ckpt", lambda c: c["state_dict"]["model.head.bias"].add_(1))
    page = read(qrnn.report(run))
    told = page.named("li")
    assert len(told) == 3
    assert all("is left out: its model is not that of best.ckpt" in line for line in told)
    assert any("device.strength=0.05 split=val limit=3" in line for line in told)
    assert any(text.startswith("Not evaluated yet") for text in page.named("p"))
    several = read(qrnn.report([run, shutil.copytree(run, run.parent / "other")]))
    assert sum("is left out" in line for line in several.named("li")) == 6
    for path in run.glob("*.ckpt"):
        path.unlink()
    assert read_folder(run).evaluations == ()
    assert all(
        "no checkpoint to match it with" in one for one in read(qrnn.report(run)).named("li")
    )


def test_an_inspection_names_its_model(run, monkeypatch):
    call(monkeypatch, "inspect", f"checkpoint={run}/best.ckpt", "formats=[svg]", "gradient=false")
    (found,) = run.glob("inspection/*/inspection.npz")
    assert str(np.load(found)["checkpoint"]) == of(run / "best.ckpt")
