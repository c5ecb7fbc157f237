"""Whole sequences on a GPU: one program runs all steps of a sequence in one launch (Triton)."""

import triton
import triton.language as tl

from qrnn.memory.kernels.gpu.controller import (
    control,
    control_backward,
    copy,
    fill_zero,
    load_layer,
    scaled_sum,
)
from qrnn.memory.kernels.gpu.state import (
    add_cotangents,
    apply_gates,
    load_state,
    read,
    store_state,
    undo_gates,
)

PLAIN = [
    "steps",
    "first",
    "batch",
    "width",
    "n_slots",
    "size",
    "n_layers",
    "n_gates",
    "n_readouts",
]


@triton.jit
def add_noise(z, xi, noise, n_readouts, TILE: tl.constexpr):
    """Add measurement noise to exact readouts; see `qrnn.circuit.readout_noise`."""
    share, inverse_shots = tl.load(noise), tl.load(noise + 1)
    for first in range(0, n_readouts, TILE):
        at = first + tl.arange(0, TILE)
        mean = share * tl.load(z + at, mask=at < n_readouts, other=0.0)
        variance = tl.maximum((1 - mean) * (1 + mean) * inverse_shots, 0.0)
        drawn = tl.load(xi + at, mask=at < n_readouts, other=0.0)
        tl.store(z + at, mean + tl.sqrt(variance) * drawn, mask=at < n_readouts)


@triton.jit(do_not_specialize=PLAIN)
def forward_sequence(
    psi,
    psi_out,
    x,
    z_start,
    z,
    active,
    xi,
    noise,
    records,
    cs,
    steps,
    batch,
    width,
    n_slots,
    size,
    layers,
    n_layers,
    transposed,
    biases,
    gates,
    n_gates,
    matrices,
    z_slots,
    constants,
    readouts,
    n_readouts,
    kind: tl.constexpr,
    ragged: tl.constexpr,
    noisy: tl.constexpr,
    n: tl.constexpr,
    one_warp: tl.constexpr,
    TILE: tl.constexpr,
):
    """Advance a sequence by T steps.

    Args:
        psi: (B, 2, 2^n) real and imaginary parts.
        psi_out: likewise, written.
        x: (T, B, D) inputs.
        z_start: (B, R) readouts before the first step.
        z: (T, B, R) readouts, written.
        active: (T, B) whether a sequence is active; read only if `ragged`.
        xi: (T, B, R) standard normal numbers; read only if `noisy`.
        noise: (2,) factor of the readouts, and 1 / shots.
        records: (B, size) scratch.
        cs: (B, S, 2) scratch.
        steps: T.
        batch: B.
        width: D.
        n_slots: S.
        size: size of a record.
        layers: see `controller.control`.
        n_layers: see `controller.control`.
        transposed: see `controller.control`.
        biases: see `controller.control`.
        gates: see `tables.Tables`.
        n_gates: number of gates.
        matrices: see `tables.Tables`.
        z_slots: see `tables.Tables`.
        constants: see `tables.Tables`.
        readouts: see `tables.Tables`.
        n_readouts: R.
        kind: the controller's activation.
        ragged: whether sequences can be inactive.
        noisy: whether to add measurement noise to readouts.
        n: number of qubits.
        one_warp: whether the program is a single warp.
        TILE: numbers of the controller that are processed at once.
    """
    b = tl.program_id(0).to(tl.int64)
    k = tl.arange(0, 1 << n)
    re, im = load_state(psi, b, k, n)
    records += b * size
    cs += b * n_slots * 2
    before = z_start + b * n_readouts
    row = b
    for _ in range(steps):
        now = z + row * n_readouts
        moves = True
        if ragged:
            moves = tl.load(active + row) != 0
        if moves:
            control(
                kind,
                layers,
                n_layers,
                transposed,
                biases,
                x + row * width,
                width,
                before,
                n_readouts,
                records,
                cs,
                TILE,
            )
            re, im = apply_gates(
                re, im, k, cs, gates, n_gates, matrices, z_slots, constants, n, one_warp
            )
            read(re, im, k, now, readouts, n_readouts, n, one_warp)
            if noisy:
                tl.debug_barrier()
                add_noise(now, xi + row * n_readouts, noise, n_readouts, TILE)
        else:
            copy(before, now, n_readouts, TILE)
        tl.debug_barrier()
        before = now
        row += batch
    store_state(psi_out, b, k, re, im, n)


