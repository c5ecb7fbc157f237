"""Whole sequences in one call: controller, gates and readouts of T steps, forward and reversed.

Blocks of sequences are independent of each other over all of time, so a thread takes a block
through all steps with its state in the cache, and nothing of torch or Python runs in between.
"""

from __future__ import annotations

import numba as nb
import numpy as np

from qrnn.memory.controller_kernels import control, control_backward, cos_sin, weight_gradients
from qrnn.memory.gate_kernels import ROW, jit
from qrnn.memory.simd import LANES, full_like, load, sqrt, store, where_less
from qrnn.memory.step_kernels import (
    apply_gates,
    keep_inactive,
    parallel_jit,
    read,
    scratch_for,
    undo_block,
)

# Steps whose records are gathered before the weights' gradients are added up.
RECORDS = 8


@jit
def angles_of(x, z, kind, layers, weights, biases, record, cs):
    """Run the controller on x (D LANES) and z (R LANES); write cosines and sines of the slots."""
    record[: x.size] = x
    record[x.size : x.size + z.size] = z
    control(kind, layers, weights, biases, record)
    _, n_out, _, _, _, target = layers[-1]
    for slot in range(n_out):
        c, s = cos_sin(load(record, (target + slot) * LANES))
        store(cs, slot * ROW, c)
        store(cs, slot * ROW + LANES, s)


@jit
def add_noise(z, xi, share, inverse_shots):
    """Make exact readouts look measured; see `qrnn.readout_noise`. xi has a row for each."""
    for at in range(0, z.size, LANES):
        mean = load(z, at) * full_like(load(z, at), share)
        if inverse_shots > 0:
            one, zero = full_like(mean, 1), full_like(mean, 0)
            variance = (one - mean) * (one + mean) * full_like(mean, inverse_shots)
            variance = where_less(variance, zero, zero, variance)
            mean = mean + sqrt(variance) * load(xi, at)
        store(z, at, mean)


@jit
def keep_lanes(source, target, active):
    """Copy what belongs to the sequences that are not active, rows of LANES."""
    for m in range(LANES):
        if not active[m]:
            target[m::LANES] = source[m::LANES]


@parallel_jit
def forward_sequence(
    psi_in, psi_out, x, z_start, z, active, xi, share, inverse_shots, kind, layers, weights, biases,
    program, size,
):  # fmt: skip
    """Advance all blocks by T steps.

    Args:
        psi_in: (blocks, 2^n 2 LANES) states.
        psi_out: likewise, written.
        x: (T, blocks, D LANES) inputs.
        z_start: (blocks, R LANES) readouts before the first step.
        z: (T, blocks, R LANES) readouts, written.
        active: (T, blocks, LANES) whether a sequence moves; (0, ...): all do.
        xi: (T, blocks, R LANES) standard normal numbers, or (0, ...).
        share: of each readout that is left, 1 without depolarizing noise.
        inverse_shots: 1 / S, or 0.
        kind: the controller's activation.
        layers: see `controller_kernels`, as weights and biases.
        weights: flat.
        biases: flat.
        program: see `Program.tables`.
        size: numbers in a record.
    """
    n = program[2].shape[1]
    for block in nb.prange(psi_in.shape[0]):
        psi = psi_out[block]
        psi[:] = psi_in[block]
        work = scratch_for(psi, n)
        record = np.empty(size, psi.dtype)
        cs = np.empty(layers[-1, 1] * ROW, psi.dtype)
        before = z_start[block]
        for t in range(x.shape[0]):
            now = z[t, block]
            angles_of(x[t, block], before, kind, layers, weights, biases, record, cs)
            paused = active.shape[0] > 0 and not active[t, block].all()
            stay = psi.copy() if paused else psi
            apply_gates(psi, cs, program, work)
            read(psi, program, work, now)
            if share != 1 or inverse_shots > 0:
                add_noise(now, xi[t, block] if xi.shape[0] else now, share, inverse_shots)
            if paused:
                keep_inactive(stay, psi, active[t, block])
                keep_lanes(before, now, active[t, block])
            before = now


