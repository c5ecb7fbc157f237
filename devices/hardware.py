"""IBM's backends, their simulated copies and Aer, all run by `IBMDevice`."""

from __future__ import annotations

import re

import pennylane as qml
from typing_extensions import override

from qrnn.devices.base import Device
from qrnn.devices.simulators import SHIFTS
from qrnn.devices.spec import DeviceSpec, options_where

# The names of IBM's backends depend on the account, so any name of this form is accepted.
IBM_NAME = re.compile(r"ibm_[a-z0-9_]+")
LEAST_BUSY = "ibm"
# IBM's backends in service in November 2026, those that messages and documents name first.
IN_SERVICE = (
    "ibm_fez",
    "ibm_boston",
    "ibm_kingston",
    "ibm_marrakesh",
    "ibm_miami",
    "ibm_pittsburgh",
    "ibm_aachen",
    "ibm_berlin",
    "ibm_brussels",
    "ibm_strasbourg",
)
# Beyond this, a simulation of a backend's noise takes too long.
SIMULATED_WIRES = 20


class IBMBackend(Device):
    """An IBM backend, real or simulated, or ideal Aer: `qml.device("qrnn.ibm")` by name."""

    mcm_method = None

    @override
    def make_plugin(self, n_wires: int | None) -> qml.devices.Device:
        from qrnn.devices.ibm import IBMDevice

        keywords = self.options.given_where(lambda one: one.ibm is not None)
        backend = "least_busy" if self.name == LEAST_BUSY else self.name
        return IBMDevice(wires=n_wires, backend=backend, **keywords)


def _spec(
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
    return _spec(name, noisy=True, wires=wires, account=False, qubits=qubits)


def aer_spec() -> DeviceSpec:
    """Return the spec of ideal Aer; fake backends are Aer with a noise model."""
    return _spec("aer", noisy=False, wires=SIMULATED_WIRES, account=False)


def ibm_spec(name: str = LEAST_BUSY) -> DeviceSpec:
    """Return the spec of an IBM backend, by default the least busy one."""
    return _spec(name, noisy=True, wires=156, account=True)
