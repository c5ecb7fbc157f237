"""Noise-aware training: hardware-like readout noise at no simulation cost."""

from __future__ import annotations

import torch
from torch import nn

from qrnn.config.models import HybridConfig
from qrnn.utils.checks import probability, whole


class ReadoutNoise(nn.Module):
    """Adds measurement noise to exact readouts during training; the identity in evaluation.

        z -> f z + sqrt((a - f z) (f z - b) / S) xi,   f = 1 - depolarizing,  xi ~ N(0, 1)

    The mean of S shots with outcomes a and b (1 and -1 for expectation values) has this mean and
    variance. No gradient flows through the variance: its derivative is infinite at z = a.

    Args:
        shots: number of shots S per readout; None: no shot noise.
        depolarizing: fraction by which each readout is shrunk.

    Shape:
        z (..., R) and outcomes (2, R), a and b, to (..., R).

    Raises:
        ConfigError: shots is below 1, or depolarizing is not in [0, 1).
    """

    def __init__(
        self, shots: int | None = None, depolarizing: float = HybridConfig.readout_depolarizing
    ):
        super().__init__()
        self.shots = None if shots is None else whole("readout_shots", shots, 1)
        self.depolarizing = probability("readout_depolarizing", depolarizing)

    def forward(self, z: torch.Tensor, outcomes: torch.Tensor) -> torch.Tensor:
        """Return noisy readouts during training, else z."""
        if not self.training:
            return z
        z = (1 - self.depolarizing) * z
        if self.shots is not None:
            a, b = outcomes.to(z)
            mean = z.detach()
            deviation = ((a - mean) * (mean - b)).clamp(min=0).div(self.shots).sqrt()
            z = z + deviation * torch.randn_like(z)
        return z

    def strength(self) -> tuple[float, float]:
        """Return f and 1 / S during training, else 1 and 0."""
        if not self.training:
            return 1.0, 0.0
        return 1 - self.depolarizing, 0.0 if self.shots is None else 1 / self.shots

    def extra_repr(self) -> str:
        """Return the noise strengths, for `print(model)`."""
        return f"shots={self.shots}, depolarizing={self.depolarizing}"
