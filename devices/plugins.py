"""Devices that other packages bring: fake IBM backends, and any PennyLane plugin by its name."""

from __future__ import annotations

from importlib.metadata import entry_points

import pennylane as qml

from qrnn.devices.base import Device
from qrnn.devices.simulators import SHIFTS
from qrnn.devices.spec import DeviceSpec


class FakeBackend(Device):
    """A simulated copy of an IBM backend: its couplings, gates and noise, sampled."""

    mcm_method = None

    def make_plugin(self, n_wires: int | None) -> qml.devices.Device:
        """See `Device.make_plugin`."""
        from qrnn.devices.ibm import IBMDevice

        return IBMDevice(
            wires=n_wires, backend=self.name, seed=self.options.seed, **self.options.options
        )


def fake_spec(name: str) -> DeviceSpec:
    """Return the declaration of one fake backend; its size is known once it is opened."""
    return DeviceSpec(
        name=name,
        strategies=("replayed",),
        options=("strategy", "shots", "seed", "gradient", "options"),
        shots="required",
        noisy=True,
        max_wires=20,
        gradients=SHIFTS,
        measured=("replayed",),
        batching=True,
        needs="qiskit_ibm_runtime",
        extra="ibm",
        cost="T rounds, T^2 gates",
    )


class Plugin(Device):
    """Any other PennyLane device; its own capabilities are not declared to qrnn."""

    def make_plugin(self, n_wires: int | None) -> qml.devices.Device:
        """See `Device.make_plugin`."""
        return qml.device(self.name, wires=n_wires, **self.options.options)


def plugin_spec(name: str, module: str) -> DeviceSpec:
    """Return the declaration for a PennyLane plugin that is installed."""
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


def installed_plugins() -> dict[str, str]:
    """Return the names of all installed PennyLane devices and the modules they come from."""
    return {
        point.name: point.value.split(":")[0].split(".")[0]
        for point in entry_points(group="pennylane.plugins")
    }
