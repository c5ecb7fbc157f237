"""Devices from other packages: any PennyLane plugin by name."""

from __future__ import annotations

from importlib.metadata import entry_points

import pennylane as qml
from typing_extensions import override

from qrnn.devices.base import Device
from qrnn.devices.simulators import SHIFTS
from qrnn.devices.spec import DeviceSpec
from qrnn.errors import DeviceError


class Plugin(Device):
    """Any other PennyLane device, whose capabilities qrnn does not know."""

    @override
    def make_plugin(self, n_wires: int | None) -> qml.devices.Device:
        """Return the PennyLane device of this name.

        Raises:
            DeviceError: the package cannot make the device, or not with these options.
        """
        try:
            return qml.device(self.name, wires=n_wires, **self.options.options)
        except Exception as error:  # another package may raise anything
            reason = " ".join(str(error).split())[:200]
            raise DeviceError(
                f"device {self.name!r} of another package cannot be made ({type(error).__name__}: "
                f"{reason}): check device.options, or choose another device"
            ) from error


def plugin_spec(name: str, module: str) -> DeviceSpec:
    """Return the spec of an installed PennyLane plugin."""
    return DeviceSpec(
        name=name,
        strategies=("replayed",),
        options=("strategy", "shots", "gradient", "options"),
        shots="optional",
        noisy=False,
        max_wires=30,
        gradients=SHIFTS,
        measured=(),
        batching=False,
        needs=module,
        cost="T rounds, T^2 gates",
    )


# Devices for photonic modes and qutrits, and qrnn.ibm, which is used through its backends' names.
LEFT_OUT = ("default.gaussian", "default.qutrit", "default.qutrit.mixed", "qrnn.ibm")


def installed_plugins() -> dict[str, str]:
    """Return the names of all installed PennyLane devices and the modules they come from."""
    return {
        point.name: point.value.split(":")[0].split(".")[0]
        for point in entry_points(group="pennylane.plugins")
        if point.name not in LEFT_OUT
    }
