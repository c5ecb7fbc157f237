"""The gate program of a noisy circuit: a traced step and its channels, acting on Pauli words.

The state is the density matrix as r_P = tr(rho P), for the 4^n Pauli words P as they are numbered
in `qrnn.circuit.pauli_rotations`. Gates and channels of one qubit in a row are a single map of its
four letters; Clifford gates in a row, with the channels that only scale, are a signed permutation.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

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
        sources: (M, 4^n): word k gets the value of word sources[k],
        scales: (M, 4^n): times this factor.
        signs: (W, 4^n) of multi-qubit rotations; see `rotation_signs`.
        readouts: (R,) numbers of the Pauli words that are read.
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
    readouts: np.ndarray
    shrink: np.ndarray

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
    """Collects instructions; gates and channels of a single qubit wait in `waiting`."""

    def __init__(self, n_wires: int):
        self.n = n_wires
        self.slots: list[tuple[int, float, float]] = []
        self.rows: list[Permutation | list[int]] = []
        self.parts: list[list[int]] = []
        self.words: list[int] = []
        self.signs: list[np.ndarray] = []
        self.waiting: list[list[list[int]]] = [[] for _ in range(n_wires)]

    def slot(self, column: int, factor: float, offset: float) -> int:
        """Return the slot of a parameter, or of a constant."""
        row = (column if factor else 0, factor, offset)
        if factor or row not in self.slots:
            self.slots.append(row)
            return len(self.slots) - 1
        return self.slots.index(row)

    def rotate(self, rotation: PauliRotation, column: int) -> None:
        """Append a rotation."""
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
        kind, wire = channel.kind, channel.wire
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

    def tables(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return the instructions, sources and scales; equal permutations share a row."""
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
        size = 4**self.n
        return (
            np.array(rows, np.int64).reshape(-1, 4),
            np.array([one.source for one in seen], np.int32).reshape(-1, size),
            np.array([one.scale for one in seen]).reshape(-1, size),
        )


def compile_density_program(circuit: StepCircuit, noise: CircuitNoise) -> DensityProgram:
    """Translate a step circuit and its noise into a gate program on Pauli words."""
    n = circuit.n_wires
    compiler = _Compiler(n)
    first = 0
    for gate in circuit.gates:
        if isinstance(gate, Damping):
            slot = compiler.slot(first, 1.0, 0.0)
            compiler.waiting[gate.wires[0]].append([PARTS["amplitude_damping"], slot])
        elif isinstance(gate, JointDepolarizing):
            wires = list(gate.wires)
            compiler.opened(wires).damp("depolarizing", wires, 1 - float(gate.data[0]))
        elif type(gate) in CHANNELS:
            compiler.add(Channel(CHANNELS[type(gate)], float(gate.data[0]), gate.wires[0]))
        else:
            for primitive in GATES[gate.name](gate):
                for rotation in pauli_rotations(primitive):
                    compiler.rotate(rotation, first)
            for channel in noise.after(gate):
                compiler.add(channel)
        first += len(gate.data)
    for wire in range(n):
        compiler.flush(wire)
    instructions, sources, scales = compiler.tables()
    columns, factors, offsets = zip(*compiler.slots, strict=True) if compiler.slots else ((),) * 3
    letters = np.array([n - word.count("I") for word in circuit.read])
    return DensityProgram(
        n_wires=n,
        columns=list(columns),
        factors=list(factors),
        offsets=list(offsets),
        instructions=instructions,
        parts=np.array(compiler.parts, np.int64).reshape(-1, 2),
        sources=sources,
        scales=scales,
        signs=np.array(compiler.signs, np.int8).reshape(-1, 4**n),
        readouts=np.array([word_number(dict(enumerate(w)), n) for w in circuit.read], np.int64),
        shrink=(1 - 2 * noise.flip) ** letters,
    )
