"""How far gradients reach back: the gradient norm of the loss with respect to each state."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from typing import Any

import torch
from torch.nn.functional import cross_entropy

from qrnn.models.sequence import SequenceClassifier


def tensors_of(state: Any) -> Iterator[torch.Tensor]:
    """Yield the tensors of a state that are part of the autograd graph."""
    if isinstance(state, torch.Tensor):
        if state.requires_grad:
            yield state
    elif is_dataclass(state):
        for field in fields(state):
            yield from tensors_of(getattr(state, field.name))
    elif isinstance(state, (tuple, list)):
        for part in state:
            yield from tensors_of(part)


def gradient_norms(model: SequenceClassifier, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """Return the norm of the loss's gradient with respect to each state but the last.

    The state is all that the network carries to the next step: amplitudes and readouts of a hybrid
    network, h and c of an LSTM. The network runs step by step and needs the memory of T steps.

    Args:
        model: a classifier with a unidirectional network.
        x: inputs (B, T, D).
        y: labels (B,).

    Returns:
        Norms (T - 1,): the root mean square over the batch of each sequence's norm.
    """
    embedded, state, kept = model.embed(x), None, []
    for t in range(x.shape[1]):
        _, state = model.rnn(embedded[:, t : t + 1], state)
        carried = list({id(tensor): tensor for tensor in tensors_of(state)}.values())
        for tensor in carried:
            tensor.retain_grad()
        kept.append(carried)
    assert state is not None
    loss = cross_entropy(model.logits(state.z, embedded), y, reduction="sum")
    loss.backward()
    squares = [
        sum(tensor.grad.abs().square().sum() for tensor in carried if tensor.grad is not None)
        for carried in kept[:-1]  # nothing reads the last carried state
    ]
    return torch.stack([torch.as_tensor(square) for square in squares]).div(len(x)).sqrt()
