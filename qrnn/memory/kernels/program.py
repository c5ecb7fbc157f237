"""The gate program: a traced step circuit as integer arrays, for the fused kernels.

Basis states are numbered as in PennyLane, with wire 0 as the most significant bit; a set of wires
is a bit mask.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from qrnn.circuit.gates import GATES, Matrix, Phase, Primitive, Rotation
from qrnn.circuit.observables import masks
from qrnn.circuit.step import StepCircuit

# Kinds of instruction; see `Program.instructions` for the meaning of the columns.
ROTATE_Y, ROTATE_Y2, ROTATE, PHASE, MATRIX, DIAGONAL = range(6)
# A phase vector is used for a diagonal layer if it replaces more passes than it costs.
MIN_MERGED = 3


@dataclass(frozen=True)
class Program:
    """One step of the fused device.

    Attributes:
        n_wires: number of qubits n.
        columns: for each angle slot, the index of its gate parameter.
        factors: for each slot, the factor of that parameter: 1/2 for a rotation (the kernels need
            cosine and sine of the half angle), +-1 for a phase.
        instructions: (G, 6) rows [kind, a, b, c, slot, i^m]:
            ROTATE_Y: a = bit of the wire;
            ROTATE_Y2: a, b = higher and lower bit, slot and c = their slots;
            ROTATE: a = x mask, b = z mask, c = control mask, last = number of Y letters mod 4;
            PHASE: a = mask; MATRIX: a = bit, c = control mask, slot = row of `matrices`;
            DIAGONAL: slot = row of `z_slots` and `constants`.
        matrices: (M, 8) constant gates, real and imaginary parts of a row-major 2x2.
        z_slots: (D, n) the slot of the RZ on each bit of a merged diagonal layer, or -1.
        constants: (D, 2^n 2) the constant phases of that layer, real and imaginary parts.
        pairs: (K, 6) rows [high, low, x high, y high, x low, y low]: two bits, and the readouts
            that are X and Y on them, or -1; for a single bit, high and low are equal.
        z_out: (n,) the readout that is Z on each bit, or -1.
        words: (W, 4) all other readouts [x mask, z mask, number of Y letters mod 4, readout].
    """

    n_wires: int
    columns: list[int]
    factors: list[float]
    instructions: np.ndarray
    matrices: np.ndarray
    z_slots: np.ndarray
    constants: np.ndarray
    pairs: np.ndarray
    z_out: np.ndarray
    words: np.ndarray

    @property
    def n_readouts(self) -> int:
        """Number of readouts R."""
        return int((self.pairs[:, 2:] >= 0).sum() + (self.z_out >= 0).sum()) + len(self.words)

    def tables(self, dtype: type[np.floating]) -> tuple[np.ndarray, ...]:
        """Return the tables that the kernels read, with constants in the state's precision."""
        return (
            self.instructions,
            self.matrices.astype(dtype),
            self.z_slots,
            self.constants.astype(dtype),
            self.pairs,
            self.z_out,
            self.words,
        )


