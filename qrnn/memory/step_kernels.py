"""One time step of the fused device on the CPU: gates and readouts, forward and reversed."""

from __future__ import annotations

from typing import Any

import numba as nb
import numpy as np

from qrnn.memory.gate_kernels import (
    FASTMATH,
    LANES,
    diagonal,
    diagonal_vector,
    double,
    grad_diagonal,
    grad_phase,
    grad_rotate,
    grad_rotate_x,
    jit,
    matrix,
    multiply_constants,
    pauli_factor,
    phase,
    rotate,
    rotate_x,
    rotate_y,
    undo_rotate_y,
    zero,
)
from qrnn.memory.program import DIAGONAL, MATRIX, PHASE, ROTATE, ROTATE_X, ROTATE_Y

parallel_jit: Any = nb.njit(
    fastmath=FASTMATH, cache=True, nogil=True, error_model="numpy", parallel=True
)


@jit
def apply_gates(psi, cs, instructions, matrices, z_slots, constants, vector):
    """Apply all gates of one step to a block; cs (S, 2, LANES), vector scratch (2^n, 2 LANES)."""
    c2 = np.empty(2 * LANES, psi.dtype)
    s2 = np.empty(2 * LANES, psi.dtype)
    for g in range(instructions.shape[0]):
        kind, a, b, control, slot, n_y = instructions[g]
        if kind == ROTATE_Y:
            double(cs[slot, 0], c2)
            double(cs[slot, 1], s2)
            rotate_y(psi, a, c2, s2)
        elif kind == ROTATE_X:
            rotate_x(psi, a, cs[slot, 0], cs[slot, 1])
        elif kind == ROTATE:
            rotate(psi, a, b, control, n_y, cs[slot, 0], cs[slot, 1])
        elif kind == PHASE:
            phase(psi, a, cs[slot, 0], cs[slot, 1])
        elif kind == MATRIX:
            matrix(psi, a, control, matrices[slot], False)
        elif kind == DIAGONAL:
            diagonal_vector(vector, z_slots[slot], cs)
            multiply_constants(vector, constants[slot])
            diagonal(psi, vector, 1)


@jit
def undo_gates(psi, lam, cs, instructions, matrices, z_slots, constants, vector, grads):
    """Undo all gates on psi and lambda, adding each slot's gradient to grads (S, LANES)."""
    c2 = np.empty(2 * LANES, psi.dtype)
    s2 = np.empty(2 * LANES, psi.dtype)
    g2 = np.empty(2 * LANES, psi.dtype)
    back = np.empty(LANES, psi.dtype)
    for g in range(instructions.shape[0] - 1, -1, -1):
        kind, a, b, control, slot, n_y = instructions[g]
        if kind == ROTATE_Y:
            double(cs[slot, 0], c2)
            double(cs[slot, 1], s2)
            zero(g2)
            undo_rotate_y(psi, lam, a, c2, s2, g2)
            for m in range(LANES):
                grads[slot, m] += g2[m] + g2[m + LANES]
            continue
        if kind == DIAGONAL:
            grad_diagonal(psi, lam, z_slots[slot], vector, grads)
            diagonal_vector(vector, z_slots[slot], cs)
            multiply_constants(vector, constants[slot])
            diagonal(psi, vector, -1)
            diagonal(lam, vector, -1)
            continue
        if kind == MATRIX:
            matrix(psi, a, control, matrices[slot], True)
            matrix(lam, a, control, matrices[slot], True)
            continue
        for m in range(LANES):
            back[m] = -cs[slot, 1, m]
        if kind == ROTATE_X:
            grad_rotate_x(psi, lam, a, grads[slot])
            rotate_x(psi, a, cs[slot, 0], back)
            rotate_x(lam, a, cs[slot, 0], back)
        elif kind == ROTATE:
            grad_rotate(psi, lam, a, b, control, n_y, grads[slot])
            rotate(psi, a, b, control, n_y, cs[slot, 0], back)
            rotate(lam, a, b, control, n_y, cs[slot, 0], back)
        elif kind == PHASE:
            grad_phase(psi, lam, a, grads[slot])
            phase(psi, a, cs[slot, 0], back)
            phase(lam, a, cs[slot, 0], back)


