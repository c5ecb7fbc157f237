"""Gates of the fused device on the CPU (numba), and their reversible derivatives.

A *block* is a flat array of rows, each with LANES real parts and then LANES imaginary parts. In the
*batched* layout it holds LANES sequences, and row k has their amplitudes k: a gate on any wires is
a multiply-add of vectors with per-sequence angles. In the *spread* layout it holds one sequence,
and lane j of row k has amplitude LANES k + j: gates on the lowest LANE_BITS bits act within the
vectors (`cpu/spread.py`), and for other gates the lanes are sequences that share their angles. Sums
over amplitudes stay sums for each lane. A kernel is compiled for a layout by the type of `lanes`:
None, or the tables of the spread layout (`cpu/layout.py`).

Gates run on a *tile*: a whole block, or a part of it that stays in the cache (`cpu/tiles.py`).

`undo_*` receives psi and lambda just after the gate, adds `Im <lambda| G |psi>` to the gradient of
the gate's slot, and undoes the gate on both; G is the generator in exp(-i h G), h the half angle.
`cs` holds the cosine and then the sine of each slot's angle, LANES each.
"""

from __future__ import annotations

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
)

ROW = 2 * LANES


@jit
def parity_sign(bits):
    """Return (-1)^popcount(bits)."""
    bits ^= bits >> 16
    bits ^= bits >> 8
    bits ^= bits >> 4
    bits ^= bits >> 2
    bits ^= bits >> 1
    return 1 - 2 * (bits & 1)


@jit
def add_to(array, index, vector):
    """Add a vector to an array."""
    store(array, index, load(array, index) + vector)


@jit
def lane_bits(lanes):
    """Return the number of bits that are in the lanes."""
    if lanes is None:
        return 0
    return LANE_BITS


@jit
def lane_signs(mask, lanes, like):
    """Return (-1)^popcount(j & mask) for each lane j."""
    if lanes is None:
        return full_like(like, 1)
    return load(lanes[0], (mask & (LANES - 1)) * LANES)


@jit
def lanes_in(mask, lanes, like):
    """Return 1 in the lanes whose bits of the mask are all 1, and 0 in others."""
    if lanes is None:
        return full_like(like, 1)
    return load(lanes[1], (mask & (LANES - 1)) * LANES)


@jit
def flip(vector, mask):
    """Exchange lanes j and j ^ mask."""
    if mask & 1:
        vector = flip1(vector)
    if mask & 2:
        vector = flip2(vector)
    if mask & 4:
        vector = flip4(vector)
    if mask & 8:
        vector = flip8(vector)
    return vector


@jit
def mix(on, a, b):
    """Return a in the lanes where `on` is 1, and b where it is 0."""
    return on * a + (full_like(on, 1) - on) * b


