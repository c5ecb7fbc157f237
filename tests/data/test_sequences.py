"""The tasks of the quantum-neuron network: each against a checker that knows only its rules."""

import re

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from helpers.task_files import REAL, needs_data, write_idx, write_mnist
from qrnn import ConfigError, DataError
from qrnn.data import (
    IGNORED,
    DnaConfig,
    ElmanLettersConfig,
    ElmanXorConfig,
    MnistBinaryConfig,
    Shape,
    SimpleConfig,
    dna,
    elman_letters,
    elman_xor,
    mnist_binary,
    simple,
)
from qrnn.data.generated import next_token_split

SMALL = {"n_train": 40, "n_val": 3, "n_test": 2}
SEEDS = st.integers(0, 99)


def parts(data):
    return (data.train, data.val, data.test)


def sequences(part):
    """Return whole sequences: what is read, and the last label behind it."""
    return torch.cat([part.x.long(), part.y[:, -1:].long()], 1)


def asked(part):
    """Return whether each token of a sequence is asked for; the first never is."""
    never = torch.zeros(len(part), 1, dtype=torch.bool)
    return torch.cat([never, part.y != IGNORED], 1)


def check_convention(data, sizes, steps, n_tokens):
    assert data.kind == "label"
    assert data.metric == "accuracy"
    assert data.shape == Shape("label", n_tokens, n_tokens, tokens=True)
    assert len({*data.vocabulary}) == len({*data.classes}) == n_tokens
    for part, size in zip(parts(data), sizes, strict=True):
        assert part.x.shape == part.y.shape == (size, steps)
        assert 0 <= part.x.min() <= part.x.max() < n_tokens
        assert (part.y[:, -1] != IGNORED).all()  # no input comes after it
        label, following = part.y[:, :-1].long(), part.x[:, 1:].long()
        assert ((label == IGNORED) | (label == following)).all()
        batch = part.batch(slice(0, 2))
        assert batch.x.dtype == batch.y.dtype == torch.int64
        assert torch.equal(batch.y, part.y[:2].long())


