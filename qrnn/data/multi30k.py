"""Multi30k: descriptions of images, to be translated from German into English.

Source: D. Elliott, S. Frank, K. Sima'an, L. Specia, Multi30K: Multilingual English-German Image
Descriptions (2016), task 1, test set Flickr 2016.

Everything is in lower case, as the field's BLEU on this data set is: inputs, labels and references.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path

from qrnn.data.base import TaskConfig, TaskData, task
from qrnn.data.parts import IGNORED, Split
from qrnn.data.sources import at_least, hub_columns, read_lines
from qrnn.data.subwords import BEGIN, learn_subwords
from qrnn.data.text import BOS, EOS, PAD, UNK, Vocabulary, pad
from qrnn.errors import ConfigError, DataError
from qrnn.utils.registry import unknown_name

LANGUAGES = ("cs", "de", "en", "fr")
SPECIALS = (PAD, UNK, BOS, EOS)  # numbers 0..3 on both sides
FILES = {"train": "train", "val": "val", "test": "test_2016_flickr"}
HUB = "bentrevett/multi30k"
HUB_PARTS = {"train": "train", "val": "validation", "test": "test"}
WHERE = "get {train,val,test_2016_flickr}.{de,en}.gz of Multi30k's task 1"
MAX_LINE = 10_000  # characters; the longest of Multi30k has 254

# Numbers with their points, words with inner apostrophes and hyphens, single other signs.
_WORD = re.compile(rf"\d+(?:[.,:]\d+)+|\w+(?:['\u2019-]\w+)*|[^\w\s{BEGIN}]")
_TIGHT = (  # where signs stand without a blank
    (re.compile(r" ([.,!?;:%…)\]}])"), r"\1"),
    (re.compile(r"([(\[{„]) "), r"\1"),
    (re.compile(r'" ([^"]*) "'), r'"\1"'),
)

Pairs = list[tuple[str, str]]  # source and target sentences


def words(sentence: str) -> list[str]:
    """Return the words and signs of a sentence.

    A word keeps its inner apostrophes and hyphens (`t-shirt`), a number its points (`3.5`); any
    other sign is by itself.
    """
    return _WORD.findall(sentence)


def detokenise(tokens: Iterable[str]) -> str:
    """Return the sentence of words or of subwords, to compare with `TaskData.references`.

    It ends at the first `<eos>`; `<pad>` and `<bos>` are left out. Subwords say themselves where a
    word begins; words get blanks between them but where signs have none, which is all that
    sacreBLEU's own tokeniser needs.
    """
    kept = [t for t in takewhile(lambda token: token != EOS, tokens) if t not in (PAD, BOS)]
    if any(BEGIN in token for token in kept):
        return " ".join("".join(kept).replace(BEGIN, " ").split())
    sentence = " ".join(kept)
    for pattern, tight in _TIGHT:
        sentence = pattern.sub(tight, sentence)
    return sentence


def plain(sentence: str, name: object) -> str:
    """Return a sentence in lower case with single blanks.

    Args:
        sentence: as it was read.
        name: where it stands, for the message.

    Raises:
        DataError: it is empty, or no sentence by its length.
    """
    clean = " ".join(sentence.replace(BEGIN, " ").lower().split())
    if not clean or len(clean) > MAX_LINE:
        raise DataError(
            f"{name} must hold a sentence of at most {MAX_LINE} characters, got {len(clean)}: "
            f"{WHERE}"
        )
    return clean


@dataclass
class Multi30kConfig(TaskConfig):
    """Multi30k from local files, or from the Hugging Face hub.

    Attributes:
        name: `multi30k`.
        data_dir: folder of the six gzipped files; None: from the hub (German and English alone).
        source: language to translate from: `cs`, `de`, `en` or `fr`, where its files are there.
        target: language to translate into.
        min_count: how often a word, or a pair of subwords to be joined, must occur in the training
            sentences to be in the vocabulary.
        max_tokens: training pairs with a longer sentence are left out; of a longer source sentence
            to validate or test on, the first tokens are kept. Targets are never cut.
        subwords: size of each side's vocabulary of subwords (byte-pair encoding); None: of words.
    """

    name: str = "multi30k"
    data_dir: str | None = None
    source: str = "de"
    target: str = "en"
    min_count: int = 2
    max_tokens: int = 100
    subwords: int | None = None


def _read(config: Multi30kConfig) -> dict[str, Pairs]:
    """Return the pairs of sentences of each part.

    Raises:
        DataError: files are missing, damaged or of different lengths.
        MissingExtraError: without `config.data_dir`, `datasets` is not installed.
    """
    sides = (config.source, config.target)
    if config.data_dir is None:
        columns = hub_columns(HUB, "multi30k", tuple(HUB_PARTS.values()), sides, WHERE)
        found = {part: (f"{HUB} {part}", *pair) for part, pair in zip(FILES, columns, strict=True)}
    else:
        folder = Path(config.data_dir).expanduser()
        found = {
            part: (
                f"{folder / name}.{{{','.join(sides)}}}.gz",
                *(read_lines(folder / f"{name}.{side}.gz", WHERE) for side in sides),
            )
            for part, name in FILES.items()
        }
    pairs: dict[str, Pairs] = {}
    for part, (name, sources, targets) in found.items():
        if len(sources) != len(targets):
            raise DataError(
                f"{name} must have as many lines in both languages, got {len(sources)} and "
                f"{len(targets)}: {WHERE}"
            )
        pairs[part] = [
            (plain(a, f"{name} line {n}"), plain(b, f"{name} line {n}"))
            for n, (a, b) in enumerate(zip(sources, targets, strict=True), 1)
        ]
    return pairs


def _learn(
    config: Multi30kConfig, sentences: list[str]
) -> tuple[tuple[str, ...], Callable[[str], list[int]]]:
    """Return the vocabulary of one side's training sentences, and what encodes a sentence."""
    if config.subwords is not None:
        return learn_subwords(sentences, SPECIALS, config.subwords, config.min_count)
    vocabulary = Vocabulary.learn(map(words, sentences), SPECIALS, min_count=config.min_count)
    return vocabulary.words, lambda sentence: vocabulary.encode(words(sentence))


