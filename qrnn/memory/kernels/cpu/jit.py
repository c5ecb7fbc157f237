"""Compilation of the CPU kernels with numba.

By default, numba optimises every function that a kernel calls, compiles it to machine code for
calls from Python, and does so again inside each of its callers. Here these functions only become
parts of the kernels, which are optimised as a whole: the first compilation takes a third of the
time.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numba as nb
from numba.core.codegen import JITCodeLibrary
from numba.core.registry import cpu_target
from numba.core.runtime import rtsys

from qrnn.memory.kernels.cache import KernelCache
from qrnn.memory.kernels.cpu.simd import FLAGS

OPTIONS: dict[str, Any] = {"fastmath": set(FLAGS), "nogil": True, "error_model": "numpy"}
NO_WRAPPERS: dict[str, Any] = {"no_cpython_wrapper": True, "no_cfunc_wrapper": True}
# Called from Python, a part raises a TypeError: its closure is not callable.
REFUSE = ctypes.cast(ctypes.pythonapi.PyObject_Call, ctypes.c_void_p).value


def jit(function: Callable) -> Any:
    """Compile a function that only kernels call."""
    return nb.njit(**OPTIONS, **NO_WRAPPERS)(function)


def kernel_jit(function: Callable, *, parallel: bool = False) -> Any:
    """Compile a kernel that Python calls, and save it; if parallel, with numba's scheduler."""
    kernel = nb.njit(**OPTIONS, parallel=parallel)(function)
    kernel._cache = KernelCache(function)
    compile_kernel = kernel._compiler.compile

    def compile_with_parts(*arguments: Any) -> Any:
        with _parts_of(function.__qualname__):
            return compile_kernel(*arguments)

    kernel._compiler.compile = compile_with_parts
    return kernel


class _Part(JITCodeLibrary):
    """The code of a function, neither optimised nor compiled."""

    def _optimize_functions(self, ll_module: Any) -> None:
        ll_module.data_layout = self._codegen._data_layout

    def finalize(self) -> None:
        self._finalized = True

    def get_pointer_to_function(self, name: str) -> int | None:
        return REFUSE

    @property
    def codegen(self) -> _Part:
        return self

    def set_env(self, name: str, env: Any) -> None:
        """Do nothing: the function's environment has no address."""

    def own_module(self) -> Any:
        """Return its code without that of the functions that it calls."""
        return super()._get_module_for_linking()

    def _get_module_for_linking(self) -> Any:
        """Return all of its code, for functions that others compile."""
        module = self.own_module().clone()
        _link(module, self)
        return module


class _Kernel(JITCodeLibrary):
    """The code of a kernel, with all of its parts."""

    def finalize(self) -> None:
        others = _link(self._final_module, self)
        for library in others:
            if hasattr(self, "_reload_init"):  # older versions of numba keep it elsewhere
                self._reload_init.update(library._reload_init)
        self._linking_libraries = [one for one in others if not isinstance(one, _Part)]
        super().finalize()


def _link(module: Any, library: JITCodeLibrary) -> list[JITCodeLibrary]:
    """Add the code of all parts below a library to its module; return all libraries below it."""
    found: dict[JITCodeLibrary, None] = {}  # callees first

    def visit(one: JITCodeLibrary) -> None:
        if one in found:
            return
        for below in one._linking_libraries if isinstance(one, _Part) else ():
            visit(below)
        found[one] = None

    for one in library._linking_libraries:
        visit(one)
    for one in reversed(found):  # callers first: LLVM links only what is called already
        if isinstance(one, _Part):
            module.link_in(one.own_module(), preserve=True)
    return [*found]


@contextmanager
def _parts_of(kernel: str) -> Iterator[None]:
    """Compile all functions but the kernel as parts; numba's compiler lock must be held."""
    context = cpu_target.target_context
    rtsys.initialize(context)  # numba's own runtime is called by address
    codegen = context.codegen()
    usual = codegen._library_class

    def library(owner: Any, name: str) -> JITCodeLibrary:
        return (_Kernel if name == kernel else _Part)(owner, name)

    codegen._library_class = library
    try:
        yield
    finally:
        codegen._library_class = usual
