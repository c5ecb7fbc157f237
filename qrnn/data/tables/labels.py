"""Classes of a column of labels, and the parts of sequences that they stratify."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np

from qrnn.data.tables.files import Table
from qrnn.errors import ConfigError, DataError


def classes_of(table: Table, column: str, labels: Sequence[str], rows: Sequence[int]) -> list[str]:
    """Return the classes, sorted, numbers by their value.

    Args:
        table: for messages.
        column: the labels' name.
        labels: one of each sequence.
        rows: where each stands.

    Raises:
        DataError: there is one class, or one that occurs once.
    """
    counts = Counter(labels)
    if len(counts) < 2:
        raise DataError(
            f"{table.source}: column {column!r} must have at least 2 labels, got {len(counts)}"
        )
    once = next((label for label, n in counts.items() if n == 1), None)
    if once is not None:
        row = rows[list(labels).index(once)]
        raise DataError(
            f"{table.where(row, column)}: the label {once!r} must occur at least twice, to be in "
            f"the training part and another one, but occurs once"
        )
    try:
        return sorted(counts, key=float)
    except ValueError:
        return sorted(counts)


def shares(
    n: int, val: float, test: float, seed: int, stratify: Sequence[str] | None
) -> tuple[list[int], list[int], list[int]]:
    """Return which of n sequences are for training, validation and test, drawn at random.

    Args:
        n: number of sequences.
        val: share of the validation part.
        test: share of the test part, 0 where it has a file of its own.
        seed: of the draw.
        stratify: labels, whose shares are those of the whole in each part, or, where a label is too
            rare for this, each of which is in the training part; None: none.

    Raises:
        ConfigError: shares out of range.
        DataError: too few sequences for a part.
    """
    for key, value, least in (("val", val, "more than 0"), ("test", test, "at least 0")):
        if not (0 < value < 1 or (value == 0 and key == "test")):
            raise ConfigError(f"task.{key} must be {least} and less than 1, got {value}")
    if val + test >= 1:
        raise ConfigError(f"task.val + task.test must be less than 1, got {val + test:g}")
    from sklearn.model_selection import train_test_split

    rows = np.arange(n)

    def divide(rows: np.ndarray, size: float) -> tuple[np.ndarray, np.ndarray]:
        """Return the rows that are kept, with each label, and those that are taken."""
        labels = None if stratify is None else np.array([stratify[row] for row in rows])
        count = max(1, round(size * n))
        try:
            return train_test_split(rows, test_size=count, random_state=seed, stratify=labels)
        except ValueError:  # too few of a class to have one in each part
            if labels is None:
                raise
        order = np.random.default_rng(seed).permutation(len(rows))
        first = order[np.unique(labels[order], return_index=True)[1]]  # one of each label
        others = order[~np.isin(order, first)]
        if count > len(others):
            raise DataError(
                f"task.val and task.test must leave a sequence of each of {len(first)} labels to "
                f"train with, got {val} and {test} of {n} sequences: lower them"
            )
        return rows[np.concatenate([first, others[count:]])], rows[others[:count]]

    if n < 3:
        raise DataError(
            f"a file must have at least 3 sequences, to train, validate and test, got {n}"
        )
    rest, tested = divide(rows, test) if test else (rows, rows[:0])
    train, validated = divide(rest, val)
    return train.tolist(), validated.tolist(), tested.tolist()


def numbered(
    table: Table, column: str, labels: Sequence[str], rows: Sequence[int], classes: Sequence[str]
) -> list[int]:
    """Return the numbers of labels.

    Raises:
        DataError: a label that the training file does not have.
    """
    numbers = {name: number for number, name in enumerate(classes)}
    for label, row in zip(labels, rows, strict=True):
        if label not in numbers:
            shown = ", ".join(list(numbers)[:12])
            raise DataError(
                f"{table.where(row, column)}: the label {label!r} does not occur in training: it "
                f"has {shown}"
            )
    return [numbers[label] for label in labels]
