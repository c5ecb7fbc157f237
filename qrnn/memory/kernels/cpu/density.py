"""The steps of a noisy circuit on the CPU (numba): density matrices as values of Pauli words.

A *block* holds LANES sequences: a flat array with a row of LANES values for each of the N numbers
of a state, the Pauli words of each group of qubits. The program is that of
`qrnn.memory.kernels.density_program`. Channels cannot be undone, so the backward pass runs a step
again and keeps the state before each instruction.
"""

from __future__ import annotations

import numpy as np

from qrnn.memory.kernels.cpu.gates import ROW, add_to
from qrnn.memory.kernels.cpu.jit import jit, kernel_jit
from qrnn.memory.kernels.cpu.simd import LANES, full_like, load, splat, store
from qrnn.memory.kernels.cpu.step import keep_inactive
from qrnn.memory.kernels.density_program import LOCAL, PARTS, PERMUTE

MAP = 12 * LANES  # a one-qubit map: rows X, Z and Y, columns I, X, Z and Y
DEPOLARIZING, PHASE_DAMPING = PARTS["depolarizing"], PARTS["phase_damping"]


@jit
def entry(row, column):
    """Return the position of an entry of a map."""
    return (4 * row + column) * LANES


@jit
def turned_rows(kind):
    """Return the rows a and b of a rotation: a' = c a + s b, b' = c b - s a."""
    a = (4 - kind) % 3
    return a, (a + 1) % 3


@jit
def build_map(maps, parts, first, stop, cs):
    """Write the maps of the first 0, 1, 2, ... parts of a LOCAL; return that of all."""
    one = load(cs, 0)
    for row in range(3):
        for column in range(4):
            store(maps[0], entry(row, column), full_like(one, row + 1 == column))
    for p in range(first, stop):
        kind, slot = parts[p]
        c, s = load(cs, slot * ROW), load(cs, slot * ROW + LANES)
        old, new = maps[p - first], maps[p - first + 1]
        if kind < DEPOLARIZING:
            a, b = turned_rows(kind)
            for column in range(4):
                x, y = load(old, entry(a, column)), load(old, entry(b, column))
                store(new, entry(a, column), c * x + s * y)
                store(new, entry(b, column), c * y - s * x)
                store(new, entry(3 - a - b, column), load(old, entry(3 - a - b, column)))
            continue
        z = full_like(c, 1)
        if kind == DEPOLARIZING:
            z = c
        elif kind != PHASE_DAMPING:
            z = c * c
        for column in range(4):
            store(new, entry(0, column), c * load(old, entry(0, column)))
            store(new, entry(1, column), z * load(old, entry(1, column)))
            store(new, entry(2, column), c * load(old, entry(2, column)))
        if kind > PHASE_DAMPING:
            add_to(new, entry(1, 0), s * s)
    return maps[stop - first]


@jit
def undo_map(maps, grad, parts, first, stop, cs, grads):
    """Add the gradients of a LOCAL's slots, for the cotangent of its map; overwrites `grad`."""
    for p in range(stop - 1, first - 1, -1):
        kind, slot = parts[p]
        c, s = load(cs, slot * ROW), load(cs, slot * ROW + LANES)
        old, new = maps[p - first], maps[p - first + 1]
        g = full_like(c, 0)
        if kind < DEPOLARIZING:
            a, b = turned_rows(kind)
            for column in range(4):
                ga, gb = load(grad, entry(a, column)), load(grad, entry(b, column))
                g = g + ga * load(new, entry(b, column)) - gb * load(new, entry(a, column))
                store(grad, entry(a, column), c * ga - s * gb)
                store(grad, entry(b, column), s * ga + c * gb)
            add_to(grads, slot * LANES, g)
            continue
        z, slope = full_like(c, 1), full_like(c, 0)
        if kind == DEPOLARIZING:
            z, slope = c, full_like(c, 0) - s
        elif kind != PHASE_DAMPING:
            z, slope = c * c, full_like(c, -2) * c * s
            g = g - slope * load(grad, entry(1, 0))
        for column in range(4):
            gx, gz, gy = (
                load(grad, entry(0, column)),
                load(grad, entry(1, column)),
                load(grad, entry(2, column)),
            )
            x, y = load(old, entry(0, column)), load(old, entry(2, column))
            g = g + slope * gz * load(old, entry(1, column)) - s * (gx * x + gy * y)
            store(grad, entry(0, column), c * gx)
            store(grad, entry(1, column), z * gz)
            store(grad, entry(2, column), c * gy)
        add_to(grads, slot * LANES, g)


@jit
def apply_map(source, target, stride, m):
    """Apply a one-qubit map; source and target may be the same."""
    xi, xx, xz, xy = load(m, 0), load(m, LANES), load(m, 2 * LANES), load(m, 3 * LANES)
    zi, zx, zz, zy = load(m, 4 * LANES), load(m, 5 * LANES), load(m, 6 * LANES), load(m, 7 * LANES)
    yi, yx, yz, yy = (
        load(m, 8 * LANES),
        load(m, 9 * LANES),
        load(m, 10 * LANES),
        load(m, 11 * LANES),
    )
    far = stride * LANES
    for base in range(0, source.size, 4 * far):
        for at in range(base, base + far, LANES):
            i, x = load(source, at), load(source, at + far)
            z, y = load(source, at + 2 * far), load(source, at + 3 * far)
            store(target, at, i)
            store(target, at + far, xi * i + xx * x + xz * z + xy * y)
            store(target, at + 2 * far, zi * i + zx * x + zz * z + zy * y)
            store(target, at + 3 * far, yi * i + yx * x + yz * z + yy * y)


