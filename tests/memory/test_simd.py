"""Vectors of LANES numbers: they build on internals of numba and llvmlite."""

from importlib.metadata import version

import numba
import numpy as np
import pytest


def values():
    """Return what each operation gives on two vectors, and what numpy gives."""
    from qrnn.memory.kernels.cpu import simd

    @numba.njit
    def write(x, y, out, total):
        a, b = simd.load(x, 0), simd.load(y, 0)
        simd.store(out[0], 0, a + b)
        simd.store(out[1], 0, a - b)
        simd.store(out[2], 0, a * b)
        simd.store(out[3], 0, a / b)
        simd.store(out[4], 0, simd.rint(a))
        simd.store(out[5], 0, simd.floor(a))
        simd.store(out[6], 0, simd.absolute(a))
        simd.store(out[7], 0, simd.sqrt(b))
        simd.store(out[8], 0, simd.where_less(a, b, b, a))
        simd.store(out[9], 0, simd.power_of_two(simd.rint(a)))
        simd.store(out[10], 0, simd.splat(x, 1) * simd.full_like(a, 2))
        total[0] = simd.total(a)

    x, y = np.random.default_rng(0).uniform((-9,), (9,), (2, simd.LANES)).astype(np.float32)
    y = abs(y) + 1
    out, total = np.zeros((11, simd.LANES), np.float32), np.zeros(1, np.float32)
    write(x, y, out, total)
    rounded = [np.rint(x), np.floor(x), abs(x), np.sqrt(y), np.maximum(x, y), 2 ** np.rint(x)]
    expected = [x + y, x - y, x * y, x / y, *rounded, np.full_like(x, 2 * x[1])]
    return [*out, total], [*expected, [x.sum()]]


@pytest.mark.core
def test_vectors_work_with_the_numba_and_llvmlite_that_are_installed():
    broken = None
    try:
        found, expected = values()
        for got, right in zip(found, expected, strict=True):
            np.testing.assert_allclose(got, right, rtol=1e-5)
    except Exception as error:
        broken = f"{type(error).__name__}: {str(error).strip().splitlines()[0]}"
    if broken:  # outside the handler: one line, without the traceback
        pytest.fail(
            f"numba {version('numba')} and llvmlite {version('llvmlite')} break "
            "qrnn/memory/kernels/cpu/simd.py: adapt it, or exclude them by the upper bounds in "
            f"pyproject.toml and run `make lock` ({broken})",
            pytrace=False,
        )
