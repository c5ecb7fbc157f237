"""One time step of the fused device on the CPU: gates and readouts, forward and backward."""

from __future__ import annotations

import numba as nb
import numpy as np

from qrnn.memory.kernels.cpu.gates import (
    ROW,
    add_to,
    diagonal,
    fold,
    grad_phase,
    grad_rotate,
    jit,
    matrix,
    parallel_jit,
    pauli_row,
    phase,
    phase_table,
    rotate,
    rotate_y,
    rotate_y2,
    undo_diagonal,
    undo_rotate_y,
    undo_rotate_y2,
)
from qrnn.memory.kernels.cpu.simd import LANES, full_like, load, store
from qrnn.memory.kernels.program import DIAGONAL, MATRIX, PHASE, ROTATE, ROTATE_Y, ROTATE_Y2


@jit
def scratch_for(psi, n):
    """Allocate scratch tables of phases (or sums) for the high bits and the low bits."""
    rows = 1 << (n - n // 2)
    return np.empty((4, rows * ROW), psi.dtype)


@jit
def apply_gates(psi, cs, program, work):
    """Apply all gates of one step to a block.

    Args:
        psi: flat block.
        cs: (S 2 LANES) cosines and sines.
        program: the program's tables; see `Program.tables`.
        work: from `scratch_for`.
    """
    instructions, matrices, z_slots, constants = program[:4]
    n = z_slots.shape[1]
    n_low = n // 2
    for g in range(instructions.shape[0]):
        kind, a, b, control, slot, n_y = instructions[g]
        if kind == ROTATE_Y2:
            rotate_y2(psi, a, b, cs, slot, control)
        elif kind == ROTATE_Y:
            rotate_y(psi, a, cs, slot)
        elif kind == ROTATE:
            rotate(psi, a, b, control, n_y, load(cs, slot * ROW), load(cs, slot * ROW + LANES))
        elif kind == PHASE:
            phase(psi, a, load(cs, slot * ROW), load(cs, slot * ROW + LANES))
        elif kind == MATRIX:
            matrix(psi, a, control, matrices[slot], False)
        elif kind == DIAGONAL:
            phase_table(work[0], z_slots[slot], n_low, n, cs)
            phase_table(work[1], z_slots[slot], 0, n_low, cs)
            diagonal(psi, work[0], work[1], constants[slot], n_low)


@jit
def undo_gates(psi, lam, cs, program, work, grads):
    """Undo all gates on psi and lambda, adding each slot's gradient to grads (S LANES)."""
    instructions, matrices, z_slots, constants = program[:4]
    n = z_slots.shape[1]
    n_low = n // 2
    for g in range(instructions.shape[0] - 1, -1, -1):
        kind, a, b, control, slot, n_y = instructions[g]
        if kind == ROTATE_Y2:
            undo_rotate_y2(psi, lam, a, b, cs, slot, control, grads)
        elif kind == ROTATE_Y:
            undo_rotate_y(psi, lam, a, cs, slot, grads)
        elif kind == DIAGONAL:
            phase_table(work[0], z_slots[slot], n_low, n, cs)
            phase_table(work[1], z_slots[slot], 0, n_low, cs)
            undo_diagonal(psi, lam, work[0], work[1], constants[slot], n_low, work[2], work[3])
            fold(work[2], n_low, n, z_slots[slot], grads)
            fold(work[3], 0, n_low, z_slots[slot], grads)
        elif kind == MATRIX:
            matrix(psi, a, control, matrices[slot], True)
            matrix(lam, a, control, matrices[slot], True)
        else:
            c, s = load(cs, slot * ROW), load(cs, slot * ROW + LANES)
            back = full_like(s, 0) - s
            if kind == ROTATE:
                grad_rotate(psi, lam, a, b, control, n_y, grads, slot)
                rotate(psi, a, b, control, n_y, c, back)
                rotate(lam, a, b, control, n_y, c, back)
            elif kind == PHASE:
                grad_phase(psi, lam, a, grads, slot)
                phase(psi, a, c, back)
                phase(lam, a, c, back)


@jit
def read_xy(psi, pair, z):
    """Write <X> and <Y> on the two bits of a pair, or on a single bit, in one pass."""
    high, low, x_high, y_high, x_low, y_low = pair
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
        store(z, x_high * LANES, xh + xh)
    if y_high >= 0:
        store(z, y_high * LANES, yh + yh)
    if x_low >= 0:
        store(z, x_low * LANES, xl + xl)
    if y_low >= 0:
        store(z, y_low * LANES, yl + yl)


@jit
def read_word(psi, x, z_mask, n_y, out, z):
    """Write the expectation value of one Pauli word."""
    total = full_like(load(psi, 0), 0)
    for k in range(psi.size // ROW):
        re, im = pauli_row(psi, k, x, z_mask, n_y)
        total = total + load(psi, k * ROW) * re + load(psi, k * ROW + LANES) * im
    store(z, out * LANES, total)


@jit
def read_z(psi, z_out, work, z):
    """Write <Z> of each bit, from probabilities summed over the low bits and the high bits."""
    n = z_out.size
    n_low = n // 2
    n_rows = 1 << n_low
    zero = full_like(load(psi, 0), 0)
    for j in range(n_rows):
        store(work[3], j * LANES, zero)
    for h in range(psi.size // ROW // n_rows):
        total = zero
        for j in range(n_rows):
            at = (h * n_rows + j) * ROW
            a, ai = load(psi, at), load(psi, at + LANES)
            p = a * a + ai * ai
            total = total + p
            add_to(work[3], j * LANES, p)
        store(work[2], h * LANES, total)
    for position in range(n):
        if z_out[position] >= 0:
            store(z, z_out[position] * LANES, zero)
    fold(work[2], n_low, n, z_out, z)
    fold(work[3], 0, n_low, z_out, z)


@jit
def read(psi, program, work, z):
    """Write the R readouts z (R LANES) of a block."""
    pairs, z_out, words = program[4:]
    for p in range(pairs.shape[0]):
        read_xy(psi, pairs[p], z)
    for w in range(words.shape[0]):
        x, z_mask, n_y, out = words[w]
        read_word(psi, x, z_mask, n_y, out, z)
    if (z_out >= 0).any():
        read_z(psi, z_out, work, z)


@jit
def cotangent_of(grad_z, out, like):
    """Return twice the cotangent of a readout, or zero for readout -1."""
    if out < 0:
        return full_like(like, 0)
    g = load(grad_z, out * LANES)
    return g + g


@jit
def add_xy_cotangent(psi, lam, pair, grad_z):
    """Add 2 (g_x X + g_y Y) |psi> to lambda for the two bits of a pair, in one pass."""
    high, low, x_high, y_high, x_low, y_low = pair
    up, near = high * ROW, low * ROW
    like = load(psi, 0)
    gx, gy = cotangent_of(grad_z, x_high, like), cotangent_of(grad_z, y_high, like)
    hx, hy = cotangent_of(grad_z, x_low, like), cotangent_of(grad_z, y_low, like)
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
def add_word_cotangent(psi, lam, x, z_mask, n_y, out, grad_z):
    """Add 2 g P |psi> to lambda for one Pauli word."""
    g = cotangent_of(grad_z, out, load(psi, 0))
    for k in range(psi.size // ROW):
        re, im = pauli_row(psi, k, x, z_mask, n_y)
        add_to(lam, k * ROW, g * re)
        add_to(lam, k * ROW + LANES, g * im)


@jit
def sign_table(table, z_out, first, stop, grad_z):
    """Fill a table with 2 sum_q (-1)^(bit q) g_q over the bits from first to stop - 1."""
    like = load(grad_z, 0)
    total = full_like(like, 0)
    for position in range(first, stop):
        total = total + cotangent_of(grad_z, z_out[position], like)
    store(table, 0, total)
    for position in range(first, stop):
        size = 1 << (position - first)
        g = cotangent_of(grad_z, z_out[position], like)
        for k in range(size):
            store(table, (size + k) * LANES, load(table, k * LANES) - g - g)


@jit
def add_z_cotangent(psi, lam, z_out, grad_z, work):
    """Add 2 sum_q g_q Z_q |psi> to lambda; the diagonal is the sum of a high and a low table."""
    n = z_out.size
    n_low = n // 2
    n_rows = 1 << n_low
    sign_table(work[0], z_out, n_low, n, grad_z)
    sign_table(work[1], z_out, 0, n_low, grad_z)
    for h in range(psi.size // ROW // n_rows):
        upper = load(work[0], h * LANES)
        for j in range(n_rows):
            at = (h * n_rows + j) * ROW
            g = upper + load(work[1], j * LANES)
            add_to(lam, at, g * load(psi, at))
            add_to(lam, at + LANES, g * load(psi, at + LANES))


@jit
def add_readout_cotangent(psi, lam, program, grad_z, work):
    """Add 2 sum_r g_r O_r |psi> to lambda; grad_z (R LANES)."""
    pairs, z_out, words = program[4:]
    for p in range(pairs.shape[0]):
        add_xy_cotangent(psi, lam, pairs[p], grad_z)
    for w in range(words.shape[0]):
        x, z_mask, n_y, out = words[w]
        add_word_cotangent(psi, lam, x, z_mask, n_y, out, grad_z)
    if (z_out >= 0).any():
        add_z_cotangent(psi, lam, z_out, grad_z, work)


@jit
def keep_inactive(source, target, active):
    """Copy inactive lanes from source to target, both flat blocks."""
    for m in range(LANES):
        if not active[m]:
            target[m::LANES] = source[m::LANES]


@jit
def step_block(psi, source, cs, active, program, work, z):
    """Advance one block, initially a copy of `source`, and read it."""
    apply_gates(psi, cs, program, work)
    if not active.all():
        keep_inactive(source, psi, active)
    read(psi, program, work, z)


@jit
def undo_block(psi, lam, cs, active, program, work, grad_z, grads):
    """Take psi and lambda of one block one step back; write grads (S LANES)."""
    grads[:] = 0
    add_readout_cotangent(psi, lam, program, grad_z, work)
    if active.all():
        undo_gates(psi, lam, cs, program, work, grads)
        return
    stay, lam_stay = psi.copy(), lam.copy()
    undo_gates(psi, lam, cs, program, work, grads)
    keep_inactive(stay, psi, active)
    keep_inactive(lam_stay, lam, active)
    for m in range(LANES):
        if not active[m]:
            grads[m::LANES] = 0


@jit
def forward_share(start, stop, psi_in, psi_out, cs, active, program, z):
    """Advance some blocks by one step.

    Args:
        start: the first block.
        stop: one more than the last block.
        psi_in: (blocks, 2^n 2 LANES) states.
        psi_out: likewise, written.
        cs: (blocks, S 2 LANES) cosines and sines of the slot angles.
        active: (blocks, LANES) whether a sequence is active; others keep their state.
        program: see `Program.tables`.
        z: (blocks, R LANES) readouts, written.
    """
    n = program[2].shape[1]
    for block in range(start, stop):
        psi = psi_out[block]
        psi[:] = psi_in[block]
        work = scratch_for(psi, n)
        step_block(psi, psi_in[block], cs[block], active[block], program, work, z[block])


@jit
def backward_share(
    start, stop, psi_out, lam_out, psi_in, lam_in, cs, active, program, grad_z, grads
):
    """Take some blocks one step back: recompute psi_in; compute lambda_in and grads.

    Args:
        start: the first block.
        stop: one more than the last block.
        psi_out: (blocks, 2^n 2 LANES) states after the step.
        lam_out: likewise, the cotangent of psi_out without this step's readouts.
        psi_in: likewise, written: the states before the step.
        lam_in: likewise, written: their cotangent.
        cs: (blocks, S 2 LANES) cosines and sines of the slot angles.
        active: (blocks, LANES) whether a sequence was active.
        program: see `Program.tables`.
        grad_z: (blocks, R LANES) cotangent of the readouts.
        grads: (blocks, S LANES) cotangent of the slot angles, written.
    """
    n = program[2].shape[1]
    for block in range(start, stop):
        psi, lam = psi_in[block], lam_in[block]
        psi[:] = psi_out[block]
        lam[:] = lam_out[block]
        work = scratch_for(psi, n)
        undo_block(psi, lam, cs[block], active[block], program, work, grad_z[block], grads[block])


@parallel_jit
def forward(shares, psi_in, psi_out, cs, active, program, z):
    """Advance all blocks by one step; shares (threads, 2) are the blocks of each thread."""
    for i in nb.prange(len(shares)):
        start, stop = shares[i]
        forward_share(start, stop, psi_in, psi_out, cs, active, program, z)


@parallel_jit
def backward(shares, psi_out, lam_out, psi_in, lam_in, cs, active, program, grad_z, grads):
    """Take all blocks one step back; see `forward`."""
    for i in nb.prange(len(shares)):
        start, stop = shares[i]
        backward_share(
            start, stop, psi_out, lam_out, psi_in, lam_in, cs, active, program, grad_z, grads
        )
