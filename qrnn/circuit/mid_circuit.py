"""Mid-circuit measurement of Pauli words, through an ancilla that is measured and reset.

For a Pauli word P: rotate its eigenbasis to that of one qubit's Z, couple a fresh ancilla to that
qubit by a controlled RY(phi), measure and reset the ancilla, rotate back. With s = sin(phi / 2) and
c = cos(phi / 2), the outcome m and the state after it obey

    E[m] = s^2 (1 - <P>) / 2
    rho -> (1 + c) / 2 rho + (1 - c) / 2 P rho P

so expectation values of observables that anticommute with P shrink by c, and others do not change.
phi trades information for disturbance; phi = pi is a projective measurement.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import pennylane as qml
import torch
from pennylane.measurements import MeasurementValue

from qrnn.errors import ConfigError
from qrnn.utils.checks import number
from qrnn.utils.registry import unknown_name

MODES = ("expval", "measure")
# Radians; docs/hardware-experiments.md compares smaller and larger angles.
DEFAULT_ANGLE = math.pi / 4


def check_mode(mode: str, angle: float | None) -> None:
    """Check a readout mode and its angle.

    Raises:
        ConfigError: the mode is unknown, or would ignore the angle.
    """
    if mode not in MODES:
        raise unknown_name("readout_mode", mode, MODES)
    if mode == "expval" and angle is not None:
        raise ConfigError(
            f"readout_angle must be left out with readout_mode expval, got {angle}: set "
            f"readout_mode=measure"
        )


class MeasuredReadout:
    """The readouts of one time step, measured one after the other.

    Args:
        words: the R Pauli words, wire 0 first.
        angle: phi, radians, in (0, pi].

    Attributes:
        ancilla: the first wire after the n memory wires.
        outcomes: (2, R); the estimate of each Pauli word from one shot, for m = 0 and m = 1:
            1 - 2 m / s^2, divided by c for each earlier word that anticommutes. Its mean is an
            unbiased estimate of <P> before the step's first measurement, not clipped to [-1, 1].

    Raises:
        ConfigError: the angle is out of range, or an earlier projective measurement erases a word.
    """

    def __init__(self, words: Sequence[str], angle: float | None = None):
        angle = DEFAULT_ANGLE if angle is None else angle
        angle = number("readout_angle", angle, "in (0, pi] radians", lambda a: 0 < a <= math.pi)
        self.words, self.angle = tuple(words), angle
        self.ancilla = len(words[0])
        earlier = [sum(anticommute(a, b) for a in words[:i]) for i, b in enumerate(words)]
        if angle == math.pi and any(earlier):
            word = words[next(i for i, k in enumerate(earlier) if k)]
            raise ConfigError(
                f"readout_angle must be below pi where Pauli words anticommute, got pi, which "
                f"erases {word} before it is read: use readout=Z or a smaller angle"
            )
        shrink = torch.tensor([math.cos(angle / 2) ** k for k in earlier], dtype=torch.float64)
        one = torch.ones_like(shrink)
        self.outcomes = torch.stack([one, one - 2 / math.sin(angle / 2) ** 2 * one]) / shrink

    def couple(self, word: str, ancillas: int = 1) -> int:
        """Queue the gates that couple a Pauli word to an ancilla; other wires keep their basis.

        Args:
            word: the Pauli word.
            ancillas: number of ancillas; each serves the words that end on the same wires.

        Returns:
            The ancilla's wire.
        """
        wires = [wire for wire, letter in enumerate(word) if letter != "I"]

        def diagonalize() -> None:
            for wire in wires:
                if word[wire] == "Y":
                    qml.adjoint(qml.S(wire), lazy=False)
                if word[wire] in "XY":
                    qml.Hadamard(wire)
            for control, target in pairwise(wires):
                qml.CNOT([control, target])

        ancilla = self.ancilla + wires[-1] % ancillas
        diagonalize()
        qml.CRY(self.angle, wires=[wires[-1], ancilla])
        qml.adjoint(diagonalize, lazy=False)()
        return ancilla

    def measure(self, ancillas: int = 1) -> list[MeasurementValue]:
        """Queue measurements of all words inside a quantum function; return their outcomes."""
        return [qml.measure(self.couple(word, ancillas), reset=True) for word in self.words]

    def unbiased(self, m: torch.Tensor) -> torch.Tensor:
        """Return the readouts z (..., R) for mean outcomes (..., R) in [0, 1]."""
        zero, one = self.outcomes.to(m)
        return zero + (one - zero) * m


def anticommute(a: str, b: str) -> bool:
    """Return whether two Pauli words anticommute."""
    different: list[Any] = [p for p in zip(a, b, strict=True) if "I" not in p and p[0] != p[1]]
    return len(different) % 2 == 1
