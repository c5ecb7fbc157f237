"""The identity of a trained model, which links results to it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

import torch


def made_of(config: Mapping[str, Any], shape: Mapping[str, Any]) -> str:
    """Return what determines a model besides its weights, as JSON.

    Args:
        config: the full configuration, as plain values.
        shape: the fields of `Shape`.
    """
    made = {"model": config.get("model"), "device": config.get("device"), "shape": dict(shape)}
    return json.dumps(made, sort_keys=True, default=str)


def identity(weights: Mapping[str, torch.Tensor], made: str) -> str:
    """Return a hash of a model's weights and architecture.

    It depends neither on the checkpoint's path nor on the optimiser's state: the last checkpoint
    has the identity of the best one if their weights are the same.

    Args:
        weights: the model's `state_dict()`.
        made: output of `made_of`.
    """
    digest = hashlib.sha256(made.encode())
    for name, value in sorted(weights.items()):
        digest.update(f"{name} {value.dtype} {tuple(value.shape)}".encode())
        digest.update(value.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().data)
    return digest.hexdigest()[:16]


def model_identity(model: Any) -> str | None:
    """Return the identity of a model with its current weights; None: it has no configuration."""
    return None if model.made_of is None else identity(model.state_dict(), model.made_of)
