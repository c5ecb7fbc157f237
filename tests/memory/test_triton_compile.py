"""The Triton kernels compile for a GPU (compute capability 9.0) and fit on it; none is needed."""

import json
import os
import shutil
import subprocess
import sys
from functools import cache

import pytest

from helpers.paths import ROOT, TESTS, program
from helpers.slow import slow_but

pytest.importorskip("triton")

SOURCES = ROOT / "qrnn/memory/kernels/gpu"
CASES = [f"{n}:{dtype}" for n in (8, 10, 12) for dtype in ("float32", "float64")]
LARGE = ["14:float32"]
QUICK = "8:float32"
# Of one multiprocessor.
REGISTERS, SHARED = 65_536, 227 * 1024
# tl.cos keeps an array for large arguments; what goes beyond has been spilled.
STACK = 40


@cache
def compiled(case):
    command = program("compile_probe", case)
    done = subprocess.run(command, cwd=TESTS, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout)[case]


@pytest.mark.parametrize("case", slow_but([*CASES, *LARGE], QUICK))
def test_every_kernel_compiles_and_a_program_fits_on_a_multiprocessor(case):
    found = compiled(case)
    assert len(found) == 4
    for name, variants in found.items():
        for used in variants:
            assert used["registers"] * used["threads"] <= REGISTERS, name
            assert used["shared"] <= SHARED, name


@pytest.mark.parametrize(
    "case", slow_but([c for c in [*CASES, *LARGE] if c != "12:float64"], QUICK)
)
def test_nothing_is_spilled(case):  # of 4,096 amplitudes in double precision a little is
    for name, variants in compiled(case).items():
        assert max(used["stack"] for used in variants) <= STACK, name


@pytest.mark.parametrize("case", slow_but(CASES, QUICK))
def test_cosines_are_those_of_any_finite_angle(case):  # those of single steps are torch's
    for way in ("forward", "backward"):
        assert all(used["reduces"] for used in compiled(case)[f"{way}_sequence"])


KEYS = """
import importlib, sys
for name in sys.argv[1:]:
    print(importlib.import_module(f"{name}.sequence").forward_sequence.cache_key)
"""


def test_tritons_own_key_knows_the_sources_of_callees(tmp_path):
    edits = {
        "same": ("", ""),
        "callee": ("(1 - 2 * (bits & 1))", "(2 * (bits & 1) - 1)"),
        "constant": (
            "MATRIX: tl.constexpr = tl.constexpr(2)",
            "MATRIX: tl.constexpr = tl.constexpr(9)",
        ),
    }
    for name, edit in {"first": ("", ""), **edits}.items():
        shutil.copytree(SOURCES, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
        for file in (tmp_path / name).glob("*.py"):
            text = file.read_text().replace("qrnn.memory.kernels.gpu", name)
            file.write_text(text.replace(*edit) if file.name == "gates.py" else text)
    command = [sys.executable, "-c", KEYS, "first", *edits]
    bare = {k: v for k, v in os.environ.items() if k != "TRITON_INTERPRET"}
    done = subprocess.run(
        command, cwd=tmp_path, env=bare, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    first, same, callee, constant = done.stdout.split()
    assert first == same
    assert len({first, callee, constant}) == 3


@pytest.mark.parametrize("case", slow_but(CASES, QUICK))
def test_other_lengths_and_batches_are_not_compiled_again(case):
    found = compiled(case)
    assert [len(found[f"{way}_step"]) for way in ("forward", "backward")] == [1, 1]
    assert [len(found[f"{way}_sequence"]) for way in ("forward", "backward")] == [
        2,
        2,
    ]  # with and without pauses


@pytest.mark.slow
def test_the_benchmark_says_in_one_line_that_it_needs_a_gpu():
    command = [sys.executable, ROOT / "benchmarks/gpu.py"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr.strip() == "benchmarks/gpu.py needs a GPU, and torch sees none"
