"""What the tests of texts share: what is the same, and what a damaged one must say."""

import pytest
import torch

from qrnn import DataError


def same(a, b):
    """Whether two tasks' sequences are the same."""
    return all(
        torch.equal(getattr(getattr(a, part), key), getattr(getattr(b, part), key))
        for part in ("train", "val", "test")
        for key in ("x", "y", "lengths")
    )


def fails(load, config, *messages, error=DataError):
    """Expect one clear line."""
    with pytest.raises(error) as raised:
        load(config)
    text = str(raised.value)
    assert "\n" not in text
    for message in messages:
        assert message in text
