"""The choice of kernels for a torch device."""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import cache
from typing import Any

import torch

from qrnn.errors import DeviceError, require_extra
from qrnn.memory.kernels.base import Kernels
from qrnn.memory.kernels.program import Program


@cache
def _announce_compilation() -> Any:
    """Say it once if kernels are not in the cache: 20 seconds without a word look like a hang."""
    from numba.core.event import Event, Listener, register

    class Announcer(Listener):
        said = False

        def on_start(self, event: Event) -> None:
            module = event.data["dispatcher"].py_func.__module__
            if not self.said and module.startswith("qrnn.memory.kernels."):
                self.said = True
                logging.getLogger("qrnn").warning(
                    "compiling the kernels for this processor, once: about 20 seconds"
                )

        def on_end(self, event: Event) -> None:
            """Nothing to say."""

    announcer = Announcer()
    register("numba:compile", announcer)
    return announcer


def _numba(program: Program) -> Kernels:
    from qrnn.memory.kernels.cpu.kernels import NumbaKernels

    _announce_compilation()
    return NumbaKernels(program)


def _triton(program: Program) -> Kernels:
    try:
        import triton  # noqa: F401
    except ImportError as error:
        raise require_extra("triton", "gpu", "device fused on a GPU") from error
    from qrnn.memory.kernels.cache import set_triton_cache_dir
    from qrnn.memory.kernels.gpu.kernels import LARGEST, TritonKernels
    from qrnn.memory.kernels.gpu.large_kernels import LargeKernels

    set_triton_cache_dir()
    return (TritonKernels if program.n_wires <= LARGEST else LargeKernels)(program)


# By type of torch device.
BACKENDS: dict[str, Callable[[Program], Kernels]] = {"cpu": _numba, "cuda": _triton}


def kernels_for(program: Program, device: torch.device) -> Kernels:
    """Return the kernels for tensors on a torch device.

    Raises:
        DeviceError: the torch device has no kernels.
        MissingExtraError: triton is not installed.
    """
    if device.type not in BACKENDS:
        raise DeviceError(
            f"device 'fused' needs weights and inputs on {' or '.join(BACKENDS)}, got {device}: "
            f"use .to('cpu')"
        )
    return BACKENDS[device.type](program)
