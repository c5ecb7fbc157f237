"""Diagonal layers and readouts of Z: tables and sums over the high bits and the low bits of a tile.

A factor of the bits outside the tile is one number for all of its rows, and one of the bits in the
lanes one vector: both are part of the table for the high bits.
"""

from __future__ import annotations

from qrnn.memory.kernels.cpu.gates import ROW, add_to, lane_bits, lane_signs
from qrnn.memory.kernels.cpu.jit import jit
from qrnn.memory.kernels.cpu.simd import LANES, full_like, load, negate_lanes, splat, store


@jit
def outer_bit(position, tile):
    """Return a bit, from the tile's number of bits on, of all rows of a tile."""
    return (tile[1] >> position) & 1


@jit
def fixed_phase(slots, cs, tile, lanes):
    """Return the phases of RZ on the bits outside the tile and in the lanes, as a vector.

    Args:
        slots: (n,) the slot of the RZ on each bit, or -1.
        cs: (S 2 LANES) cosines and sines.
        tile: see `tiles.tile_of`.
        lanes: the tables of the spread layout, or None.
    """
    one = full_like(load(cs, 0), 1)
    re, im = one, one - one
    inside = lane_bits(lanes)
    for position in range(slots.size):
        if slots[position] < 0 or inside <= position < inside + tile[0]:
            continue
        c, s = load(cs, slots[position] * ROW), load(cs, slots[position] * ROW + LANES)
        if position < inside:
            s = s * lane_signs(1 << position, lanes, s)
        elif outer_bit(position - inside, tile):
            s = full_like(s, 0) - s
        re, im = c * re + s * im, c * im - s * re
    return re, im


@jit
def add_fixed(total, slots, out, tile, lanes):
    """Add (-1)^bit times a tile's sum to out[slot], for bits outside the tile and in the lanes."""
    inside = lane_bits(lanes)
    for position in range(slots.size):
        if slots[position] < 0 or inside <= position < inside + tile[0]:
            continue
        signed = total
        if position < inside:
            signed = total * lane_signs(1 << position, lanes, total)
        elif outer_bit(position - inside, tile):
            signed = full_like(total, 0) - total
        add_to(out, slots[position] * LANES, signed)


@jit
def phase_table(table, z_slots, first, stop, cs, re, im):
    """Fill a table with the phases of an RZ on each bit from first to stop - 1.

    By doubling, with one complex product per row, from the vector re + i im on. The phases of all
    rows are products of a row of the high bits' table and a row of the low bits' table.
    """
    for position in range(first, stop):
        slot = z_slots[position]
        if slot >= 0:
            c, s = load(cs, slot * ROW), load(cs, slot * ROW + LANES)
            re, im = c * re + s * im, c * im - s * re
    store(table, 0, re)
    store(table, LANES, im)
    for position in range(first, stop):
        size = 1 << (position - first)
        slot = z_slots[position]
        c, s = full_like(re, 1), full_like(re, 0)
        if slot >= 0:
            c, s = load(cs, slot * ROW), load(cs, slot * ROW + LANES)
            c, s = c * c - s * s, c * s + c * s
        for k in range(size):
            re, im = load(table, k * ROW), load(table, k * ROW + LANES)
            store(table, (size + k) * ROW, c * re - s * im)
            store(table, (size + k) * ROW + LANES, c * im + s * re)


