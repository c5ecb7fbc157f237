"""Gates of the fused device on the CPU (numba), and their reversible derivatives.

A *block* holds LANES sequences: a flat array of 2^n rows, where row k has the real parts of
amplitude k and then the imaginary parts, LANES each. With sequences as the innermost axis, a gate
on any wires is a multiply-add of vectors with per-sequence angles.

`undo_*` receives psi and lambda just after the gate, adds `Im <lambda| G |psi>` to the gradient of
the gate's slot, and undoes the gate on both; G is the generator in exp(-i h G), h the half angle.
`cs` holds the cosine and then the sine of each slot's angle, LANES each.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numba as nb

from qrnn.memory.kernels.cache import KernelCache
from qrnn.memory.kernels.cpu.simd import FLAGS, LANES, full_like, load, splat, store

ROW = 2 * LANES
OPTIONS: dict[str, Any] = {"fastmath": set(FLAGS), "nogil": True, "error_model": "numpy"}
# For functions that only kernels call; they have no cache file.
jit = nb.njit(**OPTIONS)


def cached_jit(function: Callable) -> Any:
    """Compile a kernel that runs on one thread, without numba's scheduler, and save it."""
    kernel = nb.njit(**OPTIONS)(function)
    kernel._cache = KernelCache(function)
    return kernel


def parallel_jit(function: Callable) -> Any:
    """Compile a parallel kernel: only the loop over threads, because the rest compiles slowly."""
    kernel = nb.njit(**OPTIONS, parallel=True)(function)
    kernel._cache = KernelCache(function)
    return kernel


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
def pauli_row(psi, k, x, z, n_y):
    """Return row k of P |psi>, real and imaginary part."""
    fr, fi = pauli_factor(k, x, z, n_y)
    at = (k ^ x) * ROW
    re, im = load(psi, at), load(psi, at + LANES)
    f, g = full_like(re, fr), full_like(re, fi)
    return f * re - g * im, f * im + g * re


