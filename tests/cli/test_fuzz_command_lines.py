"""The random command lines find faults that are planted."""

import os

import pytest

from fuzz import command_lines

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not hasattr(os, "fork"), reason="each line is a fork"),
]


@pytest.fixture
def problem(tmp_path):
    """What tells what is wrong with how a line ends."""
    command_lines._fill(tmp_path / "here", command_lines.random.Random(0))

    def run(*line):
        return command_lines.problem_of(list(line), tmp_path)

    return run


def test_what_is_right_is_none(problem):
    assert problem("train", "trainer.epochs=1") is None
    assert problem("train", "trainer.epochs=0") is None
    assert problem("fly") is None


def test_planted_faults_are_found(problem, monkeypatch):
    refused = ("train", "trainer.epochs=0")
    with monkeypatch.context() as patch:
        patch.setattr("qrnn.cli.hydra_files._remove", lambda: None)
        assert problem(*refused).startswith("refused, and files changed: ['runs', 'runs/digits'")
    with monkeypatch.context() as patch:
        patch.setattr("qrnn.training.checks.SCHEDULES", None)
        assert problem(*refused).startswith("traceback: qrnn: unexpected TypeError")
    with monkeypatch.context() as patch:
        patch.setattr("qrnn.cli.errors.message_of", lambda error: f"{error}\nand more")
        assert problem(*refused).startswith("2 lines on stderr")
    with monkeypatch.context() as patch:
        patch.setattr("qrnn.cli.errors.fail", lambda message, status=2: os._exit(9))
        assert problem(*refused).startswith("status 9")
    with monkeypatch.context() as patch:
        patch.setattr(command_lines, "SECONDS", 2)
        forever = "qrnn.training.trainer.check_trainer"
        patch.setattr(forever, lambda _: next(i for i in iter(int, 1) if i))
        assert problem(*refused).startswith("no end within")


def test_random_lines_find_a_planted_fault(tmp_path, monkeypatch):
    monkeypatch.setattr("qrnn.cli.hydra_files._remove", lambda: None)
    found = [command_lines.case(seed, tmp_path / str(seed)) for seed in range(40)]
    assert any(one and "files changed" in one for one in found)
