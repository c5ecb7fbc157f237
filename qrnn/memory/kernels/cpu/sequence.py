"""Whole sequences in one call: controller, gates and readouts of T steps, forward and backward.

Blocks of sequences are independent, so a thread takes a block through all steps with its state in
the cache, without running torch or Python in between. Inputs and readouts are (T, B, K), as in
torch; each block gathers its LANES sequences from them.
"""

from __future__ import annotations

import numpy as np

from qrnn.memory.kernels.cpu.controller import (
    control,
    control_backward,
    store_cos_sin,
    weight_gradients,
)
from qrnn.memory.kernels.cpu.gates import ROW
from qrnn.memory.kernels.cpu.jit import jit, kernel_jit
from qrnn.memory.kernels.cpu.simd import LANES, full_like, load, sqrt, store, where_less
from qrnn.memory.kernels.cpu.spread import sum_lanes
from qrnn.memory.kernels.cpu.step import advance, keep_inactive, scratch_for, undo_block
from qrnn.memory.kernels.cpu.team import copy_together, leads

# Number of steps whose records are collected before the weight gradients are added up.
RECORDS = 8


@jit
def block_size(lanes):
    """Return the number of sequences in a block."""
    if lanes is None:
        return LANES
    return 1


@jit
def gather(values, first, out, lanes):
    """Write the rows of values (B, K) from `first` on to out (K LANES), transposed.

    In the spread layout, the block's only sequence is in all lanes.
    """
    count = min(block_size(lanes), values.shape[0] - first)
    for k in range(values.shape[1]):
        for m in range(count):
            out[k * LANES + m] = values[first + m, k]
        for m in range(count, LANES):
            out[k * LANES + m] = 0 if lanes is None else values[first, k]


@jit
def scatter(rows, first, out, lanes):
    """Write rows of lanes back to out (B, K), the inverse of `gather`."""
    count = min(block_size(lanes), out.shape[0] - first)
    for m in range(count):
        for k in range(out.shape[1]):
            out[first + m, k] = rows[k * LANES + m]


@jit
def moving_lanes(active, t, first, out, lanes):
    """Write which sequences of a block are active at step t; return whether all are."""
    out[:] = True
    if active.shape[0] == 0:
        return True
    if lanes is not None:
        out[:] = active[t, first]
        return out.all()
    for m in range(min(LANES, active.shape[1] - first)):
        out[m] = active[t, first + m]
    return out.all()


@jit
def angles_of(x, first, z, kind, layers, weights, biases, record, cs, lanes):
    """Run the controller on x (B, D) and z (R LANES); write the slots' cosines and sines."""
    width = x.shape[1] * LANES
    gather(x, first, record, lanes)
    record[width : width + z.size] = z
    control(kind, layers, weights, biases, record)
    _, n_out, _, _, _, target = layers[-1]
    store_cos_sin(record, target, n_out, cs)


