"""The random damaged checkpoints find a planted fault."""

import pytest

import qrnn.training.checkpoint
from fuzz import checkpoints
from fuzz.harness import run


@pytest.mark.slow
def test_weights_that_nobody_checks_are_found(monkeypatch):
    assert run(checkpoints.FUZZ, 2, 24).problems == {}
    monkeypatch.setattr(qrnn.training.checkpoint, "check_weights", lambda saved, wanted: None)
    assert run(checkpoints.FUZZ, 2, 24).problems
