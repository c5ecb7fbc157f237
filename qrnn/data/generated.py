"""What generated tasks share: sizes, random number generators and next-token labels."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch

from qrnn.config.tasks import GeneratedConfig
from qrnn.data.base import TaskData
from qrnn.data.parts import IGNORED, Split
from qrnn.data.sources import at_least
from qrnn.errors import ConfigError

MAX_BYTES = 4 << 30  # for all sequences and their labels


def check_fits(what: str, given: int, length: str, steps: int, most: int | None = None) -> None:
    """Raise an error if there are more sequences than can be drawn or held in memory.

    Args:
        what: config key of the number of sequences, for the message.
        given: number of sequences.
        length: config key of their length, for the message.
        steps: steps per sequence; input and label take one byte each.
        most: number of sequences that can be drawn; None: limited by memory only.

    Raises:
        ConfigError: there are too many sequences.
    """
    held = MAX_BYTES // (2 * steps)
    most = held if most is None else min(held, most)
    if given > most:
        raise ConfigError(
            f"{what} must be at most {most} sequences of {length}, got {given}: choose fewer or "
            f"shorter ones"
        )


def part_sizes(
    config: GeneratedConfig, key: str, steps: int, most: int | None = None
) -> tuple[int, int, int]:
    """Return the number of training, validation and test sequences.

    Args:
        config: the task's config.
        key: its key for the length of a sequence, for the message.
        steps: steps per sequence; input and label take one byte each.
        most: number of sequences that can be drawn; None: limited by memory only.

    Raises:
        ConfigError: a size is less than 1, the seed is negative, or there are too many sequences.
    """
    for name in ("n_train", "n_val", "n_test"):
        at_least(f"task.{name}", getattr(config, name), 1)
    at_least("task.seed", config.seed, 0)
    sizes = (config.n_train, config.n_val, config.n_test)
    length = f"task.{key}={getattr(config, key)}"
    check_fits("task.n_train + n_val + n_test", sum(sizes), length, steps, most)
    return sizes


def next_token_split(tokens: np.ndarray, scored: np.ndarray) -> Split:
    """Return sequences whose label at each step is the next token.

    All tasks for quantum-neuron cells use this convention: of s_0 .. s_T the network reads
    x = s_0 .. s_(T-1), and the label of step t is y_t = s_(t+1) if that token is scored, else
    `IGNORED`. Such a cell projects its output at step t on the label y_t or, without a label, on
    the next input x_(t+1). The last step has no next input, so s_T must be scored.

    Args:
        tokens: s (N, T + 1), uint8 below 128.
        scored: which tokens are scored, bool (N, T + 1) or (T + 1,); s_0 is ignored.

    Raises:
        ValueError: the last token of a sequence is not scored.
    """
    scored = np.broadcast_to(scored, tokens.shape)[:, 1:]
    if not scored[:, -1].all():
        raise ValueError("the last token of every sequence must be scored: no input comes after it")
    y = np.where(scored, tokens[:, 1:].astype(np.int8), np.int8(IGNORED))
    return Split(torch.from_numpy(tokens[:, :-1].copy()), torch.from_numpy(y))


Draw = Callable[[np.random.Generator, int], tuple[np.ndarray, np.ndarray]]
"""Takes a generator and a number of sequences N; returns the arguments of `next_token_split`."""


def next_token_data(
    parts: list[Split], names: tuple[str, ...], classes: tuple[str, ...] | None = None
) -> TaskData:
    """Return the data of a next-token task; its metric is the accuracy.

    Args:
        parts: training, validation and test data, each from `next_token_split`.
        names: names of the tokens.
        classes: names of the classes; None: those of the tokens.
    """
    train, val, test = parts
    return TaskData(train, val, test, classes or names, kind="label", vocabulary=names)


def generated(config: GeneratedConfig, key: str, draw: Draw, names: tuple[str, ...]) -> TaskData:
    """Return a task's data; each part has its own random number generator.

    So the size of one part does not change the others. The same short sequence can be in several
    parts.

    Args:
        config: the task's config.
        key: its key for the number of tokens per sequence.
        draw: function that draws the sequences.
        names: names of the tokens.

    Raises:
        ConfigError: see `part_sizes`.
    """
    sizes = part_sizes(config, key, getattr(config, key))
    streams = np.random.default_rng(config.seed).spawn(len(sizes))
    drawn = (draw(stream, n) for stream, n in zip(streams, sizes, strict=True))
    return next_token_data([next_token_split(*one) for one in drawn], names)


def padded(names: str | tuple[str, ...], size: int) -> tuple[str, ...]:
    """Pad token names to `size` entries: cells that read tokens as bits need a power of two."""
    return (*names, *(f"unused {k}" for k in range(len(names), size)))
