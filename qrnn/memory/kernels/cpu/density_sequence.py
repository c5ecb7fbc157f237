"""Whole sequences of a noisy circuit in one call: controller, gates and readouts of T steps.

For density matrices, as `qrnn.memory.kernels.cpu.sequence` is for amplitudes. Channels cannot be
undone: the forward pass keeps every k-th state, and the backward pass computes those between again.
"""

from __future__ import annotations

import numpy as np

from qrnn.memory.kernels.cpu.controller import weight_gradients
from qrnn.memory.kernels.cpu.density import MAP, most_parts, step_density, undo_density
from qrnn.memory.kernels.cpu.gates import ROW, add_to
from qrnn.memory.kernels.cpu.jit import kernel_jit
from qrnn.memory.kernels.cpu.sequence import (
    RECORDS,
    add_noise,
    angles_of,
    angles_to_inputs,
    gather,
    moving_lanes,
    scatter,
)
from qrnn.memory.kernels.cpu.simd import LANES, load, splat, store
from qrnn.memory.kernels.cpu.step import keep_inactive


@kernel_jit
def forward_density_sequence(
    share,
    start,
    stop,
    r_in,
    r_out,
    kept,
    every,
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
    """Advance some blocks by T steps; for arguments not named here, see `forward_sequence`.

    Args:
        share: number of the share of the blocks; not used.
        start: the first block.
        stop: one more than the last block.
        r_in: (blocks, N LANES) values of the Pauli words.
        r_out: likewise, written.
        kept: (ceil(T / every), blocks, N LANES) written: the state before each k-th step; (0,
            blocks, ...): not requested.
        every: k.
        x: (T, B, D) inputs.
        z_start: (B, R) readouts before the first step.
        z: (T, B, R) readouts, written.
        active: (T, B) whether a sequence is active; (0, B): all are.
        xi: (T, B, R) standard normal numbers, or (0, B, R).
        factor: of each readout.
        inverse_shots: 1 / S, or 0.
        kind: the controller's activation.
        layers: see `qrnn.memory.kernels.cpu.controller`.
        weights: flat weights of all layers.
        biases: flat biases of all layers.
        program: see `DensityProgram.tables`.
        size: size of a record.
    """
    readouts, shrink = program[6:]
    maps = np.empty((most_parts(program) + 1, MAP), r_in.dtype)
    scratch, stay = np.empty_like(r_in[0]), np.empty_like(r_in[0])
    record = np.empty(size, r_in.dtype)
    cs = np.empty(layers[-1, 1] * ROW, r_in.dtype)
    before = np.empty(z.shape[2] * LANES, r_in.dtype)
    now, noise = np.empty_like(before), np.empty_like(before)
    moving = np.empty(LANES, np.bool_)
    for block in range(start, stop):
        first, state = block * LANES, r_out[block]
        state[:] = r_in[block]
        gather(z_start, first, before, None)
        for t in range(x.shape[0]):
            if kept.shape[0] > 0 and t % every == 0:
                kept[t // every, block] = state
            paused = not moving_lanes(active, t, first, moving, None)
            if not moving.any():
                scatter(before, first, z[t], None)
                continue
            angles_of(x[t], first, before, kind, layers, weights, biases, record, cs, None)
            if paused:
                stay[:] = state
            step_density(state, scratch, cs, program, maps)
            for i in range(readouts.size):
                value = load(state, readouts[i] * LANES)
                store(now, i * LANES, splat(shrink, i) * value)
            if factor != 1 or inverse_shots > 0:
                if xi.shape[0] > 0:
                    gather(xi[t], first, noise, None)
                add_noise(now, noise, factor, inverse_shots)
            if paused:
                keep_inactive(stay, state, moving)
                keep_inactive(before, now, moving)
            scatter(now, first, z[t], None)
            before, now = now, before


@kernel_jit
def backward_density_sequence(
    share,
    start,
    stop,
    kept,
    every,
    lam_out,
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
    segments,
    work,
):
    """Take the cotangents of some blocks T steps back; see also `backward_sequence`.

    Args:
        share: number of the share of the blocks.
        start: the first block.
        stop: one more than the last block.
        kept: from the forward pass.
        every: see `forward_density_sequence`.
        lam_out: (blocks, N LANES) cotangent of the states after the last step.
        lam_in: likewise, written: that of the states before the first step.
        x: see `forward_density_sequence`.
        z_start: see `forward_density_sequence`.
        z: (T, B, R) readouts as they were fed back.
        grad_z: likewise, their cotangent without the feedback.
        active: see `forward_density_sequence`.
        factor: see `forward_density_sequence`.
        kind: see `forward_density_sequence`.
        layers: see `forward_density_sequence`.
        weights: see `forward_density_sequence`.
        transposed: flat; each layer's weights transposed.
        biases: see `forward_density_sequence`.
        program: see `DensityProgram.tables`.
        size: see `forward_density_sequence`.
        grad_x: (T, B, D) cotangent of the inputs, written; (0, B, D): not requested.
        grad_z_start: (B, R) cotangent of z_start, written.
        grad_weights: (shares, weights) written.
        grad_biases: (shares, biases) written.
        segments: (shares, every, N LANES) space for the states between two kept ones.
        work: (shares, G + 3, N LANES) space for those within a step.
    """
    readouts, shrink = program[6:]
    width = x.shape[2] * LANES
    weights_now, biases_now = grad_weights[share], grad_biases[share]
    weights_now[:] = 0
    biases_now[:] = 0
    maps = np.empty((most_parts(program) + 1, MAP), lam_in.dtype)
    grad = np.empty(MAP, lam_in.dtype)
    records, again = np.empty(RECORDS * size, lam_in.dtype), np.empty(size, lam_in.dtype)
    cs = np.empty(layers[-1, 1] * ROW, lam_in.dtype)
    grads = np.empty(layers[-1, 1] * LANES, lam_in.dtype)
    gz = np.empty(z.shape[2] * LANES, lam_in.dtype)
    before, given, carry = np.empty_like(gz), np.empty_like(gz), np.empty_like(gz)
    moving = np.empty(LANES, np.bool_)
    states, scratch, stay = work[share, :-2], work[share, -2], work[share, -1]
    between = segments[share]
    for block in range(start, stop):
        first, lam = block * LANES, lam_in[block]
        lam[:] = lam_out[block]
        carry[:] = 0
        held = 0
        for t in range(x.shape[0] - 1, -1, -1):
            at = t % every
            if t == x.shape[0] - 1 or at == every - 1:
                between[0] = kept[t // every, block]
                for k in range(at):
                    u = t - at + k
                    gather(z[u - 1] if u > 0 else z_start, first, before, None)
                    angles_of(x[u], first, before, kind, layers, weights, biases, again, cs, None)
                    between[k + 1] = between[k]
                    step_density(between[k + 1], scratch, cs, program, maps)
                    if not moving_lanes(active, u, first, moving, None):
                        keep_inactive(between[k], between[k + 1], moving)
            gather(z[t - 1] if t > 0 else z_start, first, before, None)
            record = records[held * size : (held + 1) * size]
            angles_of(x[t], first, before, kind, layers, weights, biases, record, cs, None)
            gather(grad_z[t], first, given, None)
            for i in range(gz.size):
                gz[i] = (given[i] + carry[i]) * factor
            paused = not moving_lanes(active, t, first, moving, None)
            if paused:
                stay[:] = lam
                for m in range(LANES):
                    if not moving[m]:
                        gz[m::LANES] = 0
            for i in range(readouts.size):
                add_to(lam, readouts[i] * LANES, splat(shrink, i) * load(gz, i * LANES))
            states[0] = between[at]
            undo_density(states, lam, scratch, cs, program, maps, grad, grads)
            if paused:
                keep_inactive(stay, lam, moving)
                for m in range(LANES):
                    if not moving[m]:
                        grads[m::LANES] = 0
            inputs = angles_to_inputs(
                kind, layers, transposed, biases, record, grads, width, given, carry, moving, None
            )
            if grad_x.shape[0] > 0:
                scatter(inputs, first, grad_x[t], None)
            held += 1
            if held == RECORDS or t == 0:
                weight_gradients(layers, records, held, size, weights_now, biases_now)
                held = 0
        scatter(carry, first, grad_z_start, None)
