"""The copying memory problem: its layout, its parts and what a guess costs."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from qrnn import ConfigError
from qrnn.data import CopyingConfig, Shape, copying, loader

SMALL = {"n_train": 6, "n_val": 3, "n_test": 2}
BLANK, MARKER = 8, 9


@given(st.integers(1, 60), st.integers(0, 99))
def test_the_layout_is_the_standard_one(delay, seed):
    data = copying(CopyingConfig(delay=delay, seed=seed, **SMALL))
    for part, size in ((data.train, 6), (data.val, 3), (data.test, 2)):
        assert part.x.shape == part.y.shape == (size, delay + 20)
        assert part.x.dtype == part.y.dtype == torch.uint8
        symbols, blanks, marker, rest = part.x.split([10, delay - 1, 1, 10], 1)
        assert symbols.max() < 8
        assert (blanks == BLANK).all()
        assert (marker == MARKER).all()
        assert (rest == BLANK).all()
        silence, answer = part.y.split([delay + 10, 10], 1)
        assert (silence == BLANK).all()
        assert torch.equal(answer, symbols)
    # `delay` steps from the last symbol shown to the first one asked for, counting the latter.
    assert data.baseline == pytest.approx(10 * math.log(8) / (delay + 20))


def test_the_baseline_is_the_loss_of_who_forgets():
    data = copying(CopyingConfig(delay=30, n_train=200, n_val=1, n_test=1))
    y = data.train.y.long()
    logits = torch.full((*y.shape, 10), -1e9)
    logits[:, :40, BLANK] = 0
    logits[:, 40:, :8] = 0
    loss = torch.nn.functional.cross_entropy(logits.flatten(0, 1), y.flatten())
    assert loss.item() == pytest.approx(data.baseline, rel=1e-5)


def test_no_two_sequences_are_the_same_and_the_seed_decides():
    data = copying(CopyingConfig())
    parts = [data.train, data.val, data.test]
    assert [len(part) for part in parts] == [20_000, 1_000, 1_000]
    symbols = torch.cat([part.x[:, :10] for part in parts])
    assert len(symbols.unique(dim=0)) == 22_000
    many = copying(CopyingConfig(delay=1, n_train=200_000)).train.x[:, :10].long()
    assert len((many * 8 ** torch.arange(10)).sum(1).unique()) == 200_000
    share = symbols.flatten().bincount().double() / symbols.numel()
    assert share.tolist() == pytest.approx([1 / 8] * 8, abs=3e-3)
    assert torch.equal(data.test.x, copying(CopyingConfig()).test.x)
    assert not torch.equal(data.test.x, copying(CopyingConfig(seed=1)).test.x)


def test_a_curriculum_has_the_same_symbols_over_other_delays():
    config = CopyingConfig(delay=9, curriculum=[2, 5, 2], **SMALL)
    data = copying(config)
    plain = copying(CopyingConfig(delay=9, **SMALL))
    assert [part.x.shape for part in data.curriculum] == [(6, 22), (6, 25), (6, 22)]
    for part in data.curriculum:
        assert torch.equal(part.x[:, :10], data.train.x[:, :10])
        assert torch.equal(part.y[:, -10:], data.train.x[:, :10])
    for name in ("train", "val", "test"):
        assert torch.equal(getattr(data, name).x, getattr(plain, name).x)
    assert [data.train_of(epoch).x.shape[1] for epoch in range(5)] == [22, 25, 22, 29, 29]
    with pytest.raises(ConfigError, match=r"each of task\.curriculum must be at least 1, got 0"):
        copying(CopyingConfig(curriculum=[3, 0], **SMALL))


def test_it_says_what_it_is():
    data = copying(CopyingConfig(delay=5, **SMALL))
    assert (data.kind, data.metric) == ("label", "cross_entropy")
    assert data.classes == data.vocabulary == (*(f"a{k}" for k in range(8)), "blank", "marker")
    assert data.shape == Shape("label", 10, 10, tokens=True)
    batch = next(iter(loader(data.train, 4, shuffle=True)))
    assert batch.x.shape == batch.y.shape == (4, 25)
    assert batch.x.dtype == batch.y.dtype == torch.int64


def test_a_long_delay_takes_one_byte_a_step():
    data = copying(CopyingConfig(delay=1000))
    assert data.train.x.numel() * data.train.x.element_size() == 20_000 * 1020


@pytest.mark.parametrize("key", ["delay", "n_train", "n_val", "n_test"])
def test_sizes_that_make_no_sense(key):
    with pytest.raises(ConfigError, match=rf"task\.{key} must be at least 1, got 0"):
        copying(CopyingConfig(**{key: 0}))


@pytest.mark.parametrize(
    ("sizes", "most"),
    [({"delay": 10**6}, 2147), ({"delay": 1, "n_train": 20_000_000}, 10_737_418)],
)
def test_more_than_the_memory_holds_is_refused(sizes, most):
    with pytest.raises(ConfigError, match=f"must be at most {most} sequences of task.delay="):
        copying(CopyingConfig(**sizes))


@pytest.mark.parametrize(
    ("curriculum", "most"), [([10**12], 0), ([10**6, 3, 10**6], 2147), ([10**6, 10**6 + 1], 1073)]
)
def test_a_curriculum_that_the_memory_does_not_hold_is_refused(curriculum, most):
    message = f"task.n_train must be at most {most} sequences of each delay of task.curriculum, got"
    with pytest.raises(ConfigError, match=message) as error:
        copying(CopyingConfig(curriculum=curriculum))
    assert "\n" not in str(error.value)
