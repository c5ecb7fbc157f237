"""Checks of saved weights against a model."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch

from qrnn.errors import ConfigError, DataError


@contextmanager
def errors_about(source: str) -> Iterator[None]:
    """Turn a `ConfigError` about a file's content into a `DataError` that names the file."""
    try:
        yield
    except ConfigError as error:
        reason = " ".join(str(error).split())[:300]
        raise DataError(f"{source} is damaged or does not fit: {reason}") from error


def size_of(weights: Mapping[str, Any], name: str) -> str:
    """Return the shape of a weight as text, for messages; "none" if there is no such weight."""
    if name not in weights:
        return "none"
    value = weights[name]
    return str(tuple(value.shape)) if isinstance(value, torch.Tensor) else type(value).__name__


def check_weights(saved: Mapping[str, Any], wanted: Mapping[str, torch.Tensor]) -> None:
    """Check that saved weights fit a model.

    Args:
        saved: the checkpoint's weights.
        wanted: the model's weights, by the same names.

    Raises:
        ConfigError: a weight is missing, unexpected, not finite, or has the wrong shape or dtype.
    """
    for name in sorted({*saved, *wanted}):
        right, given = size_of(wanted, name), size_of(saved, name)
        if right != given:
            raise ConfigError(f"weight {name:.80} must be {right}, got {given}")
        mine, other = saved[name], wanted[name]
        if (
            mine.layout != torch.strided
            or mine.is_quantized
            or mine.is_meta
            or (mine.is_floating_point() != other.is_floating_point() or mine.is_complex())
        ):
            raise ConfigError(f"weight {name} must be {other.dtype}, got {mine.dtype}")
        if not mine.isfinite().all():
            raise ConfigError(
                f"weight {name} must be finite, got NaN or infinity: did the training diverge?"
            )
