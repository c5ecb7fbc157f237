"""Elementwise building blocks of gates and readouts (Triton).

Every instruction maps psi to u(k) psi[k] + v(k) psi[k ^ x]: the functions here take the amplitudes
and their partners psi[k ^ x] as arguments. Real and imaginary parts are separate tensors, and k are
the indices of the basis states. The gate program is passed as the pointers of `tables.Tables`.
"""

import triton
import triton.language as tl

ROTATE: tl.constexpr = tl.constexpr(0)
PHASE: tl.constexpr = tl.constexpr(1)
MATRIX: tl.constexpr = tl.constexpr(2)
DIAGONAL: tl.constexpr = tl.constexpr(3)


@triton.jit
def load_gate(gates, g):
    """Return [kind, x, z, control, slot, i^m] of row g; see `tables.Tables`."""
    row = gates + 6 * g
    return (
        tl.load(row),
        tl.load(row + 1),
        tl.load(row + 2),
        tl.load(row + 3),
        tl.load(row + 4),
        tl.load(row + 5),
    )


@triton.jit
def load_angle(cs, slot):
    """Return cosine and sine of a slot angle."""
    return tl.load(cs + 2 * slot), tl.load(cs + 2 * slot + 1)


@triton.jit
def sign(bits, like, n: tl.constexpr):
    """Return (-1)^popcount(bits) for n bits, in the dtype of `like`."""
    if n > 16:
        bits = bits ^ (bits >> 16)
    if n > 8:
        bits = bits ^ (bits >> 8)
    if n > 4:
        bits = bits ^ (bits >> 4)
    bits = bits ^ (bits >> 2)
    bits = bits ^ (bits >> 1)
    return (1 - 2 * (bits & 1)).to(like.dtype)


@triton.jit
def pauli(k, x, z, m, partner_re, partner_im, n: tl.constexpr):
    """Return row k of P |psi> for P |k> = i^m (-1)^popcount(k & z) |k ^ x>."""
    s = sign((k ^ x) & z, partner_re, n)
    turn_re = tl.where(m == 0, 1, 0) - tl.where(m == 2, 1, 0)
    turn_im = tl.where(m == 1, 1, 0) - tl.where(m == 3, 1, 0)
    a = s * turn_re.to(partner_re.dtype)
    b = s * turn_im.to(partner_re.dtype)
    return a * partner_re - b * partner_im, a * partner_im + b * partner_re


@triton.jit
def rotated(re, im, word_re, word_im, on, c, s):
    """Return exp(-i h P) |psi> from psi and P psi, where `on`; -s gives the inverse."""
    return tl.where(on, c * re + s * word_im, re), tl.where(on, c * im - s * word_re, im)


@triton.jit
def turned(re, im, c, s):
    """Return (c + i s) psi."""
    return c * re - s * im, c * im + s * re


@triton.jit
def multiplied(k, x, on, entries, back: tl.constexpr, re, im, partner_re, partner_im):
    """Return a constant 2x2 gate on bit x, or its adjoint, applied to psi where `on`.

    Args:
        k: indices of the basis states.
        x: mask of the bit.
        on: where the control bits are 1.
        entries: pointer to the row-major 2x2, real and imaginary parts.
        back: whether to apply the adjoint.
        re: real part of psi.
        im: imaginary part of psi.
        partner_re: real part of psi[k ^ x].
        partner_im: imaginary part of psi[k ^ x].
    """
    one = (k & x) != 0
    across = tl.where(one, 4, 2)  # from the partner: c where the bit is 1, b where it is 0
    if back:
        across = 6 - across
    turn: tl.constexpr = -1 if back else 1
    own = tl.where(one, 6, 0)
    ur, ui = tl.load(entries + own), turn * tl.load(entries + own + 1)
    vr, vi = tl.load(entries + across), turn * tl.load(entries + across + 1)
    new_re = ur * re - ui * im + vr * partner_re - vi * partner_im
    new_im = ur * im + ui * re + vr * partner_im + vi * partner_re
    return tl.where(on, new_re, re), tl.where(on, new_im, im)


