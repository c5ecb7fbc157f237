"""Settings of the whole suite; what tests share is in `helpers`."""

import logging
import os
import subprocess
import sys

# Before torch loads OpenMP. Two OpenMP pools (torch's and Kokkos') that spin on the same few cores
# slow lightning.kokkos down a thousandfold; and Kokkos warns where OMP_PROC_BIND is not set.
os.environ.setdefault("OMP_PROC_BIND", "false")
os.environ.setdefault("OMP_WAIT_POLICY", "passive")
os.environ.setdefault("KOKKOS_NUM_THREADS", "1")

# Before triton is imported. Where no GPU is asked for (make test-gpu), its kernels are interpreted.
if not os.environ.get("QRNN_TEST_GPU"):
    os.environ["TRITON_INTERPRET"] = "1"
    os.environ["CUDA_VISIBLE_DEVICES"] = ""

import pytest
import torch
from hypothesis import HealthCheck, settings

settings.register_profile(
    "qrnn",
    deadline=None,
    derandomize=True,
    max_examples=40,
    database=None,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("qrnn")


# Modules that take a minute or so: started first, none is left over when the others have ended.
LONG = ("docs/", "cli/", "training/", "devices/test_conformance", "test_package", "test_memory_use")


def pytest_collection_modifyitems(items):
    """Skip the tests that need a GPU where none is asked for; put the longest modules first."""
    if not os.environ.get("QRNN_TEST_GPU"):
        for item in items:
            if item.get_closest_marker("gpu"):
                item.add_marker(pytest.mark.skip(reason="needs a GPU: make test-gpu"))
    items.sort(key=lambda item: not any(part in item.nodeid for part in LONG))


@pytest.fixture(autouse=True)
def seeded():
    """Make every test start from the same random numbers, and leave torch's settings alone.

    Hydra, run in this process, leaves handlers that write to the last test's captured output.
    """
    root = logging.getLogger()
    root.setLevel(logging.WARNING)
    for handler in list(root.handlers):
        if type(handler) in (logging.StreamHandler, logging.FileHandler):  # not pytest's own
            root.removeHandler(handler)
    torch.manual_seed(0)
    default = torch.get_default_dtype()
    yield
    assert torch.get_default_dtype() == default


@pytest.fixture
def qrnn_command():
    """What runs `qrnn ARGUMENTS` in this process: arguments to (status, stdout, stderr)."""
    from helpers.commands import qrnn

    def run(*arguments):
        done = qrnn(*arguments)
        return done.returncode, done.stdout, done.stderr

    return run


@pytest.fixture
def qrnn_subprocess():
    """What runs Python code in a process of its own: code and options of `subprocess.run`."""

    def run(code, **options):
        options = {"stdout": subprocess.PIPE, "text": True, "check": True} | options
        return subprocess.run([sys.executable, "-c", code], **options)

    return run
