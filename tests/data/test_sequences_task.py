"""Labelled sequences of a table: grouping, parts, labels and numbers, and the errors of a file."""

import numpy as np
import pandas as pd
import pytest
import torch

from helpers.tables import labelled_file, write_table
from helpers.task_files import REAL, needs_data
from qrnn import ConfigError, DataError
from qrnn.data import IGNORED
from qrnn.data.tables.base import encoder_from
from qrnn.data.tables.files import read_table
from qrnn.data.tables.sequences import SequencesConfig, sequences

PARTS = ("train", "val", "test")


def load(path, **options):
    base = {"order": "step", "features": ["f", "g"], "scale": "none"}
    return sequences(SequencesConfig(file=str(path), **base | options))


def test_sequences_keep_their_rows_and_labels(tmp_path):
    data = load(labelled_file(tmp_path))
    assert (data.kind, data.classes, data.shape.input_size) == ("classify", ("a", "b"), 2)
    seen = []
    for part in PARTS:
        split = getattr(data, part)
        for n, name in enumerate(data.rows[part]["id"]):
            number = int(name[1:])
            seen.append(number)
            assert split.lengths[n] == 3 + number % 3
            assert split.y[n] == number % 2
            steps = np.sin(number + np.arange(3 + number % 3)) + number % 2
            np.testing.assert_allclose(split.x[n, : len(steps), 0], steps, atol=6e-4)
    assert sorted(seen) == list(range(24))  # each in one part


def test_classes_have_their_share_in_each_part_and_seeds_differ(tmp_path):
    rows = [(f"s{i}", t, i, "rare" if i % 10 == 0 else "usual") for i in range(100) for t in (0, 1)]
    path = write_table(tmp_path / "r.csv", "id,step,f,label", rows)
    data = load(path, features=[], val=0.2, test=0.3)
    assert [len(getattr(data, part)) for part in PARTS] == [50, 20, 30]
    assert [int((getattr(data, part).y == 0).sum()) for part in PARTS] == [5, 2, 3]
    assert load(path, features=[], seed=1).rows["val"]["id"].tolist() != (
        load(path, features=[]).rows["val"]["id"].tolist()
    )


def test_scaling_knows_the_training_rows_alone(tmp_path):
    path = labelled_file(tmp_path)
    before = load(path, scale="standard")
    named = set(before.rows["test"]["id"])
    lines = path.read_text().splitlines()
    changed = [
        ",".join([c[0], c[1], "99", *c[3:]]) if c[0] in named else ",".join(c)
        for c in (line.split(",") for line in lines)
    ]
    path.write_text("\n".join(changed) + "\n")
    after = load(path, scale="standard")
    assert (after.encoder.offset, after.encoder.scale) == (
        before.encoder.offset,
        before.encoder.scale,
    )
    assert after.test.x.max() > 50
    seen = torch.cat([x[:n] for x, n in zip(after.train.x, after.train.lengths, strict=True)])
    np.testing.assert_allclose(seen.mean(0), 0, atol=1e-6)
    np.testing.assert_allclose(seen.std(0, unbiased=False), 1, atol=1e-6)


def test_labels_of_steps(tmp_path):
    rows = [
        (f"s{i}", t, i + t, "odd" if (i + t) % 2 else "even")
        for i in range(9)
        for t in range(2 + i % 2)
    ]
    data = load(
        write_table(tmp_path / "l.csv", "id,step,f,label", rows), features=["f"], each="step"
    )
    assert (data.kind, data.classes) == ("label", ("even", "odd"))
    for n, length in enumerate(data.train.lengths):
        want = (data.train.x[n, :length, 0] % 2).long()
        assert torch.equal(data.train.y[n, :length], want)
        assert (data.train.y[n, length:] == IGNORED).all()
    assert data.rows["train"].columns.tolist() == ["id", "step"]
    assert len(data.rows["train"]) == data.train.asked


@pytest.mark.parametrize(("each", "kind"), [("sequence", "regress"), ("step", "regress_steps")])
def test_numbers_are_scaled_and_come_back_in_their_units(tmp_path, each, kind):
    rows = [(f"s{i}", t, i, 100 + 10 * i + t * (each == "step")) for i in range(9) for t in (0, 1)]
    path = write_table(tmp_path / "n.csv", "id,step,f,label", rows)
    data = load(path, features=["f"], each=each, target="number", scale="standard")
    assert data.kind == kind
    truth = data.goal.truth(data.test.y)
    number = int(data.rows["test"]["id"].iloc[0][1:])
    assert truth[0, 0, 0].item() == pytest.approx(100 + 10 * number, rel=1e-5)
    assert abs(data.train.y.mean().item()) < 1e-5


def test_a_second_file_is_the_test_part(tmp_path):
    data = load(labelled_file(tmp_path), test_file=str(labelled_file(tmp_path, "t.csv", 7)))
    assert len(data.train) + len(data.val) == 24
    assert data.rows["test"]["id"].tolist() == [f"s{i}" for i in range(7)]


