"""Gates as products of Pauli rotations exp(-i theta P / 2), up to a global phase.

A rotation with controls is a product of rotations, as |1><1| = (1 - Z) / 2. Pauli words are
numbered by two bits per qubit, wire 0 first: I = 0, X = 1, Z = 2, Y = 3, so that the product of two
words is the exclusive or of their numbers, up to its phase.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations
from math import pi

import numpy as np

from qrnn.circuit.gates import Matrix, Phase, Primitive, Rotation

LETTERS = "IXZY"
# PHASES[p, q] = e with P Q = i^e R for the letters number p and q.
PHASES = np.array([[0, 0, 0, 0], [0, 0, 3, 1], [0, 1, 0, 3], [0, 3, 1, 0]], np.int8)


@dataclass(frozen=True)
class PauliRotation:
    """exp(-i theta P / 2) with theta = factor * parameter + angle.

    Attributes:
        letters: the letter of P on each of its wires.
        factor: factor of the gate's parameter; 0: the rotation is constant.
        angle: constant part of theta, radians.
    """

    letters: dict[int, str]
    factor: float
    angle: float

    @property
    def quarter_turns(self) -> int | None:
        """Theta in units of pi / 2, mod 4, of a constant Clifford gate; None for other gates."""
        turns = self.angle / (pi / 2)
        if self.factor or abs(turns - round(turns)) > 1e-9:
            return None
        return round(turns) % 4


def subsets(wires: Sequence[int]) -> Iterator[tuple[int, ...]]:
    """Yield all subsets, the small ones first."""
    for size in range(len(wires) + 1):
        yield from combinations(wires, size)


def pauli_rotations(primitive: Primitive) -> list[PauliRotation]:
    """Return the rotations of a primitive in the order in which they act."""
    if isinstance(primitive, Rotation):
        return _controlled(dict(zip(primitive.wires, primitive.word, strict=True)), primitive)
    if isinstance(primitive, Phase):
        wires, constant = primitive.wires, primitive.angle
        found = []
        for chosen in subsets(wires):
            scale = -2 * (-1) ** len(chosen) / 2 ** len(wires)
            factor, angle = (primitive.sign, 0.0) if constant is None else (0.0, constant)
            if chosen:
                found.append(
                    PauliRotation(dict.fromkeys(chosen, "Z"), scale * factor, scale * angle)
                )
        return found
    phase, turns = euler_angles(primitive)
    found = []
    for letter, angle in turns:
        found += _controlled({primitive.wire: letter}, primitive, angle)
    return found + pauli_rotations(Phase(primitive.controls, phase))


def _controlled(
    letters: dict[int, str], primitive: Rotation | Matrix, angle: float | None = None
) -> list[PauliRotation]:
    """Return a rotation with the controls of a primitive, by its parameter or a constant angle."""
    found = []
    for chosen in subsets(primitive.controls):
        share = (-1) ** len(chosen) / 2 ** len(primitive.controls)
        word = {**letters, **dict.fromkeys(chosen, "Z")}
        found.append(
            PauliRotation(word, share, 0.0)
            if angle is None
            else PauliRotation(word, 0.0, share * angle)
        )
    return found


def euler_angles(gate: Matrix) -> tuple[float, list[tuple[str, float]]]:
    """Return the phase of a one-qubit gate and its rotations (axis, angle): one, or Z, Y and Z."""
    matrix = np.array(gate.entries).reshape(2, 2)
    phase = float(np.angle(np.linalg.det(matrix)) / 2)
    (a, b), (c, d) = matrix * np.exp(-1j * phase)
    axis = np.array([-(b + c).imag, (c - b).real, (d - a).imag]) / 2  # n sin(theta / 2)
    if (abs(axis) > 1e-12).sum() <= 1:
        along = int(abs(axis).argmax())
        half = np.arctan2(axis[along], (a + d).real / 2)
        return phase, [("XYZ"[along], 2 * float(half))]
    first, last = np.angle(d) + np.angle(c), np.angle(d) - np.angle(c)
    middle = 2 * np.arctan2(abs(c), abs(d))
    return phase, [("Z", float(last)), ("Y", float(middle)), ("Z", float(first))]


def word_number(letters: dict[int, str], n_wires: int) -> int:
    """Return the number of a Pauli word, given by its letters other than I."""
    return sum(LETTERS.index(p) << 2 * (n_wires - 1 - wire) for wire, p in letters.items())


def digits(numbers: np.ndarray, wire: int, n_wires: int) -> np.ndarray:
    """Return the number of the letter on a wire, for numbers of Pauli words."""
    return (numbers >> 2 * (n_wires - 1 - wire)) & 3


def rotation_signs(letters: dict[int, str], n_wires: int) -> np.ndarray:
    """Return s (4^n,) with exp(i theta Q/2) P exp(-i theta Q/2) = cos(theta) P + s sin(theta) R.

    Q has the given letters, and R is the word with the number of P exclusive-or that of Q. Where P
    and Q commute s is 0, and P stays as it is.
    """
    numbers = np.arange(4**n_wires)
    exponent = np.zeros(4**n_wires, np.int8)
    for wire, letter in letters.items():
        exponent += PHASES[digits(numbers, wire, n_wires), LETTERS.index(letter)]
    exponent %= 4
    return np.where(exponent == 1, 1, np.where(exponent == 3, -1, 0)).astype(np.int8)
