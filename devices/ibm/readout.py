"""Group measurements into circuits, and determine what each reads there.

Observables that commute qubit-wise are read from the same shots.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import pennylane as qml
from pennylane.measurements import ExpectationMP, SampleMeasurement
from pennylane.operation import Operator
from pennylane.ops import MeasurementValue, MidMeasure
from pennylane.wires import Wires


@dataclass
class Setting:
    """A measurement setting: a basis for each wire that is read.

    Attributes:
        basis: wire -> "X", "Y", "Z", or a tuple that identifies the eigenbasis of an observable.
        gates: the gates that rotate the basis to the computational basis.
    """

    basis: dict[Any, Any] = field(default_factory=dict)
    gates: list[Operator] = field(default_factory=list)

    def admits(self, basis: dict[Any, Any]) -> bool:
        """Return whether a basis agrees with this one on the wires they share."""
        return all(self.basis.get(wire, wanted) == wanted for wire, wanted in basis.items())

    def add(self, basis: dict[Any, Any], gates: dict[Any, list[Operator]]) -> None:
        """Add a basis, with its diagonalising gates by (wire, basis)."""
        new = {wire: token for wire, token in basis.items() if wire not in self.basis}
        self.basis.update(new)
        for key, ops in gates.items():
            wire, token = key
            if new.get(wire) == token:
                self.gates.extend(ops)


@dataclass(frozen=True)
class Term:
    """A term of a measurement, read in one setting.

    Attributes:
        coefficient: its factor in the sum.
        setting: index of the setting.
        wires: the wires to read.
        process: the PennyLane measurement that processes their samples; None: the mean of their
            parity.
    """

    coefficient: float
    setting: int
    wires: tuple[Any, ...]
    process: SampleMeasurement | None = None


@dataclass(frozen=True)
class Recipe:
    """A measurement of a tape as constant + sum of terms."""

    constant: float
    terms: tuple[Term, ...]


class MidBit(NamedTuple):
    """The label of a mid-circuit outcome, in the place of a wire label."""

    bit: int


class Plan:
    """The settings of a tape's measurements, and a recipe for each measurement.

    Args:
        measurements: the tape's measurements.
        wires: the wires that a measurement without wires reads.
        bits: uid of each mid-circuit measurement -> its bit.
    """

    def __init__(
        self, measurements: Sequence[SampleMeasurement], wires: Wires, bits: Mapping[str, int]
    ):
        self.settings: list[Setting] = []
        self._wires = wires
        self._bits = bits
        self.recipes = [self._recipe(mp) for mp in measurements]

    def _recipe(self, mp: SampleMeasurement) -> Recipe:
        if mp.mv is not None:
            return Recipe(0.0, (self._mid_circuit(mp),))
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

    def _whole(self, mp: SampleMeasurement, coefficient: float) -> Term:
        """Return the term of a measurement that `process_samples` evaluates."""
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

    def _mid_circuit(self, mp: SampleMeasurement) -> Term:
        """Return the term of mid-circuit statistics, whose bits every setting has."""
        single = isinstance(mp.mv, MeasurementValue)
        values = [self._relabelled(mv) for mv in ([mp.mv] if single else mp.mv)]
        mp = type(mp)(obs=values[0] if single else values, **_extras(mp))
        return Term(1.0, self._place({}, {}), tuple(mp.wires), mp)

    def _relabelled(self, value: MeasurementValue) -> MeasurementValue:
        """Return a function of outcomes with `MidBit`s as wire labels."""
        outcomes = [
            MidMeasure(Wires([MidBit(self._bits[m.meas_uid])]), meas_uid=m.meas_uid)
            for m in value.measurements
        ]
        return MeasurementValue(outcomes, value.processing_fn if value.has_processing else None)

    def _place(self, basis: dict[Any, Any], gates: dict[Any, list[Operator]]) -> int:
        """Return the index of the first setting that admits a basis; add one if none does."""
        found = (i for i, setting in enumerate(self.settings) if setting.admits(basis))
        index = next(found, len(self.settings))
        if index == len(self.settings):
            self.settings.append(Setting())
        self.settings[index].add(basis, gates)
        return index


def _summands(obs: Operator) -> list[tuple[float, Operator]]:
    """Return an observable as a sum of Pauli words if possible, else of its own terms."""
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
    """Return the gates that rotate X and Y to Z, by (wire, letter)."""
    turn = {"X": lambda w: [qml.H(w)], "Y": lambda w: [qml.adjoint(qml.S(w)), qml.H(w)]}
    with qml.QueuingManager.stop_recording():
        return {(w, p): turn[p](w) for w, p in word.items() if p in turn}


def _extras(mp: SampleMeasurement) -> dict[str, Any]:
    """Return the arguments of a measurement besides its observable."""
    if isinstance(mp, qml.measurements.CountsMP):
        return {"all_outcomes": mp.all_outcomes}
    if isinstance(mp, qml.measurements.SampleMP):
        return {"dtype": mp._dtype}
    return {}