@jit
def angles_to_inputs(
    kind, layers, transposed, biases, record, grads, width, given, carry, moving, lanes
):
    """Backpropagate through the controller, from the slot angles to its inputs.

    Args:
        kind: the controller's activation.
        layers: see `qrnn.memory.kernels.cpu.controller`.
        transposed: flat; each layer's weights transposed.
        biases: flat biases of all layers.
        record: from `angles_of`; then holds the gradients of each layer's outputs.
        grads: gradients of the slot angles.
        width: size of x in the record.
        given: (R LANES) cotangent of this step's readouts without the feedback.
        carry: (R LANES) that of the feedback; written: that of the readouts before this step.
        moving: which sequences are active; others passed their readouts on.
        lanes: the layout; see `gather`.

    Returns:
        The gradients of x, which are part of the record.
    """
    outputs, scratch = layers[-1, 5] * LANES, (layers[-1, 5] + layers[-1, 1]) * LANES
    record[outputs : outputs + grads.size] = grads
    control_backward(kind, layers, transposed, biases, record, scratch // LANES)
    sum_lanes(record[scratch : scratch + width + carry.size], lanes)
    fed = record[scratch + width : scratch + width + carry.size]
    if not moving.all():
        for m in range(LANES):
            if not moving[m]:
                fed[m::LANES] = given[m::LANES] + carry[m::LANES]
    carry[:] = fed
    return record[scratch : scratch + width]


@jit
def add_noise(z, xi, factor, inverse_shots):
    """Add measurement noise to exact readouts; xi has one row per readout."""
    for at in range(0, z.size, LANES):
        mean = load(z, at) * full_like(load(z, at), factor)
        if inverse_shots > 0:
            one, zero = full_like(mean, 1), full_like(mean, 0)
            variance = (one - mean) * (one + mean) * full_like(mean, inverse_shots)
            variance = where_less(variance, zero, zero, variance)
            mean = mean + sqrt(variance) * load(xi, at)
        store(z, at, mean)


@kernel_jit
def forward_sequence(
    share,
    start,
    stop,
    team,
    psi_in,
    psi_out,
    x,
    z_start,
    z,
    active,
    xi,
    factor,
    inverse_shots,
    kind,
    layers,
    weights,
    biases,
    program,
    size,
):
    """Advance some blocks by T steps.

    Args:
        share: number of this thread.
        start: the first block.
        stop: one more than the last block.
        team: the threads that share these blocks; see `team.team_of`.
        psi_in: (blocks, rows 2 LANES) states.
        psi_out: likewise, written.
        x: (T, B, D) inputs.
        z_start: (B, R) readouts before the first step.
        z: (T, B, R) readouts, written.
        active: (T, B) whether a sequence is active; (0, B): all are.
        xi: (T, B, R) standard normal numbers, or (0, B, R).
        factor: of each readout, 1 without depolarizing noise.
        inverse_shots: 1 / S, or 0.
        kind: the controller's activation.
        layers: see `qrnn.memory.kernels.cpu.controller`.
        weights: flat weights of all layers.
        biases: flat biases of all layers.
        program: see `layout.tables`.
        size: size of a record.
    """
    lanes = program[8]
    for block in range(start, stop):
        first = block * block_size(lanes)
        psi = psi_out[block]
        copy_together(psi_in[block], psi, team)
        work = scratch_for(psi, program, team)
        record = np.empty(size, psi.dtype)
        cs = np.empty(layers[-1, 1] * ROW, psi.dtype)
        before = np.empty(z.shape[2] * LANES, psi.dtype)
        now = np.empty_like(before)
        noise = np.empty_like(before)
        moving = np.empty(LANES, np.bool_)
        gather(z_start, first, before, lanes)
        for t in range(x.shape[0]):
            paused = not moving_lanes(active, t, first, moving, lanes)
            if not moving.any():
                if leads(team):
                    scatter(before, first, z[t], lanes)
                continue
            angles_of(x[t], first, before, kind, layers, weights, biases, record, cs, lanes)
            stay = psi.copy() if paused else psi
            advance(psi, cs, program, work, now, True, True)
            if factor != 1 or inverse_shots > 0:
                if xi.shape[0] > 0:
                    gather(xi[t], first, noise, lanes)
                add_noise(now, noise, factor, inverse_shots)
            if paused:
                keep_inactive(stay, psi, moving)
                keep_inactive(before, now, moving)
            if leads(team):
                scatter(now, first, z[t], lanes)
            before, now = now, before


@kernel_jit
def backward_sequence(
    share,
    start,
    stop,
    team,
    psi_out,
    lam_out,
    psi_in,
    lam_in,
    x,
    z_start,
    z,
    grad_z,
    active,
    factor,
    kind,
    layers,
    weights,
    transposed,
    biases,
    program,
    size,
    grad_x,
    grad_z_start,
    grad_weights,
    grad_biases,
):
    """Take some blocks T steps back.

    The controller is rerun at each step, so that its activations need not be stored.

    Args:
        share: see `forward_sequence`.
        start: see `forward_sequence`.
        stop: see `forward_sequence`.
        team: see `forward_sequence`.
        psi_out: (blocks, rows 2 LANES) states after the last step.
        lam_out: likewise, their cotangent.
        psi_in: likewise, written: the states before the first step.
        lam_in: likewise, written: their cotangent.
        x: see `forward_sequence`.
        z_start: see `forward_sequence`.
        z: (T, B, R) readouts as they were fed back.
        grad_z: likewise, their cotangent without the feedback.
        active: see `forward_sequence`.
        factor: see `forward_sequence`.
        kind: see `forward_sequence`.
        layers: see `forward_sequence`.
        weights: see `forward_sequence`.
        transposed: flat; each layer's weights transposed.
        biases: see `forward_sequence`.
        program: see `layout.tables`.
        size: see `forward_sequence`.
        grad_x: (T, B, D) cotangent of the inputs, written; (0, B, D): not requested.
        grad_z_start: (B, R) cotangent of z_start, written.
        grad_weights: (threads, weights) written.
        grad_biases: (threads, biases) written.
    """
    lanes = program[8]
    width, readouts = x.shape[2] * LANES, z.shape[2] * LANES
    weights_now, biases_now = grad_weights[share], grad_biases[share]
    weights_now[:] = 0
    biases_now[:] = 0
    records = np.empty(RECORDS * size, psi_in.dtype)
    cs = np.empty(layers[-1, 1] * ROW, psi_in.dtype)
    grads = np.empty(layers[-1, 1] * LANES, psi_in.dtype)
    gz = np.empty(readouts, psi_in.dtype)
    before, given, carry = np.empty_like(gz), np.empty_like(gz), np.empty_like(gz)
    moving = np.empty(LANES, np.bool_)
    for block in range(start, stop):
        first = block * block_size(lanes)
        psi, lam = psi_in[block], lam_in[block]
        copy_together(psi_out[block], psi, team)
        copy_together(lam_out[block], lam, team)
        work = scratch_for(psi, program, team)
        carry[:] = 0
        held = 0
        for t in range(x.shape[0] - 1, -1, -1):
            gather(z[t - 1] if t > 0 else z_start, first, before, lanes)
            record = records[held * size : (held + 1) * size]
            angles_of(x[t], first, before, kind, layers, weights, biases, record, cs, lanes)
            gather(grad_z[t], first, given, lanes)
            for i in range(readouts):
                gz[i] = (given[i] + carry[i]) * factor
            paused = not moving_lanes(active, t, first, moving, lanes)
            if paused:
                for m in range(LANES):
                    if not moving[m]:
                        gz[m::LANES] = 0
            undo_block(psi, lam, cs, moving, program, work, gz, grads)
            inputs = angles_to_inputs(
                kind, layers, transposed, biases, record, grads, width, given, carry, moving, lanes
            )
            if grad_x.shape[0] > 0 and leads(team):
                scatter(inputs, first, grad_x[t], lanes)
            held += 1
            if held == RECORDS or t == 0:
                if leads(team):
                    weight_gradients(layers, records, held, size, weights_now, biases_now)
                held = 0
        if leads(team):
            scatter(carry, first, grad_z_start, lanes)
