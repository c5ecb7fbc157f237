"""Seeding: each epoch has a seed of its own, so that a resumed run draws the same numbers."""

from __future__ import annotations

import threading

import lightning.pytorch as pl
import numpy as np
from torch import nn

from qrnn.devices import Device
from qrnn.utils.locks import holding

# Training seeds and draws from the random numbers of the process, so threads take turns.
one_training_at_a_time = holding(threading.RLock())


def epoch_seed(seed: int, epoch: int, rank: int, *batch: int) -> int:
    """Return the seed of an epoch, or of a batch in it, below 2^32.

    Args:
        seed: `trainer.seed`.
        epoch: number of the epoch, from 0.
        rank: rank of the process, so that processes draw different dropout masks.
        *batch: number of the batch, from 0.
    """
    return int(np.random.SeedSequence([seed, epoch, rank, *batch]).generate_state(1)[0])


def seed_all(seed: int, model: nn.Module) -> None:
    """Seed torch, NumPy, Python, and the shots of the devices that a model runs on."""
    pl.seed_everything(seed, verbose=False)
    devices = (getattr(module, "device", None) for module in model.modules())
    for device in {id(one): one for one in devices if isinstance(one, Device)}.values():
        device.reseed(seed)
