"""A gate program for the CPU kernels: its instructions in stages, for a layout of the state.

A stage is a run of instructions for one shape of tile (see `cpu/tiles.py`). A state that fits in
the cache is one tile. For a larger one, instructions are reordered, as far as they commute, so that
many run on each tile: a layer of gates then passes over the memory twice instead of once per gate.
"""

from __future__ import annotations

from itertools import groupby, pairwise

import numpy as np

from qrnn.memory.kernels.cpu.simd import LANE_BITS, LANES
from qrnn.memory.kernels.program import (
    DIAGONAL,
    MATRIX,
    ROTATE,
    ROTATE_Y,
    ROTATE_Y2,
    Program,
    pairs_of_bits,
)

# More kinds of instruction: RY on the bits in the lanes (columns: the slots of bits 0 to 3, or -1),
# and readouts: READ_XY (high bit, low bit, slot = row of `pairs`), READ_WORD (x mask, z mask, slot
# = readout, number of Y), READ_Z (all bits), READ_LANES (X and Y of the bits in the lanes).
ROTATE_LANES, READ_XY, READ_WORD, READ_Z, READ_LANES = range(DIAGONAL + 1, DIAGONAL + 6)
# Bits of the rows of a tile, and of the largest block that is one tile.
TILE_BITS, WHOLE_BITS = 10, 16

Row = list[int]
Shape = tuple[int, int]  # numbers of low and high bits of a tile's rows


def lane_tables(dtype: type[np.floating]) -> np.ndarray:
    """Return (-1)^popcount(j & m) and whether j & m == m, for masks m and lanes j, each flat."""
    both = np.arange(LANES)[:, None] & np.arange(LANES)
    signs = 1 - 2 * (sum(both >> bit & 1 for bit in range(LANE_BITS)) % 2)
    return np.stack([signs, both == np.arange(LANES)[:, None]]).reshape(2, -1).astype(dtype)