@jit
def rotate(psi, x, z, control, n_y, c, s):
    """Apply exp(-i h P) if all control bits are 1; -s gives the inverse."""
    low = x & -x
    for k in range(psi.size // ROW):
        if k & low or (k & control) != control:
            continue
        at, far = k * ROW, (k ^ x) * ROW
        a, ai = load(psi, at), load(psi, at + LANES)
        u, ui = pauli_row(psi, k, x, z, n_y)
        if x != 0:
            b, bi = load(psi, far), load(psi, far + LANES)
            v, vi = pauli_row(psi, k ^ x, x, z, n_y)
            store(psi, far, c * b + s * vi)
            store(psi, far + LANES, c * bi - s * v)
        store(psi, at, c * a + s * ui)
        store(psi, at + LANES, c * ai - s * u)


@jit
def grad_rotate(psi, lam, x, z, control, n_y, grads, slot):
    """Add Im <lambda| G |psi>, where G is P if all control bits are 1, else 0."""
    g = full_like(load(psi, 0), 0)
    for k in range(psi.size // ROW):
        if (k & control) == control:
            u, ui = pauli_row(psi, k, x, z, n_y)
            g = g + load(lam, k * ROW) * ui - load(lam, k * ROW + LANES) * u
    add_to(grads, slot * LANES, g)


@jit
def phase(psi, mask, c, s):
    """Multiply the basis states whose `mask` bits are all 1 with c + i s."""
    for k in range(psi.size // ROW):
        if (k & mask) == mask:
            a, ai = load(psi, k * ROW), load(psi, k * ROW + LANES)
            store(psi, k * ROW, c * a - s * ai)
            store(psi, k * ROW + LANES, c * ai + s * a)


@jit
def grad_phase(psi, lam, mask, grads, slot):
    """Add the derivative with respect to phi of exp(i phi) on the masked states."""
    g = full_like(load(psi, 0), 0)
    for k in range(psi.size // ROW):
        if (k & mask) == mask:
            at = k * ROW
            g = g + load(lam, at + LANES) * load(psi, at) - load(lam, at) * load(psi, at + LANES)
    add_to(grads, slot * LANES, g)


@jit
def matrix(psi, bit, control, entries, adjoint):
    """Apply a constant 2x2 gate (row-major, real and imaginary parts), or its adjoint."""
    one = load(psi, 0)
    ar, ai, dr, di = entries[0], entries[1], entries[6], entries[7]
    br, bi, cr, ci = entries[2], entries[3], entries[4], entries[5]
    if adjoint:
        ai, di = -ai, -di
        br, bi, cr, ci = cr, -ci, br, -bi
    v_ar, v_ai, v_br, v_bi = (
        full_like(one, ar),
        full_like(one, ai),
        full_like(one, br),
        full_like(one, bi),
    )
    v_cr, v_ci, v_dr, v_di = (
        full_like(one, cr),
        full_like(one, ci),
        full_like(one, dr),
        full_like(one, di),
    )
    for base in range(0, psi.size // ROW, 2 * bit):
        for k in range(base, base + bit):
            if (k & control) != control:
                continue
            at, far = k * ROW, (k + bit) * ROW
            p, pi = load(psi, at), load(psi, at + LANES)
            q, qi = load(psi, far), load(psi, far + LANES)
            store(psi, at, v_ar * p - v_ai * pi + v_br * q - v_bi * qi)
            store(psi, at + LANES, v_ar * pi + v_ai * p + v_br * qi + v_bi * q)
            store(psi, far, v_cr * p - v_ci * pi + v_dr * q - v_di * qi)
            store(psi, far + LANES, v_cr * pi + v_ci * p + v_dr * qi + v_di * q)


@jit
def phase_table(table, z_slots, first, stop, cs):
    """Fill a table with the phases of an RZ on each bit from first to stop - 1.

    By doubling, with one complex product per row. The phases of all 2^n rows are products of a row
    of the high bits' table and a row of the low bits' table.
    """
    one = load(cs, 0)
    re, im = full_like(one, 1), full_like(one, 0)
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
        c, s = full_like(one, 1), full_like(one, 0)
        if slot >= 0:
            c, s = load(cs, slot * ROW), load(cs, slot * ROW + LANES)
            c, s = c * c - s * s, c * s + c * s
        for k in range(size):
            re, im = load(table, k * ROW), load(table, k * ROW + LANES)
            store(table, (size + k) * ROW, c * re - s * im)
            store(table, (size + k) * ROW + LANES, c * im + s * re)


@jit
def phase_row(high, low, constants, k, n_low):
    """Return the phase of row k: product of both tables and the constant."""
    h, j = (k >> n_low) * ROW, (k & ((1 << n_low) - 1)) * ROW
    hr, hi, lr, li = load(high, h), load(high, h + LANES), load(low, j), load(low, j + LANES)
    re, im = hr * lr - hi * li, hr * li + hi * lr
    cr, ci = splat(constants, 2 * k), splat(constants, 2 * k + 1)
    return cr * re - ci * im, cr * im + ci * re


@jit
def diagonal(psi, high, low, constants, n_low):
    """Multiply with the phases of a diagonal layer."""
    for k in range(psi.size // ROW):
        c, s = phase_row(high, low, constants, k, n_low)
        a, ai = load(psi, k * ROW), load(psi, k * ROW + LANES)
        store(psi, k * ROW, c * a - s * ai)
        store(psi, k * ROW + LANES, c * ai + s * a)


@jit
def undo_diagonal(psi, lam, high, low, constants, n_low, sum_high, sum_low):
    """Undo a diagonal layer; sum Im(conj(lambda) psi) over the low bits, and over the high bits.

    `fold` computes the layer's gradients from these sums, which they add with different signs.
    """
    n_rows = 1 << n_low
    zero = full_like(load(psi, 0), 0)
    for j in range(n_rows):
        store(sum_low, j * LANES, zero)
    for h in range(psi.size // ROW // n_rows):
        total = zero
        for j in range(n_rows):
            k = h * n_rows + j
            c, s = phase_row(high, low, constants, k, n_low)
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
