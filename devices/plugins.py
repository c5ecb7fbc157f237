"""Devices from other packages: any PennyLane plugin by name."""

from __future__ import annotations

import pennylane as qml
from typing_extensions import override

from qrnn.devices.base import Device
from qrnn.errors import ConfigError, DeviceError


class Plugin(Device):
    """Any other PennyLane device, whose capabilities qrnn does not know."""

    @override
    def make_plugin(self, n_wires: int | None) -> qml.devices.Device:
        """Return the PennyLane device of this name.

        Raises:
            ConfigError: the device samples its readouts, but not with `device.shots`.
            DeviceError: the package cannot make the device, or not with these options.
        """
        given = self.options.options
        if "shots" in given:
            raise ConfigError(
                f"device.options must be without shots, got {given['shots']}: set device.shots"
            )
        try:
            made = qml.device(self.name, wires=n_wires, **given)
        except Exception as error:  # another package may raise anything
            reason = " ".join(str(error).split())[:200]
            raise DeviceError(
                f"device {self.name!r} of another package cannot be made ({type(error).__name__}: "
                f"{reason}): check device.options, or choose another device"
            ) from error
        shots = getattr(made.shots, "total_shots", made.shots)
        if shots and self.options.shots is None:
            raise ConfigError(
                f"device {self.name!r} samples its readouts, by itself with {shots} shots: set "
                f"device.shots={shots}"
            )
        return made
