"""Multi30k: image descriptions to translate from German into English.

Source: D. Elliott, S. Frank, K. Sima'an, L. Specia, Multi30K: Multilingual English-German Image
Descriptions (2016), task 1, test set Flickr 2016.

Inputs, labels and references are lowercased, as is usual for BLEU on this data set.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from itertools import takewhile
from pathlib import Path

from qrnn.config.tasks import Multi30kConfig
from qrnn.data.base import TaskData
from qrnn.data.parts import IGNORED, Split
from qrnn.data.sources import at_least, hub_columns, read_lines, sacrebleu
from qrnn.data.subwords import BEGIN, learn_subwords
from qrnn.data.text import BOS, EOS, PAD, UNK, Vocabulary, pad
from qrnn.errors import ConfigError, DataError
from qrnn.utils.registry import unknown_name

LANGUAGES = ("cs", "de", "en", "fr")
SPECIALS = (PAD, UNK, BOS, EOS)  # indices 0..3 in both languages
FILES = {"train": "train", "val": "val", "test": "test_2016_flickr"}
HUB = "bentrevett/multi30k"
HUB_PARTS = {"train": "train", "val": "validation", "test": "test"}
REMEDY = "download {train,val,test_2016_flickr}.{de,en}.gz of Multi30k's task 1"
MAX_LINE = 10_000  # characters; the longest line of Multi30k has 254

# Numbers with decimal points, words with inner apostrophes and hyphens, single punctuation marks.
_WORD = re.compile(rf"\d+(?:[.,:]\d+)+|\w+(?:['\u2019-]\w+)*|[^\w\s{BEGIN}]")
_TIGHT = (  # punctuation without a space
    (re.compile(r" ([.,!?;:%…)\]}])"), r"\1"),
    (re.compile(r"([(\[{„]) "), r"\1"),
    (re.compile(r'" ([^"]*) "'), r'"\1"'),
)

Pairs = list[tuple[str, str]]  # source and target sentences


def split_words(sentence: str) -> list[str]:
    """Return the words and punctuation marks of a sentence.

    Words keep inner apostrophes and hyphens (`t-shirt`), numbers their points (`3.5`); any other
    mark is a separate token.
    """
    return _WORD.findall(sentence)


def detokenise(tokens: Iterable[str]) -> str:
    """Return the sentence for tokens (words or subwords), to compare with `TaskData.references`.

    It ends at the first `<eos>`; `<pad>` and `<bos>` are dropped. Subwords mark where a word
    begins; words are joined with spaces, except around punctuation, as sacreBLEU's tokeniser needs.
    """
    kept = [t for t in takewhile(lambda token: token != EOS, tokens) if t not in (PAD, BOS)]
    if any(BEGIN in token for token in kept):
        return " ".join("".join(kept).replace(BEGIN, " ").split())
    sentence = " ".join(kept)
    for pattern, tight in _TIGHT:
        sentence = pattern.sub(tight, sentence)
    return sentence


def normalise(sentence: str, name: object) -> str:
    """Return a sentence in lower case with single spaces.

    Args:
        sentence: the sentence as read.
        name: file and line, for the message.

    Raises:
        DataError: the sentence is empty or too long.
    """
    clean = " ".join(sentence.replace(BEGIN, " ").lower().split())
    if not clean or len(clean) > MAX_LINE:
        raise DataError(
            f"{name} must hold a sentence of at most {MAX_LINE} characters, got {len(clean)}: "
            f"{REMEDY}"
        )
    return clean


def _read_pairs(config: Multi30kConfig) -> dict[str, Pairs]:
    """Return the pairs of sentences of each part.

    Raises:
        DataError: files are missing, damaged or of different lengths.
        MissingExtraError: `config.data_dir` is None and `datasets` is not installed.
    """
    sides = (config.source, config.target)
    if config.data_dir is None:
        columns = hub_columns(HUB, "multi30k", tuple(HUB_PARTS.values()), sides, REMEDY)
        found = {part: (f"{HUB} {part}", *pair) for part, pair in zip(FILES, columns, strict=True)}
    else:
        folder = Path(config.data_dir).expanduser()
        found = {
            part: (
                f"{folder / name}.{{{','.join(sides)}}}.gz",
                *(read_lines(folder / f"{name}.{side}.gz", REMEDY) for side in sides),
            )
            for part, name in FILES.items()
        }
    pairs: dict[str, Pairs] = {}
    for part, (name, sources, targets) in found.items():
        if len(sources) != len(targets):
            raise DataError(
                f"{name} must have the same number of lines, got {len(sources)} and "
                f"{len(targets)}: {REMEDY}"
            )
        pairs[part] = [
            (normalise(a, f"{name} line {n}"), normalise(b, f"{name} line {n}"))
            for n, (a, b) in enumerate(zip(sources, targets, strict=True), 1)
        ]
    return pairs


def _learn_vocabulary(
    config: Multi30kConfig, sentences: list[str]
) -> tuple[tuple[str, ...], Callable[[str], list[int]]]:
    """Return the vocabulary of training sentences, and a function that encodes a sentence."""
    if config.subwords is not None:
        return learn_subwords(sentences, SPECIALS, config.subwords, config.min_count)
    vocabulary = Vocabulary.learn(map(split_words, sentences), SPECIALS, min_count=config.min_count)
    return vocabulary.tokens, lambda sentence: vocabulary.encode(split_words(sentence))


def _check(config: Multi30kConfig) -> None:
    """Check languages and sizes.

    Raises:
        ConfigError: a language is unknown, both are the same, or a size is too small.
    """
    for key in ("source", "target"):
        if getattr(config, key) not in LANGUAGES:
            raise unknown_name(f"task.{key}", getattr(config, key), LANGUAGES)
    if config.source == config.target:
        raise ConfigError(f"task.target must differ from task.source, got {config.source} for both")
    at_least("task.min_count", config.min_count, 1)
    at_least("task.max_tokens", config.max_tokens, 1)


def multi30k(config: Multi30kConfig) -> TaskData:
    """Return 29,000 training, 1,014 validation and 1,000 test pairs of sentences.

    Inputs are the source's tokens; labels are the target's tokens and `<eos>`. Both vocabularies
    are learned from the training sentences only, and begin with `<pad>`, `<unk>`, `<bos>` and
    `<eos>`. The metric is BLEU: `detokenise` a translation, and compare it with
    `TaskData.references` in sacreBLEU.

    Raises:
        ConfigError: a language is unknown, or a size is out of range.
        DataError: files are missing, damaged or of different lengths, or the hub cannot be reached.
        MissingExtraError: a package is not installed: `sacrebleu`, `tokenizers` for
            `config.subwords`, or `datasets` if `config.data_dir` is None.
    """
    _check(config)
    sacrebleu()  # before a training whose result needs it
    pairs = _read_pairs(config)
    (inputs, read), (labels, write) = (
        _learn_vocabulary(config, [pair[side] for pair in pairs["train"]]) for side in (0, 1)
    )
    most, eos = config.max_tokens, SPECIALS.index(EOS)
    parts = {}
    for part, sentences in pairs.items():
        coded = [(read(a), [*write(b), eos]) for a, b in sentences]
        if part == "train":
            coded = [(a, b) for a, b in coded if max(len(a), len(b) - 1) <= most]
            if not coded:
                raise ConfigError(
                    f"task.max_tokens must leave training pairs, got {most}, which drops all: "
                    "increase it"
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