@jit
def phase_tables(work, slots, cs, tile, lanes):
    """Fill and return the tables of the high bits and of the low bits of a tile."""
    n, rows = tile[0], slots[lane_bits(lanes) :]
    re, im = fixed_phase(slots, cs, tile, lanes)
    phase_table(work[0], rows, n // 2, n, cs, re, im)
    one = full_like(re, 1)
    phase_table(work[1], rows, 0, n // 2, cs, one, one - one)
    return work[0], work[1]


@jit
def with_constant(re, im, constants, k, lanes):
    """Return a product with the constant phases of row k; see `layout.constant_phases`."""
    phases, signs = constants
    if lanes is None:
        cr, ci = splat(phases, 2 * k), splat(phases, 2 * k + 1)
    elif phases.size == 0:
        return negate_lanes(re, signs[k]), negate_lanes(im, signs[k])
    else:
        cr, ci = load(phases, k * ROW), load(phases, k * ROW + LANES)
    return cr * re - ci * im, cr * im + ci * re


@jit
def phase_row(high, low, constants, k, tile, lanes):
    """Return the phase of row k of a tile: product of both tables and the constant."""
    n_low = tile[0] // 2
    h, j = (k >> n_low) * ROW, (k & ((1 << n_low) - 1)) * ROW
    hr, hi, lr, li = load(high, h), load(high, h + LANES), load(low, j), load(low, j + LANES)
    re, im = hr * lr - hi * li, hr * li + hi * lr
    return with_constant(re, im, constants, tile[1] + k, lanes)


@jit
def diagonal(psi, work, slots, constants, cs, tile, lanes):
    """Multiply with the phases of a diagonal layer."""
    high, low = phase_tables(work, slots, cs, tile, lanes)
    for k in range(psi.size // ROW):
        c, s = phase_row(high, low, constants, k, tile, lanes)
        a, ai = load(psi, k * ROW), load(psi, k * ROW + LANES)
        store(psi, k * ROW, c * a - s * ai)
        store(psi, k * ROW + LANES, c * ai + s * a)


@jit
def undo_diagonal(psi, lam, work, slots, constants, cs, grads, tile, lanes):
    """Undo a diagonal layer, with sums of Im(conj(lambda) psi) for its gradients."""
    high, low = phase_tables(work, slots, cs, tile, lanes)
    n_rows, sum_high, sum_low = 1 << (tile[0] // 2), work[2], work[3]
    zero = full_like(load(psi, 0), 0)
    for j in range(n_rows):
        store(sum_low, j * LANES, zero)
    for h in range(psi.size // ROW // n_rows):
        total = zero
        for j in range(n_rows):
            k = h * n_rows + j
            c, s = phase_row(high, low, constants, k, tile, lanes)
            a, ai = load(psi, k * ROW), load(psi, k * ROW + LANES)
            x, xi = load(lam, k * ROW), load(lam, k * ROW + LANES)
            w = x * ai - xi * a
            total = total + w
            add_to(sum_low, j * LANES, w)
            store(psi, k * ROW, c * a + s * ai)
            store(psi, k * ROW + LANES, c * ai - s * a)
            store(lam, k * ROW, c * x + s * xi)
            store(lam, k * ROW + LANES, c * xi - s * x)
        store(sum_high, h * LANES, total)
    add_differences(work, slots, grads, tile, lanes)


@jit
def add_differences(work, slots, out, tile, lanes):
    """Add sum_k (-1)^(bit of k) w_k to out[slot] for each bit.

    Args:
        work: work[2] has the sums of w over the low bits, for each state of the tile's high bits,
            and work[3] those over the high bits; overwritten.
        slots: (n,) row of `out` for each bit, or -1.
        out: flat rows of LANES.
        tile: see `tiles.tile_of`.
        lanes: the tables of the spread layout, or None.
    """
    n, rows = tile[0], slots[lane_bits(lanes) :]
    fold(work[2], n // 2, n, rows, out)
    fold(work[3], 0, n // 2, rows, out)
    add_fixed(load(work[2], 0), slots, out, tile, lanes)


@jit
def fold(sums, first, stop, slots, out):
    """Add sum_k (-1)^(bit of k) sums[k] to out[slot] for each bit from first to stop - 1.

    Args:
        sums: one row per state of these bits; overwritten.
        first: the lowest bit.
        stop: one more than the highest bit.
        slots: (n,) row of `out` for each bit, or -1.
        out: flat rows of LANES.
    """
    size = 1 << (stop - first)
    for position in range(stop - 1, first - 1, -1):
        size >>= 1
        difference = full_like(load(sums, 0), 0)
        for k in range(size):
            lower, upper = load(sums, k * LANES), load(sums, (k + size) * LANES)
            difference = difference + lower - upper
            store(sums, k * LANES, lower + upper)
        if slots[position] >= 0:
            add_to(out, slots[position] * LANES, difference)


@jit
def read_z(psi, z_out, work, z, tile, lanes):
    """Add <Z> of each bit, from probabilities summed over the low bits and the high bits."""
    n_rows, sum_high, sum_low = 1 << (tile[0] // 2), work[2], work[3]
    zero = full_like(load(psi, 0), 0)
    for j in range(n_rows):
        store(sum_low, j * LANES, zero)
    for h in range(psi.size // ROW // n_rows):
        total = zero
        for j in range(n_rows):
            at = (h * n_rows + j) * ROW
            a, ai = load(psi, at), load(psi, at + LANES)
            p = a * a + ai * ai
            total = total + p
            add_to(sum_low, j * LANES, p)
        store(sum_high, h * LANES, total)
    add_differences(work, z_out, z, tile, lanes)


@jit
def cotangent_of(grad_z, out):
    """Return twice the cotangent of a readout, or zero for readout -1."""
    g = load(grad_z, max(out, 0) * LANES)
    return g + g if out >= 0 else g - g


@jit
def sign_table(table, z_out, first, stop, grad_z, total):
    """Fill a table with total + 2 sum_q (-1)^(bit q) g_q over the bits from first to stop - 1."""
    for position in range(first, stop):
        total = total + cotangent_of(grad_z, z_out[position])
    store(table, 0, total)
    for position in range(first, stop):
        size = 1 << (position - first)
        g = cotangent_of(grad_z, z_out[position])
        for k in range(size):
            store(table, (size + k) * LANES, load(table, k * LANES) - g - g)


@jit
def add_z_cotangent(psi, lam, z_out, grad_z, work, tile, lanes):
    """Add 2 sum_q g_q Z_q |psi> to lambda; the diagonal is the sum of a high and a low table."""
    inside = lane_bits(lanes)
    zero = full_like(load(grad_z, 0), 0)
    fixed = zero
    for position in range(z_out.size):
        if inside <= position < inside + tile[0]:
            continue
        g = cotangent_of(grad_z, z_out[position])
        if position < inside:
            g = g * lane_signs(1 << position, lanes, g)
        elif outer_bit(position - inside, tile):
            g = zero - g
        fixed = fixed + g
    n, rows = tile[0], z_out[inside:]
    n_rows = 1 << (n // 2)
    sign_table(work[0], rows, n // 2, n, grad_z, fixed)
    sign_table(work[1], rows, 0, n // 2, grad_z, zero)
    for h in range(psi.size // ROW // n_rows):
        upper = load(work[0], h * LANES)
        for j in range(n_rows):
            at = (h * n_rows + j) * ROW
            g = upper + load(work[1], j * LANES)
            add_to(lam, at, g * load(psi, at))
            add_to(lam, at + LANES, g * load(psi, at + LANES))
