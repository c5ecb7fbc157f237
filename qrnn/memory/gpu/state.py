"""One step on a state that a program holds as a whole, in registers (Triton).

The state is one tensor of 2^n numbers for the real and one for the imaginary parts. The gate
program is walked by a loop at run time, so that a kernel is small and compiles in seconds. `tables`
is passed as its single pointers: gates, n_gates, matrices, z_slots, constants, readouts, n_readouts.
"""

import triton
import triton.language as tl

from qrnn.memory.gpu.gates import (
    DIAGONAL,
    MATRIX,
    ROTATE,
    bit_sign,
    layer_phase,
    load_angle,
    load_gate,
    multiplied,
    overlap,
    pauli,
    rotated,
    turned,
)


@triton.jit
def exchange(values, bit: tl.constexpr, n: tl.constexpr):
    """Return values[k ^ (1 << bit)].

    As integers, what two partners add up to less one of them is the other, exactly: a sum over an
    axis of two is a single shuffle (or none), where a gather within a warp is one for each register.
    """
    whole: tl.constexpr = tl.int64 if values.dtype.primitive_bitwidth == 64 else tl.int32
    pairs = tl.reshape(values.to(whole, bitcast=True), (1 << (n - 1 - bit), 2, 1 << bit))
    other = tl.sum(pairs, 1, keep_dims=True) - pairs
    return tl.reshape(other, (1 << n,)).to(values.dtype, bitcast=True)


@triton.jit
def partner(values, k, x, n: tl.constexpr, one_warp: tl.constexpr):
    """Return values[k ^ x]: by shuffles within one warp, else through shared memory."""
    if one_warp:
        for bit in tl.static_range(n):
            if (x >> bit) & 1:
                values = exchange(values, bit, n)
        return values
    return tl.gather(values, k ^ x, 0)


@triton.jit
def apply_gates(
    re, im, k, cs, gates, n_gates, matrices, z_slots, constants, n: tl.constexpr,
    one_warp: tl.constexpr,
):  # fmt: skip
    """Return psi behind all gates of one step."""
    for g in range(n_gates):
        kind, x, z, control, slot, m = load_gate(gates, g)
        on = (k & control) == control
        if kind == DIAGONAL:
            c, s = layer_phase(k, cs, z_slots + slot * n, constants + slot * (2 << n), n)
            re, im = turned(re, im, c, s)
        elif kind == ROTATE:
            c, s = load_angle(cs, slot)
            other_re, other_im = partner(re, k, x, n, one_warp), partner(im, k, x, n, one_warp)
            word_re, word_im = pauli(k, x, z, m, other_re, other_im)
            re, im = rotated(re, im, word_re, word_im, on, c, s)
        elif kind == MATRIX:
            other_re, other_im = partner(re, k, x, n, one_warp), partner(im, k, x, n, one_warp)
            re, im = multiplied(k, x, on, matrices + 8 * slot, False, re, im, other_re, other_im)
        else:
            c, s = load_angle(cs, slot)
            new_re, new_im = turned(re, im, c, s)
            re, im = tl.where(on, new_re, re), tl.where(on, new_im, im)
    return re, im


