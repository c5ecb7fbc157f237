"""One step on a state that one program holds entirely in registers (Triton).

The state is one tensor of 2^n numbers for the real parts and one for the imaginary parts. A loop
interprets the gate program at run time, so kernels are small and compile in seconds.
"""

import triton
import triton.language as tl

from qrnn.memory.kernels.gpu.gates import apply_gate, load_gate, load_word, pauli, store_gradients


@triton.jit
def exchange(values, bit: tl.constexpr, n: tl.constexpr):
    """Return values[k ^ (1 << bit)].

    Computed with integers, as the exact sum of the two partners minus the value: a sum over an axis
    of size two takes at most one shuffle, while a gather within a warp takes one per register.
    """
    whole: tl.constexpr = tl.int64 if values.dtype.primitive_bitwidth == 64 else tl.int32
    pairs = tl.reshape(values.to(whole, bitcast=True), (1 << (n - 1 - bit), 2, 1 << bit))
    other = tl.sum(pairs, 1, keep_dims=True) - pairs
    return tl.reshape(other, (1 << n,)).to(values.dtype, bitcast=True)


@triton.jit
def partners(re, im, k, x, n: tl.constexpr, one_warp: tl.constexpr):
    """Return psi[k ^ x], by shuffles within a single warp, else through shared memory."""
    if one_warp:
        for bit in tl.static_range(n):
            if (x >> bit) & 1:
                re, im = exchange(re, bit, n), exchange(im, bit, n)
    elif x != 0:
        re, im = tl.gather(re, k ^ x, 0), tl.gather(im, k ^ x, 0)
    return re, im


@triton.jit
def apply_gates(
    re,
    im,
    k,
    cs,
    gates,
    n_gates,
    matrices,
    z_slots,
    constants,
    n: tl.constexpr,
    one_warp: tl.constexpr,
):
    """Return psi after all gates of one step."""
    for g in range(n_gates):
        kind, x, z, control, slot, m = load_gate(gates, g)
        other_re, other_im = partners(re, im, k, x, n, one_warp)
        re, im = apply_gate(
            kind,
            x,
            z,
            control,
            slot,
            m,
            k,
            cs,
            matrices,
            z_slots,
            constants,
            re,
            im,
            other_re,
            other_im,
            n,
            False,
        )
    return re, im


@triton.jit
def undo_gates(
    re,
    im,
    lam_re,
    lam_im,
    k,
    cs,
    grads,
    gates,
    n_gates,
    matrices,
    z_slots,
    constants,
    n: tl.constexpr,
    one_warp: tl.constexpr,
):
    """Return psi and lambda before all gates of one step; write each slot's gradient to `grads`."""
    for i in range(n_gates):
        kind, x, z, control, slot, m = load_gate(gates, n_gates - 1 - i)
        other_re, other_im = partners(re, im, k, x, n, one_warp)
        store_gradients(
            kind,
            x,
            z,
            control,
            slot,
            m,
            k,
            grads,
            z_slots,
            re,
            im,
            other_re,
            other_im,
            lam_re,
            lam_im,
            n,
        )
        re, im = apply_gate(
            kind,
            x,
            z,
            control,
            slot,
            m,
            k,
            cs,
            matrices,
            z_slots,
            constants,
            re,
            im,
            other_re,
            other_im,
            n,
            True,
        )
        other_re, other_im = partners(lam_re, lam_im, k, x, n, one_warp)
        lam_re, lam_im = apply_gate(
            kind,
            x,
            z,
            control,
            slot,
            m,
            k,
            cs,
            matrices,
            z_slots,
            constants,
            lam_re,
            lam_im,
            other_re,
            other_im,
            n,
            True,
        )
    return re, im, lam_re, lam_im


@triton.jit
def read(re, im, k, z, readouts, n_readouts, n: tl.constexpr, one_warp: tl.constexpr):
    """Write the R readouts of a state to `z`."""
    other_re, other_im = re, im
    flipped = 0
    for r in range(n_readouts):
        x, z_mask, m, out = load_word(readouts, r)
        if x != flipped:
            other_re, other_im = partners(re, im, k, x, n, one_warp)
        flipped = x
        word_re, word_im = pauli(k, x, z_mask, m, other_re, other_im, n)
        tl.store(z + out, tl.sum(re * word_re + im * word_im))


@triton.jit
def add_cotangents(
    re,
    im,
    lam_re,
    lam_im,
    k,
    grad_z,
    readouts,
    n_readouts,
    n: tl.constexpr,
    one_warp: tl.constexpr,
):
    """Return lambda + 2 sum_r g_r O_r |psi>, with g read from `grad_z`."""
    other_re, other_im = re, im
    flipped = 0
    for r in range(n_readouts):
        x, z_mask, m, out = load_word(readouts, r)
        if x != flipped:
            other_re, other_im = partners(re, im, k, x, n, one_warp)
        flipped = x
        word_re, word_im = pauli(k, x, z_mask, m, other_re, other_im, n)
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
