"""Measurements: which of them share a circuit, and how its bits become PennyLane's results.

Observables that commute qubit by qubit are read from the same shots. Results have the shapes and
types that default.qubit gives with the same shots, because PennyLane's own `process_samples`
makes them; only expectations of Pauli words take a shorter way, the mean of a parity.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pennylane as qml
from pennylane.measurements import ExpectationMP, MeasurementProcess, Shots
from pennylane.operation import Operator
from pennylane.wires import Wires


@dataclass
class Setting:
    """One way of reading the qubits: a basis for each wire that is read.

    Attributes:
        basis: wire -> "X", "Y", "Z", or a tuple that stands for the eigenbasis of an observable.
        gates: what turns the basis into the computational one.
    """

    basis: dict[Any, Any] = field(default_factory=dict)
    gates: list[Operator] = field(default_factory=list)

    def admits(self, basis: dict[Any, Any]) -> bool:
        """Whether a basis agrees with this one on the wires that they share."""
        return all(self.basis.get(wire, wanted) == wanted for wire, wanted in basis.items())

    def add(self, basis: dict[Any, Any], gates: dict[Any, list[Operator]]) -> None:
        """Take in a basis; `gates` holds the diagonalising gates by the token they belong to."""
        new = {wire: token for wire, token in basis.items() if wire not in self.basis}
        self.basis.update(new)
        for key, ops in gates.items():
            wire, token = key
            if new.get(wire) == token:
                self.gates.extend(ops)


@dataclass(frozen=True)
class Term:
    """A number of a measurement that is read from one setting.

    Attributes:
        coefficient: its factor in the sum.
        setting: index of the setting.
        wires: the wires to read.
        process: the PennyLane measurement that makes the result from their samples, or None for
            the mean of their parity.
    """

    coefficient: float
    setting: int
    wires: tuple[Any, ...]
    process: MeasurementProcess | None = None


@dataclass(frozen=True)
class Recipe:
    """How one measurement of a tape is put together: constant + sum of terms."""

    constant: float
    terms: tuple[Term, ...]


class Plan:
    """The settings that a tape's measurements need, and a recipe for each of them.

    Args:
        measurements: the tape's measurements.
        wires: what a measurement without wires reads.
    """

    def __init__(self, measurements: Sequence[MeasurementProcess], wires: Wires):
        self.settings: list[Setting] = []
        self._wires = wires
        self.recipes = [self._recipe(mp) for mp in measurements]

    def _recipe(self, mp: MeasurementProcess) -> Recipe:
        if not isinstance(mp, ExpectationMP) or mp.obs is None:
            return Recipe(0.0, (self._whole(mp, 1.0),))
        constant, terms = 0.0, []
        for coefficient, term in _summands(mp.obs):
            if term.pauli_rep is None:
                terms.append(self._whole(qml.expval(term), coefficient))
            elif word := next(iter(term.pauli_rep)):
                basis = dict(word.items())
                terms.append(Term(coefficient, self._place(basis, _rotations(basis)), tuple(word)))
            else:
                constant += coefficient
        return Recipe(constant, tuple(terms))

    def _whole(self, mp: MeasurementProcess, coefficient: float) -> Term:
        """Return the term of a measurement that `process_samples` turns into its result."""
        basis: dict[Any, Any] = dict.fromkeys(mp.wires or self._wires, "Z")
        gates: dict[Any, list[Operator]] = {}
        if mp.obs is not None:
            obs = qml.simplify(mp.obs)
            mp = type(mp)(obs=obs, **_extras(mp))
            basis = dict.fromkeys(mp.wires, "Z")
            sentence = obs.pauli_rep
            if sentence is not None and len(sentence) == 1:
                word = dict(next(iter(sentence)).items())
                basis.update(word)
                gates = _rotations(word)
            else:
                token = (obs.name, obs.hash)
                basis = dict.fromkeys(mp.wires, token)
                gates = {(mp.wires[0], token): obs.diagonalizing_gates()}
        wires = tuple(mp.wires or self._wires)
        return Term(coefficient, self._place(basis, gates), wires, mp)

    def _place(self, basis: dict[Any, Any], gates: dict[Any, list[Operator]]) -> int:
        """Return the first setting that admits a basis, a new one if none does."""
        found = (i for i, setting in enumerate(self.settings) if setting.admits(basis))
        index = next(found, len(self.settings))
        if index == len(self.settings):
            self.settings.append(Setting())
        self.settings[index].add(basis, gates)
        return index

    def results(
        self,
        bits: Sequence[np.ndarray],
        read: Sequence[Sequence[Any]],
        shots: Shots,
        batch_size: int | None,
    ) -> Any:
        """Return the result of the tape, as default.qubit does.

        Args:
            bits: for each setting, an array (B, shots, wires read) of 0 and 1; B = 1 without a
                batch.
            read: for each setting, the wires in the order of the last axis.
            shots: the tape's shots; the bits hold all of them, one partition after the other.
            batch_size: B, or None.
        """
        parts = []
        for lower, upper in shots.bins():
            cut = [b[:, lower:upper] if batch_size else b[0, lower:upper] for b in bits]
            values = tuple(_evaluate(recipe, cut, read, batch_size) for recipe in self.recipes)
            parts.append(values if len(values) > 1 else values[0])
        return tuple(parts) if shots.has_partitioned_shots else parts[0]


def _evaluate(
    recipe: Recipe,
    bits: Sequence[np.ndarray],
    read: Sequence[Sequence[Any]],
    batch_size: int | None,
) -> Any:
    if not recipe.terms:
        return np.squeeze(np.full(batch_size or (), recipe.constant))[()]
    values = []
    for term in recipe.terms:
        columns = [read[term.setting].index(w) for w in term.wires]
        chosen = bits[term.setting][..., columns]
        if term.process is None:
            parity = np.bitwise_xor.reduce(chosen, axis=-1)
            values.append(np.squeeze(1.0 - 2.0 * parity.mean(axis=-1)))
        else:
            samples = chosen.astype(np.int64)
            values.append(term.process.process_samples(samples, Wires(term.wires)))
    if recipe.constant == 0.0 and len(values) == 1 and recipe.terms[0].coefficient == 1.0:
        return values[0] if recipe.terms[0].process is not None else values[0][()]
    total = sum(t.coefficient * v for t, v in zip(recipe.terms, values, strict=True))
    return np.asarray(recipe.constant + total)[()]


def _summands(obs: Operator) -> list[tuple[float, Operator]]:
    """Return an observable as a sum: of Pauli words where it is one, else of its own terms."""
    if obs.pauli_rep is not None:
        return [(float(np.real(c)), word.operation()) for word, c in obs.pauli_rep.items()]
    if isinstance(obs, (qml.ops.Sum, qml.ops.SProd, qml.ops.Prod)):
        coefficients, terms = obs.terms()
        if len(terms) > 1:
            return [
                (float(np.real(c)) * inner, term)
                for c, summand in zip(coefficients, terms, strict=True)
                for inner, term in _summands(summand)
            ]
    return [(1.0, obs)]


def _rotations(word: dict[Any, str]) -> dict[Any, list[Operator]]:
    """Return the gates that turn X and Y into Z, by (wire, letter)."""
    turn = {"X": lambda w: [qml.H(w)], "Y": lambda w: [qml.adjoint(qml.S(w)), qml.H(w)]}
    with qml.QueuingManager.stop_recording():
        return {(w, p): turn[p](w) for w, p in word.items() if p in turn}


def _extras(mp: MeasurementProcess) -> dict[str, Any]:
    """Return the arguments of a measurement besides its observable."""
    if isinstance(mp, qml.measurements.CountsMP):
        return {"all_outcomes": mp.all_outcomes}
    if isinstance(mp, qml.measurements.SampleMP):
        return {"dtype": mp._dtype}
    return {}
