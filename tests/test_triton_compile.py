"""The Triton kernels compile for a GPU (compute capability 9.0) and fit on it; none is needed."""

import json
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

pytest.importorskip("triton")

PROBE = Path(__file__).with_name("compile_probe.py")
CASES = [f"{n}:{dtype}" for n in (8, 10, 12) for dtype in ("float32", "float64")]
LARGE = ["14:float32"]
# Of one multiprocessor.
REGISTERS, SHARED = 65_536, 227 * 1024
# tl.cos keeps an array for large arguments; what goes beyond has been spilled.
STACK = 40


@cache
def compiled():
    command = [sys.executable, PROBE, *CASES, *LARGE]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout)


@pytest.mark.parametrize("case", [*CASES, *LARGE])
def test_every_kernel_compiles_and_a_program_fits_on_a_multiprocessor(case):
    found = compiled()[case]
    assert len(found) == 4
    for name, variants in found.items():
        for used in variants:
            assert used["registers"] * used["threads"] <= REGISTERS, name
            assert used["shared"] <= SHARED, name


@pytest.mark.parametrize("case", [c for c in [*CASES, *LARGE] if c != "12:float64"])
def test_nothing_is_spilled(case):  # of 4,096 amplitudes in double precision a little is
    for name, variants in compiled()[case].items():
        assert max(used["stack"] for used in variants) <= STACK, name


@pytest.mark.parametrize("case", CASES)
def test_other_lengths_and_batches_are_not_compiled_again(case):
    found = compiled()[case]
    assert [len(found[f"{way}_step"]) for way in ("forward", "backward")] == [1, 1]
    assert [len(found[f"{way}_sequence"]) for way in ("forward", "backward")] == [
        2,
        2,
    ]  # with and without pauses


def test_the_benchmark_says_in_one_line_that_it_needs_a_gpu():
    command = [sys.executable, PROBE.parent.parent / "benchmarks/gpu.py"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr.strip() == "benchmarks/gpu.py needs a GPU, and torch sees none"
