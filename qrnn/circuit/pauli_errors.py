"""Channels as random Pauli words: their probabilities, and samples of them.

A sample depends only on the seed of its sequence, its step and its place, so neither the batch nor
the order of the steps matters. The numbers are those of SplitMix64 (Steele, Lea and Flood, OOPSLA
2014), which is vectorised over them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import cos

import numpy as np
from pennylane.operation import Operator

from qrnn.circuit.channels import CHANNELS, KINDS, JointDepolarizing

# The factor of Z by that of X and Y, for the channels of `KINDS`.
Z_FACTORS = {
    "depolarizing": lambda c: c,
    "phase_damping": lambda c: 1.0,
    "amplitude_damping": lambda c: c * c,
}
# For the number of a word on two wires, the bits X and Z on the first and on the second.
BITS = np.array([[w >> 2 & 1, w >> 3 & 1, w & 1, w >> 1 & 1] for w in range(16)], np.uint8)
GOLDEN = 0x9E3779B97F4A7C15


def probabilities(channel: Operator) -> np.ndarray:
    """Return the probabilities of Pauli words (4^k,) that a channel on k wires applies.

    Amplitude damping is Pauli-twirled: X, Y and Z are scaled as they are by the channel, but
    nothing relaxes towards 0.

    Args:
        channel: depolarizing, damping, or `JointDepolarizing`, of constant strength.
    """
    strength = float(channel.data[0])
    if isinstance(channel, JointDepolarizing):
        found = np.full(16, strength / 16)
        found[0] += 1 - strength
        return found
    kind = CHANNELS[type(channel)]
    c = cos(KINDS[kind].angle(strength))
    z = Z_FACTORS[kind](c)
    return np.array([1 + 2 * c + z, 1 - z, 1 - 2 * c + z, 1 - z]) / 4


@dataclass
class Location:
    """A place in the circuit where a random Pauli word acts.

    Attributes:
        wires: one wire or two.
        probabilities: of the words (4^k,), numbered as in `qrnn.circuit.pauli_rotations`.
    """

    wires: tuple[int, ...]
    probabilities: np.ndarray

    def add(self, wires: Sequence[int], probabilities: np.ndarray) -> None:
        """Append a channel on some of the wires."""
        numbers = np.arange(len(self.probabilities))
        shifts = [2 * (len(self.wires) - 1 - self.wires.index(wire)) for wire in wires]
        mixed = np.zeros(len(numbers))
        for word, p in enumerate(probabilities):
            letters = [word >> 2 * i & 3 for i in reversed(range(len(wires)))]
            moved = sum(letter << shift for letter, shift in zip(letters, shifts, strict=True))
            mixed += p * self.probabilities[numbers ^ moved]
        self.probabilities = mixed


def mixed(values: np.ndarray) -> np.ndarray:
    """Return SplitMix64's output for its states; both are uint64."""
    values = (values ^ values >> np.uint64(30)) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ values >> np.uint64(27)) * np.uint64(0x94D049BB133111EB)
    return values ^ values >> np.uint64(31)


class PauliErrors:
    """Random Pauli words at L locations.

    Args:
        locations: the locations.

    Attributes:
        n_bits: number of bits of all words, X and Z for each wire of each location.
    """

    def __init__(self, locations: Sequence[Location]):
        wires = np.array([len(one.wires) for one in locations], np.int64)
        self.n_bits = int(2 * wires.sum())
        # A number below edges[l, j] and not below edges[l, j - 1] gives word j + 1.
        edges = np.full((len(wires), 15), 2**32, np.uint64)
        for row, one in zip(edges, locations, strict=True):
            sums = one.probabilities[1:].cumsum()
            row[: len(sums)] = np.rint(2.0**32 * sums)
        total = edges[np.arange(len(wires)), 4**wires - 2]
        self._able = np.flatnonzero(total)
        self._last = (total[self._able] - np.uint64(1)).astype(np.uint32)
        self._edges = edges[self._able]
        self._first = (2 * wires.cumsum() - 2 * wires)[self._able]
        self._shift = (2 * (2 - wires))[self._able]  # to the number of a word on two wires

    def sample(
        self, seeds: np.ndarray, steps: np.ndarray, count: int
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return the bits that are 1 in the words of `count` samples of each of B sequences.

        Args:
            seeds: of the sequences (B,), uint64.
            steps: number of the step of each sequence (B,), uint64.
            count: samples of a sequence.

        Returns:
            the sample of each bit, in 0..B count - 1, and its number, in 0..n_bits - 1.
        """
        each = count * len(self._able)
        counter = np.arange(1, each // 2 + 2, dtype=np.uint64) * np.uint64(GOLDEN)
        drawn = mixed(mixed(seeds + np.uint64(GOLDEN) * steps)[:, None] + counter)
        drawn = drawn.view(np.uint32)[:, :each].reshape(len(seeds) * count, -1)
        sample, at = np.nonzero(drawn <= self._last)
        word = 1 + (self._edges[at] <= drawn[sample, at][:, None]).sum(1)
        hit, bit = np.nonzero(BITS[word << self._shift[at]])
        return sample[hit], self._first[at[hit]] + bit