def _check(config: Multi30kConfig) -> None:
    """Refuse unknown languages and sizes that make no sense.

    Raises:
        ConfigError: a language is not known, both are the same, or a size is too small.
    """
    for key in ("source", "target"):
        if getattr(config, key) not in LANGUAGES:
            raise unknown_name(f"task.{key}", getattr(config, key), LANGUAGES)
    if config.source == config.target:
        raise ConfigError(
            f"task.target must be another language than task.source, got {config.source} for both"
        )
    at_least("task.min_count", config.min_count, 1)
    at_least("task.max_tokens", config.max_tokens, 1)


@task(Multi30kConfig)
def multi30k(config: Multi30kConfig) -> TaskData:
    """Return 29,000 train, 1,014 validation and 1,000 test pairs of sentences.

    Inputs are the source's tokens; labels the target's tokens and `<eos>`. Both vocabularies are of
    the training sentences alone, and begin with `<pad>`, `<unk>`, `<bos>` and `<eos>`. Judged by
    BLEU: `detokenise` a translation, and let sacreBLEU compare it with `TaskData.references`.

    Raises:
        ConfigError: unknown languages, or a size that makes no sense.
        DataError: files are missing, damaged or of different lengths, or the hub is not reachable.
        MissingExtraError: a package is not installed: `tokenizers` for `config.subwords`, or
            `datasets` without `config.data_dir`.
    """
    _check(config)
    pairs = _read(config)
    (inputs, read), (labels, write) = (
        _learn(config, [pair[side] for pair in pairs["train"]]) for side in (0, 1)
    )
    most, eos = config.max_tokens, SPECIALS.index(EOS)
    parts = {}
    for part, sentences in pairs.items():
        coded = [(read(a), [*write(b), eos]) for a, b in sentences]
        if part == "train":
            coded = [(a, b) for a, b in coded if max(len(a), len(b) - 1) <= most]
            if not coded:
                raise ConfigError(
                    f"task.max_tokens must leave pairs of sentences to train on, got {most}: "
                    "choose more"
                )
        x, lengths = pad([a[:most] for a, _ in coded], SPECIALS.index(PAD), len(inputs))
        y, _ = pad([b for _, b in coded], IGNORED, len(labels))
        parts[part] = Split(x, y, lengths)
    return TaskData(
        parts["train"],
        parts["val"],
        parts["test"],
        labels,
        kind="translate",
        vocabulary=inputs,
        metric="bleu",
        references={part: tuple(b for _, b in pairs[part]) for part in ("val", "test")},
    )
