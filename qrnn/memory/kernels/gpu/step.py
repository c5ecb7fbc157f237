"""One time step of the fused device on a GPU: a program for each sequence (Triton)."""

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
        cs: (B, S, 2) cosines and sines of the slots' angles.
        active: (B,) whether a sequence moves.
        z: (B, R) readouts, written.
        n_slots: number of slots S.
        gates: see `tables.Tables`, as the following.
        n_gates: their number.
        matrices: see there.
        z_slots: see there.
        constants: see there.
        readouts: see there.
        n_readouts: number of readouts R.
        n: number of qubits.
        one_warp: whether the program is one warp.
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
        psi: (B, 2, 2^n) states behind the step.
        lam: likewise, their cotangent but for this step's readouts.
        psi_in: likewise, written: the states before the step.
        lam_in: likewise, written: their cotangent.
        cs: see `forward_step`, as the others that are not described.
        active: see there.
        grad_z: (B, R) cotangent of the readouts.
        grads: (B, S) cotangent of the slots' angles, written; zero at first.
        n_slots: see there.
        gates: see there.
        n_gates: see there.
        matrices: see there.
        z_slots: see there.
        constants: see there.
        readouts: see there.
        n_readouts: see there.
        n: see there.
        one_warp: see there.
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