@given(st.integers(2, 50), st.integers(1, 4))
def test_simple_is_two_sequences(length, repeats):
    data = simple(SimpleConfig(length=length, repeats=repeats))
    check_convention(data, (2 * repeats, 2, 2), length - 1, 8)
    for part in parts(data):
        assert asked(part)[:, 1:].all()
        whole = sequences(part).tolist()
        assert whole[::2] == [[k % 4 for k in range(length)]] * (len(part) // 2)
        assert whole[1::2] == [[4] * length] * (len(part) // 2)


@given(st.integers(1, 20), SEEDS)
def test_every_third_bit_is_the_xor_of_two_random_ones(triples, seed):
    data = elman_xor(ElmanXorConfig(length=3 * triples, seed=seed, **SMALL))
    check_convention(data, (40, 3, 2), 3 * triples - 1, 4)
    for part in parts(data):
        for row, scored in zip(sequences(part).tolist(), asked(part).tolist(), strict=True):
            assert scored == [False, False, True] * triples
            for a, b, c in zip(row[0::3], row[1::3], row[2::3], strict=True):
                assert c == (a + b) % 2
    pairs = sequences(data.train).reshape(-1, 3)[:, :2].unique(dim=0)
    assert len(pairs) == 4


@given(st.integers(2, 40), SEEDS)
def test_letters_are_words_and_their_vowels_are_asked_for(length, seed):
    data = elman_letters(ElmanLettersConfig(length=length, seed=seed, **SMALL))
    check_convention(data, (40, 3, 2), length - 1, 8)
    for part in parts(data):
        for row, scored in zip(sequences(part).tolist(), asked(part).tolist(), strict=True):
            text = "".join(data.vocabulary[token] for token in row)
            assert re.fullmatch("(ba|dii|guuu)*(di?|gu{0,2}|b)?", text)
            assert text[-1] in "aiu"
            assert scored == [letter in "aiu" for letter in text]


def test_consonants_are_random():
    data = elman_letters(ElmanLettersConfig())
    counts = data.train.x.flatten().bincount(minlength=8)
    share = counts[:3] / counts[:3].sum()
    assert share.tolist() == pytest.approx([1 / 3] * 3, abs=0.01)


@given(st.integers(4, 60), SEEDS, st.sampled_from(["token", "bit"]))
def test_the_marked_base_of_the_first_half_comes_again_at_the_end(length, seed, marker):
    data = dna(DnaConfig(length=length, seed=seed, marker=marker, **SMALL))
    check_convention(data, (40, 3, 2), length - 1, 8)
    for part in parts(data):
        for row, scored in zip(sequences(part).tolist(), asked(part).tolist(), strict=True):
            assert scored == [False] * (length - 1) + [True]
            (mark,) = (t for t, token in enumerate(row) if token >= 4)
            if marker == "token":
                assert row[mark] == 4
                at, base = mark + 1, row[mark + 1]
            else:
                at, base = mark, row[mark] - 4
            assert row[-1] == base
            assert 1 <= at < length // 2  # so that much of the sequence comes behind it


@pytest.mark.parametrize("marker", ["token", "bit"])
def test_places_and_bases_are_uniform(marker):
    data = dna(DnaConfig(length=10, marker=marker))
    x, y = data.train.x.long(), data.train.y[:, -1].long()
    places = (x >= 4).int().argmax(1)
    places -= places.min()
    assert (places.bincount() / 20_000).tolist() == pytest.approx([1 / 4] * 4, abs=0.02)
    assert (y.bincount() / 20_000).tolist() == pytest.approx([1 / 4] * 4, abs=0.02)
    bases = x[x < 4].bincount().double()
    assert (bases / bases.sum()).tolist() == pytest.approx([1 / 4] * 4, abs=0.01)
    assert data.vocabulary[:4] == ("A", "C", "G", "T")
    assert data.vocabulary[4] == ("A*" if marker == "bit" else "marker")


@pytest.mark.parametrize("marker", ["token", "bit"])
def test_a_held_base_is_the_label_from_the_mark_on(marker):
    at_end = dna(DnaConfig(length=12, marker=marker, **SMALL))
    held = dna(DnaConfig(length=12, marker=marker, answer="hold", **SMALL))
    for name in ("train", "val", "test"):
        end, hold = getattr(at_end, name), getattr(held, name)
        assert torch.equal(end.x, hold.x)
        for x, y, answer in zip(
            hold.x.tolist(), hold.y.tolist(), end.y[:, -1].tolist(), strict=True
        ):
            mark = next(t for t, token in enumerate(x) if token >= 4)
            at = mark if marker == "bit" else mark + 1
            assert x[at] % 4 == answer
            assert y == [4] * at + [answer] * (11 - at)


RANDOM = [(elman_xor, ElmanXorConfig), (elman_letters, ElmanLettersConfig), (dna, DnaConfig)]


@pytest.mark.parametrize(("load", "schema"), RANDOM)
def test_the_seed_decides_and_each_part_has_its_own_stream(load, schema):
    data = load(schema(n_train=50, n_val=50, n_test=50))
    again, longer = load(schema(n_train=50, n_val=50, n_test=50)), load(schema(n_val=50, n_test=50))
    other = load(schema(n_train=50, n_val=50, n_test=50, seed=1))
    whole = torch.cat([sequences(part) for part in parts(data)])
    assert len(whole.unique(dim=0)) == 150
    assert torch.equal(data.train.x, again.train.x)
    assert len(longer.train) == 20_000
    for name in ("val", "test"):
        assert torch.equal(getattr(longer, name).x, getattr(data, name).x)
        assert not torch.equal(getattr(other, name).x, getattr(data, name).x)


def test_a_last_token_that_is_not_asked_for_is_a_fault():
    tokens = np.zeros((2, 4), np.uint8)
    with pytest.raises(ValueError, match="the last token of every sequence must be scored"):
        next_token_split(tokens, np.array([[True] * 4, [True, True, True, False]]))


WRONG = [
    (simple, SimpleConfig(length=1), r"task\.length must be at least 2, got 1"),
    (simple, SimpleConfig(repeats=0), r"task\.repeats must be at least 1, got 0"),
    (elman_xor, ElmanXorConfig(length=35), r"multiple of 3 .*, got 35: choose 33"),
    (elman_xor, ElmanXorConfig(length=0), r"multiple of 3 .*, got 0: choose 3"),
    (elman_letters, ElmanLettersConfig(length=1), r"task\.length must be at least 2, got 1"),
    (dna, DnaConfig(length=3), r"task\.length must be at least 4, got 3"),
    (dna, DnaConfig(answer="ends"), r"task\.answer 'ends' is not known: did you mean end"),
    (dna, DnaConfig(marker="bits"), r"task\.marker 'bits' is not known: did you mean bit"),
    *(
        (load, schema(n_test=0), r"task\.n_test must be at least 1, got 0")
        for load, schema in RANDOM
    ),
    *((load, schema(seed=-1), r"task\.seed must be at least 0, got -1") for load, schema in RANDOM),
    (dna, DnaConfig(length=10**6), r"must be at most 2147 sequences of task\.length=1000000, got"),
    *(
        (
            mnist_binary,
            MnistBinaryConfig(data_dir="x", digits=digits),
            "must be two different digits",
        )
        for digits in ([0], [0, 0], [0, 10], [0, 1, 2])
    ),
]


@pytest.mark.parametrize(("load", "config", "message"), WRONG)
def test_wrong_values_are_one_line(load, config, message):
    with pytest.raises(ConfigError, match=message) as error:
        load(config)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("digits", [(0, 1), (6, 3)])
def test_two_digits_are_scanned_by_rows_and_by_columns(tmp_path, digits):
    blocks = write_mnist(tmp_path)
    data = mnist_binary(MnistBinaryConfig(data_dir=str(tmp_path), digits=list(digits)))
    check_convention(data, (12, 1000, 6), 100, 4)
    assert data.classes[:2] == tuple(map(str, digits))
    ranges = (("train", 0, 60), ("train", 60, 5060), ("t10k", 0, 30))
    for part, (name, first, last) in zip(parts(data), ranges, strict=True):
        mine = [n for n in range(first, last) if n % 10 in digits]
        assert (asked(part).long().argmax(1) == 100).all()  # the first that is asked for
        assert part.y[:, -1].tolist() == [digits.index(n % 10) for n in mine]
        for n, tokens in list(zip(mine, part.x.tolist(), strict=True))[:20]:
            image = blocks[name][n].tolist()
            by_rows = [image[k // 10][k % 10] for k in range(100)]
            by_columns = [image[k % 10][k // 10] for k in range(100)]
            assert [token % 2 for token in tokens] == by_rows
            assert [token // 2 for token in tokens] == by_columns


def test_digits_that_a_part_has_not_are_named(tmp_path):
    for part, count in (("train", 5002), ("t10k", 3)):
        write_idx(tmp_path / f"{part}-images-idx3-ubyte.gz", np.zeros((count, 28, 28)))
        write_idx(tmp_path / f"{part}-labels-idx1-ubyte.gz", np.full(count, 7))
    with pytest.raises(DataError, match="must hold images of 0 and 1 in each part, got none"):
        mnist_binary(MnistBinaryConfig(data_dir=str(tmp_path)))


@needs_data
@pytest.mark.parametrize(
    ("digits", "n_test", "apart"), [([0, 1], 2115, 0.98), ([3, 6], 1968, 0.95)]
)
def test_real_digits_stay_legible(digits, n_test, apart):
    data = mnist_binary(MnistBinaryConfig(data_dir=str(REAL / "mnist"), digits=digits))
    assert len(data.test) == n_test  # all that MNIST has
    images = (data.test.x % 2).double()
    assert images.sum(1).min() >= 4
    labels = data.train.y[:, -1].long()
    means = torch.stack([(data.train.x % 2).double()[labels == k].mean(0) for k in (0, 1)])
    nearest = torch.cdist(images, means).argmin(1)
    assert (nearest == data.test.y[:, -1]).double().mean() > apart
