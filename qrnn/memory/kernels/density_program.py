"""The gate program of a noisy circuit: a traced step and its channels, acting on Pauli words.

The state is the density matrix as r_P = tr(rho P), for the 4^n Pauli words P as they are numbered
in `qrnn.circuit.pauli_rotations`. Qubits that no gate or readout couples are never correlated, so
each group of coupled qubits has a density matrix of its own. Gates and channels of one qubit in a
row are a single map of its four letters; Clifford gates in a row, with the channels that only
scale, are a signed permutation.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from qrnn.circuit.channels import (
    CHANNELS,
    KINDS,
    Channel,
    CircuitNoise,
    Damping,
    JointDepolarizing,
)
from qrnn.circuit.gates import GATES
from qrnn.circuit.pauli_rotations import (
    PauliRotation,
    digits,
    pauli_rotations,
    rotation_signs,
    word_number,
)
from qrnn.circuit.step import StepCircuit

# Kinds of instruction, and of the parts of a LOCAL; see `DensityProgram`.
LOCAL, PERMUTE, ROTATE = range(3)
PARTS = {name: kind for kind, name in enumerate(("X", "Y", "Z", *KINDS))}
SCALED = {"depolarizing": (1, 2, 3), "phase_damping": (1, 3)}  # the numbers of letters


@dataclass(frozen=True)
class DensityProgram:
    """One step of the fused device with noise.

    Attributes:
        n_wires: number of qubits n.
        columns: for each angle slot, the index of its gate parameter.
        factors: for each slot, the factor of that parameter; 0 for a constant.
        offsets: for each slot, a constant to add, radians.
        instructions: (G, 4) rows [kind, a, b, c]:
            LOCAL: a = 4^position of the qubit, b and c = its first row of `parts` and one more than
            its last;
            PERMUTE: a = row of `sources` and `scales`;
            ROTATE: a = number of the Pauli word, b = slot, c = row of `signs`.
        parts: (L, 2) rows [kind, slot]: rotations about X, Y and Z, then the channels.
        sources: (M, 4^m) for groups of up to m qubits: word k gets the value of word sources[k],
        scales: (M, 4^m): times this factor.
        signs: (W, 4^m) of multi-qubit rotations; see `rotation_signs`.
        groups: (K, 4) rows [first instruction, one more than the last, first number of the state,
            one more than the last], for each group of qubits.
        wires: the qubits of each group.
        readouts: (R,) positions in the state of the Pauli words that are read.
        shrink: (R,) factors of the readouts, by readout errors.
    """

    n_wires: int
    columns: list[int]
    factors: list[float]
    offsets: list[float]
    instructions: np.ndarray
    parts: np.ndarray
    sources: np.ndarray
    scales: np.ndarray
    signs: np.ndarray
    groups: np.ndarray
    wires: list[list[int]]
    readouts: np.ndarray
    shrink: np.ndarray

    @property
    def numbers(self) -> int:
        """Number of numbers N of a state."""
        return sum(4 ** len(wires) for wires in self.wires)

    @property
    def most_instructions(self) -> int:
        """The largest number of instructions of a group."""
        return max(last - first for first, last, *_ in self.groups.tolist())

    @property
    def n_readouts(self) -> int:
        """Number of readouts R."""
        return len(self.readouts)

    def tables(self, dtype: type[np.floating]) -> tuple[np.ndarray, ...]:
        """Return the tables that the kernels read, with constants in the state's precision."""
        return (
            self.instructions,
            self.parts,
            self.sources,
            self.scales.astype(dtype),
            self.signs,
            self.groups,
            self.readouts,
            self.shrink.astype(dtype),
        )


class Permutation:
    """A signed permutation under construction, and the wires that it acts on."""

    def __init__(self, n_wires: int):
        self.n = n_wires
        self.numbers = np.arange(4**n_wires)
        self.source, self.scale = self.numbers, np.ones(4**n_wires)
        self.wires: set[int] = set()

    def turn(self, rotation: PauliRotation) -> None:
        """Append a rotation by quarter turns."""
        turns, word = rotation.quarter_turns, word_number(rotation.letters, self.n)
        self.wires |= set(rotation.letters)
        signs = rotation_signs(rotation.letters, self.n)
        if turns == 2:
            self.scale = np.where(signs, -self.scale, self.scale)
        elif turns:
            moved = np.where(signs, self.numbers ^ word, self.numbers)
            sign = np.where(signs, signs * (2 - turns), 1)
            self.source, self.scale = self.source[moved], sign * self.scale[moved]

    def damp(self, kind: str, wires: Sequence[int], factor: float) -> None:
        """Append a channel that scales the words with some letters on the wires."""
        letters = [np.isin(digits(self.numbers, wire, self.n), SCALED[kind]) for wire in wires]
        self.scale = np.where(np.any(letters, 0), factor, 1.0) * self.scale
        self.wires |= set(wires)