@triton.jit(do_not_specialize=PLAIN)
def backward_sequence(
    psi,
    lam,
    psi_in,
    lam_in,
    x,
    z_start,
    z,
    grad_z,
    active,
    noise,
    records,
    cs,
    carry,
    grad_in,
    grad_x,
    first,
    steps,
    batch,
    width,
    n_slots,
    size,
    layers,
    n_layers,
    weights,
    transposed,
    biases,
    gates,
    n_gates,
    matrices,
    z_slots,
    constants,
    readouts,
    n_readouts,
    kind: tl.constexpr,
    ragged: tl.constexpr,
    want_x: tl.constexpr,
    n: tl.constexpr,
    one_warp: tl.constexpr,
    TILE: tl.constexpr,
):
    """Take a sequence back over the steps first + steps - 1 to first.

    The controller is rerun at each step by the same code as in the forward pass: undoing gates with
    even slightly different angles would give a wrong earlier state. Its records are written for the
    host, which computes the weights' gradients from them.

    Args:
        psi: (B, 2, 2^n) states after these steps.
        lam: likewise, their cotangent.
        psi_in: likewise, written: the states before these steps.
        lam_in: likewise, written: their cotangent.
        x: see `forward_sequence`.
        z_start: see `forward_sequence`.
        z: (T, B, R) readouts as they were fed back.
        grad_z: likewise, their cotangent without the feedback.
        active: see `forward_sequence`.
        noise: see `forward_sequence`.
        records: (steps, B, size) written: each layer's inputs, and the gradients of its outputs.
        cs: see `forward_sequence`.
        carry: (B, R) cotangent of the last readouts through the feedback: read and written.
        grad_in: (B, R + size) scratch.
        grad_x: (T, B, D) written if `want_x`.
        first: the first of these steps.
        steps: number of these steps.
        batch: see `forward_sequence`.
        width: see `forward_sequence`.
        n_slots: see `forward_sequence`.
        size: see `forward_sequence`.
        layers: see `forward_sequence`.
        n_layers: see `forward_sequence`.
        weights: see `controller.control_backward`.
        transposed: see `forward_sequence`.
        biases: see `forward_sequence`.
        gates: see `forward_sequence`.
        n_gates: see `forward_sequence`.
        matrices: see `forward_sequence`.
        z_slots: see `forward_sequence`.
        constants: see `forward_sequence`.
        readouts: see `forward_sequence`.
        n_readouts: see `forward_sequence`.
        kind: see `forward_sequence`.
        ragged: see `forward_sequence`.
        want_x: whether to compute the cotangent of x.
        n: see `forward_sequence`.
        one_warp: see `forward_sequence`.
        TILE: see `forward_sequence`.
    """
    b = tl.program_id(0).to(tl.int64)
    k = tl.arange(0, 1 << n)
    re, im = load_state(psi, b, k, n)
    lam_re, lam_im = load_state(lam, b, k, n)
    share = tl.load(noise)
    cs += b * n_slots * 2
    carry += b * n_readouts
    g = grad_in + b * (n_readouts + size)  # the readouts' cotangents, then the inputs' gradients
    grad_in = g + n_readouts
    _, _, _, _, _, outputs = load_layer(layers, n_layers - 1)
    for i in range(steps):
        at = steps - 1 - i
        row = (first + at).to(tl.int64) * batch + b
        record = records + (at.to(tl.int64) * batch + b) * size
        before = z_start + b * n_readouts
        if first + at > 0:
            before = z + (row - batch) * n_readouts
        moves = True
        if ragged:
            moves = tl.load(active + row) != 0
        if moves:
            control(
                kind,
                layers,
                n_layers,
                transposed,
                biases,
                x + row * width,
                width,
                before,
                n_readouts,
                record,
                cs,
                TILE,
            )
            scaled_sum(g, grad_z + row * n_readouts, carry, share, n_readouts, TILE)
            tl.debug_barrier()
            lam_re, lam_im = add_cotangents(
                re, im, lam_re, lam_im, k, g, readouts, n_readouts, n, one_warp
            )
            re, im, lam_re, lam_im = undo_gates(
                re,
                im,
                lam_re,
                lam_im,
                k,
                cs,
                record + outputs,
                gates,
                n_gates,
                matrices,
                z_slots,
                constants,
                n,
                one_warp,
            )
            control_backward(kind, layers, n_layers, weights, biases, record, grad_in, TILE)
            copy(grad_in + width, carry, n_readouts, TILE)
            if want_x:
                copy(grad_in, grad_x + row * width, width, TILE)
        else:
            scaled_sum(carry, grad_z + row * n_readouts, carry, 1.0, n_readouts, TILE)
            fill_zero(record, size, TILE)
            if want_x:
                fill_zero(grad_x + row * width, width, TILE)
        tl.debug_barrier()
    store_state(psi_in, b, k, re, im, n)
    store_state(lam_in, b, k, lam_re, lam_im, n)
