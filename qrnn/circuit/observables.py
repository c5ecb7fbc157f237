"""Readouts: the Pauli words O_r whose expectation values the controller and the head read.

A Pauli word has one letter per qubit, wire 0 first, as in `qml.PauliRot`: `"XIZ"`.
"""

from __future__ import annotations

from collections.abc import Sequence

import pennylane as qml
import torch

from qrnn.circuit.ansatz import Pairs
from qrnn.errors import ConfigError


def pauli_words(
    readout: str | Sequence[str], n_wires: int, pairs: Pairs, option: str = "readout"
) -> tuple[str, ...]:
    """Return the R Pauli words of a readout set.

    Args:
        readout: letters of XYZ, each measured on every qubit (`"XYZ"`: R = 3n, first all X, then
            all Y, then all Z); `"XX"`, `"YY"` or `"ZZ"` on each coupled pair; several of these
            joined by `+`, such as `"XYZ+ZZ"`; or a list of Pauli words.
        n_wires: number of qubits n.
        pairs: the coupled pairs of the ansatz.
        option: name of the option, for error messages.

    Raises:
        ConfigError: not a readout set, a Pauli word of wrong length or letters, or no word at all.
    """
    not_a_set = (
        f"{option} must be letters out of XYZ (each once), XX, YY, ZZ, some of these joined by +, "
        f"or a list of Pauli words, got {readout!r}"
    )
    if isinstance(readout, str):
        words = []
        for part in readout.split("+"):
            if part in ("XX", "YY", "ZZ"):
                places: Sequence[tuple[int, ...]] = pairs
                letters = part[0]
            else:
                places = [(wire,) for wire in range(n_wires)]
                letters = part
            if not letters or set(letters) - set("XYZ") or len(set(letters)) != len(letters):
                raise ConfigError(not_a_set)
            if not places:
                raise ConfigError(
                    f"{option} {part} needs coupled qubits, but the ansatz has none: choose XYZ"
                )
            words += [
                "".join(letter if q in place else "I" for q in range(n_wires))
                for letter in letters
                for place in places
            ]
    elif isinstance(readout, Sequence):
        words = [str(word) for word in readout]
    else:
        raise ConfigError(not_a_set)
    for word in words:
        if len(word) != n_wires or set(word) - set("IXYZ") or set(word) == {"I"}:
            raise ConfigError(
                f"{option}: a Pauli word must be {n_wires} letters out of I, X, Y, Z, not all I, "
                f"got {word!r}"
            )
    if not words:
        raise ConfigError(f"{option} must measure something, got {readout!r}: choose XYZ")
    if len(set(words)) != len(words):
        raise ConfigError(f"{option}: Pauli words must be different, got {words}")
    return tuple(words)


def observables(words: Sequence[str], wires: Sequence[int]) -> list[qml.operation.Operator]:
    """Return Pauli words as PennyLane observables on `wires`."""
    wire_map = {wire: position for position, wire in enumerate(wires)}
    return [qml.pauli.string_to_pauli_word(word, wire_map=wire_map) for word in words]


def masks(word: str) -> tuple[int, int]:
    """Return a Pauli word as bit masks (x, z): X sets x, Z sets z, Y sets both.

    Wire 0 is the most significant bit, as in PennyLane's state vectors. With n_Y letters Y,
    `P |k> = i^n_Y (-1)^popcount(k & z) |k ^ x>`.
    """
    x = z = 0
    for letter in word:
        x = 2 * x + (letter in "XY")
        z = 2 * z + (letter in "YZ")
    return x, z


def traces(words: Sequence[str], rho: torch.Tensor) -> torch.Tensor:
    """Return tr(rho P) (..., R) for Pauli words and density matrices (..., 2^n, 2^n)."""
    k = torch.arange(rho.shape[-1])
    values = []
    for word in words:
        x, z = masks(word)
        sign = 1 - 2 * (sum((k & z) >> bit & 1 for bit in range(len(word))) % 2)
        values.append((1j ** word.count("Y") * rho[..., k, k ^ x] * sign).real.sum(-1))
    return torch.stack(values, -1)
