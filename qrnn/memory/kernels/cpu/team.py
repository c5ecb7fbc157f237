"""Teams of threads that share the tiles of each block.

The members of a team all run the same code. What is no pass over amplitudes,
such as the controller, each of them computes for itself. After a stage they wait for each other
in the operating system: threads that wait in a loop take the cores from those that work.
"""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Barrier, BrokenBarrierError, Thread
from typing import Any

import numpy as np
from llvmlite import ir
from numba import types

from qrnn.memory.kernels.cpu.jit import jit
from qrnn.memory.kernels.cpu.simd import LANES, _intrinsic

# A barrier of POSIX threads has 32 bytes on Linux.
BARRIER_BYTES = 64


@_intrinsic
def call_at(typingctx, address, argument):
    """Call the C function at an address with a pointer."""

    def codegen(context, builder, sig, args):
        kind = ir.FunctionType(ir.IntType(32), [args[1].type])
        builder.call(builder.inttoptr(args[0], kind.as_pointer()), [args[1]])
        return context.get_dummy_value()

    return types.void(types.int64, types.int64), codegen


@jit
def wait(team):
    """Wait until all members have come here and have written what they computed."""
    numbers, _ = team
    if numbers[1] > 1:
        call_at(numbers[2], numbers[3])


@jit
def leads(team):
    """Return whether this thread is the member that writes what all of them have."""
    return team[0][0] == 0


@jit
def share_of(count, team):
    """Return the range of this member's items out of `count`."""
    numbers, _ = team
    return count * numbers[0] // numbers[1], count * (numbers[0] + 1) // numbers[1]


@jit
def copy_together(source, target, team):
    """Copy a flat block, each member its share."""
    start, stop = share_of(source.size // LANES, team)
    target[start * LANES : stop * LANES] = source[start * LANES : stop * LANES]
    wait(team)


@jit
def sum_together(values, team):
    """Replace flat values by their sums over the members, the same for all of them."""
    numbers, parts = team
    if numbers[1] > 1:
        parts[numbers[0], : values.size] = values
        wait(team)
        values[:] = 0
        for member in range(numbers[1]):
            for i in range(values.size):
                values[i] += parts[member, i]
        wait(team)


def idle_cores() -> int:
    """Return how many cores are idle now, this thread's included; 1 where it is not known.

    Members of a team wait for the slowest one: on a busy machine, two are slower than one.
    """
    if sys.platform != "linux":  # which has the barrier, too
        return 1
    running = Path("/proc/loadavg").read_text().split()[3].partition("/")[0]
    return (os.cpu_count() or 1) - int(running) + 1


@contextmanager
def team_of(members: int, width: int, dtype: np.dtype) -> Iterator[list[tuple]]:
    """Yield the kernels' `team` argument for each member.

    Args:
        members: number of threads.
        width: the most values that `sum_together` receives.
        dtype: their dtype.
    """
    if members == 1:
        yield [(np.array([0, 1, 0, 0]), np.empty((1, 0), dtype))]
        return
    library, barrier = ctypes.CDLL(None), np.zeros(BARRIER_BYTES, np.uint8)
    at = barrier.ctypes.data
    library.pthread_barrier_init(ctypes.c_void_p(at), None, ctypes.c_uint(members))
    address = ctypes.cast(library.pthread_barrier_wait, ctypes.c_void_p).value
    parts = np.empty((members, width), dtype)
    yield [(np.array([member, members, address, at]), parts) for member in range(members)]
    library.pthread_barrier_destroy(ctypes.c_void_p(at))


def run_team(kernel: Callable, calls: list[tuple], *arguments: Any) -> None:
    """Run a kernel in a Python thread for each call: its first arguments, before those of all.

    All threads start before the first call, because the members of a team wait for each other.
    Numba's threads might run one call after another.
    """
    started = Barrier(len(calls))

    def begin(call: tuple) -> None:
        try:
            started.wait()
        except BrokenBarrierError:  # a thread could not start
            return
        kernel(*call, *arguments)

    threads = [Thread(target=begin, args=(call,)) for call in calls[1:]]
    try:
        for thread in threads:
            thread.start()
    except RuntimeError:
        started.abort()
        raise
    begin(calls[0])
    for thread in threads:
        thread.join()
