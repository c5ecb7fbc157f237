"""What each device declares, by its name: no device is imported."""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Callable
from functools import cache
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

from qrnn.config.devices import DeviceOptions, DeviceSpec, options_where
from qrnn.errors import ConfigError, install_line, require_extra
from qrnn.utils.program import command
from qrnn.utils.registry import Later, Registry, unknown_name

SHIFTS = ("parameter-shift", "spsa", "none")
# The names of IBM's backends depend on the account, so any name of this form is accepted.
IBM_NAME = re.compile(r"ibm_[a-z0-9_]+")
LEAST_BUSY = "ibm"
# Beyond this, a simulation of a backend's noise takes too long.
SIMULATED_WIRES = 20
# The extras that bring devices to the table: how the names of these begin.
EXTRAS = {"fake_": "ibm", "qiskit.": "qiskit-plugin"}

FUSED = DeviceSpec(
    name="fused",
    strategies=("fused",),
    options=(
        "strategy",
        "seed",
        "noise",
        "strength",
        "trajectories",
        "twirl_damping",
        "optimization_level",
        "initial_layout",
    ),
    shots="no",
    noisy=True,
    max_wires=30,
    gradients=("backprop",),
    measured=(),
    batching=True,
    needs="numba",
    cost="T 2^n B, memory without T; noise T 4^n B; trajectories K T 2^n B",
)

DEFAULT_QUBIT = DeviceSpec(
    name="default.qubit",
    strategies=("carried", "replayed"),
    options=("strategy", "shots", "seed", "gradient", "replay"),
    shots="optional",
    noisy=False,
    max_wires=20,
    gradients=("backprop", "adjoint", *SHIFTS),
    measured=("replayed",),
    batching=True,
    needs="pennylane",
    cost="T 2^n B, memory too",
)

DEFAULT_MIXED = DeviceSpec(
    name="default.mixed",
    strategies=("carried", "replayed"),
    options=("strategy", "shots", "seed", "gradient", "replay", "noise", "strength"),
    shots="optional",
    noisy=True,
    max_wires=10,
    gradients=("backprop", *SHIFTS),
    measured=("carried", "replayed"),
    not_measured=("backprop",),  # NaN: PennyLane's expval of a measurement on density matrices
    batching=False,
    needs="pennylane",
    cost="T 4^n B",
)


def _lightning_spec(name: str, needs: str, extra: str | None, *, seed: bool) -> DeviceSpec:
    """Return the spec of a Lightning device."""
    return DeviceSpec(
        name=name,
        strategies=("carried", "replayed"),
        options=("strategy", "shots", "gradient", "replay", *(["seed"] if seed else [])),
        shots="optional",
        noisy=False,
        max_wires=30,
        gradients=("adjoint", *SHIFTS),
        measured=("replayed",),
        batching=False,
        needs=needs,
        extra=extra,
        cost="T 2^n B",
    )


LIGHTNING = (
    _lightning_spec("lightning.qubit", "pennylane_lightning", None, seed=True),
    _lightning_spec(
        "lightning.kokkos", "pennylane_lightning.lightning_kokkos_ops", "kokkos", seed=False
    ),
    _lightning_spec("lightning.gpu", "pennylane_lightning.lightning_gpu_ops", "gpu", seed=False),
)


def _ibm_spec(
    name: str, *, noisy: bool, wires: int, account: bool, qubits: int | None = None
) -> DeviceSpec:
    kind = "real" if account else "simulated"
    return DeviceSpec(
        name=name,
        strategies=("replayed",),
        options=(
            "strategy",
            "shots",
            *options_where(lambda one: one.ibm == kind),
            "gradient",
            "replay",
            *options_where(lambda one: one.ibm == "all"),
        ),
        shots="required",
        noisy=noisy,
        max_wires=wires,
        gradients=SHIFTS,
        measured=("replayed",),
        batching=True,
        needs="qiskit_ibm_runtime",
        extra="ibm",
        account=account,
        submits_jobs=True,
        qubits=qubits,
        cost="T rounds, T^2 gates",
    )


def fake_spec(name: str, qubits: int) -> DeviceSpec:
    """Return the spec of a fake backend.

    Args:
        name: its name.
        qubits: number of qubits of the backend that it copies.
    """
    wires = min(qubits, SIMULATED_WIRES)
    return _ibm_spec(name, noisy=True, wires=wires, account=False, qubits=qubits)


def aer_spec() -> DeviceSpec:
    """Return the spec of ideal Aer; fake backends are Aer with a noise model."""
    return _ibm_spec("aer", noisy=False, wires=SIMULATED_WIRES, account=False)