@triton.jit
def layer_phase(k, cs, slots, constants, n: tl.constexpr):
    """Return the phases of a merged diagonal layer: its constants times an RZ on each bit.

    Args:
        k: indices of the basis states.
        cs: pointer to cosines and sines of the slot angles.
        slots: pointer to the slot of each bit, or -1.
        constants: pointer to the layer's constants, 2^n real parts, then 2^n imaginary ones.
        n: number of qubits.
    """
    c, s = tl.load(constants + k), tl.load(constants + (1 << n) + k)
    for bit in tl.static_range(n):
        slot = tl.load(slots + bit)
        a = tl.load(cs + 2 * slot, mask=slot >= 0, other=1.0)
        b = tl.load(cs + 2 * slot + 1, mask=slot >= 0, other=0.0)
        b = tl.where(((k >> bit) & 1) != 0, b, -b)
        c, s = turned(c, s, a, b)
    return c, s


@triton.jit
def overlap(re, im, lam_re, lam_im):
    """Return Im conj(lambda) psi."""
    return lam_re * im - lam_im * re


@triton.jit
def bit_sign(k, bit, like):
    """Return (-1)^(bit of k)."""
    return (1 - 2 * ((k >> bit) & 1)).to(like.dtype)


@triton.jit
def apply_gate(
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
    n: tl.constexpr,
    back: tl.constexpr,
):
    """Return psi after one instruction or, if `back`, before it.

    Args:
        kind: kind of the instruction; see `load_gate`.
        x: see `load_gate`.
        z: see `load_gate`.
        control: see `load_gate`.
        slot: see `load_gate`.
        m: see `load_gate`.
        k: indices of the basis states.
        cs: pointer to cosines and sines of the slot angles.
        matrices: see `tables.Tables`.
        z_slots: see `tables.Tables`.
        constants: see `tables.Tables`.
        re: real part of psi.
        im: imaginary part of psi.
        other_re: real part of psi[k ^ x].
        other_im: imaginary part of psi[k ^ x].
        n: number of qubits.
        back: whether to undo the instruction.
    """
    on = (k & control) == control
    if kind == ROTATE:
        c, s = load_angle(cs, slot)
        if back:
            s = -s
        word_re, word_im = pauli(k, x, z, m, other_re, other_im, n)
        re, im = rotated(re, im, word_re, word_im, on, c, s)
    elif kind == DIAGONAL:
        c, s = layer_phase(k, cs, z_slots + slot * n, constants + slot * (2 << n), n)
        if back:
            s = -s
        re, im = turned(re, im, c, s)
    elif kind == MATRIX:
        re, im = multiplied(k, x, on, matrices + 8 * slot, back, re, im, other_re, other_im)
    else:
        c, s = load_angle(cs, slot)
        if back:
            s = -s
        re, im = turned(re, im, tl.where(on, c, 1.0), tl.where(on, s, 0.0))
    return re, im


@triton.jit
def store_gradients(
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
    n: tl.constexpr,
):
    """Write Im <lambda| G |psi> for each slot of an instruction; psi and lambda are after it.

    Args:
        kind: see `apply_gate`.
        x: see `apply_gate`.
        z: see `apply_gate`.
        control: see `apply_gate`.
        slot: see `apply_gate`.
        m: see `apply_gate`.
        k: see `apply_gate`.
        grads: pointer to the slots' gradients, written.
        z_slots: see `apply_gate`.
        re: see `apply_gate`.
        im: see `apply_gate`.
        other_re: see `apply_gate`.
        other_im: see `apply_gate`.
        lam_re: real part of lambda.
        lam_im: imaginary part of lambda.
        n: see `apply_gate`.
    """
    on = (k & control) == control
    if kind == ROTATE:
        word_re, word_im = pauli(k, x, z, m, other_re, other_im, n)
        w = overlap(word_re, word_im, lam_re, lam_im)
        tl.store(grads + slot, tl.sum(tl.where(on, w, 0.0)))
    elif kind == DIAGONAL:
        w = overlap(re, im, lam_re, lam_im)
        for bit in tl.static_range(n):
            to = tl.load(z_slots + slot * n + bit)
            if to >= 0:
                tl.store(grads + to, tl.sum(w * bit_sign(k, bit, w)))
    elif kind == PHASE:
        w = overlap(re, im, lam_re, lam_im)
        tl.store(grads + slot, -tl.sum(tl.where(on, w, 0.0)))


@triton.jit
def load_word(readouts, r):
    """Return [x, z, i^m, readout] of a readout; see `tables.Tables`."""
    row = readouts + 4 * r
    return tl.load(row), tl.load(row + 1), tl.load(row + 2), tl.load(row + 3)
