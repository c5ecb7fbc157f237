"""Tiles: parts of a block on which several instructions run while they are in the cache.

A tile has the rows that agree in all bits but its lowest `low` and highest `high` ones, which get
the numbers 0 to low + high - 1. Without high bits the rows are contiguous; others are copied to a
buffer, because rows at a stride of a power of two evict each other from the cache.
"""

from __future__ import annotations

from qrnn.memory.kernels.cpu.gates import ROW, lane_bits, parity_sign
from qrnn.memory.kernels.cpu.jit import jit
from qrnn.memory.kernels.cpu.simd import LANES, load, store


@jit
def tile_of(index, low, high, n):
    """Return [number of bits, first row, mask of the low bits, mask of the high bits, their shift].

    Args:
        index: number of the tile.
        low: number of low bits.
        high: number of high bits.
        n: number of bits of a row of the block.
    """
    top = ((1 << high) - 1) << (n - high)
    return low + high, index << low, (1 << low) - 1, top, n - high - low


@jit
def here(mask, tile, lanes):
    """Return the part of a bit mask that is in the rows of a tile."""
    _, _, low, high, shift = tile
    mask >>= lane_bits(lanes)
    return (mask & low) | ((mask & high) >> shift)


@jit
def holds(mask, tile, lanes):
    """Return whether the bits of a mask that are outside a tile are all 1."""
    _, first, low, high, _ = tile
    outside = (mask >> lane_bits(lanes)) & ~(low | high)
    return (first & outside) == outside


@jit
def word_on(x, z, n_y, tile, lanes):
    """Return a Pauli word on a tile, with its X within the tile.

    Returns:
        x mask and z mask of the rows, those of the lanes, n_y, and the sign of the other bits.
    """
    flips, signs = x & (LANES - 1), z & (LANES - 1)
    sign = parity_sign(tile[1] & (z >> lane_bits(lanes)))
    if lanes is not None:  # the sign is that of the lane before X
        sign *= parity_sign(flips & signs)
    return here(x, tile, lanes), here(z, tile, lanes), flips, signs, n_y, sign


@jit
def copy(source, start, target, at, size):
    """Copy `size` numbers, a multiple of LANES, from source[start:] to target[at:]."""
    for i in range(0, size, LANES):
        store(target, at + i, load(source, start + i))


@jit
def part_of(psi, buffer, tile, low, high, n):
    """Return the rows of a tile: a view, or a copy in `buffer`."""
    size, start = ROW << low, tile[1] * ROW
    if high == 0:
        return psi[start : start + size]
    for k in range(1 << high):
        at = start + (k << (n - high)) * ROW
        copy(psi, at, buffer, k * size, size)
    return buffer[: size << high]


@jit
def put_back(psi, part, tile, low, high, n):
    """Write the rows of a tile back, if they are a copy."""
    size, start = ROW << low, tile[1] * ROW
    for k in range(1 << high if high else 0):
        at = start + (k << (n - high)) * ROW
        copy(part, k * size, psi, at, size)
