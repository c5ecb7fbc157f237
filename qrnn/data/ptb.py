"""Penn Treebank for language modelling, by words or by characters.

Sources: M. P. Marcus, B. Santorini, M. A. Marcinkiewicz, Building a Large Annotated Corpus of
English (1993); in T. Mikolov's preprocessing, Statistical Language Models Based on Neural Networks
(2012).
"""

from __future__ import annotations

from pathlib import Path

import torch

from qrnn.config.tasks import PtbConfig
from qrnn.data.base import TaskData
from qrnn.data.parts import Stream
from qrnn.data.sources import at_least, hub_columns, read_lines
from qrnn.data.text import EOS, UNK, Vocabulary
from qrnn.errors import DataError
from qrnn.utils.registry import unknown_name

LEVELS = ("words", "characters")
PARTS = ("train", "valid", "test")
HUB, HUB_PARTS = "ptb-text-only/ptb_text_only", ("train", "validation", "test")
# Its main branch has a script, which `datasets` no longer runs; this branch has the data itself.
HUB_REVISION = "refs/convert/parquet"
REMEDY = (
    "task.data_dir must name the folder of ptb.train.txt, ptb.valid.txt and ptb.test.txt of "
    "Mikolov's preprocessing"
)


def read_texts(data_dir: str | None) -> dict[str, list[str]]:
    """Return the lines of the training, validation and test text, by name of their source.

    Args:
        data_dir: folder of the three files; None: download from the hub.

    Raises:
        DataError: a file is missing or damaged, or the hub cannot be reached or has no lines.
        MissingExtraError: `data_dir` is None and `datasets` is not installed.
    """
    if data_dir is not None:
        paths = [Path(data_dir).expanduser() / f"ptb.{part}.txt" for part in PARTS]
        return {str(path): read_lines(path, REMEDY) for path in paths}
    columns = hub_columns(HUB, "ptb", HUB_PARTS, ("sentence",), REMEDY, HUB_REVISION)
    texts = {f"{HUB}, {part}": lines for part, (lines,) in zip(HUB_PARTS, columns, strict=True)}
    for place, lines in texts.items():
        if not lines or not all(isinstance(line, str) for line in lines):
            raise DataError(f"{place} must hold lines of text, but does not: {REMEDY}")
    return texts


def encode_lines(vocabulary: Vocabulary, lines: list[list[str]]) -> torch.Tensor:
    """Return the tokens of all lines (N,) int64, with `<eos>` after each line.

    Raises:
        DataError: a token is not in the vocabulary, which has no `<unk>`.
    """
    eos = [vocabulary.tokens.index(EOS)]
    return torch.tensor([n for line in lines for n in (*vocabulary.encode(line), *eos)])


def ptb(config: PtbConfig) -> TaskData:
    """Return three long texts, to predict each token from those before it.

    `words`: the words of the text, with `<eos>` after each line: 929,589 training tokens and a
    vocabulary of 10,000, which includes the text's own `<unk>` and `N`. The metric is the
    perplexity.

    `characters`: the characters of the same lines, as in the usual character-level files: lines are
    stripped, a space between words is one character, `<unk>` is five characters, `N` is one, and
    each line ends with one `<eos>`: 5,017,482 training tokens and a vocabulary of 50. The metric is
    bits per character.

    Raises:
        ConfigError: `config.level` is unknown, or `config.steps` or `config.carry` is below 1.
        DataError: a file is missing or damaged, or has characters that are not in the training
            text, or the hub cannot be reached.
        MissingExtraError: `config.data_dir` is None and `datasets` is not installed.
    """
    if config.level not in LEVELS:
        raise unknown_name("task.level", config.level, LEVELS)
    at_least("task.steps", config.steps, 1)
    if config.carry is not None:
        at_least("task.carry", config.carry, 1)
    split = str.split if config.level == "words" else list
    found = read_texts(config.data_dir)
    texts = [[split(line.strip()) for line in lines] for lines in found.values()]
    # Characters need no `<unk>`: 50 tokens, not 51.
    vocabulary = Vocabulary.learn(texts[0], (UNK, EOS) if config.level == "words" else (EOS,))
    streams: list[Stream] = []
    for place, text in zip(found, texts, strict=True):
        try:
            streams.append(Stream(encode_lines(vocabulary, text), config.steps, config.carry))
        except DataError as error:
            raise DataError(f"{place}: {error}") from error
    train, val, test = streams
    return TaskData(
        train,
        val,
        test,
        vocabulary.tokens,
        kind="label",
        vocabulary=vocabulary.tokens,
        metric="perplexity" if config.level == "words" else "bits_per_character",
    )
