"""Random numbers of a training: of each epoch from its seed, so that a resumed run has the same."""

from __future__ import annotations

import lightning.pytorch as pl
import numpy as np
from torch import nn

from qrnn.devices import Device


def epoch_seed(seed: int, epoch: int, rank: int) -> int:
    """Return the seed of an epoch, below 2^32.

    Args:
        seed: of the training.
        epoch: counted from 0.
        rank: of the process: each has dropout of its own.
    """
    return int(np.random.SeedSequence([seed, epoch, rank]).generate_state(1)[0])


def seed_all(seed: int, model: nn.Module) -> None:
    """Seed torch, NumPy and Python, and the sampling of the devices that a model runs on."""
    pl.seed_everything(seed, verbose=False)
    devices = (getattr(module, "device", None) for module in model.modules())
    for device in {id(one): one for one in devices if isinstance(one, Device)}.values():
        device.reseed(seed)
