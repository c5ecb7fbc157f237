"""One time step of the fused device on the CPU: gates and readouts, forward and backward."""

from __future__ import annotations

import numpy as np

from qrnn.memory.kernels.cpu.diagonal import add_z_cotangent, diagonal, read_z, undo_diagonal
from qrnn.memory.kernels.cpu.gates import (
    ROW,
    add_to,
    entries_in,
    grad_phase,
    grad_rotate,
    lane_bits,
    lanes_in,
    matrix,
    mix,
    phase,
    rotate,
    rotate_y,
    rotate_y2,
    undo_rotate_y,
    undo_rotate_y2,
)
from qrnn.memory.kernels.cpu.jit import jit, kernel_jit
from qrnn.memory.kernels.cpu.layout import (
    READ_LANES,
    READ_WORD,
    READ_XY,
    READ_Z,
    ROTATE_LANES,
)
from qrnn.memory.kernels.cpu.readouts import (
    add_word_cotangent,
    add_xy_cotangent,
    read_word,
    read_xy,
)
from qrnn.memory.kernels.cpu.simd import LANES, full_like, load
from qrnn.memory.kernels.cpu.spread import (
    add_lanes_cotangent,
    matrix_lanes,
    read_lanes,
    rotate_lanes,
    sum_lanes,
    undo_rotate_lanes,
)
from qrnn.memory.kernels.cpu.team import (
    copy_together,
    leads,
    share_of,
    sum_together,
    wait,
)
from qrnn.memory.kernels.cpu.tiles import here, holds, part_of, put_back, tile_of, word_on
from qrnn.memory.kernels.program import DIAGONAL, MATRIX, PHASE, ROTATE, ROTATE_Y, ROTATE_Y2