@jit
def undo_apply_map(before, lam, stride, m, grad):
    """Take lambda back through a one-qubit map, and write the cotangent of the map."""
    xi, xx, xz, xy = load(m, 0), load(m, LANES), load(m, 2 * LANES), load(m, 3 * LANES)
    zi, zx, zz, zy = load(m, 4 * LANES), load(m, 5 * LANES), load(m, 6 * LANES), load(m, 7 * LANES)
    yi, yx, yz, yy = (
        load(m, 8 * LANES),
        load(m, 9 * LANES),
        load(m, 10 * LANES),
        load(m, 11 * LANES),
    )
    zero = full_like(xi, 0)
    gxi, gxx, gxz, gxy = zero, zero, zero, zero
    gzi, gzx, gzz, gzy = zero, zero, zero, zero
    gyi, gyx, gyz, gyy = zero, zero, zero, zero
    far = stride * LANES
    for base in range(0, lam.size, 4 * far):
        for at in range(base, base + far, LANES):
            i, x = load(before, at), load(before, at + far)
            z, y = load(before, at + 2 * far), load(before, at + 3 * far)
            u, v, w = load(lam, at + far), load(lam, at + 2 * far), load(lam, at + 3 * far)
            gxi, gxx, gxz, gxy = gxi + u * i, gxx + u * x, gxz + u * z, gxy + u * y
            gzi, gzx, gzz, gzy = gzi + v * i, gzx + v * x, gzz + v * z, gzy + v * y
            gyi, gyx, gyz, gyy = gyi + w * i, gyx + w * x, gyz + w * z, gyy + w * y
            store(lam, at, load(lam, at) + xi * u + zi * v + yi * w)
            store(lam, at + far, xx * u + zx * v + yx * w)
            store(lam, at + 2 * far, xz * u + zz * v + yz * w)
            store(lam, at + 3 * far, xy * u + zy * v + yy * w)
    for row, (gi, gx, gz, gy) in enumerate(
        ((gxi, gxx, gxz, gxy), (gzi, gzx, gzz, gzy), (gyi, gyx, gyz, gyy))
    ):
        store(grad, entry(row, 0), gi)
        store(grad, entry(row, 1), gx)
        store(grad, entry(row, 2), gz)
        store(grad, entry(row, 3), gy)


@jit
def permute(source, target, sources, scales):
    """Apply a signed permutation."""
    for k in range(sources.size):
        value = load(source, sources[k] * LANES)
        store(target, k * LANES, splat(scales, k) * value)


@jit
def undo_permute(lam, target, sources, scales):
    """Apply the transpose of a signed permutation."""
    for k in range(sources.size):
        store(target, sources[k] * LANES, splat(scales, k) * load(lam, k * LANES))


@jit
def rotate_word(source, target, word, signs, c, s):
    """Apply a rotation about a Pauli word; source and target may be the same."""
    for k in range(signs.size):
        a = load(source, k * LANES)
        if signs[k] == 0:
            store(target, k * LANES, a)
        elif k < k ^ word:
            far = (k ^ word) * LANES
            b, t = load(source, far), full_like(s, signs[k]) * s
            store(target, k * LANES, c * a + t * b)
            store(target, far, c * b - t * a)


@jit
def undo_rotate_word(after, lam, word, signs, c, s):
    """Take lambda back through a rotation, and return the gradient of its angle."""
    g = full_like(c, 0)
    for k in range(signs.size):
        if signs[k] != 0 and k < k ^ word:
            at, far = k * LANES, (k ^ word) * LANES
            u, v, sign = load(lam, at), load(lam, far), full_like(s, signs[k])
            g = g + sign * (u * load(after, far) - v * load(after, at))
            t = sign * s
            store(lam, at, c * u - t * v)
            store(lam, far, c * v + t * u)
    return g


@jit
def most_parts(program):
    """Return the largest number of parts of a LOCAL."""
    most = 0
    for kind, _, b, c in program[0]:
        if kind == LOCAL:
            most = max(most, c - b)
    return most


@jit
def apply_instruction(g, source, target, program, cs, maps):
    """Apply an instruction; source and target may be the same unless it is a PERMUTE."""
    instructions, parts, sources, scales, signs = program[:5]
    kind, a, b, c = instructions[g]
    size = source.size // LANES
    if kind == LOCAL:
        apply_map(source, target, a, build_map(maps, parts, b, c, cs))
    elif kind == PERMUTE:
        permute(source, target, sources[a, :size], scales[a, :size])
    else:
        cos, sin = load(cs, b * ROW), load(cs, b * ROW + LANES)
        rotate_word(source, target, a, signs[c, :size], cos, sin)


