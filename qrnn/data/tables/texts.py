"""Labelled texts of a table."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from typing_extensions import override

from qrnn.config.tables import TextsConfig
from qrnn.data.base import TaskData
from qrnn.data.objectives import Labels, Objective
from qrnn.data.parts import IGNORED, Split
from qrnn.data.sources import at_least, check_seed
from qrnn.data.tables.base import ENCODERS, Encoder
from qrnn.data.tables.files import Table, read_table
from qrnn.data.tables.labels import classes_of, numbered, shares
from qrnn.data.tables.predictions import beside, label_columns
from qrnn.data.text import PAD, UNK, Vocabulary, pad, tokenise
from qrnn.errors import ConfigError, DataError

if TYPE_CHECKING:
    import pandas as pd

SPECIALS = (PAD, UNK)


@ENCODERS.register("texts")
@dataclass(frozen=True)
class TextsEncoder(Encoder):
    """Words and their numbers.

    Attributes:
        text, label, max_length: see `TextsConfig`.
        classes: names of the labels (C).
        words: the vocabulary without its special tokens.
    """

    name: ClassVar[str] = "texts"

    text: str
    label: str
    max_length: int | None
    classes: tuple[str, ...]
    words: tuple[str, ...]

    def tokens(self, table: Table) -> list[list[str]]:
        """Return the words of each text.

        Raises:
            DataError: a text without words.
        """
        found = [tokenise(text)[: self.max_length] for text in table.text(self.text)]
        for row, words in enumerate(found):
            if not words:
                raise DataError(f"{table.where(row, self.text)} must have at least one word")
        return found

    @override
    def encode(self, table: Table) -> tuple[Split, pd.DataFrame]:
        import pandas as pd

        vocabulary = Vocabulary(SPECIALS, self.words)
        numbers = [vocabulary.encode(words) for words in self.tokens(table)]
        x, lengths = pad(numbers, 0, len(vocabulary))
        y = torch.full((len(table),), IGNORED)
        if self.label in table.columns:
            labels = table.text(self.label)
            y = torch.tensor(numbered(table, self.label, labels, range(len(table)), self.classes))
        return Split(x, y, lengths), pd.DataFrame({"row": range(len(table))})

    @override
    def decode(
        self, keys: pd.DataFrame, split: Split, outputs: Any, objective: Objective
    ) -> pd.DataFrame:
        assert isinstance(objective, Labels)
        return beside(keys, label_columns(self.classes, outputs, split.y, objective))


def texts(config: TextsConfig) -> TaskData:
    """Return the texts of a file as sequences of words, in classes.

    Raises:
        ConfigError: a key out of range.
        DataError: the file or one of its cells is wrong.
    """
    check_seed("task.seed", config.seed)
    at_least("task.min_count", config.min_count, 1)
    at_least("task.max_words", config.max_words, len(SPECIALS) + 1)
    if config.max_length is not None:
        at_least("task.max_length", config.max_length, 1)
    if config.file is None:
        raise ConfigError("task.file must name a CSV or Parquet file with a row for each text")
    table = read_table(config.file, config.separator)
    table.check_columns([config.text, config.label])
    labels = table.text(config.label)
    classes = tuple(classes_of(table, config.label, labels, range(len(table))))
    test = 0.0 if config.test_file is not None else config.test
    parts = shares(len(table), config.val, test, config.seed, labels)
    reader = TextsEncoder(config.text, config.label, config.max_length, classes, ())
    tokens = reader.tokens(table)
    vocabulary = Vocabulary.learn(
        (tokens[row] for row in parts[0]),
        SPECIALS,
        min_count=config.min_count,
        max_size=config.max_words,
    )
    words = tuple(vocabulary.tokens[len(SPECIALS) :])
    if not words:
        raise ConfigError(
            f"task.min_count must leave a word of the training part, got {config.min_count}, and "
            f"each is rarer: lower it"
        )
    encoder = TextsEncoder(config.text, config.label, config.max_length, classes, words)
    whole, keys = encoder.encode(table)
    splits, rows = [], []
    for part in parts:
        at = torch.as_tensor(part, dtype=torch.int64)
        assert whole.lengths is not None
        splits.append(Split(whole.x[at], whole.y[at], whole.lengths[at]))
        rows.append(keys.iloc[part].reset_index(drop=True))
    if config.test_file is not None:
        other = read_table(config.test_file, config.separator)
        other.check_columns([config.label])
        splits[2], rows[2] = encoder.encode(other)
    weights: tuple[float, ...] = ()
    if config.class_weights:
        counts = Counter(splits[0].y.tolist())
        weights = tuple(
            len(splits[0]) / (len(classes) * max(1, counts[c])) for c in range(len(classes))
        )
    return TaskData(
        train=splits[0],
        val=splits[1],
        test=splits[2],
        classes=classes,
        vocabulary=vocabulary.tokens,
        objective=Labels(len(classes), weights),
        encoder=encoder,
        rows=dict(zip(("train", "val", "test"), rows, strict=True)),
    )
