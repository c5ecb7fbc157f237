"""The copying memory problem: symbols that must be said again after a long delay.

Sources: S. Hochreiter, J. Schmidhuber, Long Short-Term Memory (1997); in this form M. Arjovsky,
A. Shah, Y. Bengio, Unitary Evolution Recurrent Neural Networks (arXiv 1511.06464), K. Helfrich,
D. Willmott, Q. Ye, Orthogonal Recurrent Neural Networks with Scaled Cayley Transform
(arXiv 1707.09520).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch

from qrnn.data.base import Split, TaskConfig, TaskData, task
from qrnn.data.sources import at_least
from qrnn.errors import ConfigError

N_DATA, LENGTH = 8, 10  # symbols to remember, and how many of them a sequence begins with
BLANK, MARKER = 8, 9
SYMBOLS = (*(f"a{k}" for k in range(N_DATA)), "blank", "marker")
MAX_BYTES = 4 << 30  # of all sequences and their labels
MAX_SEQUENCES = N_DATA**LENGTH // 100  # of a draw that need not list all strings


def sequences(strings: np.ndarray, delay: int) -> tuple[np.ndarray, np.ndarray]:
    """Return inputs and labels, (N, delay + 20) uint8 each.

    Args:
        strings: symbols to remember (N, 10), 0..7.
        delay: T, see `copying`.
    """
    x = np.full((len(strings), delay + 2 * LENGTH), BLANK, np.uint8)
    y = x.copy()
    x[:, :LENGTH] = y[:, -LENGTH:] = strings
    x[:, LENGTH + delay - 1] = MARKER
    return x, y


@dataclass
class CopyingConfig(TaskConfig):
    """The copying memory problem.

    Attributes:
        name: `copying`.
        delay: T, steps from the last symbol shown to the first one asked for.
        n_train: number of training sequences.
        n_val: number of validation sequences.
        n_test: number of test sequences.
        seed: of the symbols.
    """

    name: str = "copying"
    delay: int = 100
    n_train: int = 20_000
    n_val: int = 1_000
    n_test: int = 1_000
    seed: int = 0


@task(CopyingConfig)
def copying(config: CopyingConfig) -> TaskData:
    """Return sequences of T + 20 symbols, with one label a step.

    Input: 10 random symbols out of 8, T - 1 blanks, the marker, 10 blanks. Labels: T + 10 blanks,
    then the 10 symbols in their order. No two sequences are the same.

    All steps count in the cross entropy: who says `blank` until the marker and then guesses has
    10 ln 8 / (T + 20) nats, which is the baseline.

    Raises:
        ConfigError: a size is less than 1, or all the sequences are too large for the memory.
    """
    for key in ("delay", "n_train", "n_val", "n_test"):
        at_least(f"task.{key}", getattr(config, key), 1)
    steps = config.delay + 2 * LENGTH
    sizes = (config.n_train, config.n_val, config.n_test)
    most = min(MAX_BYTES // (2 * steps), MAX_SEQUENCES)
    if sum(sizes) > most:
        raise ConfigError(
            f"task.n_train + n_val + n_test must be at most {most} sequences of "
            f"task.delay={config.delay}, got {sum(sizes)}: choose fewer"
        )
    drawn = np.random.default_rng(config.seed).choice(
        N_DATA**LENGTH, sum(sizes), replace=False
    )  # numbers of ten digits in base eight
    strings = drawn[:, None] // N_DATA ** np.arange(LENGTH) % N_DATA
    x, y = (torch.from_numpy(part) for part in sequences(strings, config.delay))
    train, val, test = (Split(*parts) for parts in zip(x.split(sizes), y.split(sizes), strict=True))
    return TaskData(
        train, val, test, SYMBOLS, kind="label", vocabulary=SYMBOLS, metric="cross_entropy",
        baseline=LENGTH * math.log(N_DATA) / steps,
    )  # fmt: skip
