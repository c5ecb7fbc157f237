"""What tasks made from a seed share: their sizes, their random streams, and next-token labels."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch

from qrnn.data.base import TaskConfig, TaskData
from qrnn.data.parts import IGNORED, Split
from qrnn.data.sources import at_least
from qrnn.errors import ConfigError

MAX_BYTES = 4 << 30  # of all sequences and their labels


@dataclass
class GeneratedConfig(TaskConfig):
    """Sequences made from a seed.

    Attributes:
        n_train: number of training sequences.
        n_val: number of validation sequences.
        n_test: number of test sequences.
        seed: of the sequences.
    """

    n_train: int = 20_000
    n_val: int = 1_000
    n_test: int = 1_000
    seed: int = 0


def check_held(what: str, given: int, length: str, steps: int, most: int | None = None) -> None:
    """Refuse more sequences than can be drawn, or than the memory holds.

    Args:
        what: their number's key, for the message.
        given: number of sequences.
        length: which key says how long one is, for the message.
        steps: of a sequence; input and label are a byte each.
        most: sequences that can be drawn; None: as many as the memory holds.

    Raises:
        ConfigError: there are too many.
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
    """Return how many sequences are for training, validation and test.

    Args:
        config: the task's.
        key: the key of the config that says how long a sequence is, for the message.
        steps: of a sequence; input and label are a byte each.
        most: sequences that can be drawn; None: as many as the memory holds.

    Raises:
        ConfigError: a size is less than 1, the seed is negative, or there are too many sequences.
    """
    for name in ("n_train", "n_val", "n_test"):
        at_least(f"task.{name}", getattr(config, name), 1)
    at_least("task.seed", config.seed, 0)
    sizes = (config.n_train, config.n_val, config.n_test)
    length = f"task.{key}={getattr(config, key)}"
    check_held("task.n_train + n_val + n_test", sum(sizes), length, steps, most)
    return sizes


def predict(tokens: np.ndarray, scored: np.ndarray) -> Split:
    """Return sequences whose label at a step is the token that is to come next.

    The convention of every task that a quantum-neuron cell learns: of s_0 .. s_T the network reads
    x = s_0 .. s_(T-1), and the label of step t is y_t = s_(t+1) if that token is scored, else
    `IGNORED`. Such a cell projects its output of step t on the token that comes next, y_t, and
    where there is no label on the input x_(t+1). Behind the last input there is none: s_T must be
    scored in every sequence.

    Args:
        tokens: s (N, T + 1), uint8 below 128.
        scored: which of them are asked for, bool (N, T + 1) or (T + 1,); s_0 never is.

    Raises:
        ValueError: the last token of a sequence is not scored.
    """
    scored = np.broadcast_to(scored, tokens.shape)[:, 1:]
    if not scored[:, -1].all():
        raise ValueError("the last token of every sequence must be scored: no input comes after it")
    y = np.where(scored, tokens[:, 1:].astype(np.int8), np.int8(IGNORED))
    return Split(torch.from_numpy(tokens[:, :-1].copy()), torch.from_numpy(y))


Draw = Callable[[np.random.Generator, int], tuple[np.ndarray, np.ndarray]]
"""From a generator and a number of sequences N to the arguments of `predict`."""


def labelled(
    parts: list[Split], names: tuple[str, ...], classes: tuple[str, ...] | None = None
) -> TaskData:
    """Return the data of a task of next tokens, judged by the share of right ones.

    Args:
        parts: of `predict`: train, val and test.
        names: of the tokens.
        classes: names of as many labels; None: the tokens'.
    """
    train, val, test = parts
    return TaskData(train, val, test, classes or names, kind="label", vocabulary=names)


def generated(config: GeneratedConfig, key: str, draw: Draw, names: tuple[str, ...]) -> TaskData:
    """Return a task's data, each part drawn from a random stream of its own.

    So another size of one part leaves the others as they are. Short sequences are few, and the
    same one can be in two parts.

    Args:
        config: the task's.
        key: the key of the config that says how many tokens a sequence has.
        draw: makes the sequences.
        names: of the tokens.

    Raises:
        ConfigError: see `part_sizes`.
    """
    sizes = part_sizes(config, key, getattr(config, key))
    streams = np.random.default_rng(config.seed).spawn(len(sizes))
    drawn = (draw(stream, n) for stream, n in zip(streams, sizes, strict=True))
    return labelled([predict(*one) for one in drawn], names)


def padded(names: str | tuple[str, ...], size: int) -> tuple[str, ...]:
    """Return names of `size` tokens, a power of two where a cell reads tokens as bits."""
    return (*names, *(f"unused {k}" for k in range(len(names), size)))
