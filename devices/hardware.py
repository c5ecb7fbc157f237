"""IBM's backends, their simulated copies and Aer: three kinds of name, one class over IBMDevice."""

from __future__ import annotations

import re
from typing import Any

import pennylane as qml
from typing_extensions import override

from qrnn.devices.base import Device
from qrnn.devices.simulators import SHIFTS
from qrnn.devices.spec import DeviceSpec

# The names of IBM's backends depend on the account, so any that looks like one is taken.
IBM_NAME = re.compile(r"ibm_[a-z0-9_]+")
LEAST_BUSY = "ibm"

# Fields of DeviceOptions that `make_plugin` hands on, besides the shots.
_RUN = (
    "mode",
    "max_qpu_seconds",
    "ledger",
    "readout_mitigation",
    "zne",
    "optimization_level",
    "initial_layout",
)
_LOCAL = ("seed",)
_REMOTE = ("instance", "queue_timeout")


class IBMBackend(Device):
    """A backend of IBM, simulated or real, or ideal Aer: `qml.device("qrnn.ibm")` by its name."""

    mcm_method = None

    @override
    def make_plugin(self, n_wires: int | None) -> qml.devices.Device:
        from qrnn.devices.ibm import IBMDevice

        given = self.options.given()
        keywords: dict[str, Any] = {
            name: given[name] for name in (*_RUN, *_LOCAL, *_REMOTE) if name in given
        }
        backend = "least_busy" if self.name == LEAST_BUSY else self.name
        return IBMDevice(wires=n_wires, backend=backend, **keywords)


def _spec(name: str, own: tuple[str, ...], *, noisy: bool, wires: int, account: bool) -> DeviceSpec:
    return DeviceSpec(
        name=name,
        strategies=("replayed",),
        options=("strategy", "shots", *own, "gradient", *_RUN),
        shots="required",
        noisy=noisy,
        max_wires=wires,
        gradients=SHIFTS,
        measured=("replayed",),
        batching=True,
        needs="qiskit_ibm_runtime",
        extra="ibm",
        account=account,
        cost="T rounds, T^2 gates",
    )


def fake_spec(name: str) -> DeviceSpec:
    """Return the declaration of one fake backend; its size is known once it is opened."""
    return _spec(name, _LOCAL, noisy=True, wires=20, account=False)


def aer_spec() -> DeviceSpec:
    """Return the declaration of ideal Aer; the fake backends are Aer with a noise model."""
    return _spec("aer", _LOCAL, noisy=False, wires=20, account=False)


def ibm_spec(name: str = LEAST_BUSY) -> DeviceSpec:
    """Return the declaration of an IBM backend, or of the least busy one."""
    return _spec(name, _REMOTE, noisy=True, wires=156, account=True)
