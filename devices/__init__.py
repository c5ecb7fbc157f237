"""Devices by name: `open_device("fake_fez", shots=1024)`; `device_names()` lists them."""

from __future__ import annotations

import sys
from dataclasses import fields, replace

from qrnn.config.device_table import (
    IBM_NAME,
    device_entry,
    device_names,
    device_spec,
    device_table,
)
from qrnn.config.devices import DeviceOptions, DeviceSpec
from qrnn.devices.base import Device, DeviceClass
from qrnn.errors import ConfigError
from qrnn.utils.checks import shown
from qrnn.utils.registry import unknown_name

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


def open_device(name: str | DeviceOptions | Device, **options) -> Device:
    """Return a device after checking its options; nothing is executed.

    Args:
        name: a name from `device_names()`, the name of an IBM backend, or a `DeviceOptions`; an
            open device is returned unchanged.
        **options: fields of `DeviceOptions`, e.g. `shots=1024`.

    Raises:
        ConfigError: the name is unknown, the device would ignore or does not support an option, or
            what is registered by the name makes no `Device`.
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
    spec, cls = device_entry(name.name)
    device = cls(spec, name)
    if not isinstance(device, Device):
        raise ConfigError(
            f"device {spec.name!r} must be a qrnn.devices.Device, got {type(device).__name__}"
        )
    return device