@jit
def read(psi, singles, words, work, z):
    """Write the R readouts z (R, LANES) of a block; work is scratch (2^n, 2 LANES)."""
    x_acc = np.empty(LANES, psi.dtype)
    y_acc = np.empty(LANES, psi.dtype)
    for position in range(singles.shape[1]):
        x_out, y_out = singles[0, position], singles[1, position]
        if x_out < 0 and y_out < 0:
            continue
        bit = 1 << position
        zero(x_acc)
        zero(y_acc)
        for base in range(0, psi.shape[0], 2 * bit):
            for k in range(base, base + bit):
                for m in range(LANES):
                    a = psi[k, m]
                    ai = psi[k, m + LANES]
                    b = psi[k + bit, m]
                    bi = psi[k + bit, m + LANES]
                    x_acc[m] += a * b + ai * bi
                    y_acc[m] += a * bi - ai * b
        for m in range(LANES):
            if x_out >= 0:
                z[x_out, m] = 2 * x_acc[m]
            if y_out >= 0:
                z[y_out, m] = 2 * y_acc[m]
    for w in range(words.shape[0]):
        x, z_mask, n_y, out = words[w]
        zero(x_acc)
        for k in range(psi.shape[0]):
            fr, fi = pauli_factor(k, x, z_mask, n_y)
            fr, fi = psi.dtype.type(fr), psi.dtype.type(fi)
            j = k ^ x
            for m in range(LANES):
                re = fr * psi[j, m] - fi * psi[j, m + LANES]
                im = fr * psi[j, m + LANES] + fi * psi[j, m]
                x_acc[m] += psi[k, m] * re + psi[k, m + LANES] * im
        for m in range(LANES):
            z[out, m] = x_acc[m]
    if (singles[2] < 0).all():
        return
    size = psi.shape[0]
    for k in range(size):
        for m in range(LANES):
            work[k, m] = psi[k, m] * psi[k, m] + psi[k, m + LANES] * psi[k, m + LANES]
    for position in range(singles.shape[1] - 1, -1, -1):
        size >>= 1
        zero(x_acc)
        for k in range(size):
            for m in range(LANES):
                upper = work[k + size, m]
                x_acc[m] += work[k, m] - upper
                work[k, m] += upper
        if singles[2, position] >= 0:
            for m in range(LANES):
                z[singles[2, position], m] = x_acc[m]


@jit
def add_readout_cotangent(psi, lam, singles, words, grad_z, work):
    """Add 2 sum_r g_r O_r |psi> to lambda; grad_z (R, LANES), work scratch (2^n, 2 LANES)."""
    real = psi.dtype.type
    for position in range(singles.shape[1]):
        x_out, y_out = singles[0, position], singles[1, position]
        if x_out < 0 and y_out < 0:
            continue
        bit = 1 << position
        gx = 2 * grad_z[x_out] if x_out >= 0 else np.zeros(LANES, psi.dtype)
        gy = 2 * grad_z[y_out] if y_out >= 0 else np.zeros(LANES, psi.dtype)
        for base in range(0, psi.shape[0], 2 * bit):
            for k in range(base, base + bit):
                for m in range(LANES):
                    a = psi[k, m]
                    ai = psi[k, m + LANES]
                    b = psi[k + bit, m]
                    bi = psi[k + bit, m + LANES]
                    lam[k, m] += gx[m] * b + gy[m] * bi
                    lam[k, m + LANES] += gx[m] * bi - gy[m] * b
                    lam[k + bit, m] += gx[m] * a - gy[m] * ai
                    lam[k + bit, m + LANES] += gx[m] * ai + gy[m] * a
    for w in range(words.shape[0]):
        x, z_mask, n_y, out = words[w]
        for k in range(psi.shape[0]):
            fr, fi = pauli_factor(k, x, z_mask, n_y)
            fr, fi = real(2 * fr), real(2 * fi)
            j = k ^ x
            for m in range(LANES):
                g = grad_z[out, m]
                lam[k, m] += g * (fr * psi[j, m] - fi * psi[j, m + LANES])
                lam[k, m + LANES] += g * (fr * psi[j, m + LANES] + fi * psi[j, m])
    if (singles[2] < 0).all():
        return
    # Z readouts: their weighted sum is a diagonal, built by doubling.
    for m in range(LANES):
        work[0, m] = 0
    for position in range(singles.shape[1]):
        out = singles[2, position]
        if out >= 0:
            for m in range(LANES):
                work[0, m] += 2 * grad_z[out, m]
    for position in range(singles.shape[1]):
        out = singles[2, position]
        size = 1 << position
        for k in range(size):
            for m in range(LANES):
                g = grad_z[out, m] if out >= 0 else real(0)
                work[size + k, m] = work[k, m] - 4 * g
    for k in range(psi.shape[0]):
        for m in range(LANES):
            lam[k, m] += work[k, m] * psi[k, m]
            lam[k, m + LANES] += work[k, m] * psi[k, m + LANES]


