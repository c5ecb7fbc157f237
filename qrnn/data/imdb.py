"""IMDB: sentiment classification of film reviews.

Source: A. L. Maas et al., Learning Word Vectors for Sentiment Analysis (2011).
"""

from __future__ import annotations

import re
import tarfile
from collections import Counter
from collections.abc import Iterator
from hashlib import blake2b
from pathlib import Path

import torch

from qrnn.config.tasks import ImdbConfig
from qrnn.data.base import TaskData
from qrnn.data.parts import Split
from qrnn.data.sources import MAX_BYTES, at_least, check_seed, decode_text, hub_columns, open_data
from qrnn.data.text import PAD, UNK, Vocabulary, pad, read_vectors, tokenise
from qrnn.errors import ConfigError, DataError

CLASSES = ("negative", "positive")
PARTS = ("train", "test")
HUB = "stanfordnlp/imdb"
ARCHIVE = "aclImdb_v1.tar.gz"
REMEDY = f"download {ARCHIVE}, the Large Movie Review Dataset, and set task.data_dir to its folder"
FOLDERS = {"neg": 0, "pos": 1}
MEMBER = re.compile(r"(?:\./)?aclImdb/(train|test)/(neg|pos)/[\w-]+\.txt")
MAX_REVIEW = 1 << 20  # bytes; the longest review of IMDB has 13,704

Review = tuple[str, int]  # text and class


def _read_archive(path: Path) -> Iterator[tuple[str, str, str, bytes]]:
    """Yield part, label, name and content of each review in the archive, without unpacking it.

    Raises:
        DataError: the archive is damaged, or a review is too large.
    """
    with open_data(path, REMEDY) as file:
        with tarfile.open(fileobj=file, mode="r|") as archive:  # type: ignore[call-overload]
            for member in archive:
                if not 0 <= member.size <= MAX_BYTES:  # tarfile would read past the end
                    raise DataError(f"{path}: {member.name!r} cannot have {member.size} bytes")
                name = MEMBER.fullmatch(member.name)
                if name is None or not member.isreg():
                    continue
                if member.size > MAX_REVIEW:
                    raise DataError(f"{path}: {member.name} must have at most {MAX_REVIEW} bytes")
                content = archive.extractfile(member)
                assert content is not None  # not None for regular files
                yield name[1], name[2], f"{path}: {member.name}", content.read()
        # tarfile mistakes damage between members for the end; reading on checks gzip's checksum.
        while rest := file.read(1 << 20):
            if rest.strip(b"\0"):
                raise DataError(f"{path} cannot be read (data after the archive's end): {REMEDY}")


def _read_folder(folder: Path) -> Iterator[tuple[str, str, str, bytes]]:
    """Yield the same for the unpacked folder `aclImdb`.

    Raises:
        DataError: a review cannot be read, or is too large.
    """
    for part in PARTS:
        for label in FOLDERS:
            for path in sorted((folder / part / label).glob("*.txt")):
                with open_data(path, REMEDY) as file:
                    content = file.read(MAX_REVIEW + 1)
                if len(content) > MAX_REVIEW:
                    raise DataError(f"{path} must have at most {MAX_REVIEW} bytes")
                yield part, label, str(path), content


def _read_local(folder: Path) -> dict[str, list[Review]]:
    """Return the reviews of each part from local files.

    Raises:
        DataError: files are missing or damaged.
    """
    if (folder / ARCHIVE).is_file():
        found = _read_archive(folder / ARCHIVE)
    elif (folder / "aclImdb").is_dir():
        found = _read_folder(folder / "aclImdb")
    else:
        raise DataError(
            f"task.data_dir must hold {ARCHIVE} or the folder aclImdb, but {folder} has neither: "
            f"{REMEDY}"
        )
    reviews: dict[str, list[Review]] = {part: [] for part in PARTS}
    for part, label, name, content in found:
        reviews[part].append((decode_text(content, name, REMEDY), FOLDERS[label]))
    return reviews


def _read_hub() -> dict[str, list[Review]]:
    """Return the reviews of each part from the Hugging Face hub.

    Raises:
        DataError: the hub cannot be reached, or its data set has an unexpected format.
        MissingExtraError: `datasets` is not installed.
    """
    parts = hub_columns(HUB, "imdb", PARTS, ("text", "label"), REMEDY)
    for texts, labels in parts:
        if not (all(isinstance(text, str) for text in texts) and set(labels) <= {0, 1}):
            raise DataError(f"{HUB} must hold texts with labels 0 and 1, but does not: {REMEDY}")
    return {
        part: list(zip(*columns, strict=True)) for part, columns in zip(PARTS, parts, strict=True)
    }


def _check(config: ImdbConfig) -> None:
    """Check the numbers of a config.

    Raises:
        ConfigError: a size is too small, or the seed is out of range.
    """
    check_seed("task.seed", config.seed)
    least = {"max_tokens": 1, "max_words": 3, "min_count": 1, "n_val": len(CLASSES)}
    for key, value in least.items():
        if getattr(config, key) is not None:
            at_least(f"task.{key}", getattr(config, key), value)


def imdb(config: ImdbConfig) -> TaskData:
    """Return tokenised reviews: 20,000 for training, 5,000 for validation and 25,000 for testing.

    Of a long review the last tokens are used, as in Keras: the verdict is at the end. The
    validation split is stratified. The order of the reviews depends only on their texts, so it is
    the same for all sources, and the classes are mixed.

    Raises:
        ConfigError: a size is too small or leaves no training data, or the seed is out of range.
        DataError: files are missing or damaged, or the hub cannot be reached.
        MissingExtraError: `config.data_dir` is None and `datasets` is not installed.
    """
    _check(config)
    local = None if config.data_dir is None else Path(config.data_dir).expanduser()
    reviews = _read_hub() if local is None else _read_local(local)
    for part, found in reviews.items():
        counts = Counter(label for _, label in found)
        if min(counts[0], counts[1]) < 2:
            raise DataError(
                f"{local or HUB} must hold reviews of both classes for {part}, got {counts[0]} "
                f"negative and {counts[1]} positive: {REMEDY}"
            )
        found.sort(key=lambda review: blake2b(review[0].encode()).digest())
    labels = [label for _, label in reviews["train"]]
    if config.n_val > len(labels) - len(CLASSES):
        raise ConfigError(
            f"task.n_val must leave training reviews of both classes, got {config.n_val} of "
            f"{len(labels)}: choose a smaller one"
        )
    from sklearn.model_selection import train_test_split

    rows = train_test_split(
        range(len(labels)), test_size=config.n_val, stratify=labels, random_state=config.seed
    )
    train, val = ([reviews["train"][row] for row in sorted(part)] for part in rows)
    vocabulary = Vocabulary.learn(
        (tokenise(text) for text, _ in train),
        (PAD, UNK),
        min_count=config.min_count,
        max_size=config.max_words,
    )

    def split(part: list[Review]) -> Split:
        # A sequence has at least one step: a review without any token becomes one `<unk>`.
        texts = (tokenise(text)[-config.max_tokens :] or [UNK] for text, _ in part)
        x, lengths = pad([vocabulary.encode(words) for words in texts], 0, len(vocabulary))
        return Split(x, torch.tensor([label for _, label in part]), lengths)

    vectors = None
    if config.vectors is not None:
        vectors = read_vectors(config.vectors, vocabulary.tokens, config.seed)
    return TaskData(
        split(train),
        split(val),
        split(reviews["test"]),
        CLASSES,
        vocabulary=vocabulary.tokens,
        vectors=vectors,
    )
