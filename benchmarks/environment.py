"""The environment of a benchmark, saved with each result so that results can be compared."""

import os
import platform
import subprocess
from importlib.metadata import PackageNotFoundError, version
from typing import Any

PACKAGES = (
    "pennylane-qrnn",
    "torch",
    "numpy",
    "numba",
    "triton",
    "pennylane",
    "pennylane-lightning",
    "pennylane-lightning-gpu",
    "pennylane-qiskit",
    "qiskit",
    "qiskit-aer",
    "qiskit-ibm-runtime",
    "torchquantum-ng",
)


def environment() -> dict[str, Any]:
    """Return commit, versions, processor and number of cores."""
    return {
        "commit": commit(),
        "python": platform.python_version(),
        "versions": {name: found for name in PACKAGES if (found := installed(name))},
        "cpu": processor(),
        "cores": os.cpu_count(),
    }


def installed(name: str) -> str | None:
    """Return the version of a package, or None."""
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def commit() -> str:
    """Return the commit of the checkout, marked as dirty if files have changed."""
    command = ["git", "describe", "--always", "--dirty", "--exclude=*"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.stdout.strip() or "unknown"


def processor() -> str:
    """Return the processor's name."""
    try:
        with open("/proc/cpuinfo") as file:
            names = [line.split(":")[1].strip() for line in file if line.startswith("model name")]
    except OSError:
        names = []
    return names[0] if names else platform.processor()
