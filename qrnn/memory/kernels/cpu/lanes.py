"""Conversion of batches to blocks, of LANES sequences or of one that is spread over the lanes."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch

from qrnn.memory.kernels.cpu.simd import LANES


def blocks_of(batch: int) -> int:
    """Return the number of blocks for a batch."""
    return -(-batch // LANES)


def shares_of(blocks: int, count: int) -> list[tuple[int, int, int]]:
    """Return (number, first block, last + 1) of each of `count` threads."""
    return [(i, i * blocks // count, (i + 1) * blocks // count) for i in range(count)]


def empty(shape: Sequence[int], dtype: torch.dtype) -> torch.Tensor:
    """Return an uninitialised tensor for amplitudes, aligned to cache lines.

    Torch aligns with posix_memalign, which cannot reuse the space of a freed state of the same size
    (glibc < 2.38): the heap would grow by a third of a state per step. Numpy asks for huge pages:
    to map 32 MB takes 4 ms instead of 14.
    """
    size = math.prod(shape) * dtype.itemsize
    buffer = torch.from_numpy(np.empty(size + 64, np.uint8))
    start = -buffer.data_ptr() % 64
    return buffer[start : start + size].view(dtype).view(shape)


def empty_like(psi: torch.Tensor) -> torch.Tensor:
    """Return an uninitialised tensor like a state; see `empty`."""
    return empty(psi.shape, psi.dtype)


def whole_blocks(states: torch.Tensor) -> torch.Tensor:
    """Return states (B, ...) and as many more of the first as fill the last block of LANES."""
    missing = -len(states) % LANES
    return torch.cat([states, states[:1].expand(missing, *states.shape[1:])]) if missing else states


def flat(values: torch.Tensor) -> np.ndarray:
    """Return a tensor as a numpy array with one row per block."""
    return values.numpy().reshape(values.shape[0], -1)


def to_lanes(values: torch.Tensor, blocks: int, *, spread: bool = False) -> torch.Tensor:
    """Return (B, K) values as (blocks, K, LANES), padded with zeros; if spread, repeated."""
    if spread:
        return values[:, :, None].expand(-1, -1, LANES).contiguous()
    batch, width = values.shape
    if batch < blocks * LANES:
        padded = values.new_zeros(blocks * LANES, width)
        padded[:batch] = values
        values = padded
    return values.view(blocks, LANES, width).transpose(1, 2).contiguous()


def from_lanes(values: torch.Tensor, batch: int, *, spread: bool = False) -> torch.Tensor:
    """Return (blocks, K, LANES) values as (B, K); if spread, their sums over the lanes."""
    if spread:
        return values.sum(2)
    return values.transpose(1, 2).reshape(-1, values.shape[1])[:batch]
