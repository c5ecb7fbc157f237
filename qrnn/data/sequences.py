"""Memory tasks of the quantum-neuron network: which token comes next?

Sources: J. Bausch, Recurrent Quantum Neural Networks (arXiv 2006.14619), and its code; the two of
Elman are from J. L. Elman, Finding Structure in Time (1990). Labels follow `generated.predict`, and
`task.length` is the author's: it counts the last token too, which is only asked for, so that the
network takes `task.length - 1` steps.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from qrnn.data.base import TaskConfig, TaskData, task
from qrnn.data.generated import GeneratedConfig, check_held, generated, labelled, padded, predict
from qrnn.data.parts import Part, Split
from qrnn.data.sources import at_least
from qrnn.errors import ConfigError
from qrnn.utils.registry import unknown_name

WORDS = ("ba", "dii", "guuu")
LETTERS = "bdgaiu"
CONSONANTS = 3  # the first so many of the letters
BASES = "ACGT"
MARKER = 4
MARKERS = ("token", "bit")
ANSWERS = ("end", "hold")


@dataclass
class SimpleConfig(TaskConfig):
    """Two sequences to memorise.

    Attributes:
        name: `simple`.
        length: tokens of a sequence, at least 2.
        repeats: how often the training part holds both of them, so that an epoch is many steps.
    """

    name: str = "simple"
    length: int = 20
    repeats: int = 50


@task(SimpleConfig)
def simple(config: SimpleConfig) -> TaskData:
    """Return 0, 1, 2, 3, 0, 1, ... and 4, 4, 4, ...: which of them it is, the first token says.

    Every later token is scored. There is nothing else to ask than what was learned: validation and
    test are the same two sequences. Eight tokens, of which 5..7 never occur.

    Raises:
        ConfigError: a size is too small, or both are too large for the memory.
    """
    at_least("task.length", config.length, 2)
    at_least("task.repeats", config.repeats, 1)
    n_sequences, length = 2 * config.repeats + 4, f"task.length={config.length}"
    check_held("2 task.repeats + 4", n_sequences, length, config.length)
    steps = np.arange(config.length)
    both = np.stack([steps % 4, np.full_like(steps, 4)]).astype(np.uint8)
    scored = steps > 0
    train = predict(np.tile(both, (config.repeats, 1)), scored)
    return labelled([train, predict(both, scored), predict(both, scored)], padded("01234", 8))


@dataclass
class ElmanXorConfig(GeneratedConfig):
    """A stream of bits of which every third can be told.

    Attributes:
        name: `elman_xor`.
        length: bits of a sequence, a multiple of 3.
    """

    name: str = "elman_xor"
    length: int = 36


@task(ElmanXorConfig)
def elman_xor(config: ElmanXorConfig) -> TaskData:
    """Return streams a, b, a xor b, c, d, c xor d, ... of random bits; each third one is scored.

    Four tokens, as the author has them, of which 2 and 3 never occur.

    Raises:
        ConfigError: a length that is no multiple of 3, or another size out of range.
    """
    if config.length < 3 or config.length % 3:
        raise ConfigError(
            f"task.length must be a multiple of 3 (a, b, a xor b), got {config.length}: choose "
            f"{max(3, config.length // 3 * 3)}"
        )

    def draw(stream: np.random.Generator, n: int) -> tuple[np.ndarray, np.ndarray]:
        a, b = stream.integers(2, size=(2, n, config.length // 3), dtype=np.uint8)
        return np.stack([a, b, a ^ b], 2).reshape(n, -1), np.arange(config.length) % 3 == 2

    return generated(config, "length", draw, padded("01", 4))


@dataclass
class ElmanLettersConfig(GeneratedConfig):
    """Consonants, each with its vowels.

    Attributes:
        name: `elman_letters`.
        length: letters of a sequence, at least 2.
    """

    name: str = "elman_letters"
    length: int = 36


@task(ElmanLettersConfig)
def elman_letters(config: ElmanLettersConfig) -> TaskData:
    """Return random words out of `ba`, `dii` and `guuu`, one behind the other.

    Scored are the vowels: after a consonant they can be told, and the next consonant cannot. A
    sequence is cut at its length, within a word perhaps; one that would end with a consonant is
    drawn again, as `predict` wants a scored token there. Eight tokens: 6 and 7 never occur.

    Raises:
        ConfigError: a size out of range.
    """
    at_least("task.length", config.length, 2)
    code = np.zeros(128, np.uint8)
    code[list(LETTERS.encode())] = range(len(LETTERS))

    def draw(stream: np.random.Generator, n: int) -> tuple[np.ndarray, np.ndarray]:
        kept: list[str] = []
        while len(kept) < n:
            # Words have at least two letters.
            chosen = stream.integers(len(WORDS), size=(n, config.length // 2 + 1)).tolist()
            texts = ("".join([WORDS[k] for k in row])[: config.length] for row in chosen)
            kept += [text for text in texts if text[-1] not in LETTERS[:CONSONANTS]]
        joined = np.frombuffer("".join(kept[:n]).encode(), np.uint8)
        tokens = code[joined].reshape(n, config.length)
        return tokens, tokens >= CONSONANTS

    return generated(config, "length", draw, padded(LETTERS, 8))


@dataclass
class DnaConfig(GeneratedConfig):
    """A base to remember until the end.

    Attributes:
        name: `dna`.
        length: tokens of a sequence L, at least 4; the last one is the answer.
        marker: how the base is marked: `token` (the token in front of it) or `bit` (its own).
        answer: when it is asked for: at the `end` alone, or to `hold` it from the mark on.
    """

    name: str = "dna"
    length: int = 50
    marker: str = "token"
    answer: str = "end"


@task(DnaConfig)
def dna(config: DnaConfig) -> TaskData:
    """Return random bases, one of them marked, which is the last token.

    The marked base is s_m with m uniform in 1 .. L // 2 - 1, and s_(L-1) = s_m; all other bases are
    uniform in A, C, G, T (tokens 0..3). `marker=token`: s_(m-1) is the marker (token 4; 5..7 never
    occur). `marker=bit`, as the author's code has it: s_m itself is read as base + 4.

    `answer=end`: only s_(L-1) is scored. `answer=hold`, as the author's code trains: every step is,
    and the label is s_m from the step that reads it on, and token 4 before. Quantum neurons are
    projected on their labels, so that those of `hold` read the answer again at every step.

    Raises:
        ConfigError: a size out of range or an unknown marker or answer.
    """
    at_least("task.length", config.length, 4)
    if config.marker not in MARKERS:
        raise unknown_name("task.marker", config.marker, MARKERS)
    if config.answer not in ANSWERS:
        raise unknown_name("task.answer", config.answer, ANSWERS)
    bit = config.marker == "bit"

    def draw(stream: np.random.Generator, n: int) -> tuple[np.ndarray, np.ndarray]:
        tokens = stream.integers(len(BASES), size=(n, config.length), dtype=np.uint8)
        rows, marked = np.arange(n), stream.integers(1, config.length // 2, n)
        tokens[:, -1] = tokens[rows, marked]
        if bit:
            tokens[rows, marked] += len(BASES)
        else:
            tokens[rows, marked - 1] = MARKER
        return tokens, np.arange(config.length) == config.length - 1

    marks = tuple(f"{base}*" for base in BASES) if bit else ("marker",)
    names = padded((*BASES, *marks), 8)
    data = generated(config, "length", draw, names)
    if config.answer == "end":
        return data
    parts = [hold(part, bit) for part in (data.train, data.val, data.test)]
    return labelled(parts, names)


def hold(part: Part, bit: bool) -> Split:
    """Return sequences whose label is the last one from the marked base on, before it `MARKER`."""
    split = part.sequences("a task of labels")
    marks = split.x >= MARKER
    # The token is in front of the base, the bit is its own.
    first = marks.int().argmax(1, keepdim=True) + (0 if bit else 1)
    known = torch.arange(split.x.shape[1]) >= first
    return Split(split.x, torch.where(known, split.y[:, -1:], MARKER))
