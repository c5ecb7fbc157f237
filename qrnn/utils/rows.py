"""States of several sequences, of which some can be chosen: `state[rows]`."""

from __future__ import annotations

from typing import Any, Self

import torch

from qrnn.errors import ConfigError
from qrnn.utils.checks import shown

ALLOWED = "rows must be a slice, a list of whole numbers or a mask of booleans"


def row_indices(rows: Any, batch: int, device: torch.device) -> torch.Tensor:
    """Return the indices (K,) of chosen rows, from 0, as int64.

    Args:
        rows: a slice; whole numbers, from -B; or B booleans. As a list, an array or a tensor.
        batch: number of rows B.
        device: of the result.

    Raises:
        ConfigError: it is none of these, a row does not exist, or none is chosen.
    """
    if isinstance(rows, slice):
        try:
            rows = list(range(batch)[rows])
        except (TypeError, ValueError) as error:
            raise ConfigError(f"{ALLOWED}, got {shown(rows)}") from error
    try:
        found = torch.as_tensor(rows)
    except (TypeError, ValueError, RuntimeError) as error:
        raise ConfigError(f"{ALLOWED}, got {shown(rows)}") from error
    if found.ndim == 0:
        raise ConfigError(
            f"{ALLOWED}, got {shown(rows)}: [[{shown(rows)}]] is one sequence; the readouts of the "
            f"last layer are state.z"
        )
    if found.numel() == 0:
        raise ConfigError(f"rows must choose at least one of {batch} sequences, got none")
    if found.dtype == torch.bool:
        if found.shape != (batch,):
            raise ConfigError(
                f"a mask of rows must have shape ({batch},), got {tuple(found.shape)}"
            )
        found = found.nonzero()[:, 0]
        if not len(found):
            raise ConfigError(f"rows must choose at least one of {batch} sequences, got none")
    elif found.ndim != 1 or found.is_floating_point() or found.is_complex():
        raise ConfigError(f"{ALLOWED}, got {found.dtype} of shape {tuple(found.shape)}")
    elif found.dtype == torch.uint8:  # a mask for torch, numbers for NumPy
        raise ConfigError(f"{ALLOWED}, got torch.uint8: use .bool() or .long()")
    found = found.long()
    if found.min() < -batch or found.max() >= batch:
        raise ConfigError(f"rows must be in {-batch}..{batch - 1}, got {shown(found.tolist())}")
    return found.remainder(batch).to(device)


class Rows:
    """A state of B sequences; subclasses have the last outputs z (B, R)."""

    def select(self, rows: torch.Tensor) -> Self:
        """Return the states of some sequences, by their indices (K,); one may be repeated."""
        raise NotImplementedError

    def __getitem__(self, rows: Any) -> Self:
        """Return the states of some sequences, for a beam search or a batch that shrinks.

        Args:
            rows: a slice; whole numbers, as a list or a tensor, where a number may be repeated; or
                a mask (B,) of booleans.

        Raises:
            ConfigError: a row does not exist, or none is chosen.
        """
        z: torch.Tensor = self.z  # type: ignore[attr-defined]
        return self.select(row_indices(rows, len(z), z.device))