class _Compiler:
    """Collects the instructions of a group of qubits; those of a single qubit wait in `waiting`.

    Slots and parts are those of all groups. What is given has the circuit's wires; within, they
    are positions in the group.
    """

    def __init__(
        self, group: list[int], slots: list[tuple[int, float, float]], parts: list[list[int]]
    ):
        self.n = len(group)
        self.position = {wire: k for k, wire in enumerate(group)}
        self.slots, self.parts = slots, parts
        self.rows: list[Permutation | list[int]] = []
        self.words: list[int] = []
        self.signs: list[np.ndarray] = []
        self.waiting: list[list[list[int]]] = [[] for _ in group]

    def slot(self, column: int, factor: float, offset: float) -> int:
        """Return the slot of a parameter, or of a constant."""
        row = (column if factor else 0, factor, offset)
        if factor or row not in self.slots:
            self.slots.append(row)
            return len(self.slots) - 1
        return self.slots.index(row)

    def inside(self, letters: dict[int, str]) -> dict[int, str]:
        """Return the letters of a Pauli word by positions."""
        return {self.position[wire]: letter for wire, letter in letters.items()}

    def rotate(self, rotation: PauliRotation, column: int) -> None:
        """Append a rotation."""
        rotation = replace(rotation, letters=self.inside(rotation.letters))
        turns, wires = rotation.quarter_turns, list(rotation.letters)
        if turns == 0:
            return
        if turns is not None and (last := self.open(wires)):
            last.turn(rotation)
            return
        if len(wires) > 1 and turns is not None:
            self.opened(wires).turn(rotation)
            return
        if len(wires) > 1:
            for wire in wires:
                self.flush(wire)
        slot = self.slot(column, rotation.factor, rotation.angle)
        if len(wires) == 1:
            self.waiting[wires[0]].append([PARTS[rotation.letters[wires[0]]], slot])
            return
        word = word_number(rotation.letters, self.n)
        if word not in self.words:
            self.words.append(word)
            self.signs.append(rotation_signs(rotation.letters, self.n))
        self.rows.append([ROTATE, word, slot, self.words.index(word)])

    def add(self, channel: Channel) -> None:
        """Append a channel."""
        kind, wire = channel.kind, self.position[channel.wire]
        angle = KINDS[kind].angle(channel.strength)
        if kind in SCALED and (last := self.open([wire])):
            last.damp(kind, [wire], float(np.cos(angle)))
        else:
            self.waiting[wire].append([PARTS[kind], self.slot(0, 0.0, angle)])

    def opened(self, wires: list[int]) -> Permutation:
        """Return the last instruction as a permutation, in which what waits on wires is done."""
        for wire in wires:
            self.flush(wire)
        if (last := self.permutation()) is None:
            self.rows.append(last := Permutation(self.n))
        return last

    def permutation(self) -> Permutation | None:
        """Return the last instruction if it is a permutation."""
        last = self.rows[-1] if self.rows else None
        return last if isinstance(last, Permutation) else None

    def open(self, wires: list[int]) -> Permutation | None:
        """Return the last instruction if it is a permutation with all of these wires."""
        last = self.permutation()
        if last is None or any(self.waiting[wire] for wire in wires):
            return None
        return last if last.wires.issuperset(wires) else None

    def flush(self, wire: int) -> None:
        """Append what waits on a wire, before a last permutation that does not act on it."""
        if not self.waiting[wire]:
            return
        first = len(self.parts)
        self.parts += self.waiting[wire]
        self.waiting[wire] = []
        row = [LOCAL, 4 ** (self.n - 1 - wire), first, len(self.parts)]
        last = self.rows[-1] if self.rows else None
        before = isinstance(last, Permutation) and wire not in last.wires
        self.rows.insert(len(self.rows) - before, row)

    def damp(self, wire: int, column: int) -> None:
        """Append amplitude damping by a parameter."""
        slot = self.slot(column, 1.0, 0.0)
        self.waiting[self.position[wire]].append([PARTS["amplitude_damping"], slot])

    def depolarize(self, wires: Sequence[int], factor: float) -> None:
        """Append joint depolarizing of some wires."""
        inside = [self.position[wire] for wire in wires]
        self.opened(inside).damp("depolarizing", inside, factor)

    def finish(self) -> tuple[list[list[int]], list[Permutation]]:
        """Return the instructions and their permutations; equal ones share a row."""
        for wire in range(self.n):
            self.flush(wire)
        rows: list[list[int]] = []
        seen: list[Permutation] = []
        for row in self.rows:
            if isinstance(row, Permutation):
                same = [
                    i
                    for i, other in enumerate(seen)
                    if (other.source == row.source).all() and (other.scale == row.scale).all()
                ]
                if not same:
                    seen.append(row)
                rows.append([PERMUTE, same[0] if same else len(seen) - 1, 0, 0])
            else:
                rows.append(row)
        return rows, seen