@triton.jit
def undo_gates(
    re, im, lam_re, lam_im, k, cs, grads, gates, n_gates, matrices, z_slots, constants,
    n: tl.constexpr, one_warp: tl.constexpr,
):  # fmt: skip
    """Return psi and lambda before all gates of one step; write each slot's gradient to `grads`."""
    for i in range(n_gates):
        kind, x, z, control, slot, m = load_gate(gates, n_gates - 1 - i)
        on = (k & control) == control
        if kind == DIAGONAL:
            w = overlap(re, im, lam_re, lam_im)
            for bit in tl.static_range(n):
                to = tl.load(z_slots + slot * n + bit)
                if to >= 0:
                    tl.store(grads + to, tl.sum(w * bit_sign(k, bit, w)))
            c, s = layer_phase(k, cs, z_slots + slot * n, constants + slot * (2 << n), n)
            re, im = turned(re, im, c, -s)
            lam_re, lam_im = turned(lam_re, lam_im, c, -s)
        elif kind == ROTATE:
            c, s = load_angle(cs, slot)
            other_re, other_im = partner(re, k, x, n, one_warp), partner(im, k, x, n, one_warp)
            word_re, word_im = pauli(k, x, z, m, other_re, other_im)
            w = overlap(word_re, word_im, lam_re, lam_im)
            tl.store(grads + slot, tl.sum(tl.where(on, w, 0.0)))
            re, im = rotated(re, im, word_re, word_im, on, c, -s)
            other_re = partner(lam_re, k, x, n, one_warp)
            other_im = partner(lam_im, k, x, n, one_warp)
            word_re, word_im = pauli(k, x, z, m, other_re, other_im)
            lam_re, lam_im = rotated(lam_re, lam_im, word_re, word_im, on, c, -s)
        elif kind == MATRIX:
            entries = matrices + 8 * slot
            other_re, other_im = partner(re, k, x, n, one_warp), partner(im, k, x, n, one_warp)
            re, im = multiplied(k, x, on, entries, True, re, im, other_re, other_im)
            other_re = partner(lam_re, k, x, n, one_warp)
            other_im = partner(lam_im, k, x, n, one_warp)
            lam_re, lam_im = multiplied(k, x, on, entries, True, lam_re, lam_im, other_re, other_im)
        else:
            c, s = load_angle(cs, slot)
            w = overlap(re, im, lam_re, lam_im)
            tl.store(grads + slot, -tl.sum(tl.where(on, w, 0.0)))
            c, s = tl.where(on, c, 1.0), tl.where(on, -s, 0.0)
            re, im = turned(re, im, c, s)
            lam_re, lam_im = turned(lam_re, lam_im, c, s)
    return re, im, lam_re, lam_im


@triton.jit
def read(re, im, k, z, readouts, n_readouts, n: tl.constexpr, one_warp: tl.constexpr):
    """Write the R readouts of a state to `z`."""
    other_re, other_im = re, im
    flipped = 0
    for r in range(n_readouts):
        x, z_mask = tl.load(readouts + 4 * r), tl.load(readouts + 4 * r + 1)
        m, out = tl.load(readouts + 4 * r + 2), tl.load(readouts + 4 * r + 3)
        if x != flipped:
            other_re, other_im = partner(re, k, x, n, one_warp), partner(im, k, x, n, one_warp)
        flipped = x
        word_re, word_im = pauli(k, x, z_mask, m, other_re, other_im)
        tl.store(z + out, tl.sum(re * word_re + im * word_im))


@triton.jit
def add_cotangents(
    re, im, lam_re, lam_im, k, grad_z, readouts, n_readouts, n: tl.constexpr,
    one_warp: tl.constexpr,
):  # fmt: skip
    """Return lambda + 2 sum_r g_r O_r |psi>, g being at `grad_z`."""
    other_re, other_im = re, im
    flipped = 0
    for r in range(n_readouts):
        x, z_mask = tl.load(readouts + 4 * r), tl.load(readouts + 4 * r + 1)
        m, out = tl.load(readouts + 4 * r + 2), tl.load(readouts + 4 * r + 3)
        if x != flipped:
            other_re, other_im = partner(re, k, x, n, one_warp), partner(im, k, x, n, one_warp)
        flipped = x
        word_re, word_im = pauli(k, x, z_mask, m, other_re, other_im)
        g = 2 * tl.load(grad_z + out)
        lam_re += g * word_re
        lam_im += g * word_im
    return lam_re, lam_im


@triton.jit
def load_state(psi, b, k, n: tl.constexpr):
    """Return the real and imaginary parts of sequence b; psi is (B, 2, 2^n)."""
    at = psi + b.to(tl.int64) * (2 << n) + k
    return tl.load(at), tl.load(at + (1 << n))


@triton.jit
def store_state(psi, b, k, re, im, n: tl.constexpr):
    """Write the real and imaginary parts of sequence b."""
    at = psi + b.to(tl.int64) * (2 << n) + k
    tl.store(at, re)
    tl.store(at + (1 << n), im)