@jit
def rotate_y(psi, bit, cs, slot):
    """Apply RY on one bit."""
    c, s = load(cs, slot * ROW), load(cs, slot * ROW + LANES)
    far = bit * ROW
    for base in range(0, psi.size // ROW, 2 * bit):
        for at in range(base * ROW, (base + bit) * ROW, LANES):
            a, b = load(psi, at), load(psi, at + far)
            store(psi, at, c * a - s * b)
            store(psi, at + far, s * a + c * b)


@jit
def rotate_y2(psi, high, low, cs, slot_high, slot_low):
    """Apply RY on two bits, the higher one first, in one pass."""
    c, s = load(cs, slot_high * ROW), load(cs, slot_high * ROW + LANES)
    d, t = load(cs, slot_low * ROW), load(cs, slot_low * ROW + LANES)
    up, near = high * ROW, low * ROW
    for outer in range(0, psi.size // ROW, 2 * high):
        for base in range(outer, outer + high, 2 * low):
            for at in range(base * ROW, (base + low) * ROW, LANES):
                p00, p01 = load(psi, at), load(psi, at + near)
                p10, p11 = load(psi, at + up), load(psi, at + up + near)
                p00, p10 = c * p00 - s * p10, s * p00 + c * p10
                p01, p11 = c * p01 - s * p11, s * p01 + c * p11
                store(psi, at, d * p00 - t * p01)
                store(psi, at + near, t * p00 + d * p01)
                store(psi, at + up, d * p10 - t * p11)
                store(psi, at + up + near, t * p10 + d * p11)


@jit
def undo_rotate_y(psi, lam, bit, cs, slot, grads):
    """Undo RY on psi and lambda."""
    c, s = load(cs, slot * ROW), load(cs, slot * ROW + LANES)
    g = full_like(c, 0)
    far = bit * ROW
    for base in range(0, psi.size // ROW, 2 * bit):
        for at in range(base * ROW, (base + bit) * ROW, LANES):
            a, b = load(psi, at), load(psi, at + far)
            x, y = load(lam, at), load(lam, at + far)
            g = g + y * a - x * b
            store(psi, at, c * a + s * b)
            store(psi, at + far, c * b - s * a)
            store(lam, at, c * x + s * y)
            store(lam, at + far, c * y - s * x)
    add_to(grads, slot * LANES, g)


@jit
def undo_rotate_y2(psi, lam, high, low, cs, slot_high, slot_low, grads):
    """Undo RY on two bits; they commute, so both gradients are taken at the same point."""
    c, s = load(cs, slot_high * ROW), load(cs, slot_high * ROW + LANES)
    d, t = load(cs, slot_low * ROW), load(cs, slot_low * ROW + LANES)
    g_high, g_low = full_like(c, 0), full_like(c, 0)
    up, near = high * ROW, low * ROW
    for outer in range(0, psi.size // ROW, 2 * high):
        for base in range(outer, outer + high, 2 * low):
            for at in range(base * ROW, (base + low) * ROW, LANES):
                p00, p01 = load(psi, at), load(psi, at + near)
                p10, p11 = load(psi, at + up), load(psi, at + up + near)
                q00, q01 = load(lam, at), load(lam, at + near)
                q10, q11 = load(lam, at + up), load(lam, at + up + near)
                g_high = g_high + q10 * p00 - q00 * p10 + q11 * p01 - q01 * p11
                g_low = g_low + q01 * p00 - q00 * p01 + q11 * p10 - q10 * p11
                p00, p10 = c * p00 + s * p10, c * p10 - s * p00
                p01, p11 = c * p01 + s * p11, c * p11 - s * p01
                store(psi, at, d * p00 + t * p01)
                store(psi, at + near, d * p01 - t * p00)
                store(psi, at + up, d * p10 + t * p11)
                store(psi, at + up + near, d * p11 - t * p10)
                q00, q10 = c * q00 + s * q10, c * q10 - s * q00
                q01, q11 = c * q01 + s * q11, c * q11 - s * q01
                store(lam, at, d * q00 + t * q01)
                store(lam, at + near, d * q01 - t * q00)
                store(lam, at + up, d * q10 + t * q11)
                store(lam, at + up + near, d * q11 - t * q10)
    add_to(grads, slot_high * LANES, g_high)
    add_to(grads, slot_low * LANES, g_low)


@jit
def pauli_factor(row, x, z, n_y):
    """Return real and imaginary part of f, with (P psi)_row = f psi_(row ^ x)."""
    sign = parity_sign((row ^ x) & z)
    if n_y == 0:
        return sign, 0
    if n_y == 1:
        return 0, sign
    if n_y == 2:
        return -sign, 0
    return 0, -sign


@jit
def pauli_row(psi, k, word, lanes):
    """Return row k of P |psi>, real and imaginary part; for the word, see `tiles.word_on`."""
    x, z, flips, signs, n_y, sign = word
    fr, fi = pauli_factor(k, x, z, n_y)
    at = (k ^ x) * ROW
    re, im = load(psi, at), load(psi, at + LANES)
    f, g = full_like(re, sign * fr), full_like(re, sign * fi)
    if lanes is not None:
        f, g = f * lane_signs(signs, lanes, re), g * lane_signs(signs, lanes, re)
        re, im = flip(re, flips), flip(im, flips)
    return f * re - g * im, f * im + g * re


@jit
def rotate(psi, word, control, c, s, lanes):
    """Apply exp(-i h P) to the rows whose control bits are all 1; -s gives the inverse."""
    x = word[0]
    low = x & -x
    for k in range(psi.size // ROW):
        if k & low or (k & control) != control:
            continue
        at, far = k * ROW, (k ^ x) * ROW
        a, ai = load(psi, at), load(psi, at + LANES)
        u, ui = pauli_row(psi, k, word, lanes)
        if x != 0:
            b, bi = load(psi, far), load(psi, far + LANES)
            v, vi = pauli_row(psi, k ^ x, word, lanes)
            store(psi, far, c * b + s * vi)
            store(psi, far + LANES, c * bi - s * v)
        store(psi, at, c * a + s * ui)
        store(psi, at + LANES, c * ai - s * u)


@jit
def grad_rotate(psi, lam, word, control, lanes):
    """Return Im <lambda| P |psi> of the rows whose control bits are all 1."""
    g = full_like(load(psi, 0), 0)
    for k in range(psi.size // ROW):
        if (k & control) == control:
            u, ui = pauli_row(psi, k, word, lanes)
            g = g + load(lam, k * ROW) * ui - load(lam, k * ROW + LANES) * u
    return g


@jit
def phase(psi, mask, c, s):
    """Multiply the rows whose `mask` bits are all 1 with c + i s."""
    for k in range(psi.size // ROW):
        if (k & mask) == mask:
            a, ai = load(psi, k * ROW), load(psi, k * ROW + LANES)
            store(psi, k * ROW, c * a - s * ai)
            store(psi, k * ROW + LANES, c * ai + s * a)


@jit
def grad_phase(psi, lam, mask):
    """Return the derivative with respect to phi of exp(i phi) on the masked rows."""
    g = full_like(load(psi, 0), 0)
    for k in range(psi.size // ROW):
        if (k & mask) == mask:
            at = k * ROW
            g = g + load(lam, at + LANES) * load(psi, at) - load(lam, at) * load(psi, at + LANES)
    return g


@jit
def entries_in(on, entries, adjoint):
    """Return a constant 2x2 gate, or its adjoint, as vectors: the identity where `on` is 0.

    Args:
        on: 1 or 0 for each lane.
        entries: (8,) row-major, real and imaginary parts.
        adjoint: whether to return the adjoint.
    """
    ar, ai, dr, di = entries[0], entries[1], entries[6], entries[7]
    br, bi, cr, ci = entries[2], entries[3], entries[4], entries[5]
    if adjoint:
        ai, di = -ai, -di
        br, bi, cr, ci = cr, -ci, br, -bi
    one = full_like(on, 1)
    return (
        mix(on, full_like(on, ar), one),
        on * full_like(on, ai),
        on * full_like(on, br),
        on * full_like(on, bi),
        on * full_like(on, cr),
        on * full_like(on, ci),
        mix(on, full_like(on, dr), one),
        on * full_like(on, di),
    )


@jit
def matrix(psi, bit, control, entries):
    """Apply a 2x2 gate of vectors to the rows whose control bits are all 1."""
    ar, ai, br, bi, cr, ci, dr, di = entries
    for base in range(0, psi.size // ROW, 2 * bit):
        for k in range(base, base + bit):
            if (k & control) != control:
                continue
            at, far = k * ROW, (k + bit) * ROW
            p, pi = load(psi, at), load(psi, at + LANES)
            q, qi = load(psi, far), load(psi, far + LANES)
            store(psi, at, ar * p - ai * pi + br * q - bi * qi)
            store(psi, at + LANES, ar * pi + ai * p + br * qi + bi * q)
            store(psi, far, cr * p - ci * pi + dr * q - di * qi)
            store(psi, far + LANES, cr * pi + ci * p + dr * qi + di * q)