@jit
def step_density(state, other, cs, program, maps):
    """Advance a block, in place; `other` is space of the same size."""
    instructions, groups = program[0], program[5]
    for first, last, low, high in groups:
        here, there = state[low * LANES : high * LANES], other[low * LANES : high * LANES]
        moved = False
        for g in range(first, last):
            if instructions[g, 0] == PERMUTE:
                apply_instruction(g, here, there, program, cs, maps)
                here, there, moved = there, here, not moved
            else:
                apply_instruction(g, here, here, program, cs, maps)
        if moved:
            there[:] = here


@jit
def undo_density(states, lam, other, cs, program, maps, grad, grads):
    """Take lambda one step back, in place.

    Args:
        states: (G + 1, N LANES), the state before the step in the first row; overwritten.
        lam: the cotangent after the step, with that of the readouts.
        other: an array of the same size.
        cs: cosines and sines of the slot angles.
        program: see `DensityProgram.tables`.
        maps: space for the maps of a LOCAL.
        grad: space for the cotangent of a map.
        grads: (S LANES) gradients of the slot angles, written.
    """
    instructions, parts, sources, scales, signs, groups = program[:6]
    grads[:] = 0
    for first, last, low, high in groups:
        inside = slice(low * LANES, high * LANES)
        for g in range(first, last):
            before, after = states[g - first, inside], states[g - first + 1, inside]
            apply_instruction(g, before, after, program, cs, maps)
        here, there = lam[inside], other[inside]
        size, moved = high - low, False
        for g in range(last - 1, first - 1, -1):
            kind, a, b, c = instructions[g]
            before, after = states[g - first, inside], states[g - first + 1, inside]
            if kind == LOCAL:
                undo_apply_map(before, here, a, build_map(maps, parts, b, c, cs), grad)
                undo_map(maps, grad, parts, b, c, cs, grads)
            elif kind == PERMUTE:
                undo_permute(here, there, sources[a, :size], scales[a, :size])
                here, there, moved = there, here, not moved
            else:
                cos, sin = load(cs, b * ROW), load(cs, b * ROW + LANES)
                g_angle = undo_rotate_word(after, here, a, signs[c, :size], cos, sin)
                add_to(grads, b * LANES, g_angle)
        if moved:
            there[:] = here


@kernel_jit
def forward_density(share, start, stop, r_in, r_out, cs, active, program, z):
    """Advance some blocks by one step.

    Args:
        share: number of the share of the blocks; not used.
        start: the first block.
        stop: one more than the last block.
        r_in: (blocks, N LANES) values of the Pauli words.
        r_out: likewise, written.
        cs: (blocks, S 2 LANES) cosines and sines of the slot angles.
        active: (blocks, LANES) whether a sequence is active; others keep their state.
        program: see `DensityProgram.tables`.
        z: (blocks, R LANES) readouts, written.
    """
    readouts, shrink = program[6:]
    maps = np.empty((most_parts(program) + 1, MAP), r_in.dtype)
    scratch = np.empty_like(r_in[0])
    for block in range(start, stop):
        state = r_out[block]
        state[:] = r_in[block]
        step_density(state, scratch, cs[block], program, maps)
        if not active[block].all():
            keep_inactive(r_in[block], state, active[block])
        for i in range(readouts.size):
            value = load(state, readouts[i] * LANES)
            store(z[block], i * LANES, splat(shrink, i) * value)


@kernel_jit
def backward_density(
    share, start, stop, r_in, lam_out, lam_in, cs, active, program, grad_z, grads, work
):
    """Take the cotangents of some blocks one step back.

    Args:
        share: number of the share of the blocks.
        start: the first block.
        stop: one more than the last block.
        r_in: (blocks, N LANES) states before the step.
        lam_out: likewise, the cotangent of the states after it, without this step's readouts.
        lam_in: likewise, written: the cotangent of r_in.
        cs: (blocks, S 2 LANES) cosines and sines of the slot angles.
        active: (blocks, LANES) whether a sequence was active.
        program: see `DensityProgram.tables`.
        grad_z: (blocks, R LANES) cotangent of the readouts.
        grads: (blocks, S LANES) gradients of the slot angles, written.
        work: (shares, G + 3, N LANES) space.
    """
    readouts, shrink = program[6:]
    maps = np.empty((most_parts(program) + 1, MAP), r_in.dtype)
    grad = np.empty(MAP, r_in.dtype)
    states, scratch, stay = work[share, :-2], work[share, -2], work[share, -1]
    for block in range(start, stop):
        states[0] = r_in[block]
        lam = lam_in[block]
        lam[:] = lam_out[block]
        for i in range(readouts.size):
            add_to(lam, readouts[i] * LANES, splat(shrink, i) * load(grad_z[block], i * LANES))
        paused = not active[block].all()
        if paused:
            stay[:] = lam
        undo_density(states, lam, scratch, cs[block], program, maps, grad, grads[block])
        if paused:
            keep_inactive(stay, lam, active[block])
            for m in range(LANES):
                if not active[block, m]:
                    grads[block, m::LANES] = 0
