"""Checks of tensors: each returns the value, or raises a one-line error that names it."""

from __future__ import annotations

from typing import Any

import torch

from qrnn.errors import ConfigError, NumericsError
from qrnn.utils.checks import shown


def checked_angles(
    theta: Any, n_angles: int, layout: str = "(P,)", most_axes: int = 1
) -> torch.Tensor:
    """Return the argument theta as a tensor; what is not a tensor yet becomes float64.

    Args:
        theta: angles, radians.
        n_angles: number of angles P.
        layout: text that describes the allowed shapes.
        most_axes: largest allowed number of dimensions.

    Raises:
        ConfigError: the angles are not finite numbers, or have another shape.
    """
    given = isinstance(theta, torch.Tensor)
    try:
        found = theta if given else torch.tensor(theta, dtype=torch.float64)
    except (TypeError, ValueError, RuntimeError) as error:
        raise ConfigError(f"theta must be numbers, got {shown(theta)}") from error
    if not 1 <= found.ndim <= most_axes or found.shape[-1] != n_angles or not len(found):
        raise ConfigError(
            f"theta must be angles {layout}, P = {n_angles}, got shape {tuple(found.shape)}"
        )
    if not torch.isfinite(found).all():
        raise ConfigError("theta must be finite angles, got NaN or infinity")
    return found


def checked_lengths(lengths: Any, batch: int, steps: int) -> torch.Tensor:
    """Return the lengths of sequences as int64 (B,).

    Args:
        lengths: (B,) whole numbers: a tensor of any integer type, or a list.
        batch: number of sequences B.
        steps: number of steps T.

    Raises:
        ConfigError: they are none, or not in 1..T.
    """
    allowed = f"lengths must be {batch} whole numbers of 1..{steps}, got"
    try:
        found = torch.as_tensor(lengths)
    except (TypeError, ValueError, RuntimeError) as error:
        raise ConfigError(f"{allowed} {shown(lengths)}") from error
    if found.is_floating_point() or found.is_complex() or found.dtype == torch.bool:
        raise ConfigError(f"{allowed} {shown(found.tolist())} of {found.dtype}: use .long()")
    found = found.long()
    if found.shape != (batch,) or found.min() < 1 or found.max() > steps:
        raise ConfigError(f"{allowed} {shown(found.tolist())}")
    return found


def check_finite(x: torch.Tensor, batch_first: bool = False) -> None:
    """Raise an error if inputs of a network are not finite.

    Args:
        x: inputs (T, B, D), or tokens of any integer type.
        batch_first: whether they are (B, T, D).

    Raises:
        NumericsError: an input is NaN or infinite; its step and sequence are named.
    """
    if x.is_meta or not x.is_floating_point():
        return
    # A sum of finite numbers may overflow, but one with NaN or infinity is never finite.
    if x.sum().isfinite() or x.isfinite().all():
        return
    bad = (~torch.isfinite(x)).any(2)
    step, row = (bad.T if batch_first else bad).nonzero()[0].tolist()
    raise NumericsError(
        f"x must be finite, got NaN or infinity at step {step} of sequence {row}: check the data "
        f"or, after an embedding, lower the learning rate"
    )
