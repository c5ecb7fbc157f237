"""Devices by name: `open_device("fake_fez", shots=1024)`; `device_names()` lists them."""

from __future__ import annotations

import importlib.util
import sys
from dataclasses import fields, replace
from functools import cache

from qrnn.devices.base import Device, DeviceClass
from qrnn.devices.hardware import IBM_NAME, IBMBackend, aer_spec, fake_spec, ibm_spec
from qrnn.devices.plugins import Plugin, installed_plugins, plugin_spec
from qrnn.devices.simulators import DefaultMixed, DefaultQubit, Fused, Lightning, lightning_spec
from qrnn.devices.spec import DeviceOptions, DeviceSpec
from qrnn.errors import ConfigError, install_line
from qrnn.utils.checks import shown
from qrnn.utils.registry import Registry, unknown_name

__all__ = [
    "Device",
    "DeviceOptions",
    "DeviceSpec",
    "add_device",
    "device_names",
    "device_spec",
    "device_table",
    "open_device",
]


Entry = tuple[DeviceSpec, DeviceClass]

# The extras that bring devices to the table: how the names of these begin.
EXTRAS = {"fake_": "ibm", "qiskit.": "qiskit-plugin"}


@cache
def device_table() -> Registry[Entry]:
    """Return all devices by name, installed or not."""
    lightning = [
        lightning_spec("lightning.qubit", "pennylane_lightning", None, seed=True),
        lightning_spec(
            "lightning.kokkos", "pennylane_lightning.lightning_kokkos_ops", "kokkos", seed=False
        ),
        lightning_spec("lightning.gpu", "pennylane_lightning.lightning_gpu_ops", "gpu", seed=False),
    ]
    entries: list[Entry] = [(cls.spec, cls) for cls in (Fused, DefaultQubit, DefaultMixed)]
    entries += [(spec, Lightning) for spec in lightning]
    entries += [(spec, IBMBackend) for spec in (ibm_spec(), aer_spec())]
    if importlib.util.find_spec("qiskit_ibm_runtime") is not None:
        from qrnn.devices.ibm.backends import fake_sizes

        entries += [(fake_spec(name, n), IBMBackend) for name, n in fake_sizes().items()]
    table: Registry[Entry] = Registry("device", "qrnn.devices")
    for spec, cls in entries:
        table.add(spec.name, (spec, cls), cls.__module__)
    for name, module in installed_plugins().items():
        if name not in table:  # not declared to qrnn, which says more
            table.add(name, (plugin_spec(name, module), Plugin), module)
    return table


def device_names() -> list[str]:
    """Return the names of all devices except IBM's own backends (`ibm_...`)."""
    return list(device_table())


def add_device(spec: DeviceSpec, cls: DeviceClass) -> None:
    """Register a custom device, so that configs and the command line find it by its name.

    Args:
        spec: the declared capabilities.
        cls: a subclass of `Device`, or a function of `(spec, options)` that returns one.

    Raises:
        ConfigError: the name is already in use.
    """
    if IBM_NAME.fullmatch(spec.name):
        raise ConfigError(f"device {spec.name!r} is already registered: choose another name")
    caller = sys._getframe(1).f_globals.get("__name__", "")  # the class may be one of ours
    device_table().add(spec.name, (spec, cls), caller)


def _entry(name: str) -> Entry:
    table = device_table()
    if name in table:
        return table[name]
    if IBM_NAME.fullmatch(name):
        return ibm_spec(name), IBMBackend
    for prefix, extra in EXTRAS.items():
        if name.startswith(prefix) and not any(known.startswith(prefix) for known in table):
            raise ConfigError(
                f"device {name!r} is not known without its extra: {install_line(extra)}"
            )
    raise ConfigError(f"{unknown_name('device', name, table)}: `qrnn devices` lists them")


def device_spec(name: str) -> DeviceSpec:
    """Return a device's declared capabilities.

    Raises:
        ConfigError: the name is unknown.
    """
    return _entry(name)[0]


def open_device(name: str | DeviceOptions | Device, **options) -> Device:
    """Return a device after checking its options; nothing is executed.

    Args:
        name: a name from `device_names()`, the name of an IBM backend, or a `DeviceOptions`; an
            open device is returned unchanged.
        **options: fields of `DeviceOptions`, e.g. `shots=1024`.

    Raises:
        ConfigError: the name is unknown, or the device would ignore or does not support an option.
        DeviceError: the device is not installed.
    """
    if isinstance(name, Device):
        if not options:
            return name
        name = name.options
    if isinstance(name, str):
        known = {f.name for f in fields(DeviceOptions)}
        if unknown := sorted(set(options) - known):
            raise unknown_name("device option", unknown[0], known)
        name = DeviceOptions(name, **options)
    elif not isinstance(name, DeviceOptions):
        raise ConfigError(f"device must be a name or DeviceOptions, got {shown(name)}")
    elif options:
        name = replace(name, **options)
    spec, cls = _entry(name.name)
    return cls(spec, name)