class _Compiler:
    """Collects instructions; each run of diagonal gates is merged into one phase vector."""

    def __init__(self, n_wires: int):
        self.n = n_wires
        self.columns: list[int] = []
        self.factors: list[float] = []
        self.rows: list[list[int]] = []
        self.matrices: list[list[float]] = []
        self.z_slots: list[np.ndarray] = []
        self.constants: list[np.ndarray] = []

    def bit(self, wire: int) -> int:
        return 1 << (self.n - 1 - wire)

    def mask(self, wires: Sequence[int]) -> int:
        return sum(self.bit(wire) for wire in wires)

    def slot(self, column: int, factor: float) -> int:
        self.columns.append(column)
        self.factors.append(factor)
        return len(self.columns) - 1

    def emit(self, primitive: Primitive, first: int) -> None:
        """Append an instruction; `first` is the column of the gate's parameter."""
        if isinstance(primitive, Matrix):
            parts = [part for z in primitive.entries for part in (z.real, z.imag)]
            if parts not in self.matrices:
                self.matrices.append(parts)
            row = [
                MATRIX,
                self.bit(primitive.wire),
                0,
                self.mask(primitive.controls),
                self.matrices.index(parts),
                0,
            ]
        elif isinstance(primitive, Phase):
            if primitive.angle is not None:  # a constant phase outside a merged layer
                self.emit_diagonal([(primitive, first)])
                return
            slot = self.slot(first, primitive.sign)
            row = [PHASE, self.mask(primitive.wires), 0, 0, slot, 0]
        else:
            slot = self.slot(first, 0.5)
            if primitive.word == "Y" and not primitive.controls:
                self.emit_rotate_y(self.bit(primitive.wires[0]), slot)
                return
            x = self.mask(
                [w for w, p in zip(primitive.wires, primitive.word, strict=True) if p in "XY"]
            )
            z = self.mask(
                [w for w, p in zip(primitive.wires, primitive.word, strict=True) if p in "YZ"]
            )
            row = [ROTATE, x, z, self.mask(primitive.controls), slot, primitive.word.count("Y") % 4]
        self.rows.append(row)

    def emit_rotate_y(self, bit: int, slot: int) -> None:
        """Append an RY, or merge it with a preceding RY on another bit."""
        last = self.rows[-1] if self.rows else [-1]
        if last[0] != ROTATE_Y or last[1] == bit:
            self.rows.append([ROTATE_Y, bit, 0, 0, slot, 0])
            return
        (high, slot_high), (low, slot_low) = sorted([(bit, slot), (last[1], last[4])])[::-1]
        self.rows[-1] = [ROTATE_Y2, high, low, slot_low, slot_high, 0]

    def emit_diagonal(self, run: list[tuple[Primitive, int]]) -> None:
        """Append a merged layer: at most one RZ per wire, and all constant phases."""
        z_slots = np.full(self.n, -1, np.int64)
        states = np.arange(2**self.n)
        phases = np.ones(2**self.n, complex)
        for primitive, first in run:
            if isinstance(primitive, Phase):
                assert primitive.angle is not None
                chosen = (states & (m := self.mask(primitive.wires))) == m
                phases[chosen] *= np.exp(1j * primitive.angle)
            else:
                assert isinstance(primitive, Rotation)
                position = self.n - 1 - primitive.wires[0]
                z_slots[position] = self.slot(first, 0.5)
        self.z_slots.append(z_slots)
        self.constants.append(np.stack([phases.real, phases.imag], -1).ravel())
        self.rows.append([DIAGONAL, 0, 0, 0, len(self.z_slots) - 1, 0])

    def flush(self, run: list[tuple[Primitive, int]]) -> None:
        """Append a run of commuting diagonal gates."""
        merged: list[tuple[Primitive, int]] = []
        alone: list[tuple[Primitive, int]] = []
        taken: set[int] = set()
        for primitive, first in run:
            if isinstance(primitive, Phase) and primitive.angle is not None:
                merged.append((primitive, first))
            elif (
                isinstance(primitive, Rotation)
                and primitive.word == "Z"
                and not primitive.controls
                and primitive.wires[0] not in taken
            ):
                taken.add(primitive.wires[0])
                merged.append((primitive, first))
            else:
                alone.append((primitive, first))
        if len(merged) < MIN_MERGED:
            alone, merged = merged + alone, []
        if merged:
            self.emit_diagonal(merged)
        for primitive, first in alone:
            self.emit(primitive, first)


def _is_diagonal(primitive: Primitive) -> bool:
    return isinstance(primitive, Phase) or (
        isinstance(primitive, Rotation) and set(primitive.word) == {"Z"}
    )


def compile_program(circuit: StepCircuit) -> Program:
    """Translate a step circuit into a gate program."""
    primitives, first = [], 0
    for gate in circuit.gates:
        primitives += [(primitive, first) for primitive in GATES[gate.name](gate)]
        first += len(gate.data)
    return program_of(circuit, primitives)


def program_of(circuit: StepCircuit, primitives: Sequence[tuple[Primitive, int]]) -> Program:
    """Return the gate program of primitives, each with the column of its parameter.

    Args:
        circuit: the step circuit, which has the qubits and the readouts.
        primitives: the primitives in the order in which they act.
    """
    compiler = _Compiler(circuit.n_wires)
    run: list[tuple[Primitive, int]] = []
    for primitive, first in primitives:
        if _is_diagonal(primitive):
            run.append((primitive, first))
        else:
            compiler.flush(run)
            run = []
            compiler.emit(primitive, first)
    compiler.flush(run)

    n = circuit.n_wires
    singles = np.full((3, n), -1, np.int64)
    words = []
    for index, word in enumerate(circuit.read):
        letters = word.replace("I", "")
        if len(letters) == 1:
            singles["XYZ".index(letters), n - 1 - word.index(letters)] = index
        else:
            words.append((*masks(word), word.count("Y") % 4, index))
    return Program(
        n_wires=n,
        columns=compiler.columns,
        factors=compiler.factors,
        instructions=np.array(compiler.rows, np.int64).reshape(-1, 6),
        matrices=np.array(compiler.matrices, float).reshape(-1, 8),
        z_slots=np.array(compiler.z_slots, np.int64).reshape(-1, n),
        constants=np.array(compiler.constants, float).reshape(-1, 2 * 2**n),
        pairs=pairs_of_bits(singles[:2]),
        z_out=singles[2].copy(),
        words=np.array(words, np.int64).reshape(-1, 4),
    )


def pairs_of_bits(xy: np.ndarray) -> np.ndarray:
    """Return `Program.pairs` for the readouts that are X and Y on each bit (2, n), or -1."""
    bits = [position for position in range(xy.shape[1]) if (xy[:, position] >= 0).any()][::-1]
    rows = []
    for high, low in zip(bits[::2], [*bits[1::2], None], strict=False):
        other = (-1, -1) if low is None else xy[:, low]
        rows.append([1 << high, 1 << (high if low is None else low), *xy[:, high], *other])
    return np.array(rows, np.int64).reshape(-1, 6)
