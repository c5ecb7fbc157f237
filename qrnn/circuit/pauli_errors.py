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
        self._first = 2 * wires.cumsum() - 2 * wires
        self._shift = 2 * (2 - wires)  # to the number of a word on two wires
        # A number below edges[l, j] and not below edges[l, j - 1] gives word j + 1.
        self._edges = np.full((len(wires), 15), 2**32, np.uint64)
        for edges, one in zip(self._edges, locations, strict=True):
            sums = one.probabilities[1:].cumsum()
            edges[: len(sums)] = np.rint(2.0**32 * sums)
        self._some = np.array([4**k - 2 for k in wires], np.int64)
        self._total = self._edges[np.arange(len(wires)), self._some]

    def sample(self, seeds: np.ndarray, steps: np.ndarray, count: int) -> np.ndarray:
        """Return the bits of the words (B, count, n_bits), float32.

        Args:
            seeds: of the sequences (B,), uint64.
            steps: number of the step of each sequence (B,), uint64.
            count: samples for each sequence.
        """
        found = np.zeros((len(seeds), count, self.n_bits), np.float32)
        able = np.flatnonzero(self._total)
        if not len(able):
            return found
        each = count * len(able)
        first = mixed(seeds + np.uint64(GOLDEN) * steps)
        counter = np.arange(1, each // 2 + 2, dtype=np.uint64) * np.uint64(GOLDEN)
        drawn = mixed(first[:, None] + counter).view(np.uint32)[:, :each]
        drawn = drawn.reshape(len(seeds), count, len(able))
        last = (self._total[able] - np.uint64(1)).astype(np.uint32)
        b, k, at = np.nonzero(drawn <= last)
        places, number = able[at], drawn[b, k, at]
        word = 1 + (self._edges[places] <= number[:, None]).sum(1)
        hit, bit = np.nonzero(BITS[word << self._shift[places]])
        found[b[hit], k[hit], self._first[places[hit]] + bit] = 1
        return found
