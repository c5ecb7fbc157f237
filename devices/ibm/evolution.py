"""Density matrices of programs, evolved once for all that begins with the same gates and angles."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from qrnn.devices.ibm import pauli
from qrnn.devices.ibm.programs import ZERO, Gate, Program, last, split

if TYPE_CHECKING:
    from qrnn.devices.ibm.fakes import Noise

# Numbers in all vectors kept (512 MiB), and in those that are evolved together.
MOST_KEPT = 2**26
MOST_AT_ONCE = 2**23


@dataclass(frozen=True)
class Circuits:
    """A program with rows of parameter values.

    Attributes:
        program: the program.
        values: array (R, P), radians.
    """

    program: Program
    values: np.ndarray

    @property
    def columns(self) -> Mapping[str, np.ndarray]:
        """The values (R,) of each parameter."""
        return dict(zip(self.program.parameters, self.values.T, strict=True))

    def keys(self, gates: Sequence[Gate]) -> list[bytes]:
        """Return for each row what identifies its values of the parameters of some gates."""
        names = {name for gate in gates for turn in gate.turns for name, _ in turn.terms}
        places = [self.program.parameters.index(name) for name in sorted(names)]
        return [row.tobytes() for row in self.values[:, places]]


@dataclass(frozen=True, eq=False)
class State:
    """Density matrices after some gates.

    Attributes:
        qubits: physical qubits, one for each axis of `vector`.
        gates: the gates so far.
        rows: the row of `vector` for each combination of parameter values.
        vector: array (4, ..., 4, R).
    """

    qubits: tuple[int, ...]
    gates: Sequence[Gate]
    rows: Mapping[bytes, int]
    vector: np.ndarray


class Evolution:
    """Evolves the circuits of one job.

    Args:
        noise: the errors of the qubits.
        known: the states that the job before has kept.

    Attributes:
        kept: the states of this job that later circuits may continue.
    """

    def __init__(self, noise: Noise, known: Sequence[State]):
        self.kept: list[State] = []
        self._noise = noise
        self._known = known

    def probabilities(self, job: Sequence[Circuits]) -> list[np.ndarray]:
        """Return the probabilities of the outcomes of a job.

        Args:
            job: the circuits.

        Returns:
            For each, an array (2, ..., 2, R) with an axis for each qubit in the order of
            `Program.qubits`, of length 1 for those not measured; readout errors included.
        """
        shared: dict[tuple[int, ...], Sequence[Gate]] = {}  # the gates with which all begin
        for one in job:
            early, _ = last(one.program.gates)
            qubits = one.program.qubits
            shared[qubits], _ = split(early, shared.get(qubits, early))
        found: dict[int, np.ndarray] = {}
        for i in sorted(range(len(job)), key=lambda i: len(job[i].program.gates)):
            program, values = job[i].program, job[i].values
            size = max(1, MOST_AT_ONCE // 4 ** len(program.qubits))
            parts = [
                self._one(Circuits(program, values[start : start + size]), shared[program.qubits])
                for start in range(0, len(values), size)
            ]
            found[i] = np.concatenate(parts, -1)
        return [found[i] for i in range(len(job))]

    def _one(self, circuits: Circuits, shared: Sequence[Gate]) -> np.ndarray:
        """Return the probabilities of some rows; all circuits of the job begin as `shared`."""
        one = circuits.program
        early, late = last(one.gates)
        vector, done = self._find(circuits, early)
        longest = max((s.gates for s in self._known if s.qubits == one.qubits), key=len, default=())
        # Where the last job parts from this one, and where the circuits of this one part.
        for gates in (split(shared, longest)[0], shared, early):
            _, left = split(gates, done)
            if left:
                vector, pending = self._evolve(vector, circuits, left)
                for qubit, matrix in pending.items():
                    vector = pauli.apply(matrix, vector, (one.qubits.index(qubit),))
                done = [*done, *left]
                self._keep(circuits, done, vector)
        vector, pending = self._evolve(vector, circuits, late)
        for axis, qubit in enumerate(one.qubits):
            flips = self._noise.flips.get(qubit)
            matrix = pauli.reading(flips) if qubit in one.read else pauli.DISCARD
            if qubit in pending:
                matrix = pauli.multiply(matrix, pending[qubit])
            vector = pauli.apply(matrix, vector, (axis,))
        return vector

    def _find(self, circuits: Circuits, gates: Sequence[Gate]) -> tuple[np.ndarray, Sequence[Gate]]:
        """Return vectors to begin with and the first of some gates, which have made them."""
        qubits = circuits.program.qubits
        for state in sorted((*self.kept, *self._known), key=lambda state: -len(state.gates)):
            if state.qubits == qubits and len(split(gates, state.gates)[0]) == len(state.gates):
                rows = [state.rows.get(key, -1) for key in circuits.keys(state.gates)]
                if -1 not in rows:
                    if state not in self.kept:
                        self._add(state)
                    return state.vector[..., rows], state.gates
        return pauli.ground(len(qubits), len(circuits.values)), ()

    def _keep(self, circuits: Circuits, gates: Sequence[Gate], vector: np.ndarray) -> None:
        rows = {key: row for row, key in enumerate(circuits.keys(gates))}
        self._add(State(circuits.program.qubits, gates, rows, vector))

    def _add(self, state: State) -> None:
        self.kept.append(state)
        while sum(one.vector.size for one in self.kept) > MOST_KEPT:
            del self.kept[0]

    def _evolve(
        self, vector: np.ndarray, circuits: Circuits, gates: Sequence[Gate]
    ) -> tuple[np.ndarray, dict[int, np.ndarray]]:
        """Return vectors after gates, and the matrices of qubits that are left to apply."""
        pending: dict[int, np.ndarray] = {}
        axis = circuits.program.qubits.index
        columns = circuits.columns

        def add(qubit: int, matrix: np.ndarray) -> None:
            before = pending.get(qubit)
            pending[qubit] = matrix if before is None else pauli.multiply(matrix, before)

        for gate in gates:
            for qubit, angle in zip(gate.qubits, gate.turns, strict=True):
                if angle != ZERO:
                    add(qubit, pauli.turn(angle.values(columns)))
            matrix = self._noise.channels[gate.name, gate.qubits].matrix
            if len(gate.qubits) == 1:
                add(gate.qubits[0], matrix)
                continue
            for qubit in gate.qubits:
                if qubit in pending:
                    vector = pauli.apply(pending.pop(qubit), vector, (axis(qubit),))
            vector = pauli.apply(matrix, vector, [axis(qubit) for qubit in gate.qubits])
        return vector, pending
