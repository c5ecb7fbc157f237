"""Models: a recurrent network and the head that reads it."""

from __future__ import annotations

import torch
from torch import nn

from qrnn.cell import OnDevice
from qrnn.config import TrainConfig
from qrnn.rnn import QRNN


class SequenceClassifier(OnDevice):
    """Classes of whole sequences, from the last readouts.

    Args:
        rnn: a recurrent network with `batch_first`.
        n_classes: number of classes.

    Shape:
        x (B, T, D) to logits (B, n_classes).
    """

    def __init__(self, rnn: QRNN, n_classes: int):
        super().__init__()
        self.rnn = rnn
        self.head = nn.Linear(rnn.cell.n_readouts, n_classes)

    def readouts(self, x: torch.Tensor) -> torch.Tensor:
        """Return z of all steps (B, T, R)."""
        return self.rnn(x)[0]

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the logits (B, n_classes)."""
        return self.head(self.readouts(x)[:, -1])


def build_model(config: TrainConfig, input_size: int, n_classes: int) -> SequenceClassifier:
    """Return the untrained model of a configuration, for D features and so many classes."""
    rnn = QRNN(input_size, batch_first=True, device=config.device, **config.model.cell_options())
    return SequenceClassifier(rnn, n_classes)
