"""Compilation of the kernels: their parts are code for kernels and for others, not for Python."""

import numba
import numpy as np
import pytest
from numba.core.caching import NullCache

from qrnn.memory.kernels.cpu import jit as kernel_compiler

VALUES = np.arange(4, dtype=np.float32)


@kernel_compiler.jit
def doubled(values):
    return values + values


@kernel_compiler.jit
def largest(values):
    return doubled(values).max()


def compiled(function, **options):
    """Compile a kernel, but do not save it."""
    kernel = kernel_compiler.kernel_jit(function, **options)
    kernel._cache = NullCache()
    return kernel


def test_parts_are_in_kernels_and_in_the_functions_of_others():
    assert compiled(lambda values: largest(values) + 1)(VALUES) == 7
    assert numba.njit(lambda values: largest(values) + values.max())(VALUES) == 9


def test_a_parallel_kernel_has_the_parts_of_its_loop():
    def fill(out, values):
        for i in numba.prange(len(out)):
            out[i] = largest(values) + i

    out = np.empty(3)
    compiled(fill, parallel=True)(out, VALUES)
    assert out.tolist() == [6, 7, 8]


def test_a_part_cannot_be_called_from_python():
    compiled(lambda values: largest(values) + 1)(VALUES)
    with pytest.raises(TypeError, match="not callable"):
        largest(VALUES)
