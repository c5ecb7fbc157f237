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
        for parameter in (*cell.controller[-1].parameters(), cell.quantum.bias):
            parameter.lr_scale = output_lr  # read by the trainer
    return rnn
