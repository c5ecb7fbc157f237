"""The kernels for CPUs, in numba."""
