"""One model in several Python threads: each answer is the one that a single thread gets."""

import os
import subprocess

import pytest

from helpers.paths import TESTS, program

SOME = ["fused", "fused blocks", "default.qubit", "lightning.qubit"]
OTHERS = [
    "default.qubit float64",
    "default.mixed",
    "adjoint",
    "shift",
    "qlstm",
    "data_register",
    "neurons fused",
    "neurons default.qubit",
]


def probe(names, **environment):
    """In a process of its own, since what hangs in a thread cannot be ended."""
    done = subprocess.run(
        program("threads_probe", *names),
        cwd=TESTS,
        env=os.environ | environment,
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert (done.stdout.split("\n")[:-1], done.returncode) == (
        ["default dtype torch.float32"],
        0,
    ), done.stdout + done.stderr


@pytest.mark.slow
def test_threads_get_what_one_thread_gets():
    probe(SOME)


@pytest.mark.slow
@pytest.mark.parametrize("name", OTHERS)
def test_so_they_do_in_every_way_of_running_circuits(name):
    probe([name])


@pytest.mark.slow
def test_kernels_run_in_threads_without_openmp_too():
    threads = {"OMP_NUM_THREADS": "2", "NUMBA_NUM_THREADS": "2"}
    probe(["fused blocks"], NUMBA_THREADING_LAYER="workqueue", **threads)