@jit
def keep_inactive(source, target, active):
    """Copy the lanes that are not active from source to target, both (2^n, 2 LANES)."""
    for m in range(LANES):
        if not active[m]:
            for k in range(source.shape[0]):
                target[k, m] = source[k, m]
                target[k, m + LANES] = source[k, m + LANES]


@parallel_jit
def forward(
    psi_in, psi_out, cs, active, instructions, matrices, z_slots, constants, singles, words, z
):
    """Advance all blocks by one step.

    Args:
        psi_in: (blocks, 2^n, 2 LANES) states.
        psi_out: likewise, written.
        cs: (blocks, S, 2, LANES) cosines and sines of the slots' angles.
        active: (blocks, LANES) whether a sequence moves; others keep their state.
        instructions: see `Program`, as the further tables.
        matrices: see `Program`.
        z_slots: see `Program`.
        constants: see `Program`.
        singles: see `Program`.
        words: see `Program`.
        z: (blocks, R, LANES) readouts, written.
    """
    for block in nb.prange(psi_in.shape[0]):
        psi = psi_out[block]
        psi[:] = psi_in[block]
        vector = np.empty_like(psi)
        apply_gates(psi, cs[block], instructions, matrices, z_slots, constants, vector)
        if not active[block].all():
            keep_inactive(psi_in[block], psi, active[block])
        read(psi, singles, words, vector, z[block])


@parallel_jit
def backward(
    psi_out, lam_out, psi_in, lam_in, cs, active, instructions, matrices, z_slots, constants,
    singles, words, grad_z, grads,
):  # fmt: skip
    """Take all blocks one step back: recompute psi_in, and the cotangents lambda_in and grads.

    Args:
        psi_out: (blocks, 2^n, 2 LANES) states after the step.
        lam_out: likewise, the cotangent of psi_out but for this step's readouts.
        psi_in: likewise, written: the states before the step.
        lam_in: likewise, written: their cotangent.
        cs: (blocks, S, 2, LANES) cosines and sines of the slots' angles.
        active: (blocks, LANES) whether a sequence moved.
        instructions: see `Program`, as the further tables.
        matrices: see `Program`.
        z_slots: see `Program`.
        constants: see `Program`.
        singles: see `Program`.
        words: see `Program`.
        grad_z: (blocks, R, LANES) cotangent of the readouts.
        grads: (blocks, S, LANES) cotangent of the slots' angles, written.
    """
    for block in nb.prange(psi_in.shape[0]):
        psi, lam = psi_in[block], lam_in[block]
        psi[:] = psi_out[block]
        lam[:] = lam_out[block]
        vector = np.empty_like(psi)
        grads[block] = 0
        add_readout_cotangent(psi, lam, singles, words, grad_z[block], vector)
        if active[block].all():
            undo_gates(psi, lam, cs[block], instructions, matrices, z_slots, constants, vector,
                       grads[block])  # fmt: skip
            continue
        stay, lam_stay = psi.copy(), lam.copy()
        undo_gates(psi, lam, cs[block], instructions, matrices, z_slots, constants, vector,
                   grads[block])  # fmt: skip
        keep_inactive(stay, psi, active[block])
        keep_inactive(lam_stay, lam, active[block])
        for m in range(LANES):
            if not active[block, m]:
                grads[block, :, m] = 0
