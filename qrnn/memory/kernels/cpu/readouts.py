"""Readouts of X, Y and of Pauli words, and their cotangents; for Z, see `cpu/diagonal.py`."""

from __future__ import annotations

from qrnn.memory.kernels.cpu.diagonal import cotangent_of
from qrnn.memory.kernels.cpu.gates import ROW, add_to, pauli_row
from qrnn.memory.kernels.cpu.jit import jit
from qrnn.memory.kernels.cpu.simd import LANES, full_like, load


@jit
def read_xy(psi, high, low, readouts, z):
    """Add <X> and <Y> on the two bits of a pair, or on a single bit, in one pass.

    Args:
        psi: flat rows.
        high: the higher bit.
        low: the lower bit, or the same one.
        readouts: a row of `Program.pairs`.
        z: flat rows of LANES.
    """
    _, _, x_high, y_high, x_low, y_low = readouts
    up, near = high * ROW, low * ROW
    xh = full_like(load(psi, 0), 0)
    yh, xl, yl = xh, xh, xh
    if high == low:
        for base in range(0, psi.size // ROW, 2 * high):
            for at in range(base * ROW, (base + high) * ROW, ROW):
                a, ai = load(psi, at), load(psi, at + LANES)
                b, bi = load(psi, at + up), load(psi, at + up + LANES)
                xh = xh + a * b + ai * bi
                yh = yh + a * bi - ai * b
    else:
        for outer in range(0, psi.size // ROW, 2 * high):
            for base in range(outer, outer + high, 2 * low):
                for at in range(base * ROW, (base + low) * ROW, ROW):
                    p00, q00 = load(psi, at), load(psi, at + LANES)
                    p01, q01 = load(psi, at + near), load(psi, at + near + LANES)
                    p10, q10 = load(psi, at + up), load(psi, at + up + LANES)
                    p11, q11 = load(psi, at + up + near), load(psi, at + up + near + LANES)
                    xh = xh + p00 * p10 + q00 * q10 + p01 * p11 + q01 * q11
                    yh = yh + p00 * q10 - q00 * p10 + p01 * q11 - q01 * p11
                    xl = xl + p00 * p01 + q00 * q01 + p10 * p11 + q10 * q11
                    yl = yl + p00 * q01 - q00 * p01 + p10 * q11 - q10 * p11
    if x_high >= 0:
        add_to(z, x_high * LANES, xh + xh)
    if y_high >= 0:
        add_to(z, y_high * LANES, yh + yh)
    if x_low >= 0:
        add_to(z, x_low * LANES, xl + xl)
    if y_low >= 0:
        add_to(z, y_low * LANES, yl + yl)


@jit
def read_word(psi, word, out, z, lanes):
    """Add the expectation value of one Pauli word."""
    total = full_like(load(psi, 0), 0)
    for k in range(psi.size // ROW):
        re, im = pauli_row(psi, k, word, lanes)
        total = total + load(psi, k * ROW) * re + load(psi, k * ROW + LANES) * im
    add_to(z, out * LANES, total)


@jit
def add_xy_cotangent(psi, lam, high, low, readouts, grad_z):
    """Add 2 (g_x X + g_y Y) |psi> to lambda for the bits of a pair, in one pass; see `read_xy`."""
    _, _, x_high, y_high, x_low, y_low = readouts
    up, near = high * ROW, low * ROW
    gx, gy = cotangent_of(grad_z, x_high), cotangent_of(grad_z, y_high)
    hx, hy = cotangent_of(grad_z, x_low), cotangent_of(grad_z, y_low)
    if high == low:
        for base in range(0, psi.size // ROW, 2 * high):
            for at in range(base * ROW, (base + high) * ROW, ROW):
                a, ai = load(psi, at), load(psi, at + LANES)
                b, bi = load(psi, at + up), load(psi, at + up + LANES)
                add_to(lam, at, gx * b + gy * bi)
                add_to(lam, at + LANES, gx * bi - gy * b)
                add_to(lam, at + up, gx * a - gy * ai)
                add_to(lam, at + up + LANES, gx * ai + gy * a)
        return
    for outer in range(0, psi.size // ROW, 2 * high):
        for base in range(outer, outer + high, 2 * low):
            for at in range(base * ROW, (base + low) * ROW, ROW):
                p00, q00 = load(psi, at), load(psi, at + LANES)
                p01, q01 = load(psi, at + near), load(psi, at + near + LANES)
                p10, q10 = load(psi, at + up), load(psi, at + up + LANES)
                p11, q11 = load(psi, at + up + near), load(psi, at + up + near + LANES)
                add_to(lam, at, gx * p10 + gy * q10 + hx * p01 + hy * q01)
                add_to(lam, at + LANES, gx * q10 - gy * p10 + hx * q01 - hy * p01)
                add_to(lam, at + near, gx * p11 + gy * q11 + hx * p00 - hy * q00)
                add_to(lam, at + near + LANES, gx * q11 - gy * p11 + hx * q00 + hy * p00)
                add_to(lam, at + up, gx * p00 - gy * q00 + hx * p11 + hy * q11)
                add_to(lam, at + up + LANES, gx * q00 + gy * p00 + hx * q11 - hy * p11)
                add_to(lam, at + up + near, gx * p01 - gy * q01 + hx * p10 - hy * q10)
                add_to(lam, at + up + near + LANES, gx * q01 + gy * p01 + hx * q10 + hy * p10)


@jit
def add_word_cotangent(psi, lam, word, out, grad_z, lanes):
    """Add 2 g P |psi> to lambda for one Pauli word."""
    g = cotangent_of(grad_z, out)
    for k in range(psi.size // ROW):
        re, im = pauli_row(psi, k, word, lanes)
        add_to(lam, k * ROW, g * re)
        add_to(lam, k * ROW + LANES, g * im)
