"""Gates of the fused device on the CPU (numba), and their reversible derivatives.

A *block* is LANES sequences side by side: an array (2^n, 2 LANES) whose row k holds the real parts
of amplitude k in its first half and the imaginary parts in its second. With the samples innermost,
every gate is a contiguous multiply-add with per-sample angles, which LLVM vectorises; one row (one
pointer) for both parts is what lets it.

`undo_*` receives psi and lambda just after the gate, adds `Im <lambda| G |psi>` to the gradient of
the gate's slot, and undoes the gate on both; G is the generator in exp(-i h G), h the half angle.
"""

from __future__ import annotations

import numba as nb
import numpy as np

LANES = 16
# Everything of fast-math but the promise that there is no NaN or infinity: those must be seen.
FASTMATH = {"contract", "reassoc", "nsz", "arcp"}
jit = nb.njit(fastmath=FASTMATH, cache=True, nogil=True, error_model="numpy")


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
def rotate_y(psi, bit, c, s):
    """Apply RY on one bit; c, s (2 LANES): cosine and sine of the half angle, repeated."""
    for base in range(0, psi.shape[0], 2 * bit):
        for k in range(base, base + bit):
            for m in range(2 * LANES):
                a = psi[k, m]
                b = psi[k + bit, m]
                psi[k, m] = c[m] * a - s[m] * b
                psi[k + bit, m] = s[m] * a + c[m] * b


@jit
def undo_rotate_y(psi, lam, bit, c, s, grad):
    """Undo RY on psi and lambda; grad (2 LANES) is added to."""
    for base in range(0, psi.shape[0], 2 * bit):
        for k in range(base, base + bit):
            for m in range(2 * LANES):
                a = psi[k, m]
                b = psi[k + bit, m]
                x = lam[k, m]
                y = lam[k + bit, m]
                grad[m] += y * a - x * b
                psi[k, m] = c[m] * a + s[m] * b
                psi[k + bit, m] = c[m] * b - s[m] * a
                lam[k, m] = c[m] * x + s[m] * y
                lam[k + bit, m] = c[m] * y - s[m] * x


@jit
def rotate_x(psi, bit, c, s):
    """Apply RX on one bit; the inverse with -s."""
    for base in range(0, psi.shape[0], 2 * bit):
        for k in range(base, base + bit):
            for m in range(LANES):
                a = psi[k, m]
                ai = psi[k, m + LANES]
                b = psi[k + bit, m]
                bi = psi[k + bit, m + LANES]
                psi[k, m] = c[m] * a + s[m] * bi
                psi[k, m + LANES] = c[m] * ai - s[m] * b
                psi[k + bit, m] = c[m] * b + s[m] * ai
                psi[k + bit, m + LANES] = c[m] * bi - s[m] * a


@jit
def grad_rotate_x(psi, lam, bit, grad):
    """Add Im <lambda| X |psi> to grad."""
    for base in range(0, psi.shape[0], 2 * bit):
        for k in range(base, base + bit):
            for m in range(LANES):
                grad[m] += (
                    lam[k, m] * psi[k + bit, m + LANES]
                    - lam[k, m + LANES] * psi[k + bit, m]
                    + lam[k + bit, m] * psi[k, m + LANES]
                    - lam[k + bit, m + LANES] * psi[k, m]
                )


@jit
def pauli_factor(row, x, z, n_y):
    """Return f, real and imaginary part, with (P psi)_row = f psi_(row ^ x)."""
    sign = parity_sign((row ^ x) & z)
    if n_y == 0:
        return sign, 0
    if n_y == 1:
        return 0, sign
    if n_y == 2:
        return -sign, 0
    return 0, -sign


@jit
def rotate(psi, x, z, control, n_y, c, s):
    """Apply exp(-i h P) where all control bits are 1; the inverse with -s."""
    low = x & -x
    for k in range(psi.shape[0]):
        if k & low or (k & control) != control:
            continue
        j = k ^ x
        fr, fi = pauli_factor(k, x, z, n_y)
        gr, gi = psi.dtype.type(fi), psi.dtype.type(-fr)  # -i f, for row k
        fr, fi = pauli_factor(j, x, z, n_y)
        hr, hi = psi.dtype.type(fi), psi.dtype.type(-fr)  # and for row j
        if x == 0:
            for m in range(LANES):
                a = psi[k, m]
                ai = psi[k, m + LANES]
                psi[k, m] = c[m] * a - s[m] * gi * ai
                psi[k, m + LANES] = c[m] * ai + s[m] * gi * a
            continue
        for m in range(LANES):
            a = psi[k, m]
            ai = psi[k, m + LANES]
            b = psi[j, m]
            bi = psi[j, m + LANES]
            psi[k, m] = c[m] * a + s[m] * (gr * b - gi * bi)
            psi[k, m + LANES] = c[m] * ai + s[m] * (gr * bi + gi * b)
            psi[j, m] = c[m] * b + s[m] * (hr * a - hi * ai)
            psi[j, m + LANES] = c[m] * bi + s[m] * (hr * ai + hi * a)


@jit
def grad_rotate(psi, lam, x, z, control, n_y, grad):
    """Add Im <lambda| G |psi> to grad, G being P where all control bits are 1, else 0."""
    for k in range(psi.shape[0]):
        if (k & control) != control:
            continue
        fr, fi = pauli_factor(k, x, z, n_y)
        fr, fi = psi.dtype.type(fr), psi.dtype.type(fi)
        j = k ^ x
        for m in range(LANES):
            re = fr * psi[j, m] - fi * psi[j, m + LANES]
            im = fr * psi[j, m + LANES] + fi * psi[j, m]
            grad[m] += lam[k, m] * im - lam[k, m + LANES] * re


