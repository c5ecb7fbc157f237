"""Gates and readouts on the bits in the lanes of the spread layout, within vectors.

All functions of a pass over these bits treat all of them: the rows stay in registers.
"""

from __future__ import annotations

from qrnn.memory.kernels.cpu.diagonal import cotangent_of
from qrnn.memory.kernels.cpu.gates import ROW, add_to, flip, lane_signs, lanes_in, mix
from qrnn.memory.kernels.cpu.jit import jit
from qrnn.memory.kernels.cpu.simd import (
    LANE_BITS,
    LANES,
    flip1,
    flip2,
    flip4,
    flip8,
    full_like,
    load,
    store,
    total,
)


@jit
def factors(cs, slot, bit, lanes):
    """Return c, and s with the sign that RY has in each lane; 1 and 0 for slot -1."""
    c, s = load(cs, max(slot, 0) * ROW), load(cs, max(slot, 0) * ROW + LANES)
    if slot < 0:
        return full_like(c, 1), full_like(c, 0)
    return c, full_like(c, 0) - s * lane_signs(bit, lanes, c)


@jit
def rotate_lanes(psi, cs, slots, lanes):
    """Apply RY on the bits in the lanes; slots: those of the angles on bits 0 to 3, or -1."""
    if lanes is None:
        return
    c1, s1 = factors(cs, slots[0], 1, lanes)
    c2, s2 = factors(cs, slots[1], 2, lanes)
    c4, s4 = factors(cs, slots[2], 4, lanes)
    c8, s8 = factors(cs, slots[3], 8, lanes)
    for at in range(0, psi.size, LANES):
        a = load(psi, at)
        a = c1 * a + s1 * flip1(a)
        a = c2 * a + s2 * flip2(a)
        a = c4 * a + s4 * flip4(a)
        store(psi, at, c8 * a + s8 * flip8(a))


@jit
def undo_rotate_lanes(psi, lam, cs, slots, grads, lanes):
    """Undo RY on the bits in the lanes; they commute, so all gradients are taken at one point."""
    if lanes is None:
        return
    c1, s1 = factors(cs, slots[0], 1, lanes)
    c2, s2 = factors(cs, slots[1], 2, lanes)
    c4, s4 = factors(cs, slots[2], 4, lanes)
    c8, s8 = factors(cs, slots[3], 8, lanes)
    zero = full_like(c1, 0)
    g1, g2, g4, g8 = zero, zero, zero, zero
    for at in range(0, psi.size, LANES):
        a, x = load(psi, at), load(lam, at)
        g1, g2 = g1 + x * flip1(a), g2 + x * flip2(a)
        g4, g8 = g4 + x * flip4(a), g8 + x * flip8(a)
        a, x = c1 * a - s1 * flip1(a), c1 * x - s1 * flip1(x)
        a, x = c2 * a - s2 * flip2(a), c2 * x - s2 * flip2(x)
        a, x = c4 * a - s4 * flip4(a), c4 * x - s4 * flip4(x)
        store(psi, at, c8 * a - s8 * flip8(a))
        store(lam, at, c8 * x - s8 * flip8(x))
    sums = (g1, g2, g4, g8)
    for bit in range(LANE_BITS):
        if slots[bit] >= 0:
            signed = sums[bit] * lane_signs(1 << bit, lanes, zero)
            add_to(grads, slots[bit] * LANES, zero - signed)


@jit
def matrix_lanes(psi, bit, control, entries, lanes):
    """Apply a 2x2 gate of vectors on a bit in the lanes; see `gates.matrix`."""
    ar, ai, br, bi, cr, ci, dr, di = entries
    upper = lanes_in(bit, lanes, ar)
    same, same_i = mix(upper, dr, ar), mix(upper, di, ai)
    other, other_i = mix(upper, cr, br), mix(upper, ci, bi)
    for k in range(psi.size // ROW):
        if (k & control) == control:
            p, pi = load(psi, k * ROW), load(psi, k * ROW + LANES)
            q, qi = flip(p, bit), flip(pi, bit)
            store(psi, k * ROW, same * p - same_i * pi + other * q - other_i * qi)
            store(psi, k * ROW + LANES, same * pi + same_i * p + other * qi + other_i * q)


@jit
def read_lanes(psi, readouts, z, lanes):
    """Add <X> and <Y> on the bits in the lanes."""
    if lanes is None:
        return
    zero = full_like(load(psi, 0), 0)
    x1, x2, x4, x8 = zero, zero, zero, zero
    y1, y2, y4, y8 = zero, zero, zero, zero
    for at in range(0, psi.size, ROW):
        a, ai = load(psi, at), load(psi, at + LANES)
        b, bi = flip1(a), flip1(ai)
        x1, y1 = x1 + a * b + ai * bi, y1 + a * bi - ai * b
        b, bi = flip2(a), flip2(ai)
        x2, y2 = x2 + a * b + ai * bi, y2 + a * bi - ai * b
        b, bi = flip4(a), flip4(ai)
        x4, y4 = x4 + a * b + ai * bi, y4 + a * bi - ai * b
        b, bi = flip8(a), flip8(ai)
        x8, y8 = x8 + a * b + ai * bi, y8 + a * bi - ai * b
    x, y = (x1, x2, x4, x8), (y1, y2, y4, y8)
    for bit in range(LANE_BITS):
        if readouts[0, bit] >= 0:
            add_to(z, readouts[0, bit] * LANES, x[bit])
        if readouts[1, bit] >= 0:
            add_to(z, readouts[1, bit] * LANES, y[bit] * lane_signs(1 << bit, lanes, zero))


@jit
def add_lanes_cotangent(psi, lam, readouts, grad_z, lanes):
    """Add 2 sum_q (g_x X_q + g_y Y_q) |psi> to lambda for the bits q in the lanes."""
    if lanes is None:
        return
    x, y = readouts
    x1, x2 = cotangent_of(grad_z, x[0]), cotangent_of(grad_z, x[1])
    x4, x8 = cotangent_of(grad_z, x[2]), cotangent_of(grad_z, x[3])
    y1 = cotangent_of(grad_z, y[0]) * lane_signs(1, lanes, x1)
    y2 = cotangent_of(grad_z, y[1]) * lane_signs(2, lanes, x1)
    y4 = cotangent_of(grad_z, y[2]) * lane_signs(4, lanes, x1)
    y8 = cotangent_of(grad_z, y[3]) * lane_signs(8, lanes, x1)
    for at in range(0, psi.size, ROW):
        a, ai = load(psi, at), load(psi, at + LANES)
        re, im = load(lam, at), load(lam, at + LANES)
        b, bi = flip1(a), flip1(ai)
        re, im = re + x1 * b + y1 * bi, im + x1 * bi - y1 * b
        b, bi = flip2(a), flip2(ai)
        re, im = re + x2 * b + y2 * bi, im + x2 * bi - y2 * b
        b, bi = flip4(a), flip4(ai)
        re, im = re + x4 * b + y4 * bi, im + x4 * bi - y4 * b
        b, bi = flip8(a), flip8(ai)
        store(lam, at, re + x8 * b + y8 * bi)
        store(lam, at + LANES, im + x8 * bi - y8 * b)


@jit
def sum_lanes(values, lanes):
    """Replace each row of `values` by its sum over the lanes, if they hold one sequence."""
    if lanes is None:
        return
    like = load(values, 0)
    for at in range(0, values.size, LANES):
        store(values, at, full_like(like, total(load(values, at))))
