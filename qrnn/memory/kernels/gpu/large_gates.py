"""One gate on states that are too large for one program: a tile for each program (Triton).

Gates do not work in place, because a tile's partners belong to another program.
"""

import triton
import triton.language as tl

from qrnn.memory.kernels.gpu.gates import apply_gate, load_gate, load_word, pauli, store_gradients


@triton.jit
def tile_of(psi, k, n: tl.constexpr):
    """Return amplitudes k of the sequence of this program; psi is (B, 2, 2^n)."""
    at = psi + tl.program_id(0).to(tl.int64) * (2 << n) + k
    return tl.load(at), tl.load(at + (1 << n))


@triton.jit
def store_tile(psi, k, re, im, n: tl.constexpr):
    """Write amplitudes k of the sequence of this program."""
    at = psi + tl.program_id(0).to(tl.int64) * (2 << n) + k
    tl.store(at, re)
    tl.store(at + (1 << n), im)


@triton.jit(do_not_specialize=["g", "n_slots"])
def forward_gate(
    psi,
    psi_out,
    cs,
    active,
    g,
    n_slots,
    gates,
    matrices,
    z_slots,
    constants,
    n: tl.constexpr,
    TILE: tl.constexpr,
):
    """Apply instruction g; programs (B, 2^n / TILE); for arguments see `step.forward_step`."""
    b = tl.program_id(0).to(tl.int64)
    k = tl.program_id(1) * TILE + tl.arange(0, TILE)
    re, im = tile_of(psi, k, n)
    if tl.load(active + b) != 0:
        kind, x, z, control, slot, m = load_gate(gates, g)
        other_re, other_im = tile_of(psi, k ^ x, n)
        re, im = apply_gate(
            kind,
            x,
            z,
            control,
            slot,
            m,
            k,
            cs + b * n_slots * 2,
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
    store_tile(psi_out, k, re, im, n)


@triton.jit(do_not_specialize=["g", "n_slots"])
def backward_gate(
    psi,
    lam,
    psi_in,
    lam_in,
    cs,
    active,
    grads,
    g,
    n_slots,
    gates,
    matrices,
    z_slots,
    constants,
    n: tl.constexpr,
    TILE: tl.constexpr,
):
    """Undo instruction g on psi and lambda; grads (B, 2^n / TILE, S) are the tiles' sums."""
    b = tl.program_id(0).to(tl.int64)
    k = tl.program_id(1) * TILE + tl.arange(0, TILE)
    re, im = tile_of(psi, k, n)
    lam_re, lam_im = tile_of(lam, k, n)
    if tl.load(active + b) != 0:
        kind, x, z, control, slot, m = load_gate(gates, g)
        other_re, other_im = tile_of(psi, k ^ x, n)
        at = cs + b * n_slots * 2
        store_gradients(
            kind,
            x,
            z,
            control,
            slot,
            m,
            k,
            grads + (b * tl.num_programs(1) + tl.program_id(1)) * n_slots,
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
            at,
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
        other_re, other_im = tile_of(lam, k ^ x, n)
        lam_re, lam_im = apply_gate(
            kind,
            x,
            z,
            control,
            slot,
            m,
            k,
            at,
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
    store_tile(psi_in, k, re, im, n)
    store_tile(lam_in, k, lam_re, lam_im, n)


@triton.jit(do_not_specialize=["n_readouts"])
def read_tiles(psi, z, readouts, n_readouts, n: tl.constexpr, TILE: tl.constexpr):
    """Write each tile's contribution to the readouts, z (B, 2^n / TILE, R)."""
    b = tl.program_id(0).to(tl.int64)
    k = tl.program_id(1) * TILE + tl.arange(0, TILE)
    re, im = tile_of(psi, k, n)
    z += (b * tl.num_programs(1) + tl.program_id(1)) * n_readouts
    for r in range(n_readouts):
        x, z_mask, m, out = load_word(readouts, r)
        other_re, other_im = tile_of(psi, k ^ x, n)
        word_re, word_im = pauli(k, x, z_mask, m, other_re, other_im, n)
        tl.store(z + out, tl.sum(re * word_re + im * word_im))


@triton.jit(do_not_specialize=["n_readouts"])
def add_cotangent_tiles(
    psi, lam, lam_out, grad_z, readouts, n_readouts, n: tl.constexpr, TILE: tl.constexpr
):
    """Write lambda + 2 sum_r g_r O_r |psi>; grad_z (B, R)."""
    b = tl.program_id(0).to(tl.int64)
    k = tl.program_id(1) * TILE + tl.arange(0, TILE)
    lam_re, lam_im = tile_of(lam, k, n)
    for r in range(n_readouts):
        x, z_mask, m, out = load_word(readouts, r)
        other_re, other_im = tile_of(psi, k ^ x, n)
        word_re, word_im = pauli(k, x, z_mask, m, other_re, other_im, n)
        g = 2 * tl.load(grad_z + b * n_readouts + out)
        lam_re += g * word_re
        lam_im += g * word_im
    store_tile(lam_out, k, lam_re, lam_im, n)
