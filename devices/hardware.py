"""IBM's backends, fake backends and Aer, all run by `IBMDevice`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pennylane as qml
import torch
from typing_extensions import override

from qrnn.config.device_table import LEAST_BUSY
from qrnn.devices.base import Device
from qrnn.errors import ConfigError

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


class IBMBackend(Device):
    """An IBM backend, real or simulated, or ideal Aer: `qml.device("qrnn.ibm")` by name."""

    mcm_method = None

    @override
    def plugin(self, n_wires: int | None) -> qml.devices.Device:
        """Return the PennyLane device, one for all cells: they share ledger, budget and jobs."""
        found = (one for one in self._opened if len(one.wires or ()) == (n_wires or 0))
        return next(found, None) or super().plugin(n_wires)

    @override
    def together(self, calls: Sequence[Callable[[], Any]]) -> list[Any]:
        """What the calls execute at the same time is one job."""
        # With several, of different numbers of qubits, each has jobs of its own.
        if len(calls) < 2 or torch.is_grad_enabled() or len(self._opened) != 1:
            return super().together(calls)
        (plugin,) = self._opened
        return plugin.together(calls)

    @override
    def make_plugin(self, n_wires: int | None) -> qml.devices.Device:
        from qrnn.devices.ibm import IBMDevice

        if self.options.calibrate is not None:
            raise ConfigError(
                "device.calibrate must be left out here: it takes an evaluation or a prediction "
                "of a trained model, which has training sequences"
            )
        keywords = self.options.given_where(lambda one: one.ibm is not None)
        keywords.pop("ancillas", None)  # of the circuit
        backend = "least_busy" if self.name == LEAST_BUSY else self.name
        return IBMDevice(wires=n_wires, backend=backend, **keywords)
