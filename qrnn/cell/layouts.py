"""Sequences in the layouts of `torch.nn.RNN`, padded or packed, for a network of (T, B, D)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence, pad_packed_sequence

from qrnn.cell.checks import check_tensor
from qrnn.errors import ConfigError
from qrnn.utils.tensors import check_finite, checked_lengths


def over_time(
    steps: Callable[..., tuple[torch.Tensor, Any]],
    x: torch.Tensor | PackedSequence,
    state: Any,
    lengths: torch.Tensor | None,
    batch_first: bool,
    input_size: int | None = None,
) -> tuple[torch.Tensor | PackedSequence, Any]:
    """Run a network on sequences in any layout that `torch.nn.RNN` supports.

    Args:
        steps: function of x (T, B, D), state, lengths and active (T, B), the last two both None or
            neither; returns z (T, B, R) and the last state.
        x: (T, B, D), (B, T, D) if `batch_first`, (T, D) for one sequence, or a PackedSequence.
        state: passed to `steps`.
        lengths: (B,) number of steps of each sequence, or None.
        batch_first: whether x is (B, T, D).
        input_size: number of features D; None: `steps` checks it.

    Returns:
        z in the layout of x, 0 after a sequence's end, and the last state.

    Raises:
        ConfigError: x has the wrong type or shape, or lengths do not match it.
    """
    if isinstance(x, PackedSequence):
        if lengths is not None:
            raise ConfigError("lengths must be left out with a PackedSequence, which includes them")
        if input_size is not None and x.data.shape[1:] != (input_size,):
            raise ConfigError(
                f"x must be a PackedSequence of {input_size} features, got data of shape "
                f"{tuple(x.data.shape)}"
            )
        padded, lengths = pad_packed_sequence(x)
        z, state = padded_steps(steps, padded, state, lengths)
        return packed_as(x, z, lengths), state
    check_tensor(x)
    shape = tuple(x.shape)
    if x.ndim not in (2, 3):
        raise ConfigError(f"x must have 2 or 3 dimensions, got shape {shape}")
    if input_size is not None and shape[-1] != input_size:
        axes = "T" if x.ndim == 2 else "B, T" if batch_first else "T, B"
        raise ConfigError(f"x must have shape ({axes}, {input_size}), got {shape}")
    if 0 in shape[:-1]:
        raise ConfigError(f"x must have at least one step and one sequence, got shape {shape}")
    if x.ndim == 2:
        z, state = padded_steps(steps, x[:, None], state, lengths)
        return z[:, 0], state
    z, state = padded_steps(steps, x.transpose(0, 1) if batch_first else x, state, lengths)
    return (z.transpose(0, 1) if batch_first else z), state


def packed_as(x: PackedSequence, z: torch.Tensor, lengths: torch.Tensor) -> PackedSequence:
    """Return z (T, B, R) packed in the order of x; lengths (B,) are those of x, on the CPU."""
    # Not sorted again: sequences of equal length could end up in another order than in x.
    if x.sorted_indices is not None:
        z, lengths = z.index_select(1, x.sorted_indices), lengths[x.sorted_indices.cpu()]
    data = pack_padded_sequence(z, lengths).data
    return PackedSequence(data, x.batch_sizes, x.sorted_indices, x.unsorted_indices)


def padded_steps(
    steps: Callable[..., tuple[torch.Tensor, Any]],
    x: torch.Tensor,
    state: Any,
    lengths: torch.Tensor | None,
) -> tuple[torch.Tensor, Any]:
    """Run `steps` over x (T, B, D) and lengths (B,) or None; see `over_time`."""
    n_steps, batch = x.shape[:2]
    if lengths is None:
        check_finite(x)
        return steps(x, state, None, None)
    lengths = checked_lengths(lengths, batch, n_steps).to(x.device)
    padding = torch.arange(n_steps, device=x.device)[:, None] >= lengths
    # Padding, even NaN, must affect neither values nor gradients.
    x = x.masked_fill(padding[:, :, None], 0)
    check_finite(x)
    z, state = steps(x, state, lengths, ~padding)
    return z.masked_fill(padding[:, :, None], 0), state


def backwards(x: torch.Tensor, lengths: torch.Tensor | None) -> torch.Tensor:
    """Reverse sequences (T, B, D) in time; padding stays at the end."""
    if lengths is None:
        return x.flip(0)
    steps = torch.arange(len(x), device=x.device)[:, None]
    source = torch.where(steps < lengths, lengths - 1 - steps, steps)
    return x.take_along_dim(source[:, :, None], 0)