def constant_phases(
    program: Program, dtype: type[np.floating], *, spread: bool
) -> tuple[np.ndarray, np.ndarray]:
    """Return the constants of diagonal layers, in the rows of the layout, and their signs.

    In the spread layout, constants that are all 1 or -1 (of CZ) would take as much memory as a
    state: one of both is empty, the constants (D, 0), or their signs (D, 2^n / LANES), a bit each.
    """
    constants = program.constants
    if not spread:
        return constants.astype(dtype), np.empty((len(constants), 0), np.uint16)
    parts = constants.reshape(len(constants), 2**program.n_wires // LANES, LANES, 2)
    if (parts[..., 1] == 0).all() and (abs(parts[..., 0]) == 1).all():
        signs = np.packbits(parts[..., 0] < 0, axis=2, bitorder="little").view("<u2")[..., 0]
        return constants[:, :0].astype(dtype), np.ascontiguousarray(signs, np.uint16)
    rows = parts.swapaxes(2, 3).reshape(constants.shape)
    return rows.astype(dtype), np.empty((len(constants), 0), np.uint16)


def tables(program: Program, dtype: type[np.floating], *, spread: bool) -> tuple:
    """Return what the kernels read.

    Returns:
        instructions, matrices and z_slots as in `Program`; `constant_phases`; pairs and z_out;
        stages, rows [first instruction, first that reads, last + 1, low bits, high bits]; the
        readouts that are X and Y on the bits in the lanes (2, LANE_BITS), or -1; and `lanes`: None,
        or `lane_tables`.
    """
    n, xy = program.n_wires, _xy(program)
    lanes: np.ndarray | None = None
    if spread:
        shapes = _shapes(n - LANE_BITS)
        lanes = lane_tables(dtype)
        gates = _schedule(_singles(program.instructions.tolist()), shapes, n - LANE_BITS)
        edges = [LANE_BITS, *(LANE_BITS + low for low, high in shapes if not high), n]
    else:
        gates, edges = [((n, 0), program.instructions.tolist())], [0, n]
    pairs = np.concatenate([pairs_of_bits(_only(xy, *ends)) for ends in pairwise(edges)])
    reads = [[READ_XY, pair[0], pair[1], 0, index, 0] for index, pair in enumerate(pairs.tolist())]
    reads += [[READ_WORD, x, z, 0, out, n_y] for x, z, n_y, out in program.words.tolist()]
    if (program.z_out >= 0).any():
        reads.append([READ_Z, 0, 0, 0, 0, 0])
    if spread and (xy[:, :LANE_BITS] >= 0).any():
        reads.append([READ_LANES, 0, 0, 0, 0, 0])
    read = _schedule(reads, shapes, n - LANE_BITS) if spread else [((n, 0), reads)]
    rows: list[Row] = []
    stages: list[Row] = []
    for shape, chosen in gates:
        first = len(rows)
        rows += _merge(chosen) if spread else chosen
        stages.append([first, len(rows), len(rows), *shape])
    for shape, chosen in read:
        first = len(rows)
        rows += chosen
        if stages and tuple(stages[-1][3:]) == shape:  # gates and readouts in one pass
            stages[-1][2] = len(rows)
        else:
            stages.append([first, first, len(rows), *shape])
    return (
        np.array(rows, np.int64).reshape(-1, 6),
        program.matrices.astype(dtype),
        program.z_slots,
        constant_phases(program, dtype, spread=spread),
        pairs,
        program.z_out,
        np.array(stages, np.int64).reshape(-1, 5),
        xy[:, :LANE_BITS].copy(),
        lanes,
    )


def _xy(program: Program) -> np.ndarray:
    """Return the readouts that are X and Y on each bit (2, n), or -1."""
    xy = np.full((2, program.n_wires), -1, np.int64)
    for high, low, x_high, y_high, x_low, y_low in program.pairs.tolist():
        xy[:, low.bit_length() - 1] = x_low, y_low
        xy[:, high.bit_length() - 1] = x_high, y_high
    return xy


def _only(xy: np.ndarray, first: int, stop: int) -> np.ndarray:
    """Return `xy` with -1 for the bits that are not among first to stop - 1."""
    bits = np.arange(xy.shape[1])
    return np.where((first <= bits) & (bits < stop), xy, -1)


def _shapes(n: int) -> list[Shape]:
    """Return the shapes of tiles for rows of n bits: the whole state, or low bits and high bits."""
    if n <= WHOLE_BITS:
        return [(n, 0)]
    low = max(TILE_BITS, n // 2 + 2)
    return [(low, 0), (max(TILE_BITS, low) - (n - low), n - low)]


def _singles(rows: list[Row]) -> list[Row]:
    """Return instructions with each RY on its own."""
    found = []
    for row in rows:
        if row[0] == ROTATE_Y2:
            _, high, low, slot_low, slot_high, _ = row
            found += [[ROTATE_Y, high, 0, 0, slot_high, 0], [ROTATE_Y, low, 0, 0, slot_low, 0]]
        else:
            found.append(row)
    return found


def _moved(row: Row) -> int:
    """Return the bits on which an instruction is not diagonal."""
    kind, a, b = row[:3]
    if kind == READ_XY:
        return a | b
    return a if kind in (ROTATE_Y, ROTATE, MATRIX, READ_WORD) else 0


def _commute(one: Row, other: Row) -> bool:
    """Return whether two instructions surely commute."""
    if min(one[0], other[0]) > ROTATE_LANES or not (_moved(one) | _moved(other)):
        return True
    return not (_support(one) & _support(other))


def _support(row: Row) -> int:
    """Return the bits on which an instruction acts; -1: all."""
    kind, a, b, control = row[:4]
    if kind == DIAGONAL:
        return -1
    return a | (b if kind == ROTATE else 0) | (control if kind in (ROTATE, MATRIX) else 0)


def _fits(row: Row, shape: Shape, n: int) -> bool:
    """Return whether an instruction can run on tiles of a shape."""
    low, high = shape
    if high and row[0] in (DIAGONAL, READ_Z):
        return False  # their tables are for contiguous rows
    top = ((1 << high) - 1) << (n - high)
    return not (_moved(row) >> LANE_BITS) & ~(top if high else (1 << low) - 1)


def _schedule(rows: list[Row], shapes: list[Shape], n: int) -> list[tuple[Shape, list[Row]]]:
    """Return instructions in stages: the fewer of those that begin with either shape."""
    orders = [_alternate(rows, order, n) for order in (shapes, shapes[::-1])]
    return min(orders, key=len)


def _alternate(rows: list[Row], shapes: list[Shape], n: int) -> list[tuple[Shape, list[Row]]]:
    """Return instructions in stages of alternating shapes, each with all that can run in it."""
    stages: list[tuple[Shape, list[Row]]] = []
    while rows:
        before = len(rows)
        for shape in shapes:
            taken: list[Row] = []
            left: list[Row] = []
            for row in rows:
                ready = _fits(row, shape, n) and all(_commute(row, other) for other in left)
                (taken if ready else left).append(row)
            if taken:
                stages.append((shape, taken))
            rows = left
        if len(rows) == before:  # it moves low and high bits
            stages.append(((n, 0), rows[:1]))
            rows = rows[1:]
    return stages


def _merge(rows: list[Row]) -> list[Row]:
    """Return instructions with consecutive RY merged: two on rows, and all in the lanes."""
    found: list[Row] = []
    for rotates, run in groupby(rows, lambda row: row[0] == ROTATE_Y):
        left = list(run)
        if not rotates:
            found += left
            continue
        while left:
            slots = {row[1]: row[4] for row in reversed(left)}  # the first RY on each bit
            left = [row for row in left if slots[row[1]] != row[4]]
            in_lanes = [slots.pop(1 << bit, -1) for bit in range(LANE_BITS)]
            if max(in_lanes) >= 0:
                found.append([ROTATE_LANES, *in_lanes, 0])
            bits = sorted(slots)
            if len(bits) % 2:
                found.append([ROTATE_Y, bits[0], 0, 0, slots[bits[0]], 0])
            for low, high in zip(
                bits[len(bits) % 2 :: 2], bits[len(bits) % 2 + 1 :: 2], strict=True
            ):
                found.append([ROTATE_Y2, high, low, slots[low], slots[high], 0])
    return found
