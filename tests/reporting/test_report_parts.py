"""The parts that pages are made of."""

import re

import numpy as np
import torch

from qrnn.data import IGNORED, DigitsConfig, Split, Stream, TaskData, digits
from qrnn.evaluation.evaluation import Evaluation
from qrnn.reporting import behaviour, dataset, figures
from qrnn.reporting.parts import Span
from qrnn.reporting.spelling import Spelling


def evaluation(**values):
    known = {
        "device": "fused",
        "options": {},
        "reference": "fused",
        "feedback": "closed",
        "readout_mode": "expval",
        "readout_angle": None,
        "metric": "accuracy",
        "value": 0.5,
        "loss": 1.0,
        "accuracy": 0.5,
        "agreement": 1.0,
        "rms_z": 0.0,
        "rms_z_steps": [0.0],
        "seconds": 1.0,
        "translations": [],
        "predictions": [],
        "labels": [],
    }
    return Evaluation(**(known | {"sequences": len(values["labels"])} | values))


def test_the_evaluated_part_is_known_by_its_labels():
    data = digits(DigitsConfig())
    for name in ("test", "val", "train"):
        labels = getattr(data, name).y[:20].tolist()
        assert dataset.split_of(evaluation(labels=labels), data) == name
        assert dataset.split_of(evaluation(labels=labels, split=name), data) == name
    assert dataset.split_of(evaluation(labels=labels, split="test"), data) is None
    labels[3] = (labels[3] + 1) % 10
    assert dataset.split_of(evaluation(labels=labels), data) is None


def test_of_a_long_text_the_end_is_shown_beside_what_was_said():
    words = tuple(f"w{k}" for k in range(100))
    part = Split(torch.arange(100).repeat(2, 1), torch.tensor([0, 1]), torch.tensor([100, 70]))
    data = TaskData(part, part, part, ("bad", "good"), vocabulary=words)
    table = dataset.describe(data)[1]
    assert [row[0].split()[::60] for row in table.rows] == [["…", "w99"], ["…", "w69"]]
    assert [row[1] for row in table.rows] == ["bad", "good"]
    one = evaluation(labels=[0, 1], predictions=[0, 0])
    *_, said = behaviour.results(one, data, "test", "reviews")
    assert [row[0] for row in said.rows] == [row[0] for row in table.rows]
    assert [row[2] for row in said.rows] == [[Span("bad")], [Span("bad", wrong=True)]]


def test_of_a_text_the_first_row_is_shown():
    tokens = torch.arange(100) % 7
    words = tuple("abcdefghi")
    data = TaskData(*(Stream(tokens + k, 6) for k in range(3)), words, "label", words)
    # Rows of 33 tokens, read 6 at a time: the labels of the first row come first.
    labels = [*range(1, 7), *(int(token) for token in tokens[34:40])]
    one = evaluation(labels=labels, sequences=99)
    assert dataset.leading(one, data.train) == 6
    assert dataset.split_of(one, data) == "train"
    few = evaluation(labels=[1, 2, 3, 0, 0], sequences=5)
    assert dataset.leading(few, data.train) == 3


def test_pixels_in_any_order_are_the_image():
    image = torch.arange(9.0).reshape(3, 3)
    order = (4, 0, 8, 2, 6, 1, 3, 5, 7)
    shuffled = image.flatten()[list(order)][:, None]
    assert np.array_equal(dataset.picture(shuffled, order), image)
    assert np.array_equal(dataset.picture(image.flatten()[:, None], None), image)
    assert np.array_equal(dataset.picture(image, None), image)
    assert dataset.picture(torch.ones(5, 1), None).shape == (5, 1)


def test_sizes_are_those_of_the_data():
    x = torch.zeros(4, 5, dtype=torch.int8)
    y = torch.tensor([[0, 1, IGNORED, 0, 1]] * 4)
    part = Split(x, y, torch.tensor([2, 5, 5, 3]))
    data = TaskData(part, part.head(2), part.head(1), ("a", "b"), "label", ("a", "b"))
    table = dataset.describe(data)[0]
    assert list(table.rows[0]) == ["training", "4", "2 to 5, median 3", "16"]
    assert list(table.rows[2]) == ["test", "1", "2 to 2, median 2", "4"]


def test_tokens_are_written_short():
    words = Spelling(["a", "b", "<eos>", "long"])
    assert words.text([3, 0, 0, 0, 1]) == "long a a a b"
    assert words.text([0] * 4 + [3]) == "a x 4 long"
    assert words.text([3, 1] * 100) == "long b " * 30 + "…"
    assert words.text([3, 1] * 100, end=True) == "…" + " long b" * 30
    letters = Spelling(["a", "b", "<eos>", "unused 3"])
    assert letters.text([0, 1, 1, 1, 1, 2]) == "abbbb<eos>"
    assert letters.text([0, 77]) == "a77"
    spans = words.spans([0, 1, 3], [0, 3, 3])
    assert spans == [Span("a"), Span(" "), Span("b", wrong=True), Span(" "), Span("long")]


def test_figures_follow_the_pages_colours_and_keep_to_themselves():
    lines = {"a": [(0, 1.0), (1, 1e-3)], "b": [(0, 2.0)]}
    one, other = (str(figures.over_epochs(lines, "y", "c", "t").svg) for _ in range(2))
    assert "var(--blue)" in one
    assert "#0072b2" not in one.lower()
    assert "#000000" not in one
    assert "font-family" not in one
    ids = [set(re.findall(r' id="([^"]+)"', svg)) for svg in (one, other)]
    assert ids[0]
    assert not ids[0] & ids[1]
    assert "http" not in one
    assert ">0.01<" in one  # powers of ten, as the values span three
    assert "<style" not in one
    assert 'role="img"' in one


def test_an_epoch_is_counted_from_one():
    for line, epochs in (([(0, 0.3)], "1"), ([(0, 0.3), (1, 0.6)], "12")):
        drawn = str(figures.over_epochs({"a": line}, "y", "c", "t").svg)
        assert re.findall(r">(\d)<", drawn) == list(epochs)