@jit
def phase(psi, mask, c, s):
    """Multiply the basis states whose `mask` bits are all 1 with c + i s."""
    for k in range(psi.shape[0]):
        if (k & mask) == mask:
            for m in range(LANES):
                a = psi[k, m]
                ai = psi[k, m + LANES]
                psi[k, m] = c[m] * a - s[m] * ai
                psi[k, m + LANES] = c[m] * ai + s[m] * a


@jit
def grad_phase(psi, lam, mask, grad):
    """Add the derivative with respect to phi of exp(i phi) on the masked states."""
    for k in range(psi.shape[0]):
        if (k & mask) == mask:
            for m in range(LANES):
                grad[m] += lam[k, m + LANES] * psi[k, m] - lam[k, m] * psi[k, m + LANES]


@jit
def matrix(psi, bit, control, entries, adjoint):
    """Apply a constant 2x2 gate (row-major, real and imaginary parts), or its adjoint."""
    real = psi.dtype.type
    ar, ai, br, bi = real(entries[0]), real(entries[1]), real(entries[2]), real(entries[3])
    cr, ci, dr, di = real(entries[4]), real(entries[5]), real(entries[6]), real(entries[7])
    if adjoint:
        ai, di = -ai, -di
        br, bi, cr, ci = cr, -ci, br, -bi
    for base in range(0, psi.shape[0], 2 * bit):
        for k in range(base, base + bit):
            if (k & control) != control:
                continue
            for m in range(LANES):
                p = psi[k, m]
                pi = psi[k, m + LANES]
                q = psi[k + bit, m]
                qi = psi[k + bit, m + LANES]
                psi[k, m] = ar * p - ai * pi + br * q - bi * qi
                psi[k, m + LANES] = ar * pi + ai * p + br * qi + bi * q
                psi[k + bit, m] = cr * p - ci * pi + dr * q - di * qi
                psi[k + bit, m + LANES] = cr * pi + ci * p + dr * qi + di * q


@jit
def diagonal_vector(vector, z_slots, cs):
    """Fill vector (2^n, 2 LANES) with the phases of one RZ a bit.

    By doubling, at one complex product an entry where RZ by RZ would take n.
    """
    for m in range(LANES):
        vector[0, m] = 1
        vector[0, m + LANES] = 0
    for position in range(z_slots.shape[0]):
        slot = z_slots[position]
        if slot >= 0:
            for m in range(LANES):
                c = cs[slot, 0, m]
                s = -cs[slot, 1, m]
                a = vector[0, m]
                ai = vector[0, m + LANES]
                vector[0, m] = c * a - s * ai
                vector[0, m + LANES] = c * ai + s * a
    for position in range(z_slots.shape[0]):
        size = 1 << position
        slot = z_slots[position]
        if slot < 0:
            for k in range(size):
                for m in range(2 * LANES):
                    vector[size + k, m] = vector[k, m]
            continue
        for k in range(size):
            for m in range(LANES):
                half_c = cs[slot, 0, m]
                half_s = cs[slot, 1, m]
                c = half_c * half_c - half_s * half_s
                s = 2 * half_c * half_s
                a = vector[k, m]
                ai = vector[k, m + LANES]
                vector[size + k, m] = c * a - s * ai
                vector[size + k, m + LANES] = c * ai + s * a


@jit
def multiply_constants(vector, constants):
    """Multiply the phases with the layer's constant ones (2^n, 2); mostly signs, of CZ."""
    real = vector.dtype.type
    for k in range(vector.shape[0]):
        cr = real(constants[k, 0])
        ci = real(constants[k, 1])
        if ci == 0:
            if cr != 1:
                for m in range(2 * LANES):
                    vector[k, m] *= cr
            continue
        for m in range(LANES):
            a = vector[k, m]
            ai = vector[k, m + LANES]
            vector[k, m] = cr * a - ci * ai
            vector[k, m + LANES] = cr * ai + ci * a


@jit
def diagonal(psi, vector, sign):
    """Multiply with the phases (sign = 1) or their conjugates (sign = -1)."""
    real = psi.dtype.type(sign)
    for k in range(psi.shape[0]):
        for m in range(LANES):
            c = vector[k, m]
            s = real * vector[k, m + LANES]
            a = psi[k, m]
            ai = psi[k, m + LANES]
            psi[k, m] = c * a - s * ai
            psi[k, m + LANES] = c * ai + s * a


@jit
def grad_diagonal(psi, lam, z_slots, work, grads):
    """Add Im <lambda| Z_q |psi> for all RZ of the layer, from one folded sum."""
    size = psi.shape[0]
    for k in range(size):
        for m in range(LANES):
            work[k, m] = lam[k, m] * psi[k, m + LANES] - lam[k, m + LANES] * psi[k, m]
    for position in range(z_slots.shape[0] - 1, -1, -1):
        size >>= 1
        slot = z_slots[position]
        for k in range(size):
            for m in range(LANES):
                upper = work[k + size, m]
                if slot >= 0:
                    grads[slot, m] += work[k, m] - upper
                work[k, m] += upper


@jit
def double(values, out):
    """Repeat values (LANES) for the real and the imaginary half of a row."""
    for m in range(LANES):
        out[m] = values[m]
        out[m + LANES] = values[m]


@jit
def zero(values):
    """Set to zero, in place."""
    for m in range(values.shape[0]):
        values[m] = np.float32(0)
