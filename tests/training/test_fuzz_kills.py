"""The random kills find a planted fault."""

import pytest

from fuzz import kills
from fuzz.harness import run


def unseeded():
    """Let random numbers go on from wherever they are, as they did."""
    from qrnn.training import learner as training

    training.seed_all = lambda *_: None


def test_a_command_follows_from_its_seed():
    assert kills.command(5) == kills.command(5) != kills.command(13)
    assert {"model=gru", "model.head_dropout=0.4"} <= set(kills.command(5))


@pytest.mark.slow
def test_a_planted_fault_is_found(monkeypatch):
    monkeypatch.setattr(kills, "FAULT", unseeded)
    outcome = run(kills.FUZZ, 1, 31)  # dropout, killed in the second epoch
    assert "metrics" in outcome.problems[31]
