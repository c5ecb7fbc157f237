"""A tiny run with its page, for all tests of reports."""

import os
import shutil
import sys
from pathlib import Path

import pytest

from helpers.report_pages import call, read, train_digits


@pytest.fixture(scope="session")
def made(tmp_path_factory):
    """A tiny run of the digits with three evaluations, and its page."""
    folder = tmp_path_factory.mktemp("report")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        train_digits(patch, "runs/a")
        best = "checkpoint=runs/a/best.ckpt"
        call(patch, "evaluate", best, "limit=100")
        call(
            patch,
            "evaluate",
            best,
            "limit=3",
            "device=default.mixed",
            "device.noise=depolarizing",
            "device.strength=0.05",
            "split=val",
        )
        call(
            patch,
            "evaluate",
            best,
            "limit=2",
            "device=fake_manila",
            "device.shots=50",
            "device.seed=1",
        )
        train_digits(patch, "runs/b", "trainer.seed=1")
        call(patch, "evaluate", "checkpoint=runs/b/best.ckpt", "limit=100")
        call(patch, "report", "run=runs/a")
    return folder


@pytest.fixture
def run(made, tmp_path, monkeypatch):
    """A copy of that run, to do harm to."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", str(Path(sys.executable).parent), prepend=os.pathsep)
    return Path(shutil.copytree(made / "runs/a", tmp_path / "run"))


@pytest.fixture(scope="session")
def page(made):
    return read(made / "runs/a/report.html")