def compile_density_program(circuit: StepCircuit, noise: CircuitNoise) -> DensityProgram:
    """Translate a step circuit and its noise into a gate program on Pauli words."""
    slots: list[tuple[int, float, float]] = []
    parts: list[list[int]] = []
    groups = [_Compiler(wires, slots, parts) for wires in circuit.groups]
    of = {wire: compiler for compiler in groups for wire in compiler.position}
    first = 0
    for gate in circuit.gates:
        if isinstance(gate, Damping):
            of[gate.wires[0]].damp(gate.wires[0], first)
        elif isinstance(gate, JointDepolarizing):
            of[gate.wires[0]].depolarize(gate.wires, 1 - float(gate.data[0]))
        elif type(gate) in CHANNELS:
            channel = Channel(CHANNELS[type(gate)], float(gate.data[0]), gate.wires[0])
            of[channel.wire].add(channel)
        else:
            for primitive in GATES[gate.name](gate):
                for rotation in pauli_rotations(primitive):
                    of[next(iter(rotation.letters))].rotate(rotation, first)
            for channel in noise.after(gate):
                of[channel.wire].add(channel)
        first += len(gate.data)
    rows, permutations, signs, spans, starts = _joined(groups)
    columns, factors, offsets = zip(*slots, strict=True) if slots else ((),) * 3
    width = max(4**compiler.n for compiler in groups)
    readouts = []
    for word in circuit.read:
        letters = {wire: letter for wire, letter in enumerate(word) if letter != "I"}
        compiler = of[next(iter(letters))]
        readouts.append(starts[compiler] + word_number(compiler.inside(letters), compiler.n))
    return DensityProgram(
        n_wires=circuit.n_wires,
        columns=list(columns),
        factors=list(factors),
        offsets=list(offsets),
        instructions=np.array(rows, np.int64).reshape(-1, 4),
        parts=np.array(parts, np.int64).reshape(-1, 2),
        sources=_table([one.source for one in permutations], width, np.int32),
        scales=_table([one.scale for one in permutations], width, np.float64),
        signs=_table(signs, width, np.int8),
        groups=np.array(spans, np.int64),
        wires=[list(compiler.position) for compiler in groups],
        readouts=np.array(readouts, np.int64),
        shrink=(1 - 2 * noise.flip) ** np.array([len(w) - w.count("I") for w in circuit.read]),
    )


def _joined(
    groups: list[_Compiler],
) -> tuple[
    list[list[int]], list[Permutation], list[np.ndarray], list[list[int]], dict[_Compiler, int]
]:
    """Return the groups' tables as one: instructions, permutations, signs, spans, and starts."""
    rows: list[list[int]] = []
    permutations: list[Permutation] = []
    signs: list[np.ndarray] = []
    spans: list[list[int]] = []
    starts: dict[_Compiler, int] = {}
    at = 0
    for compiler in groups:
        own, seen = compiler.finish()
        for kind, a, b, c in own:
            a += len(permutations) if kind == PERMUTE else 0
            c += len(signs) if kind == ROTATE else 0
            rows.append([kind, a, b, c])
        permutations += seen
        signs += compiler.signs
        starts[compiler] = at
        spans.append([len(rows) - len(own), len(rows), at, at := at + 4**compiler.n])
    return rows, permutations, signs, spans, starts


def _table(rows: list[np.ndarray], width: int, dtype: type) -> np.ndarray:
    """Return rows of different lengths as a table."""
    table: np.ndarray = np.zeros((len(rows), width), dtype)
    for row, values in zip(table, rows, strict=True):
        row[: len(values)] = values
    return table
