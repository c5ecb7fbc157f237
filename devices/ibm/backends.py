"""Backends by name: local fakes, Aer, and IBM's own through QiskitRuntimeService."""

from __future__ import annotations

import functools
import importlib
import importlib.util
from dataclasses import dataclass
from typing import Any

from qrnn.config.device_table import fake_sizes
from qrnn.devices.ibm import limits, runtime
from qrnn.errors import DeviceError, require_extra
from qrnn.utils.registry import unknown_name


@dataclass(frozen=True)
class Backend:
    """A backend and where it runs.

    Attributes:
        backend: the Qiskit backend.
        name: its name in messages and ledgers.
        local: whether it is simulated in this process.
        service: its QiskitRuntimeService, or None.
        chosen_delay: seconds to wait before each execution; None: the backend's default.
    """

    backend: Any
    name: str
    local: bool
    service: Any = None
    chosen_delay: float | None = None

    @property
    def rep_delay(self) -> float:
        """Seconds that it waits before each execution, for the qubits to relax."""
        if self.chosen_delay is not None:
            return self.chosen_delay
        found = self._stated("default_rep_delay")
        return limits.REP_DELAY if found is None else found

    @property
    def rep_delay_range(self) -> tuple[float, float] | None:
        """Shortest and longest `chosen_delay`, in seconds; None: it states none."""
        return self._stated("rep_delay_range")

    def _stated(self, name: str) -> Any:
        source = getattr(self.backend, "fake", self.backend)
        stated = source.configuration() if hasattr(source, "configuration") else None
        return getattr(stated, name, None)


def fake_names() -> list[str]:
    """Return the names of all local fake backends ("fake_manila"), without importing Qiskit.

    Raises:
        MissingExtraError: qiskit-ibm-runtime is not installed.
    """
    return list(fake_sizes())


@functools.cache
def fake_backend(name: str) -> Any:
    """Return a fake backend, cached so that its transpiled circuits are shared.

    Raises:
        ConfigError: no fake backend has this name.
        MissingExtraError: qiskit-ibm-runtime or qiskit-aer is not installed.
    """
    if name not in (known := fake_names()):
        raise unknown_name("fake backend", name, known)
    if importlib.util.find_spec("qiskit_aer") is None:
        # Without Aer, a fake backend would silently run without noise.
        raise require_extra("qiskit-aer", "ibm", f"backend {name}")
    module = importlib.import_module(
        f"qiskit_ibm_runtime.fake_provider.backends.{name.removeprefix('fake_')}"
    )
    (cls,) = (c for c in vars(module).values() if getattr(c, "backend_name", None) == name)
    return _shared(cls())


def _shared(backend: Any) -> Any:
    """Wrap a fake backend so that many small jobs run fast."""
    from qiskit_ibm_runtime.fake_provider.fake_backend import FakeBackendV2

    from qrnn.devices.ibm.fakes import SharedFake

    return SharedFake(backend) if isinstance(backend, FakeBackendV2) else backend


def fake_of(name: str) -> str | None:
    """Return the fake backend that copies an IBM backend ("ibm_fez"), or None."""
    fake = name.replace("ibm_", "fake_", 1)
    return fake if name.startswith("ibm_") and fake in fake_names() else None


@functools.cache
def aer_backend() -> Any:
    """Return the ideal Aer simulator.

    Raises:
        MissingExtraError: qiskit-aer is not installed.
    """
    try:
        from qiskit_aer import AerSimulator
    except ImportError as error:
        raise require_extra("qiskit-aer", "ibm", "backend aer") from error
    return AerSimulator(max_parallel_experiments=0)


def resolve(
    backend: Any,
    instance: str | None = None,
    n: int | None = None,
    *,
    fractional_gates: bool = False,
) -> Backend:
    """Return the backend for a name or object.

    Args:
        backend: "fake_<name>", "aer", "least_busy", the name of an IBM backend
            ("ibm_fez"), or a Qiskit BackendV2.
        instance: CRN for IBM backends.
        n: smallest number of qubits for "least_busy".
        fractional_gates: whether IBM opens its backend with RZZ and RX in its target.

    Raises:
        ConfigError: the name is unknown.
        DeviceError: the account has no such backend, or `instance` is set for a local one.
    """
    runtime.warnings_only("qiskit")
    found = _resolve(backend, instance, n, fractional_gates)
    if found.local and instance is not None:
        raise DeviceError(
            f"Argument `instance` must be left out for the local backend {found.name}: it has no "
            "account"
        )
    return found


def _resolve(backend: Any, instance: str | None, n: int | None, fractional_gates: bool) -> Backend:
    if not isinstance(backend, str):
        if not hasattr(backend, "target"):
            raise DeviceError(
                "Argument `backend` must be a name or a Qiskit BackendV2, but got "
                f"{type(backend).__name__}: try 'fake_manila' or 'aer'"
            )
        service = getattr(backend, "service", None)
        if service is not None:
            return Backend(backend, backend.name, False, service)
        return Backend(_shared(backend), backend.name, True)
    if backend.startswith("fake_"):
        return Backend(fake_backend(backend), backend, True)
    if backend == "aer":
        return Backend(aer_backend(), backend, True)
    service = runtime.open_service(instance)
    runtime.require_instance(service, instance)
    gates = {"use_fractional_gates": True} if fractional_gates else {}
    try:
        if backend == "least_busy":
            found = service.least_busy(min_num_qubits=n, operational=True, simulator=False, **gates)
        else:
            found = service.backend(backend, **gates)
    except Exception as error:
        there = runtime.backend_names(service)
        choose = f"choose {' or '.join(there)}" if there else "it has none at present"
        raise DeviceError(
            f"Backend {backend!r} must be one that the IBM account can use, but asking for it "
            f"failed with {type(error).__name__}: {choose}, or a simulated one, such as fake_fez"
        ) from None
    runtime.answered(lambda: found.target, f"reading the properties of {found.name}")
    return Backend(found, found.name, False, service)
