"""Floating-point operations: the peak of this machine, and the number that the kernels need."""

import time

import numba
import numpy as np

from qrnn.memory.kernels.cpu.jit import OPTIONS
from qrnn.memory.kernels.cpu.simd import LANES, full_like, load, store


@numba.njit(**OPTIONS)
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
    """Return the single-precision operations per second of one thread; a multiply-add is two."""
    values, repeats = np.zeros(LANES, np.float32), 10_000_000
    multiply_add(values, 1)
    best = float("inf")
    for _ in range(5):
        start = time.process_time()
        multiply_add(values, repeats)
        best = min(best, time.process_time() - start)
    return repeats * 12 * LANES * 2 / best


def kernel_flops(n: int, layers: int = 2, width: int = 64, features: int = 8) -> int:
    """Return the operations of the benchmark's cell per sequence and step, forward and backward.

    Counted from the algorithm; a multiply and an add are one each. RY on a pair of complex
    amplitudes takes 12; undone on psi and lambda, with its gradient, 32. A phase takes 6 per
    amplitude, and its table as many again.
    """
    size, pairs = 2**n, n * 2 ** (n - 1)
    forward = layers * (12 * pairs + 20 * size) + 8 * pairs + 5 * size
    backward = layers * (32 * pairs + 30 * size) + 16 * pairs + 5 * size
    inputs, angles = features + 3 * n, 2 * n * layers
    controller = 2 * width * (inputs + angles)
    return forward + backward + 4 * controller  # forward twice, backward for inputs and for weights
