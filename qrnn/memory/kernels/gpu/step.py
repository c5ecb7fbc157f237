"""One time step of the fused device on a GPU: one program per sequence (Triton)."""

import triton
import triton.language as tl

from qrnn.memory.kernels.gpu.state import (
    add_cotangents,
    apply_gates,
    load_state,
    read,
    store_state,
    undo_gates,
)


@triton.jit(do_not_specialize=["n_gates", "n_readouts", "n_slots"])
def forward_step(
    psi,
    psi_out,
    cs,
    active,
    z,
    n_slots,
    gates,
    n_gates,
    matrices,
    z_slots,
    constants,
    readouts,
    n_readouts,
    n: tl.constexpr,
    one_warp: tl.constexpr,
):
    """Advance a sequence by one step and read it.

    Args:
        psi: (B, 2, 2^n) real and imaginary parts.
        psi_out: likewise, written.
        cs: (B, S, 2) cosines and sines of the slot angles.
        active: (B,) whether a sequence is active.
        z: (B, R) readouts, written.
        n_slots: number of slots S.
        gates: see `tables.Tables`.
        n_gates: number of gates.
        matrices: see `tables.Tables`.
        z_slots: see `tables.Tables`.
        constants: see `tables.Tables`.
        readouts: see `tables.Tables`.
        n_readouts: number of readouts R.
        n: number of qubits.
        one_warp: whether the program is a single warp.
    """
    b = tl.program_id(0)
    k = tl.arange(0, 1 << n)
    re, im = load_state(psi, b, k, n)
    if tl.load(active + b) != 0:
        at = cs + b.to(tl.int64) * n_slots * 2
        re, im = apply_gates(
            re, im, k, at, gates, n_gates, matrices, z_slots, constants, n, one_warp
        )
    read(re, im, k, z + b * n_readouts, readouts, n_readouts, n, one_warp)
    store_state(psi_out, b, k, re, im, n)


@triton.jit(do_not_specialize=["n_gates", "n_readouts", "n_slots"])
def backward_step(
    psi,
    lam,
    psi_in,
    lam_in,
    cs,
    active,
    grad_z,
    grads,
    n_slots,
    gates,
    n_gates,
    matrices,
    z_slots,
    constants,
    readouts,
    n_readouts,
    n: tl.constexpr,
    one_warp: tl.constexpr,
):
    """Take a sequence one step back.

    Args:
        psi: (B, 2, 2^n) states after the step.
        lam: likewise, their cotangent without this step's readouts.
        psi_in: likewise, written: the states before the step.
        lam_in: likewise, written: their cotangent.
        cs: see `forward_step`.
        active: see `forward_step`.
        grad_z: (B, R) cotangent of the readouts.
        grads: (B, S) cotangent of the slot angles, written; must be zero initially.
        n_slots: see `forward_step`.
        gates: see `forward_step`.
        n_gates: see `forward_step`.
        matrices: see `forward_step`.
        z_slots: see `forward_step`.
        constants: see `forward_step`.
        readouts: see `forward_step`.
        n_readouts: see `forward_step`.
        n: see `forward_step`.
        one_warp: see `forward_step`.
    """
    b = tl.program_id(0)
    k = tl.arange(0, 1 << n)
    re, im = load_state(psi, b, k, n)
    lam_re, lam_im = load_state(lam, b, k, n)
    lam_re, lam_im = add_cotangents(
        re, im, lam_re, lam_im, k, grad_z + b * n_readouts, readouts, n_readouts, n, one_warp
    )
    if tl.load(active + b) != 0:
        re, im, lam_re, lam_im = undo_gates(
            re,
            im,
            lam_re,
            lam_im,
            k,
            cs + b.to(tl.int64) * n_slots * 2,
            grads + b.to(tl.int64) * n_slots,
            gates,
            n_gates,
            matrices,
            z_slots,
            constants,
            n,
            one_warp,
        )
    store_state(psi_in, b, k, re, im, n)
    store_state(lam_in, b, k, lam_re, lam_im, n)
