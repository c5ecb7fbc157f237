"""Penn Treebank as a language model's text, by words or by characters.

Sources: M. P. Marcus, B. Santorini, M. A. Marcinkiewicz, Building a Large Annotated Corpus of
English (1993); in T. Mikolov's preprocessing, Statistical Language Models Based on Neural Networks
(2012).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch

from qrnn.data.base import TaskConfig, TaskData, task
from qrnn.data.parts import Stream
from qrnn.data.sources import at_least, hub_columns, read_lines
from qrnn.data.text import EOS, UNK, Vocabulary
from qrnn.errors import DataError
from qrnn.utils.registry import unknown_name

LEVELS = ("words", "characters")
PARTS = ("train", "valid", "test")
HUB, HUB_PARTS = "ptb-text-only/ptb_text_only", ("train", "validation", "test")
# Its main branch is a script, which `datasets` no longer runs; the hub has its tables beside it.
HUB_REVISION = "refs/convert/parquet"
WHERE = (
    "task.data_dir must name the folder of ptb.train.txt, ptb.valid.txt and ptb.test.txt of "
    "Mikolov's preprocessing"
)


def read_texts(data_dir: str | None) -> dict[str, list[str]]:
    """Return the lines of training, validation and test part, each under where it is from.

    Args:
        data_dir: folder of the three files; None: from the hub.

    Raises:
        DataError: a file is missing or damaged, or the hub is not reachable, or has no lines.
        MissingExtraError: without `data_dir`, `datasets` is not installed.
    """
    if data_dir is not None:
        paths = [Path(data_dir).expanduser() / f"ptb.{part}.txt" for part in PARTS]
        return {str(path): read_lines(path, WHERE) for path in paths}
    columns = hub_columns(HUB, "ptb", HUB_PARTS, ("sentence",), WHERE, HUB_REVISION)
    texts = {f"{HUB}, {part}": lines for part, (lines,) in zip(HUB_PARTS, columns, strict=True)}
    for place, lines in texts.items():
        if not lines or not all(isinstance(line, str) for line in lines):
            raise DataError(f"{place} must hold lines of text, but does not: {WHERE}")
    return texts


def encoded(vocabulary: Vocabulary, lines: list[list[str]]) -> torch.Tensor:
    """Return the tokens of lines one behind the other (N,) int64, with `<eos>` behind each.

    Raises:
        DataError: a token is not in the vocabulary, and there is no `<unk>`.
    """
    eos = [vocabulary.words.index(EOS)]
    return torch.tensor([n for line in lines for n in (*vocabulary.encode(line), *eos)])


@dataclass
class PtbConfig(TaskConfig):
    """Penn Treebank from local files, or from the Hugging Face hub.

    Attributes:
        name: `ptb`.
        data_dir: folder of the three files; None: from the hub.
        level: `words` or `characters`.
        steps: tokens after which backpropagation through time is cut; 35 is the field's habit for
            words, 150 for characters. A text that is too short for as many parallel rows of so many
            tokens as `trainer.batch_size` says is read in fewer.
        carry: how often `steps` tokens are read, in training and evaluation, before the state is
            begun anew; None: it is carried through the whole text. A unitary network forgets
            nothing by itself: over thousands of steps, what it once read becomes noise.
    """

    name: str = "ptb"
    data_dir: str | None = None
    level: str = "words"
    steps: int = 35
    carry: int | None = None


@task(PtbConfig)
def ptb(config: PtbConfig) -> TaskData:
    """Return three long texts, in each of which every token is to be told from those before it.

    `words`: what the blanks separate, and `<eos>` at each line's end: 929,589 training tokens, a
    vocabulary of 10,000 (the text's own `<unk>` and `N` among them), judged by the perplexity.

    `characters`: the same lines by characters, as in the field's files of characters: without the
    blanks around a line, a blank between two words as one character, `<unk>` as its five
    characters, `N` as the one it is, and one `<eos>` at each line's end: 5,017,482 training tokens,
    a vocabulary of 50, judged by bits per character.

    Raises:
        ConfigError: an unknown `config.level`, `config.steps` below 1 or `config.carry` below 1.
        DataError: a file is missing or damaged, or has characters that the training text has not;
            the hub is not reachable.
        MissingExtraError: without `config.data_dir`, `datasets` is not installed.
    """
    if config.level not in LEVELS:
        raise unknown_name("task.level", config.level, LEVELS)
    at_least("task.steps", config.steps, 1)
    if config.carry is not None:
        at_least("task.carry", config.carry, 1)
    split = str.split if config.level == "words" else list
    found = read_texts(config.data_dir)
    texts = [[split(line.strip()) for line in lines] for lines in found.values()]
    # By characters nothing is unknown: 50 of them, not 51.
    vocabulary = Vocabulary.learn(texts[0], (UNK, EOS) if config.level == "words" else (EOS,))
    streams: list[Stream] = []
    for place, text in zip(found, texts, strict=True):
        try:
            streams.append(Stream(encoded(vocabulary, text), config.steps, config.carry))
        except DataError as error:
            raise DataError(f"{place}: {error}") from error
    train, val, test = streams
    return TaskData(
        train,
        val,
        test,
        vocabulary.words,
        kind="label",
        vocabulary=vocabulary.words,
        metric="perplexity" if config.level == "words" else "bits_per_character",
    )
