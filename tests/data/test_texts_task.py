"""Labelled texts of a table."""

import pytest
import torch

from helpers.tables import write_table
from qrnn import ConfigError, DataError
from qrnn.data.tables.base import encoder_from
from qrnn.data.tables.files import read_table
from qrnn.data.tables.texts import TextsConfig, texts
from qrnn.training.alarms import data_warnings


def text_file(folder, n=20):
    rows = [(f"a {'good' if i % 2 else 'bad'} film no{i}!", "np"[i % 2]) for i in range(n)]
    return write_table(folder / "texts.csv", "text,label", rows)


def load(path, **options):
    return texts(TextsConfig(file=str(path), **options))


def test_texts_are_tokens_of_the_training_parts_words(tmp_path):
    data = load(text_file(tmp_path))
    assert (data.classes, data.kind) == (("n", "p"), "classify")
    known = set(data.vocabulary)
    assert {"good", "bad", "film", "!"} <= known
    assert not any(word.startswith("no") for word in known)  # each occurs once
    words = load(text_file(tmp_path), min_count=1)  # of the training part alone
    assert sum(word.startswith("no") for word in words.vocabulary) == len(words.train) < 20
    good = data.vocabulary.index("good")
    for part in (data.train, data.val, data.test):
        assert torch.equal((part.x == good).any(1).long(), part.y)
    assert len(data.train) + len(data.val) + len(data.test) == 20
    short = load(text_file(tmp_path), max_length=2)
    assert short.train.x.shape[1] == 2


def test_class_weights_make_rare_classes_count_as_much(tmp_path):
    rows = [(f"w{i} x", "rare" if i % 4 == 0 else "usual") for i in range(40)]
    data = load(write_table(tmp_path / "t.csv", "text,label", rows), class_weights=True)
    counts = data.train.y.bincount().tolist()
    totals = [n * w for n, w in zip(counts, data.goal.weights, strict=True)]
    assert totals[0] == pytest.approx(totals[1])
    assert sum(totals) == pytest.approx(sum(counts))
    assert load(text_file(tmp_path)).goal.weights == ()


@pytest.mark.parametrize("counts", [[3] * 20, [40, 30, 2, 3], [8, 2, 2]])
def test_each_class_is_in_training_where_it_is_too_rare_for_each_part(tmp_path, counts):
    rows = [(f"w{i} x", f"c{label}") for label, n in enumerate(counts) for i in range(n)]
    path = write_table(tmp_path / "t.csv", "text,label", rows)
    for seed in range(10):
        data = load(path, seed=seed)
        assert data.train.y.bincount(minlength=len(counts)).min() >= 1
        parts = torch.cat([data.train.y, data.val.y, data.test.y])
        assert parts.bincount().tolist() == counts
    there = set(data.test.y.tolist())
    lacks = [name for n, name in enumerate(data.classes) if n not in there]
    told = [one for one in data_warnings(data, config=None) if "test part" in one]
    assert told == ([f"the test part has no sequence of label {named(lacks)}"] if lacks else [])
    with pytest.raises(
        DataError, match=r"must leave a sequence of each of \d+ labels to train with"
    ):
        load(path, val=0.5, test=0.49)


def named(labels):
    """Return at most five of them, as the warning does."""
    return ", ".join(labels[:5]) + (f" and {len(labels) - 5} more" if len(labels) > 5 else "")


def test_a_test_file_without_labels_is_refused(tmp_path):
    other = write_table(tmp_path / "n.csv", "text", [("good",)])
    with pytest.raises(DataError, match=r"n\.csv: column 'label' is not known"):
        load(text_file(tmp_path), test_file=str(other))


def test_new_texts_are_read_as_the_training_was(tmp_path):
    data = load(text_file(tmp_path))
    encoder = encoder_from(data.encoder.plain())
    split, _ = encoder.encode(
        read_table(write_table(tmp_path / "n.csv", "text", [("A GOOD zzz",)]))
    )
    words = [data.vocabulary[token] for token in split.x[0]]
    assert words[:2] == ["a", "good"]
    assert words[2] == data.vocabulary[1]  # an unknown word


@pytest.mark.parametrize(
    ("rows", "options", "message"),
    [
        ([("", "a"), ("x", "b")] * 2, {}, "row 2, column 'text' must not be empty"),
        ([("x", "a"), ("!", "")] * 2, {}, "row 3, column 'label' must not be empty"),
        ([("x", "a"), ("x", "a"), ("x", "b")], {}, "row 4, column 'label': the label 'b' must occ"),
        ([("x", "a")] * 4, {}, "must have at least 2 labels, got 1"),
        ([("x", "a"), ("x", "b")] * 3, {"text": "review"}, "column 'review' is not known"),
        ([("x", "a"), ("x", "b")] * 3, {"label": "kind"}, "column 'kind' is not known"),
    ],
)
def test_what_is_wrong_in_a_file_is_one_line(tmp_path, rows, options, message):
    with pytest.raises(DataError) as error:
        load(write_table(tmp_path / "w.csv", "text,label", rows), **options)
    assert message in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "options",
    [
        {"min_count": 0},
        {"min_count": 99},
        {"max_words": 1},
        {"max_length": 0},
        {"val": 1.0},
        {"seed": -1},
    ],
)
def test_keys_out_of_range_are_one_line(tmp_path, options):
    with pytest.raises(ConfigError, match=f"task.{next(iter(options))} "):
        load(text_file(tmp_path), **options)
    with pytest.raises(ConfigError, match=r"task.file must name"):
        texts(TextsConfig())
