"""Data that is not of its task's kind is refused in one line, before anything is trained."""

import math
from dataclasses import replace

import pytest
import torch

from qrnn import ConfigError, DataError
from qrnn.data import Numbers, Split, Stream, TaskData
from qrnn.data.kinds import KINDS, Kind

N, T = 6, 4
X, Y = torch.rand(N, T, 2), torch.arange(N) % 2
TOKENS = torch.arange(N * T).view(N, T) % 3
NAMES = ("a", "b", "c")


def task(x=X, y=Y, lengths=None, kind="classify", **options):
    good = Split(X, Y) if x.ndim == 3 else Split(TOKENS, TOKENS if kind == "label" else Y)
    return TaskData(good, Split(x, y, lengths), good, NAMES, kind, **options)


def changed(values, place, value):
    values = values.clone()
    values[place] = value
    return values


words = {"vocabulary": NAMES}
WRONG = {
    "targets that are numbers": (
        lambda: task(y=torch.rand(N)),
        "val.y of kind classify must be labels, integers (N), one label per sequence, got float32 "
        "(6,) for x (6, 4, 2)",
    ),
    "targets that are bool": (lambda: task(y=Y > 0), "got bool (6,)"),
    "a label a step": (lambda: task(y=torch.zeros(N, T).long()), "got int64 (6, 4)"),
    "a label a sequence of tokens": (
        lambda: task(TOKENS, Y, None, "label", **words),
        "val.y of kind label must be labels, integers (N, T), one label per step, got int64 (6,)",
    ),
    "labels a step of no tokens": (
        lambda: task(kind="label"),
        "train.y of kind label must be labels, integers (N, T), one label per step, got int64 (6,)",
    ),
    "an unknown kind": (
        lambda: task(kind="classifyy"),
        "kind 'classifyy' is not known: did you mean classify",
    ),
    "a label too large": (
        lambda: task(y=changed(Y, 4, 3)),
        "val.y must be in 0..2, or -100 where there is no label, got 3 in sequence 4",
    ),
    "a label below 0": (lambda: task(y=changed(Y, 4, -1)), "got -1 in sequence 4"),
    "no label at all": (lambda: task(y=Y * 0 - 100), "val.y must have at least one label"),
    "NaN": (
        lambda: task(changed(X, (3, 2, 1), math.nan)),
        "val.x must be finite, got nan in sequence 3, step 2",
    ),
    "infinity": (lambda: task(changed(X, (3, 2, 1), math.inf)), "val.x must be finite, got inf"),
    "double precision": (
        lambda: task(X.double()),
        "val.x must be float32 (N, T, D), or tokens with a vocabulary, got float64 (6, 4, 2)",
    ),
    "tokens without words": (
        lambda: TaskData(*[Split(TOKENS, Y)] * 3, NAMES),
        "train.x must be float32",
    ),
    "no tokens": (
        lambda: task(X, Y, **words),
        "train.x must be tokens, integers (N, T), got float32",
    ),
    "a token too large": (
        lambda: task(changed(TOKENS, (1, 2), 3), Y, **words),
        "val.x must be in 0..2, got 3 in sequence 1, step 2",
    ),
    "fewer targets": (lambda: task(y=Y[:5]), "y must have a target for each of 6 sequences, got 5"),
    "numpy": (lambda: Split(X.numpy(), Y), "x must be a tensor of sequences"),
    "lengths of numbers": (
        lambda: task(lengths=torch.full((N,), 1.5)),
        "lengths must be 6 whole numbers of 1..4",
    ),
    "lengths beyond": (
        lambda: task(lengths=torch.full((N,), 5)),
        "lengths must be 6 whole numbers of 1..4",
    ),
    "other features": (
        lambda: task(X[..., :1]),
        "x must have the same number of features in all parts, got [1, 2]",
    ),
    "nothing to learn from": (
        lambda: replace(task(), train=Split(X[:0], Y[:0])),
        "train must have at least one sequence, got none",
    ),
    "a short text": (
        lambda: TaskData(*[Stream(TOKENS[0, :1], 2)] * 3, NAMES, "label", NAMES),
        "train must have at least",
    ),
    "a text to classify": (
        lambda: TaskData(*[Stream(TOKENS[0], 2)] * 3, NAMES, **words),
        "train is a text, so kind must be label, got classify",
    ),
    "a text of other tokens": (
        lambda: TaskData(*[Stream(TOKENS[0] + 1, 2)] * 3, NAMES, "label", NAMES),
        "train.tokens must be in 0..2, got 1..3",
    ),
    "an easier part": (
        lambda: task(curriculum=(Split(X, Y + 2),)),
        "curriculum[0].y must be in 0..2",
    ),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_is_not_of_its_kind_is_refused_in_one_line(case):
    make, message = WRONG[case]
    with pytest.raises((ConfigError, DataError)) as caught:
        make()
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_what_is_of_its_kind_is_taken():
    padded = changed(X, (0, 3), math.nan)  # where it only pads
    task(padded, changed(Y.to(torch.uint8), 0, 2), torch.tensor([3, 4, 4, 4, 1, 2]).to(torch.uint8))
    task(TOKENS.to(torch.int16), changed(TOKENS, (0, 0), -100), None, "label", **words)
    TaskData(*[Split(TOKENS, TOKENS[:, :2])] * 3, NAMES, "translate", NAMES)
    TaskData(*[Stream(TOKENS.flatten(), 2)] * 3, NAMES, "label", NAMES)


def test_a_kind_of_numbers_is_one_declaration(monkeypatch):
    monkeypatch.setitem(KINDS, "regress", Kind("a number a sequence", ("N",), labels=False))
    numbers = torch.rand(N)

    def of(y):
        return TaskData(*[Split(X, y)] * 3, (), "regress", objective=Numbers(("value",)))

    of(numbers)
    of(changed(numbers, 1, math.nan))  # it is not asked for
    with pytest.raises(
        DataError, match=r"train\.y must be finite, or NaN .* got inf in sequence 1"
    ):
        of(changed(numbers, 1, math.inf))
    with pytest.raises(DataError, match=r"must be numbers, float32 \(N\), .* got int64"):
        of(Y)
