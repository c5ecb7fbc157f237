"""Kernels in numba's threads: each call runs once, at the same time, and errors are raised."""

import threading

import numba
import pytest
import torch

from qrnn.memory.kernels.cpu import parallel

CALLS = [(0, 0, 3, "team"), (1, 3, 5, "team")]


@pytest.fixture(autouse=True)
def two_threads():
    if numba.config.NUMBA_NUM_THREADS < 2:
        pytest.skip("numba has one thread")


def test_calls_run_at_the_same_time_and_torch_keeps_its_threads():
    together, done = threading.Barrier(2, timeout=10), []
    before = torch.get_num_threads()

    def kernel(number, start, stop, team, offset):
        if start < stop:
            together.wait()
        done.append((number, start + offset, stop + offset, team))

    parallel.run(kernel, CALLS, 10)
    assert done[0] == (0, 10, 10, "team")  # compiles
    assert sorted(done[1:]) == [(0, 10, 13, "team"), (1, 13, 15, "team")]
    assert torch.get_num_threads() == before


@pytest.mark.parametrize("number", [0, 1])
def test_an_error_in_a_thread_is_raised(number):
    def kernel(mine, start, stop, team):
        if start < stop and mine == number:
            raise MemoryError("full")

    with pytest.raises(MemoryError, match="full"):
        parallel.run(kernel, CALLS)


def test_one_call_runs_without_a_loop(monkeypatch):
    monkeypatch.setattr(parallel, "_compiled_loop", None)
    done = []
    parallel.run(lambda *call: done.append(call), CALLS[:1])
    assert done == CALLS[:1]
