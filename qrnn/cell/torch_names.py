"""What differs from `torch.nn.RNN`: arguments that no cell has, and states of other layers."""

from __future__ import annotations

from collections.abc import Mapping
from inspect import signature
from typing import Any

import torch

from qrnn.config.models import ANSAETZE, HybridConfig
from qrnn.errors import ConfigError
from qrnn.utils.checks import shown

REMEDIES = {
    "dtype": "use .to({value}) on the network",
    "bias": "leave it out, as the angles always have one",
    "nonlinearity": "leave it out, as a circuit has none: controller='gelu' is that of the angles",
    "proj_size": "use torch.nn.Linear on the outputs, or a readout of fewer numbers",
}
WHERE = ("cpu", "cuda", "mps", "xpu", "meta")  # torch's names


def refuse_torchs(options: Mapping[str, Any]) -> None:
    """Refuse arguments of `torch.nn.RNN` and `torch.nn.RNNCell` that a cell does not have.

    Args:
        options: those of `QRNNCell` by name. An option that the ansatz has too is its own.

    Raises:
        ConfigError: one is given; the message says what to do instead.
    """
    own = _of_ansatz(options.get("ansatz", HybridConfig.ansatz))
    for name in REMEDIES.keys() & options.keys() - own:
        remedy = REMEDIES[name].format(value=options[name])
        raise ConfigError(f"{name} is not an argument, got {shown(options[name])}: {remedy}")
    device = options.get("device")
    place = str(device) if isinstance(device, torch.device | str) else ""
    if isinstance(device, torch.device) or place.partition(":")[0] in WHERE:
        raise ConfigError(
            f"device names what runs the circuits, such as 'fused', got {place!r}: move the "
            f"weights with .to({place!r})"
        )


def _of_ansatz(ansatz: Any) -> set[str]:
    """Return the names of an ansatz's options; all names for one that takes any."""
    if not isinstance(ansatz, str):
        return set()  # it takes none
    if ansatz not in ANSAETZE:
        return set(REMEDIES)  # it is refused by its name
    parameters = signature(ANSAETZE[ansatz]).parameters.values()
    if any(one.kind is one.VAR_KEYWORD for one in parameters):
        return set(REMEDIES)
    return {one.name for one in parameters}


def layers_of(cells: int, directions: int) -> str:
    """Return the layers and directions of a number of cells in words."""
    layers = cells // directions
    return (
        f"{layers} {'layer' if layers == 1 else 'layers'} in {directions} "
        f"{'direction' if directions == 1 else 'directions'}"
    )
