"""What the machine can do, and what the kernels ask of it: floating-point operations."""

import time

import numpy as np

from qrnn.memory.kernels.cpu.gates import jit
from qrnn.memory.kernels.cpu.simd import LANES, full_like, load, store


@jit
def multiply_add(values, repeats):
    """Run twelve independent chains of fused multiply-adds."""
    x = load(values, 0)
    a, b, c, d, e, f = x, x, x, x, x, x
    g, h, i, j, k, m = x, x, x, x, x, x
    y, z = full_like(x, 0.999), full_like(x, 0.001)
    for _ in range(repeats):
        a, b, c, d = a * y + z, b * y + z, c * y + z, d * y + z
        e, f, g, h = e * y + z, f * y + z, g * y + z, h * y + z
        i, j, k, m = i * y + z, j * y + z, k * y + z, m * y + z
    store(values, 0, a + b + c + d + e + f + g + h + i + j + k + m)


def peak_flops() -> float:
    """Return the single-precision operations a second of one thread, a multiply-add being two."""
    values, repeats = np.zeros(LANES, np.float32), 10_000_000
    multiply_add(values, 1)
    best = float("inf")
    for _ in range(5):
        start = time.perf_counter()
        multiply_add(values, repeats)
        best = min(best, time.perf_counter() - start)
    return repeats * 12 * LANES * 2 / best


def kernel_flops(n: int, layers: int = 2, width: int = 64, features: int = 8) -> int:
    """Return the operations of one sequence-step, forward and backward, of the benchmark's cell.

    Counted on the algorithm, not on the machine: a multiply and an add are one each. RY on a pair
    of complex amplitudes is 12, and reversed with its gradient on psi and lambda 32; a phase is 6
    an amplitude, and its table as much again.
    """
    size, pairs = 2**n, n * 2 ** (n - 1)
    forward = layers * (12 * pairs + 20 * size) + 8 * pairs + 5 * size
    backward = layers * (32 * pairs + 30 * size) + 16 * pairs + 5 * size
    inputs, angles = features + 3 * n, 2 * n * layers
    controller = 2 * width * (inputs + angles)
    return forward + backward + 4 * controller  # run twice, and reversed for inputs and weights
