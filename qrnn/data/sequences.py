"""Next-token memory tasks of the quantum-neuron network.

Sources: J. Bausch, Recurrent Quantum Neural Networks (arXiv 2006.14619), and its code; Elman's two
tasks are from J. L. Elman, Finding Structure in Time (1990). Labels follow
`generated.next_token_split`. `task.length` counts the last token too, as in the author's code; that
token is only predicted, so the network takes `task.length - 1` steps.
"""

from __future__ import annotations

import numpy as np
import torch

from qrnn.config.tasks import DnaConfig, ElmanLettersConfig, ElmanXorConfig, SimpleConfig
from qrnn.data.base import TaskData
from qrnn.data.generated import check_fits, generated, next_token_data, next_token_split, padded
from qrnn.data.parts import Part, Split
from qrnn.data.sources import at_least
from qrnn.errors import ConfigError
from qrnn.utils.registry import unknown_name

WORDS = ("ba", "dii", "guuu")
LETTERS = "bdgaiu"
CONSONANTS = 3  # the first letters
BASES = "ACGT"
MARKER = 4
MARKERS = ("token", "bit")
ANSWERS = ("end", "hold")


def simple(config: SimpleConfig) -> TaskData:
    """Return the sequences 0, 1, 2, 3, 0, 1, ... and 4, 4, 4, ...; the first token identifies them.

    All later tokens are scored. Validation and test data are the same two sequences. There are
    eight tokens, of which 5..7 never occur.

    Raises:
        ConfigError: a size is too small, or the data does not fit into memory.
    """
    at_least("task.length", config.length, 2)
    at_least("task.repeats", config.repeats, 1)
    n_sequences, length = 2 * config.repeats + 4, f"task.length={config.length}"
    check_fits("2 task.repeats + 4", n_sequences, length, config.length)
    steps = np.arange(config.length)
    both = np.stack([steps % 4, np.full_like(steps, 4)]).astype(np.uint8)
    scored = steps > 0
    train = next_token_split(np.tile(both, (config.repeats, 1)), scored)
    return next_token_data(
        [train, next_token_split(both, scored), next_token_split(both, scored)], padded("01234", 8)
    )


def elman_xor(config: ElmanXorConfig) -> TaskData:
    """Return streams a, b, a xor b, c, d, c xor d, ... of random bits; every third is scored.

    There are four tokens, as in the author's code, of which 2 and 3 never occur.

    Raises:
        ConfigError: the length is not a multiple of 3, or another size is out of range.
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


def elman_letters(config: ElmanLettersConfig) -> TaskData:
    """Return random sequences of the words `ba`, `dii` and `guuu`.

    Vowels are scored: a consonant determines those that follow, but not the next consonant. A
    sequence is cut at its length, maybe within a word; one that would end with a consonant is drawn
    again, because `next_token_split` needs a scored token there. There are eight tokens, of which 6
    and 7 never occur.

    Raises:
        ConfigError: a size is out of range.
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


def dna(config: DnaConfig) -> TaskData:
    """Return random bases, one of which is marked and repeated as the last token.

    The marked base is s_m with m uniform in 1 .. L // 2 - 1, and s_(L-1) = s_m; all other bases are
    uniform in A, C, G, T (tokens 0..3). `marker=token`: s_(m-1) is the marker (token 4; 5..7 never
    occur). `marker=bit`, as in the author's code: s_m itself is encoded as base + 4.

    `answer=end`: only s_(L-1) is scored. `answer=hold`, as in the author's code: all steps are
    scored; the label is s_m from the step that reads it on, and token 4 before. Quantum neurons are
    projected on their labels, so with `hold` they see the answer again at every step.

    Raises:
        ConfigError: a size is out of range, or marker or answer is unknown.
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
    parts = [hold_labels(part, bit) for part in (data.train, data.val, data.test)]
    return next_token_data(parts, names)


def hold_labels(part: Part, bit: bool) -> Split:
    """Set the labels from the marked base on to the last label, and those before to `MARKER`."""
    split = part.sequences("a task of labels")
    marks = split.x >= MARKER
    # A marker token is one step before the base.
    first = marks.int().argmax(1, keepdim=True) + (0 if bit else 1)
    known = torch.arange(split.x.shape[1]) >= first
    return Split(split.x, torch.where(known, split.y[:, -1:], MARKER))