def real_spec(name: str = LEAST_BUSY) -> DeviceSpec:
    """Return the spec of an IBM backend, by default the least busy one."""
    return _ibm_spec(name, noisy=True, wires=156, account=True)


def plugin_spec(name: str, module: str) -> DeviceSpec:
    """Return the spec of an installed PennyLane plugin."""
    return DeviceSpec(
        name=name,
        strategies=("replayed",),
        options=("strategy", "shots", "gradient", "replay", "options"),
        shots="optional",
        noisy=False,
        max_wires=30,
        gradients=SHIFTS,
        measured=(),
        batching=False,
        needs=module,
        cost="T rounds, T^2 gates",
    )


# Devices for photonic modes and qutrits, one that computes nothing, and qrnn.ibm, which is used
# through its backends' names.
LEFT_OUT = (
    "default.gaussian",
    "default.qutrit",
    "default.qutrit.mixed",
    "null.qubit",
    "qrnn.ibm",
)


# What devices of PennyLane itself need.
NEEDED = {"default.clifford": "stim", "default.tensor": "quimb"}


def installed_plugins() -> dict[str, str]:
    """Return the names of all installed PennyLane devices and the modules that they need."""
    return {
        point.name: NEEDED.get(point.name) or point.value.split(":")[0].split(".")[0]
        for point in entry_points(group="pennylane.plugins")
        if point.name not in LEFT_OUT
    }


@cache
def fake_sizes() -> dict[str, int]:
    """Return the number of qubits of each local fake backend, without importing Qiskit.

    Raises:
        MissingExtraError: qiskit-ibm-runtime is not installed.
    """
    spec = importlib.util.find_spec("qiskit_ibm_runtime")
    if spec is None or spec.origin is None:
        raise require_extra("qiskit-ibm-runtime", "ibm", "device qrnn.ibm")
    found = {}
    backends = Path(spec.origin).parent / "fake_provider" / "backends"
    for file in sorted(backends.glob("*/conf_*.json")):
        number = re.search(r'"n_qubits":\s*(\d+)', file.read_text(encoding="utf-8"))
        if number is not None:
            found[f"fake_{file.parent.name}"] = int(number[1])
    return found


# A device's capabilities, and its class or another function that makes it.
Entry = tuple[DeviceSpec, Callable[[DeviceSpec, DeviceOptions], Any]]
IBM_BACKEND = Later("qrnn.devices.hardware", "IBMBackend")
PLUGIN = Later("qrnn.devices.plugins", "Plugin")


@cache
def device_table() -> Registry[Entry]:
    """Return all devices by name, installed or not."""
    simulators = "qrnn.devices.simulators"
    lightning = Later(simulators, "Lightning")
    entries: list[tuple[DeviceSpec, Later]] = [
        (FUSED, Later(simulators, "Fused")),
        (DEFAULT_QUBIT, Later(simulators, "DefaultQubit")),
        (DEFAULT_MIXED, Later(simulators, "DefaultMixed")),
        *((spec, lightning) for spec in LIGHTNING),
        (real_spec(), IBM_BACKEND),
        (aer_spec(), IBM_BACKEND),
    ]
    if importlib.util.find_spec("qiskit_ibm_runtime") is not None:
        entries += [(fake_spec(name, n), IBM_BACKEND) for name, n in fake_sizes().items()]
    table: Registry[Entry] = Registry("device", "qrnn.devices")
    for spec, cls in entries:
        table.add(spec.name, (spec, cls), cls.__module__)
    for name, module in installed_plugins().items():
        if name not in table:  # not declared to qrnn, which says more
            table.add(name, (plugin_spec(name, module), PLUGIN), module)
    return table


def device_entry(name: str) -> Entry:
    """Return what a device declares, and what makes it.

    Raises:
        ConfigError: the name is unknown.
    """
    table = device_table()
    if name in table:
        return table[name]
    if IBM_NAME.fullmatch(name):
        return real_spec(name), IBM_BACKEND
    if name.partition(":")[0] in ("cuda", "gpu"):
        raise ConfigError(
            f"device {name!r} is not known: use device=fused, which runs on the GPU once "
            f"{install_line('gpu')!r} was run"
        )
    for prefix, extra in EXTRAS.items():
        if name.startswith(prefix) and not any(known.startswith(prefix) for known in table):
            raise ConfigError(
                f"device {name!r} is not known without its extra: {install_line(extra)}"
            )
    raise ConfigError(f"{unknown_name('device', name, table)}: `{command('devices')}` lists them")


def device_spec(name: str) -> DeviceSpec:
    """Return a device's declared capabilities.

    Raises:
        ConfigError: the name is unknown.
    """
    return device_entry(name)[0]


def device_names() -> list[str]:
    """Return the names of all devices except IBM's own backends (`ibm_...`)."""
    return list(device_table())