@parallel_jit
def backward_sequence(
    psi_out, lam_out, psi_in, lam_in, x, z_start, z, grad_z, active, share, kind, layers, weights,
    transposed, biases, program, size, grad_x, grad_z_start, grad_weights, grad_biases,
):  # fmt: skip
    """Take all blocks T steps back.

    The controller is run again at each step, so that its activations need not be kept.

    Args:
        psi_out: (blocks, 2^n 2 LANES) states after the last step.
        lam_out: likewise, their cotangent.
        psi_in: likewise, written: the states before the first step.
        lam_in: likewise, written: their cotangent.
        x: see `forward_sequence`, as z_start, active, share, kind, layers, weights, biases, size.
        z_start: see there.
        z: (T, blocks, R LANES) readouts as they were fed back.
        grad_z: likewise, their cotangent but for the feedback.
        active: see there.
        share: see there.
        kind: see there.
        layers: see there.
        weights: see there.
        transposed: flat; each layer's weights transposed.
        biases: see there.
        program: see `Program.tables`.
        size: see there.
        grad_x: (T, blocks, D LANES) cotangent of the inputs, written; (0, ...): not wanted.
        grad_z_start: (blocks, R LANES) cotangent of z_start, written.
        grad_weights: (groups, weights) written, one row a thread.
        grad_biases: (groups, biases) likewise.
    """
    n = program[2].shape[1]
    blocks, groups = psi_in.shape[0], grad_weights.shape[0]
    width, readouts = x.shape[2], z_start.shape[1]
    for group in nb.prange(groups):
        grad_weights[group] = 0
        grad_biases[group] = 0
        records = np.empty(RECORDS * size, psi_in.dtype)
        everyone = np.ones(LANES, np.bool_)
        cs = np.empty(layers[-1, 1] * ROW, psi_in.dtype)
        grads = np.empty(layers[-1, 1] * LANES, psi_in.dtype)
        gz = np.empty(readouts, psi_in.dtype)
        outputs = layers[-1, 5] * LANES
        scratch = (layers[-1, 5] + layers[-1, 1]) * LANES
        for block in range(group * blocks // groups, (group + 1) * blocks // groups):
            psi, lam = psi_in[block], lam_in[block]
            psi[:] = psi_out[block]
            lam[:] = lam_out[block]
            work = scratch_for(psi, n)
            carry = grad_z_start[block]
            carry[:] = 0
            held = 0
            for t in range(x.shape[0] - 1, -1, -1):
                before = z[t - 1, block] if t > 0 else z_start[block]
                record = records[held * size : (held + 1) * size]
                angles_of(x[t, block], before, kind, layers, weights, biases, record, cs)
                moving = active[t, block] if active.shape[0] > 0 else everyone
                gz[:] = (grad_z[t, block] + carry) * psi_in.dtype.type(share)
                if not moving.all():
                    for m in range(LANES):
                        if not moving[m]:
                            gz[m::LANES] = 0
                undo_block(psi, lam, cs, moving, program, work, gz, grads)
                record[outputs : outputs + grads.size] = grads
                control_backward(kind, layers, transposed, biases, record, scratch // LANES)
                if moving.all():
                    carry[:] = record[scratch + width : scratch + width + readouts]
                else:
                    for m in range(LANES):
                        if moving[m]:
                            from_here = record[scratch + width : scratch + width + readouts]
                            carry[m::LANES] = from_here[m::LANES]
                        else:
                            carry[m::LANES] += grad_z[t, block][m::LANES]
                if grad_x.shape[0] > 0:
                    grad_x[t, block] = record[scratch : scratch + width]
                held += 1
                if held == RECORDS:
                    weight_gradients(
                        layers, records, held, size, grad_weights[group], grad_biases[group]
                    )
                    held = 0
            weight_gradients(layers, records, held, size, grad_weights[group], grad_biases[group])
