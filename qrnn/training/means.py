"""Means over an epoch."""

from __future__ import annotations

from collections.abc import Callable

import torch


class Means:
    """Means over an epoch, summed as tensors: `LightningModule.log` is slow in a short step.

    Each mean is a total and a count, which add up over batches and processes.
    """

    def __init__(self) -> None:
        self._sums: dict[str, tuple[torch.Tensor, torch.Tensor | int]] = {}

    def add(self, name: str, total: torch.Tensor, count: torch.Tensor | int) -> None:
        """Add a batch.

        Args:
            name: of the mean.
            total: sum over the batch, of any shape, detached.
            count: number of summands, of the same shape or one for all.
        """
        if (before := self._sums.get(name)) is not None:
            total, count = before[0] + total, before[1] + count
        self._sums[name] = (total, count)

    def take(self, reduce: Callable[[torch.Tensor], torch.Tensor]) -> dict[str, torch.Tensor]:
        """Return the means by name, and forget them.

        Args:
            reduce: adds a tensor over all processes.
        """
        sums, self._sums = self._sums, {}
        return {
            name: reduce(total) / reduce(torch.as_tensor(count, device=total.device))
            for name, (total, count) in sums.items()
        }
