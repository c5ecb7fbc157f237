"""The Sampler of a fake backend, which evolves what its circuits share once.

A job of the closed loop has a few circuits that differ only in their measurement bases, and those
of the next job begin with the same gates. So the density matrices of all rows are evolved together,
kept up to the last gates on two qubits, and continued by each circuit that begins with the gates
and parameter values of one that is kept. Outcomes are sampled from the exact probabilities, readout
errors included. Circuits that have no `Program`, and those for which Aer would not use density
matrices either, are run by Aer.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from qiskit.primitives import (
    BackendSamplerV2,
    BaseSamplerV2,
    BitArray,
    DataBin,
    PrimitiveJob,
    PrimitiveResult,
    SamplerPubResult,
)
from qiskit.primitives.containers.sampler_pub import SamplerPub

from qrnn.devices.ibm import pauli
from qrnn.devices.ibm.programs import Gate, Program, last, program, rest

if TYPE_CHECKING:
    from qrnn.devices.ibm.fakes import Noise, SharedFake

# Numbers in all vectors kept, and in those that are evolved together.
MOST_KEPT = 2**26
MOST_AT_ONCE = 2**23
# More qubits than this are left to Aer.
MOST_QUBITS = 12


@dataclass(frozen=True)
class Evolved:
    """Density matrices after some gates.

    Attributes:
        qubits: physical qubits, one for each axis of `vector`.
        gates: the gates so far.
        names: the parameters of these gates, sorted.
        rows: the row of `vector` for each combination of their values, as bytes.
        vector: array (4, ..., 4, R).
    """

    qubits: tuple[int, ...]
    gates: list[Gate]
    names: list[str]
    rows: dict[bytes, int]
    vector: np.ndarray


class FakeSampler(BaseSamplerV2):
    """A Sampler for one fake backend; see the module.

    Args:
        backend: the backend, which keeps the density matrices of the last job.
        seed: seed of the samples; None: random.
    """

    def __init__(self, backend: SharedFake, seed: int | None):
        self._backend = backend
        self._seed = seed

    def run(self, pubs: Iterable[Any], *, shots: int | None = None) -> PrimitiveJob:
        """Return a job of PUBs, which runs in a thread."""
        job = PrimitiveJob(self._run, [SamplerPub.coerce(pub, shots) for pub in pubs])
        job._submit()
        return job

    def _run(self, pubs: list[SamplerPub]) -> PrimitiveResult:
        noise = self._backend.noise([pub.circuit for pub in pubs])
        programs = {i: _program(pub, noise) for i, pub in enumerate(pubs)}
        ours = {i: found for i, found in programs.items() if found is not None}
        others = [i for i in programs if i not in ours]
        results: dict[int, SamplerPubResult] = {}
        if others:
            options = {} if self._seed is None else {"seed_simulator": self._seed}
            aer = BackendSamplerV2(backend=self._backend, options=options)
            results.update(zip(others, aer.run([pubs[i] for i in others]).result(), strict=True))
        probabilities = self.probabilities([(ours[i], _table(pubs[i])) for i in ours], noise)
        generator = np.random.default_rng(self._seed)
        for i, chances in zip(ours, probabilities, strict=True):
            results[i] = _sampled(pubs[i], ours[i], chances, generator)
        return PrimitiveResult([results[i] for i in range(len(pubs))])

    def probabilities(
        self, circuits: list[tuple[Program, np.ndarray]], noise: Noise
    ) -> list[np.ndarray]:
        """Return the probabilities of the outcomes of circuits.

        Args:
            circuits: programs, each with its parameter values (R, P).
            noise: the errors of their qubits.

        Returns:
            For each, an array (2, ..., 2, R) with an axis for each measured qubit in the order of
            `Program.qubits`, readout errors included.
        """
        kept = self._backend.evolved
        found: dict[int, np.ndarray] = {}
        self._backend.evolved = []
        for i in sorted(range(len(circuits)), key=lambda i: len(circuits[i][0].gates)):
            one, values = circuits[i]
            size = max(1, MOST_AT_ONCE // 4 ** len(one.qubits))
            parts = []
            for start in range(0, max(1, len(values)), size):
                parts.append(self._one(one, values[start : start + size], kept, noise))
            found[i] = np.concatenate(parts, -1)
        return [found[i] for i in range(len(circuits))]

    def _one(
        self, one: Program, values: np.ndarray, kept: list[Evolved], noise: Noise
    ) -> np.ndarray:
        columns = dict(zip(one.parameters, values.T, strict=True))
        early, late = last(one.gates)
        vector, left = pauli.ground(len(one.qubits), len(values)), early
        for state in sorted((*kept, *self._backend.evolved), key=lambda s: -len(s.gates)):
            if (after := rest(early, state.gates)) is None or state.qubits != one.qubits:
                continue
            if (rows := _rows(state, columns, len(values))) is not None:
                vector, left = state.vector[..., rows], after
                break
        vector, _ = _evolve(vector, one, left, columns, noise)
        if left:
            self._keep(one, early, columns, vector)
        vector, pending = _evolve(vector, one, late, columns, noise)
        for axis, qubit in enumerate(one.qubits):
            flips = noise.flips.get(qubit)
            matrix = pauli.reading(flips) if qubit in one.read else pauli.DISCARD
            if qubit in pending:
                matrix = pauli.multiply(matrix, pending[qubit])
            vector = pauli.apply(matrix, vector, (axis,))
        return vector

    def _keep(
        self, one: Program, gates: list[Gate], columns: dict[str, np.ndarray], vector: np.ndarray
    ) -> None:
        kept = self._backend.evolved
        if sum(state.vector.size for state in kept) + vector.size > MOST_KEPT:
            return
        names = sorted({name for gate in gates for turn in gate.turns for name, _ in turn.terms})
        keys = _keys(names, columns, vector.shape[-1])
        rows = {key: row for row, key in enumerate(keys)}
        kept.append(Evolved(one.qubits, gates, names, rows, vector))


def _program(pub: SamplerPub, noise: Noise) -> Program | None:
    found = program(pub.circuit, noise)
    few = found is not None and len(found.qubits) <= MOST_QUBITS
    # The second is Aer's own rule for density matrices.
    return found if found and few and pub.shots > 2 ** len(found.qubits) else None


def _evolve(
    vector: np.ndarray,
    one: Program,
    gates: list[Gate],
    columns: dict[str, np.ndarray],
    noise: Noise,
) -> tuple[np.ndarray, dict[int, np.ndarray]]:
    """Return a vector after gates, and the channels of qubits that are not yet applied."""
    pending: dict[int, np.ndarray] = {}
    axes = {qubit: axis for axis, qubit in enumerate(one.qubits)}
    for gate in gates:
        for qubit, angle in zip(gate.qubits, gate.turns, strict=True):
            if angle != (0.0, ()):
                _compose(pending, qubit, pauli.turn(angle.values(columns)))
        channel = noise.channels[gate.name, gate.qubits][..., None]
        if len(gate.qubits) == 1:
            _compose(pending, gate.qubits[0], channel)
            continue
        for qubit in gate.qubits:
            if qubit in pending:
                vector = pauli.apply(pending.pop(qubit), vector, (axes[qubit],))
        vector = pauli.apply(channel, vector, [axes[qubit] for qubit in gate.qubits])
    return vector, pending


def _compose(pending: dict[int, np.ndarray], qubit: int, matrix: np.ndarray) -> None:
    before = pending.get(qubit)
    pending[qubit] = matrix if before is None else pauli.multiply(matrix, before)


def _keys(names: list[str], columns: dict[str, np.ndarray], rows: int) -> list[bytes]:
    table = np.column_stack([np.empty((rows, 0)), *(columns[name] for name in names)])
    return [row.tobytes() for row in table]


def _rows(state: Evolved, columns: dict[str, np.ndarray], rows: int) -> list[int] | None:
    """Return the row of a state for each row of parameter values; None: one is missing."""
    found = [state.rows.get(key) for key in _keys(state.names, columns, rows)]
    return [row for row in found if row is not None] if None not in found else None


def _table(pub: SamplerPub) -> np.ndarray:
    """Return the parameter values (R, P) of a PUB."""
    values = pub.parameter_values.as_array(pub.circuit.parameters)
    return values.reshape(-1, values.shape[-1])


def _sampled(
    pub: SamplerPub, one: Program, probabilities: np.ndarray, generator: np.random.Generator
) -> SamplerPubResult:
    """Return a PUB's result, sampled from probabilities (2, ..., 2, R)."""
    measured = [qubit for qubit in one.qubits if qubit in one.read]
    chances = probabilities.reshape(-1, probabilities.shape[-1])
    outcomes = pauli.draw(chances, pub.shots, generator)
    bits = np.zeros((*outcomes.shape, len(one.read)), dtype=bool)
    for bit, qubit in enumerate(one.read):
        if qubit is not None:
            bits[..., bit] = outcomes >> (len(measured) - 1 - measured.index(qubit)) & 1
    bits = bits.reshape(*pub.shape, *bits.shape[1:])
    registers = {
        register.name: BitArray.from_bool_array(
            bits[..., [pub.circuit.find_bit(bit).index for bit in register]], order="little"
        )
        for register in pub.circuit.cregs
    }
    return SamplerPubResult(DataBin(**registers, shape=pub.shape), {"shots": pub.shots})
