"""The hybrid network of this framework: `QRNN`, built from a config."""

from __future__ import annotations

from typing import Any

from qrnn.cell.rnn import QRNN
from qrnn.config.models import HybridConfig
from qrnn.devices import DeviceOptions
from qrnn.utils.checks import positive


def hybrid(config: HybridConfig, input_size: int, device: DeviceOptions) -> QRNN:
    """Build the network of a configuration."""
    output_lr = positive("model.output_lr", config.output_lr)
    options = config.cell_options()
    rnn = QRNN(
        input_size,
        options.pop("n_qubits"),
        controller_dropout=options.pop("dropout"),
        num_layers=config.num_layers,
        bidirectional=config.bidirectional,
        batch_first=True,
        device=device,
        **options,
    )
    cells: Any = rnn.cells
    for cell in cells:
        # Read by `qrnn.param_groups`. Copies of the module keep it, those of a parameter would not.
        last = f"controller.{len(cell.controller) - 1}"
        cell.lr_scales = {last: output_lr, "quantum.bias": output_lr}
    return rnn
