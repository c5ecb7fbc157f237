"""Where the fused kernels spend their time: one block of sequences, one thread.

    python benchmarks/kernels.py [N_QUBITS]

Prints nanoseconds per sequence and step for each part, forward and backward.
"""

import sys
import time

import numba
import numpy as np
import torch
from peak import kernel_flops, peak_flops
from systems import N_FEATURES

from qrnn import QRNN
from qrnn.memory.fused_sequence import pack
from qrnn.memory.kernels.cpu import controller as controller_kernels
from qrnn.memory.kernels.cpu import sequence as sequence_kernels
from qrnn.memory.kernels.cpu import step as step_kernels
from qrnn.memory.kernels.cpu.gates import ROW
from qrnn.memory.kernels.cpu.jit import OPTIONS
from qrnn.memory.kernels.cpu.layout import tables
from qrnn.memory.kernels.cpu.simd import LANES
from qrnn.memory.kernels.cpu.team import team_of

REPEATS, RECORDS = 200, 8
PARTS = (
    "controller",
    "gates",
    "readouts",
    "readouts, backward",
    "gates, backward",
    "controller, backward",
    "weight gradients",
)


@numba.njit(**OPTIONS)
def repeat(
    part, repeats, x, z, packed, program, psi, lam, cs, grad_z, grads, records, team, gradients
):
    """Run one part `repeats` times on one block."""
    kind, layers, weights, transposed, biases, size = packed
    record, work = records[:size], step_kernels.scratch_for(psi, program, team)
    for _ in range(repeats):
        if part == 0:
            sequence_kernels.angles_of(
                x, 0, z, kind, layers, weights, biases, record, cs, program[8]
            )
        elif part == 1:
            step_kernels.advance(psi, cs, program, work, z, True, False)
        elif part == 2:
            step_kernels.advance(psi, cs, program, work, z, False, True)
        elif part == 3:
            step_kernels.undo_stages(psi, lam, cs, program, work, grad_z, grads, False, True)
        elif part == 4:
            step_kernels.undo_stages(psi, lam, cs, program, work, grad_z, grads, True, False)
        elif part == 5:
            scratch = layers[-1, 5] + layers[-1, 1]
            controller_kernels.control_backward(kind, layers, transposed, biases, record, scratch)
        else:
            controller_kernels.weight_gradients(layers, records, 8, size, *gradients)


def main() -> None:
    """Time each part and print a table."""
    n = int(sys.argv[1]) if len(sys.argv) > 1 else 8
    torch.manual_seed(0)
    cell = QRNN(N_FEATURES, n).cell
    packed = pack(
        cell.controller,
        cell.quantum.bias,
        cell.memory.slots.affine(cell.circuit.affine()),
        cell.input_size + cell.n_readouts,
    )
    weights, biases = packed.weights.detach().numpy(), packed.biases.detach().numpy()
    program = tables(cell.memory.program, np.float32, spread=False)
    draw = np.random.default_rng(0)

    def values(*shape):
        return draw.normal(size=shape, scale=0.1).astype(np.float32)

    with team_of(1, max(packed.layers[-1, 1], 3 * n) * LANES, np.dtype(np.float32)) as alone:
        (team,) = alone
    slots, size = packed.layers[-1, 1], packed.size * LANES
    arguments = (
        values(LANES, N_FEATURES),
        values(3 * n * LANES),
        (packed.kind, packed.layers, weights, packed.transposed.numpy(), biases, size),
        program,
        values(2**n * ROW),
        values(2**n * ROW),
        values(slots * ROW),
        values(3 * n * LANES),
        values(slots * LANES),
        values(RECORDS * size),
        team,
        (np.zeros_like(weights), np.zeros_like(biases)),
    )
    psi, lam, cs = arguments[4:7]
    total = 0.0
    for part, name in enumerate(PARTS):
        repeat(part, 1, *arguments)
        best = float("inf")
        for _ in range(15):
            psi[:], lam[:], cs[:] = values(psi.size), values(psi.size), 0.7  # no overflow
            start = time.perf_counter()
            repeat(part, REPEATS, *arguments)
            best = min(best, time.perf_counter() - start)
        nanoseconds = 1e9 * best / REPEATS / LANES
        if name == "weight gradients":
            nanoseconds /= RECORDS
        total += nanoseconds * (
            2 if part == 0 else 1
        )  # the controller runs again in the backward pass
        print(f"{name:<22}{nanoseconds:8.0f} ns")
    share = kernel_flops(n) / (1e-9 * total) / peak_flops()
    print(f"{'total':<22}{total:8.0f} ns, {100 * share:.0f}% of the multiply-add peak")


if __name__ == "__main__":
    main()