@jit
def scratch_for(psi, program, team):
    """Return tables (of phases or sums) for a tile's high and low bits, two tiles, the team."""
    stages = program[6]
    bits, copied = 0, 0
    for _, _, _, low, high in stages:
        bits = max(bits, low + high)
        if high > 0:
            copied = max(copied, ROW << (low + high))
    tables = np.empty((4, (1 << (bits - bits // 2)) * ROW), psi.dtype)
    return tables, np.empty(copied, psi.dtype), np.empty(copied, psi.dtype), team


@jit
def constants_of(constants, layer):
    """Return the constants of a diagonal layer, and their signs."""
    return constants[0][layer], constants[1][layer]


@jit
def angle_of(cs, slot, mask, lanes):
    """Return cosine and sine of a slot; 1 and 0 in lanes where a bit of the mask is 0."""
    c, s = load(cs, slot * ROW), load(cs, slot * ROW + LANES)
    on = lanes_in(mask, lanes, c)
    return mix(on, c, full_like(c, 1)), on * s


@jit
def run(psi, cs, program, tables, z, tile, first, stop):
    """Run instructions first to stop - 1 on a tile, adding readouts to z."""
    instructions, matrices, z_slots, constants, pairs, z_out, _, in_lanes, lanes = program
    for g in range(first, stop):
        kind, a, b, control, slot, n_y = instructions[g]
        if kind == ROTATE_Y2:
            rotate_y2(psi, here(a, tile, lanes), here(b, tile, lanes), cs, slot, control)
        elif kind == ROTATE_Y:
            rotate_y(psi, here(a, tile, lanes), cs, slot)
        elif kind == ROTATE_LANES:
            rotate_lanes(psi, cs, instructions[g, 1:5], lanes)
        elif kind == DIAGONAL:
            phases = constants_of(constants, slot)
            diagonal(psi, tables, z_slots[slot], phases, cs, tile, lanes)
        elif kind == READ_XY:
            read_xy(psi, here(a, tile, lanes), here(b, tile, lanes), pairs[slot], z)
        elif kind == READ_Z:
            read_z(psi, z_out, tables, z, tile, lanes)
        elif kind == READ_LANES:
            read_lanes(psi, in_lanes, z, lanes)
        elif kind == READ_WORD:
            read_word(psi, word_on(a, b, n_y, tile, lanes), slot, z, lanes)
        elif kind == ROTATE:
            if holds(control, tile, lanes):
                c, s = angle_of(cs, slot, control, lanes)
                word = word_on(a, b, n_y, tile, lanes)
                rotate(psi, word, here(control, tile, lanes), c, s, lanes)
        elif kind == PHASE:
            if holds(a, tile, lanes):
                c, s = angle_of(cs, slot, a, lanes)
                phase(psi, here(a, tile, lanes), c, s)
        elif kind == MATRIX and holds(control, tile, lanes):
            constant_gate(psi, a, control, matrices[slot], False, tile, lanes)


@jit
def constant_gate(psi, bit, control, entries, adjoint, tile, lanes):
    """Apply a constant 2x2 gate, or its adjoint."""
    vectors = entries_in(lanes_in(control, lanes, load(psi, 0)), entries, adjoint)
    if bit >> lane_bits(lanes):
        matrix(psi, here(bit, tile, lanes), here(control, tile, lanes), vectors)
    else:
        matrix_lanes(psi, bit, here(control, tile, lanes), vectors, lanes)


@jit
def undo(psi, lam, cs, program, tables, grad_z, grads, tile, first, stop):
    """Undo instructions on psi and lambda, adding each slot's gradient to grads (S LANES).

    Before a readout, lambda is without its contribution 2 g O |psi>, which is added.
    """
    instructions, matrices, z_slots, constants, pairs, z_out, _, in_lanes, lanes = program
    for g in range(stop - 1, first - 1, -1):
        kind, a, b, control, slot, n_y = instructions[g]
        if kind == ROTATE_Y2:
            high, low = here(a, tile, lanes), here(b, tile, lanes)
            undo_rotate_y2(psi, lam, high, low, cs, slot, control, grads)
        elif kind == ROTATE_Y:
            undo_rotate_y(psi, lam, here(a, tile, lanes), cs, slot, grads)
        elif kind == ROTATE_LANES:
            undo_rotate_lanes(psi, lam, cs, instructions[g, 1:5], grads, lanes)
        elif kind == DIAGONAL:
            slots, phases = z_slots[slot], constants_of(constants, slot)
            undo_diagonal(psi, lam, tables, slots, phases, cs, grads, tile, lanes)
        elif kind == READ_XY:
            high, low = here(a, tile, lanes), here(b, tile, lanes)
            add_xy_cotangent(psi, lam, high, low, pairs[slot], grad_z)
        elif kind == READ_Z:
            add_z_cotangent(psi, lam, z_out, grad_z, tables, tile, lanes)
        elif kind == READ_LANES:
            add_lanes_cotangent(psi, lam, in_lanes, grad_z, lanes)
        elif kind == READ_WORD:
            add_word_cotangent(psi, lam, word_on(a, b, n_y, tile, lanes), slot, grad_z, lanes)
        elif kind == ROTATE:
            if holds(control, tile, lanes):
                c, s = angle_of(cs, slot, control, lanes)
                word, rows = word_on(a, b, n_y, tile, lanes), here(control, tile, lanes)
                back = full_like(s, 0) - s
                total = grad_rotate(psi, lam, word, rows, lanes)
                add_to(grads, slot * LANES, total * lanes_in(control, lanes, s))
                rotate(psi, word, rows, c, back, lanes)
                rotate(lam, word, rows, c, back, lanes)
        elif kind == PHASE:
            if holds(a, tile, lanes):
                c, s = angle_of(cs, slot, a, lanes)
                rows, back = here(a, tile, lanes), full_like(s, 0) - s
                total = grad_phase(psi, lam, rows)
                add_to(grads, slot * LANES, total * lanes_in(a, lanes, s))
                phase(psi, rows, c, back)
                phase(lam, rows, c, back)
        elif kind == MATRIX and holds(control, tile, lanes):
            constant_gate(psi, a, control, matrices[slot], True, tile, lanes)
            constant_gate(lam, a, control, matrices[slot], True, tile, lanes)


@jit
def row_bits(psi):
    """Return the number of bits of a block's rows."""
    n = 0
    while ROW << n < psi.size:
        n += 1
    return n


@jit
def part_to_run(stage, gates, reads):
    """Return the instructions (first, last + 1) of a stage: its gates, what it reads, or both."""
    return stage[0] if gates else stage[1], stage[2] if reads else stage[1]


@jit
def run_stages(psi, cs, program, work, z, gates, reads):
    """Run a step's gates, its readouts, or both."""
    n = row_bits(psi)
    tables, buffer, _, team = work
    for stage in program[6]:
        first, stop = part_to_run(stage, gates, reads)
        if first < stop:
            low, high = stage[3], stage[4]
            begin, end = share_of(1 << (n - low - high), team)
            for index in range(begin, end):
                tile = tile_of(index, low, high, n)
                part = part_of(psi, buffer, tile, low, high, n)
                run(part, cs, program, tables, z, tile, first, stop)
                if first < stage[1]:
                    put_back(psi, part, tile, low, high, n)
            wait(team)


@jit
def undo_stages(psi, lam, cs, program, work, grad_z, grads, gates, reads):
    """Undo a step's gates, its readouts, or both; see `undo`."""
    stages, n = program[6], row_bits(psi)
    tables, buffer, buffer_lam, team = work
    for k in range(len(stages) - 1, -1, -1):
        first, stop = part_to_run(stages[k], gates, reads)
        if first < stop:
            low, high = stages[k, 3], stages[k, 4]
            begin, end = share_of(1 << (n - low - high), team)
            for index in range(begin, end):
                tile = tile_of(index, low, high, n)
                part = part_of(psi, buffer, tile, low, high, n)
                part_lam = part_of(lam, buffer_lam, tile, low, high, n)
                undo(part, part_lam, cs, program, tables, grad_z, grads, tile, first, stop)
                if first < stages[k, 1]:
                    put_back(psi, part, tile, low, high, n)
                put_back(lam, part_lam, tile, low, high, n)
            wait(team)


@jit
def advance(psi, cs, program, work, z, gates, reads):
    """Apply all gates of one step to a block, write its readouts, or both.

    Args:
        psi: flat block.
        cs: (S 2 LANES) cosines and sines.
        program: the program's tables; see `layout.tables`.
        work: from `scratch_for`.
        z: (R LANES) readouts, written.
        gates: whether to apply the gates.
        reads: whether to read.
    """
    z[:] = 0
    run_stages(psi, cs, program, work, z, gates, reads)
    if reads:
        sum_together(z, work[3])
        sum_lanes(z, program[8])


@jit
def keep_inactive(source, target, active):
    """Copy inactive lanes from source to target, both flat blocks."""
    for m in range(LANES):
        if not active[m]:
            target[m::LANES] = source[m::LANES]


@jit
def step_block(psi, source, cs, active, program, work, z):
    """Advance one block, initially a copy of `source`, and read it."""
    if active.any():
        advance(psi, cs, program, work, z, True, False)
        if not active.all():
            keep_inactive(source, psi, active)
    advance(psi, cs, program, work, z, False, True)


@jit
def undo_block(psi, lam, cs, active, program, work, grad_z, grads):
    """Take psi and lambda of one block one step back.

    Args:
        psi: flat block, after the step.
        lam: likewise, its cotangent without the contribution 2 sum_r g_r O_r |psi> of the readouts.
        cs: (S 2 LANES) cosines and sines.
        active: (LANES,) the sequences to take back.
        program: see `layout.tables`.
        work: from `scratch_for`.
        grad_z: (R LANES) the readouts' cotangent g.
        grads: (S LANES) gradients of the slots, written.
    """
    grads[:] = 0
    if active.all():
        undo_stages(psi, lam, cs, program, work, grad_z, grads, True, True)
    else:
        undo_stages(psi, lam, cs, program, work, grad_z, grads, False, True)
        if active.any():
            stay, lam_stay = psi.copy(), lam.copy()
            undo_stages(psi, lam, cs, program, work, grad_z, grads, True, False)
            keep_inactive(stay, psi, active)
            keep_inactive(lam_stay, lam, active)
            for m in range(LANES):
                if not active[m]:
                    grads[m::LANES] = 0
    sum_together(grads, work[3])


@kernel_jit
def forward(share, start, stop, team, psi_in, psi_out, cs, active, program, z):
    """Advance some blocks by one step.

    Args:
        share: number of this thread.
        start: the first block.
        stop: one more than the last block.
        team: the threads that share these blocks; see `team.team_of`.
        psi_in: (blocks, 2^n 2 LANES) states.
        psi_out: likewise, written.
        cs: (blocks, S 2 LANES) cosines and sines of the slot angles.
        active: (blocks, LANES) whether a sequence is active; others keep their state.
        program: see `layout.tables`.
        z: (blocks, R LANES) readouts, written.
    """
    now = np.empty_like(z[0])
    for block in range(start, stop):
        psi = psi_out[block]
        copy_together(psi_in[block], psi, team)
        work = scratch_for(psi, program, team)
        step_block(psi, psi_in[block], cs[block], active[block], program, work, now)
        if leads(team):
            z[block] = now


@kernel_jit
def backward(
    share,
    start,
    stop,
    team,
    psi_out,
    lam_out,
    psi_in,
    lam_in,
    cs,
    active,
    program,
    grad_z,
    grads,
):
    """Take some blocks one step back: recompute psi_in; compute lambda_in and grads.

    Args:
        share: see `forward`.
        start: see `forward`.
        stop: see `forward`.
        team: see `forward`.
        psi_out: (blocks, 2^n 2 LANES) states after the step.
        lam_out: likewise, the cotangent of psi_out without this step's readouts.
        psi_in: likewise, written: the states before the step.
        lam_in: likewise, written: their cotangent.
        cs: (blocks, S 2 LANES) cosines and sines of the slot angles.
        active: (blocks, LANES) whether a sequence was active.
        program: see `layout.tables`.
        grad_z: (blocks, R LANES) cotangent of the readouts.
        grads: (blocks, S LANES) cotangent of the slot angles, written.
    """
    now = np.empty_like(grads[0])
    for block in range(start, stop):
        psi, lam = psi_in[block], lam_in[block]
        copy_together(psi_out[block], psi, team)
        copy_together(lam_out[block], lam, team)
        work = scratch_for(psi, program, team)
        undo_block(psi, lam, cs[block], active[block], program, work, grad_z[block], now)
        if leads(team):
            grads[block] = now
