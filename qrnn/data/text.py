"""Words of a text, their vocabulary, and pretrained vectors of them."""

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
MAX_LINE = 1 << 17  # bytes of a line of vectors; of GloVe's 300 numbers, fewer than 4,000
RANDOM_SCALE = 0.1  # standard deviation of the vector of a word that the file does not have

_WORD = re.compile(r"[.,()!?']|[^\s.,()!?';:]+")


def tokenise(text: str) -> list[str]:
    """Return the words of an English text, as torchtext's `basic_english` does.

    In lower case; each of `. , ( ) ! ? '` is a word; `"` is left out; `<br />`, `;`, `:` and blanks
    separate words.
    """
    return _WORD.findall(text.lower().replace('"', "").replace("<br />", " "))


class Vocabulary:
    """Words and their numbers, special tokens first.

    A word of a text is never read as a special token, whatever it looks like; but it is read as
    `<unk>`, where that is one of them, if it is not in the vocabulary.

    Args:
        specials: special tokens.
        words: all other words.

    Attributes:
        words: the special tokens and the words (V,): the number of each is its place.
    """

    def __init__(self, specials: Sequence[str], words: Sequence[str]):
        self.words = (*specials, *words)
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
        """Return the vocabulary of some texts: the most frequent words first, ties by alphabet.

        Args:
            texts: the words of each training text.
            specials: special tokens.
            min_count: how often a word must occur.
            max_size: number of words at most, with the special tokens; None: all.
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
        return len(self.words)

    def encode(self, words: Iterable[str]) -> list[int]:
        """Return the words' numbers.

        Raises:
            DataError: a word is not in the vocabulary, and there is no `<unk>`.
        """
        if self._unknown is not None:
            number, unknown = self._numbers.get, self._unknown
            return [number(word, unknown) for word in words]
        try:
            return list(map(self._numbers.__getitem__, words))
        except KeyError as error:
            raise DataError(
                f"a text must have no words but the training text's, got {error}: add it there"
            ) from error

    def decode(self, numbers: Iterable[int]) -> list[str]:
        """Return the words of some numbers."""
        return [self.words[number] for number in numbers]


def pad(
    rows: Sequence[Sequence[int]], fill: int, n_words: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return sequences side by side, and their lengths.

    Args:
        rows: the tokens of each sequence.
        fill: what is put behind the shorter ones.
        n_words: size of the vocabulary V, which decides the type.

    Returns:
        tokens (N, T) int16, or int32 if V needs it, and lengths (N,) int64.
    """
    lengths = np.array([len(row) for row in rows], np.int64)
    dtype = np.int16 if n_words <= 1 << 15 else np.int32
    tokens = np.full((len(rows), lengths.max(initial=0)), fill, dtype)
    filled = np.arange(tokens.shape[1]) < lengths[:, None]
    tokens[filled] = np.fromiter(chain.from_iterable(rows), dtype, int(lengths.sum()))
    return torch.from_numpy(tokens), torch.from_numpy(lengths)


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    """Yield a file's lines with their numbers, from 1.

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
    """Return a line's word, which may hold blanks, and its `size` numbers; None if it has fewer."""
    word, *numbers = line.split(" ") if size is None else line.rsplit(" ", size)
    return (word, numbers) if word and numbers and size in (None, len(numbers)) else None


def read_vectors(path: str | Path, words: Sequence[str], seed: int) -> torch.Tensor:
    """Return vectors for the words of a vocabulary (V, E), float32.

    The vector of `<pad>` is zero; words that the file does not have get small random ones.

    Args:
        path: lines `word number ... number`; a first line `V E`, as word2vec writes it, is skipped.
        words: the vocabulary (V,).
        seed: of the random vectors.

    Raises:
        DataError: the file is missing or damaged, or has none of the words.
    """
    path = Path(path).expanduser()
    if not path.is_file():
        raise DataError(f"task.vectors must name a file, but {path} is not there: {VECTORS}")
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
