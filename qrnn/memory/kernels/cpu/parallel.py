"""Kernels on independent blocks, in numba's threads.

A loop of numba calls back into Python, once for each thread, and Python calls the kernel, which
releases the GIL. So one loop, compiled in a second, serves all kernels, and with one thread no
parallel region is entered: on a busy machine it takes several times as long as the kernel.
"""

from __future__ import annotations

import ctypes
import threading
from collections.abc import Callable
from contextlib import nullcontext
from functools import cache
from typing import Any

import numba as nb
import torch

from qrnn.memory.kernels.cpu.jit import kernel_jit
from qrnn.memory.kernels.cpu.team import call_at

CALLBACK = ctypes.CFUNCTYPE(None, ctypes.c_int64)
_LOOP = threading.RLock()


def loop(address, count):
    """Call the C function at an address with 0 to count - 1, in numba's threads."""
    for i in nb.prange(count):
        call_at(address, i)


def run(kernel: Callable, calls: list[tuple], *arguments: Any) -> None:
    """Run a kernel for each call, in parallel: a call's arguments come before those of all.

    Torch's operations run in the same threads (OpenMP's). Those wait for their next work in a loop,
    so threads of any other kind would compete with them for the cores.

    Args:
        kernel: a function that releases the GIL.
        calls: (number, first block, last + 1, ...) of each thread.
        *arguments: of all calls.
    """
    most: int = nb.config.NUMBA_NUM_THREADS  # type: ignore[attr-defined]
    if min(len(calls), most) == 1:
        for call in calls:
            kernel(*call, *arguments)
        return
    number, start, _, *team = calls[0]
    kernel(number, start, start, *team, *arguments)  # no block: compiles it here, not in a thread
    failed: list[BaseException] = []
    finished: list[int] = []

    def begin(i: int) -> None:
        try:
            kernel(*calls[i], *arguments)
            finished.append(i)
        except BaseException as error:  # raised below: C code cannot pass it on
            failed.append(error)

    callback = CALLBACK(begin)
    _start_threads()
    with nullcontext() if _loops_may_overlap() else _LOOP:
        threads = nb.get_num_threads()
        nb.set_num_threads(min(len(calls), most))
        _compiled_loop()(ctypes.cast(callback, ctypes.c_void_p).value, len(calls))
        nb.set_num_threads(threads)  # the user's own kernels have as many as before
    if failed:
        raise failed[0]
    if len(finished) < len(calls):  # Ctrl-C at the entry of a callback, which ctypes ignores
        raise KeyboardInterrupt


@cache
def _compiled_loop() -> Callable:
    return kernel_jit(loop, parallel=True)


@cache
def _start_threads() -> None:
    """Start numba's threads; with OpenMP, that sets the number of torch's, which is set back."""
    count = torch.get_num_threads()
    nb.set_num_threads(1)
    torch.set_num_threads(count)


def _loops_may_overlap() -> bool:
    """Return whether several Python threads may run loops; False before the first run.

    Without OpenMP or TBB, numba aborts the process when they do.
    """
    try:
        return nb.threading_layer() != "workqueue"
    except ValueError:
        return False
