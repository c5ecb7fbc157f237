"""Tokenisation, vocabularies and pretrained word vectors."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from pathlib import Path

import numpy as np
import torch

from qrnn.errors import DataError

PAD, UNK, BOS, EOS = "<pad>", "<unk>", "<bos>", "<eos>"
VECTORS = "give lines `word number ... number`, as GloVe and word2vec (text format) do"
MAX_LINE = 1 << 17  # bytes per line of vectors; GloVe's 300 numbers take fewer than 4,000
RANDOM_SCALE = 0.1  # standard deviation of vectors of words that are not in the file

_WORD = re.compile(r"[.,()!?']|[^\s.,()!?';:]+")


def tokenise(text: str) -> list[str]:
    """Return the tokens of an English text, like torchtext's `basic_english`.

    The text is lowercased; each of `. , ( ) ! ? '` is a token; `"` is dropped; `<br />`, `;`, `:`
    and whitespace separate tokens.
    """
    return _WORD.findall(text.lower().replace('"', "").replace("<br />", " "))


class Vocabulary:
    """Tokens and their indices, special tokens first.

    A token of a text is never encoded as a special token of the same name. If it is not in the
    vocabulary, it is encoded as `<unk>`, provided that this is a special token.

    Args:
        specials: special tokens.
        words: all other tokens.

    Attributes:
        tokens: all tokens (V,), by index.
    """

    def __init__(self, specials: Sequence[str], words: Sequence[str]):
        self.tokens = (*specials, *words)
        self._numbers = {word: n for n, word in enumerate(words, len(specials))}
        self._unknown = specials.index(UNK) if UNK in specials else None

    @classmethod
    def learn(
        cls,
        texts: Iterable[Iterable[str]],
        specials: Sequence[str],
        *,
        min_count: int = 1,
        max_size: int | None = None,
    ) -> Vocabulary:
        """Return the vocabulary of some texts, by decreasing frequency, then alphabetically.

        Args:
            texts: the tokens of each training text.
            specials: special tokens.
            min_count: how often a token must occur.
            max_size: maximum size, with the special tokens; None: no limit.
        """
        counts: Counter[str] = Counter()
        for words in texts:
            counts.update(words)
        kept = sorted(
            (word for word, n in counts.items() if n >= min_count and word not in specials),
            key=lambda word: (-counts[word], word),
        )
        return cls(specials, kept if max_size is None else kept[: max_size - len(specials)])

    def __len__(self) -> int:
        return len(self.tokens)

    def encode(self, words: Iterable[str]) -> list[int]:
        """Return the indices of tokens.

        Raises:
            DataError: a token is not in the vocabulary, which has no `<unk>`.
        """
        if self._unknown is not None:
            number, unknown = self._numbers.get, self._unknown
            return [number(word, unknown) for word in words]
        try:
            return list(map(self._numbers.__getitem__, words))
        except KeyError as error:
            raise DataError(
                f"a text must contain only tokens of the training text, got {error}: add it there"
            ) from error

    def decode(self, numbers: Iterable[int]) -> list[str]:
        """Return the tokens of some indices."""
        return [self.tokens[number] for number in numbers]


def pad(
    rows: Sequence[Sequence[int]], fill: int, n_tokens: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return sequences padded to the same length, and their lengths.

    Args:
        rows: the tokens of each sequence.
        fill: the padding value.
        n_tokens: size of the vocabulary V, which determines the dtype.

    Returns:
        tokens (N, T) int16, or int32 if V needs it, and lengths (N,) int64.
    """
    lengths = np.array([len(row) for row in rows], np.int64)
    dtype = np.int16 if n_tokens <= 1 << 15 else np.int32
    tokens = np.full((len(rows), lengths.max(initial=0)), fill, dtype)
    filled = np.arange(tokens.shape[1]) < lengths[:, None]
    tokens[filled] = np.fromiter(chain.from_iterable(rows), dtype, int(lengths.sum()))
    return torch.from_numpy(tokens), torch.from_numpy(lengths)


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    """Yield line numbers, from 1, and lines of a file.

    Raises:
        DataError: a line is too long or not UTF-8.
    """
    with path.open("rb") as file:
        for number, line in enumerate(iter(lambda: file.readline(MAX_LINE), b""), 1):
            if len(line) == MAX_LINE:
                raise DataError(f"{path} line {number} must have less than {MAX_LINE} bytes")
            try:
                yield number, line.decode("utf-8").rstrip()
            except UnicodeDecodeError as error:
                raise DataError(f"{path} line {number} must be UTF-8: {VECTORS}") from error


def _numbers(line: str, size: int | None) -> tuple[str, list[str]] | None:
    """Return a line's word, which may contain spaces, and its `size` numbers; else None."""
    word, *numbers = line.split(" ") if size is None else line.rsplit(" ", size)
    return (word, numbers) if word and numbers and size in (None, len(numbers)) else None


def read_vectors(path: str | Path, words: Sequence[str], seed: int) -> torch.Tensor:
    """Return word vectors for a vocabulary (V, E), float32.

    The vector of `<pad>` is zero; words that are not in the file get small random vectors.

    Args:
        path: file of lines `word number ... number`; word2vec's first line `V E` is skipped.
        words: the vocabulary (V,).
        seed: random seed of the random vectors.

    Raises:
        DataError: the file is missing or damaged, or has none of the words.
    """
    path = Path(path).expanduser()
    if not path.is_file():
        raise DataError(f"task.vectors must name a file, but {path} does not exist: {VECTORS}")
    wanted = {word: row for row, word in enumerate(words)}
    found: dict[int, np.ndarray] = {}
    size = None
    try:
        for number, line in _lines(path):
            if number == 1 and re.fullmatch(r"\d+ \d+", line):
                continue
            parts = _numbers(line, size)
            if parts is None:
                raise DataError(
                    f"{path} line {number} must be a word and {size or 'some'} numbers, but is "
                    f"not: {VECTORS}"
                )
            size = len(parts[1])
            row = wanted.get(parts[0])
            if row is None or row in found:
                continue
            try:
                found[row] = np.array(parts[1], np.float32)
            except ValueError as error:
                raise DataError(f"{path} line {number}: {error}: {VECTORS}") from error
            if not np.isfinite(found[row]).all():
                raise DataError(f"{path} line {number} must hold finite numbers: {VECTORS}")
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error}): {VECTORS}") from error
    if not found or size is None:
        raise DataError(f"{path} must hold words of the task's texts, but has none: {VECTORS}")
    vectors = np.random.default_rng(seed).normal(0, RANDOM_SCALE, (len(words), size))
    if words[0] == PAD:
        vectors[0] = 0
    vectors[list(found)] = list(found.values())
    return torch.tensor(vectors, dtype=torch.float32)
