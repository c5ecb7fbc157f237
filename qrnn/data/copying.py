"""The copying memory problem: symbols that must be repeated after a long delay.

Sources: S. Hochreiter, J. Schmidhuber, Long Short-Term Memory (1997); in this form M. Arjovsky,
A. Shah, Y. Bengio, Unitary Evolution Recurrent Neural Networks (arXiv 1511.06464), K. Helfrich,
D. Willmott, Q. Ye, Orthogonal Recurrent Neural Networks with Scaled Cayley Transform
(arXiv 1707.09520).
"""

from __future__ import annotations

import math

import numpy as np
import torch

from qrnn.config.tasks import CopyingConfig
from qrnn.data.base import TaskData
from qrnn.data.generated import check_fits, part_sizes
from qrnn.data.parts import Split
from qrnn.data.sources import at_least

N_DATA, LENGTH = 8, 10  # number of different symbols, and how many of them must be remembered
BLANK, MARKER = 8, 9
SYMBOLS = (*(f"a{k}" for k in range(N_DATA)), "blank", "marker")
MAX_SEQUENCES = N_DATA**LENGTH // 100  # so that a draw without repeats need not list all strings


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


def copying(config: CopyingConfig) -> TaskData:
    """Return sequences of T + 20 symbols, with one label per step.

    Inputs: 10 random symbols out of 8, T - 1 blanks, the marker, 10 blanks. Labels: T + 10 blanks,
    then the 10 symbols in order. All sequences are different.

    All steps count in the cross entropy. The baseline, 10 ln 8 / (T + 20) nats, predicts `blank`
    up to the marker and then guesses.

    Raises:
        ConfigError: a delay is less than 1 or too long; see also `part_sizes`.
    """
    for delay in config.curriculum:
        at_least("each of task.curriculum", delay, 1)
    at_least("task.delay", config.delay, 1)
    steps = config.delay + 2 * LENGTH
    sizes = part_sizes(config, "delay", steps, MAX_SEQUENCES)
    easier_steps = sum(delay + 2 * LENGTH for delay in set(config.curriculum))
    if easier_steps:
        length = "each delay of task.curriculum"
        check_fits("task.n_train", config.n_train, length, easier_steps)
    drawn = np.random.default_rng(config.seed).choice(
        N_DATA**LENGTH, sum(sizes), replace=False
    )  # ten digits in base eight
    strings = drawn[:, None] // N_DATA ** np.arange(LENGTH) % N_DATA

    def split(part: np.ndarray, delay: int) -> Split:
        return Split(*(torch.from_numpy(steps) for steps in sequences(part, delay)))

    parts = np.split(strings, np.cumsum(sizes)[:-1])
    train, val, test = (split(part, config.delay) for part in parts)
    easier = {delay: split(parts[0], delay) for delay in set(config.curriculum)}
    return TaskData(
        train,
        val,
        test,
        SYMBOLS,
        kind="label",
        vocabulary=SYMBOLS,
        metric="cross_entropy",
        baseline=LENGTH * math.log(N_DATA) / steps,
        curriculum=tuple(easier[delay] for delay in config.curriculum),
    )
