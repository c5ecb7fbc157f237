"""The hybrid cells of a model, and their device."""

from __future__ import annotations

from typing import Any

from torch import nn

from qrnn.cell.cell import QRNNCell
from qrnn.config.device_table import DEFAULT_MIXED
from qrnn.devices import Device, DeviceOptions
from qrnn.errors import ConfigError


def cells_of(model: nn.Module) -> list[QRNNCell]:
    """Return the hybrid cells of a model."""
    return [module for module in model.modules() if isinstance(module, QRNNCell)]


def device_of(model: nn.Module) -> Device | None:
    """Return the device that runs a model's circuits, or None if it has no circuits."""
    devices = (getattr(module, "device", None) for module in model.modules())
    return next((device for device in devices if isinstance(device, Device)), None)


def reference_device(model: nn.Module) -> str:
    """Return a device of PennyLane that runs a model, as in `device=...`."""
    circuits = [cell.circuit for cell in cells_of(model)]
    if not any(circuit.damped or circuit.measured for circuit in circuits):
        return "default.qubit"
    # Without shots, default.qubit takes another qubit for each mid-circuit measurement.
    fits = max(circuit.n_wires for circuit in circuits) <= DEFAULT_MIXED.max_wires
    return "default.mixed" if fits else "default.qubit device.shots=1000"


def circuits_of(model: nn.Module) -> list[Any]:
    """Return the cells of a model that run circuits, each with `device`, `plugin` and `recipe`."""
    return [m for m in model.modules() if isinstance(getattr(m, "device", None), Device)]


def refuse_options(model: nn.Module, options: DeviceOptions) -> None:
    """Check that no device options are set for a model without circuits.

    Raises:
        ConfigError: an option is set, but the model runs entirely in torch.
    """
    if device_of(model) is None and (given := options.given()):
        raise ConfigError(
            f"device.{next(iter(given))} must be left out: the model runs entirely in torch"
        )