def test_an_encoder_reads_rows_without_labels(tmp_path):
    encoder = encoder_from(load(labelled_file(tmp_path)).encoder.plain())
    path = write_table(tmp_path / "n.csv", "id,step,g,f", [("x", 0, 1, 2), ("x", 1, 3, 4)])
    split, keys = encoder.encode(read_table(path))
    assert split.x.tolist() == [[[2, 1], [4, 3]]]  # by name, not by place
    assert split.y.tolist() == [IGNORED]
    assert keys["id"].tolist() == ["x"]


HEADER = "id,step,f,g,label,value"


def rows_with(row, column, cell, n=8):
    rows = [[f"s{i}", t, i, 2 * i, "ab"[i % 2], i] for i in range(n) for t in range(2)]
    rows[row][column] = cell
    return rows


@pytest.mark.parametrize(
    ("rows", "options", "message"),
    [
        (rows_with(2, 2, "x"), {}, "row 4, column 'f' must be a finite number, got 'x'"),
        (rows_with(2, 2, ""), {}, "row 4, column 'f' is empty: fill it"),
        (rows_with(2, 0, ""), {}, "row 4, column 'id' must not be empty"),
        (rows_with(2, 4, ""), {}, "row 4, column 'label' must not be empty"),
        (rows_with(3, 4, "a"), {}, "row 5, column 'label' must be the whole sequence's label"),
        (rows_with(3, 1, 0), {}, "row 5, column 'step' must be greater than in the sequence's row"),
        (rows_with(3, 1, "?"), {}, "row 5, column 'step' must be a number or an ISO date"),
        (rows_with(2, 4, "c"), {"each": "step"}, "row 4, column 'label': the label 'c' must occur"),
        ([*rows_with(0, 0, "s0"), ["z", 0, 1, 1, "c", 0]], {}, "row 18, column 'label': the label"),
        ([[f"s{i}", 0, 1, 1, "a", 0] for i in range(5)], {}, "must have at least 2 labels, got 1"),
        (
            rows_with(2, 5, ""),
            {"target": "number", "label": "value"},
            "row 4, column 'value' is em",
        ),
        (rows_with(0, 0, "s0"), {"features": ["h"]}, "column 'h' is not known"),
        (rows_with(0, 0, "s0"), {"label": "h"}, "column 'h' is not known"),
        (rows_with(0, 0, "s0"), {"id": "h"}, "column 'h' is not known"),
        (rows_with(0, 0, "s0", 1), {"target": "number", "label": "value"}, "at least 3 sequences"),
    ],
)
def test_what_is_wrong_in_a_file_is_one_line(tmp_path, rows, options, message):
    path = write_table(tmp_path / "w.csv", HEADER, rows)
    with pytest.raises(DataError) as error:
        load(path, **options)
    assert message in str(error.value)
    assert "task.missing" not in str(error.value)  # which this task does not have
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"target": "rank"}, "task.target"),
        ({"each": "row"}, "task.each"),
        ({"scale": "log"}, "task.scale"),
        ({"val": 0.0}, "task.val must be more than 0 and less than 1"),
        ({"val": 0.6, "test": 0.5}, "task.val + task.test must be less than 1"),
        ({"target": "number", "label": "value", "loss": "hinge"}, "task.loss"),
    ],
)
def test_keys_out_of_range_are_one_line(tmp_path, options, message):
    with pytest.raises(ConfigError) as error:
        load(write_table(tmp_path / "w.csv", HEADER, rows_with(0, 0, "s0")), **options)
    assert message in str(error.value)


def test_a_file_must_be_named():
    with pytest.raises(ConfigError, match=r"task.file must name"):
        sequences(SequencesConfig())


def test_a_test_file_without_labels_is_refused(tmp_path):
    path = labelled_file(tmp_path)
    other = tmp_path / "o.csv"
    pd.read_csv(path).drop(columns="label").to_csv(other, index=False)
    with pytest.raises(DataError, match=r"o\.csv: column 'label' is not known"):
        load(path, test_file=str(other))


def test_an_unknown_label_of_a_test_file_is_named(tmp_path):
    other = write_table(tmp_path / "t.csv", HEADER, rows_with(2, 4, "c")[2:3])
    with pytest.raises(
        DataError, match=r"t.csv, row 2, column 'label': the label 'c' does not occ"
    ):
        load(labelled_file(tmp_path), test_file=str(other))


@needs_data
def test_the_vowels():
    data = load(
        REAL / "tables/vowels_train.csv",
        features=[],
        test_file=str(REAL / "tables/vowels_test.csv"),
    )
    assert (len(data.train) + len(data.val), len(data.test)) == (270, 370)
    assert data.classes == tuple("123456789")
    assert data.shape.input_size == 12
    lengths = torch.cat([data.train.lengths, data.val.lengths, data.test.lengths])
    assert (lengths.min(), lengths.max()) == (7, 29)
