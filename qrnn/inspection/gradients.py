"""How far gradients reach back: the gradient norm of the loss with respect to each state."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import fields, is_dataclass
from functools import partial
from typing import Any

import torch
from torch.nn.functional import cross_entropy

from qrnn.cell.cell import QRNNState
from qrnn.errors import ConfigError
from qrnn.models.sequence import SequenceModel

Part = Callable[[torch.Tensor], torch.Tensor]


def tensors_of(state: Any) -> Iterator[tuple[torch.Tensor, Part]]:
    """Yield the tensors of a state that are part of the autograd graph.

    Each comes with the part of its gradient that counts: of a quantum state, see `Memory.tangent`.
    """
    if isinstance(state, torch.Tensor):
        if state.requires_grad:
            yield state, lambda gradient: gradient
    elif isinstance(state, QRNNState):
        yield from tensors_of(state.z)
        for tensor, _ in tensors_of(state.carried):
            # A copy: the way back may undo the steps in the memory of the states.
            yield tensor, partial(state.memory.tangent, tensor.detach().clone())
    elif is_dataclass(state):
        for field in fields(state):
            yield from tensors_of(getattr(state, field.name))
    elif isinstance(state, (tuple, list)):
        for one in state:
            yield from tensors_of(one)


def squared_norms(loss: torch.Tensor, states: Sequence[Any]) -> torch.Tensor:
    """Return the squared norm (T,) of a loss's gradient with respect to each of T states.

    The state is all that the network carries to the next step: amplitudes and readouts of a hybrid
    network, h and c of an LSTM. Of a quantum state, changes count that keep its norm or its trace.
    """
    kept = [list({id(one[0]): one for one in tensors_of(state)}.values()) for state in states]
    flat = [tensor for several in kept for tensor, _ in several]
    found = iter(torch.autograd.grad(loss, flat, allow_unused=True))
    squares = torch.zeros(len(kept), dtype=loss.dtype, device=loss.device)
    for t, several in enumerate(kept):
        for _, part in several:
            if (gradient := next(found)) is not None:
                squares[t] += part(gradient).abs().square().sum()
    return squares


def gradient_norms(model: SequenceModel, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """Return the norm of the last step's loss's gradient with respect to each state but the last.

    The network runs step by step and needs the memory of T steps; see `squared_norms`.

    Args:
        model: a model with labels and a unidirectional network.
        x: inputs (B, T, D) or tokens (B, T).
        y: labels (B,), or of each step (B, T), of which the last counts.

    Returns:
        Norms (T - 1,): the root mean square over the batch of each sequence's norm.

    Raises:
        ConfigError: the loss is not the last step's, as the head reads the mean of all outputs.
    """
    if getattr(model, "pooling", "last") != "last":
        raise ConfigError(f"model.pooling must be last for gradient norms, got {model.pooling}")
    embedded, states = model.embed(x), [None]
    for t in range(x.shape[1]):
        z, state = model.rnn(embedded[:, t : t + 1], states[-1])
        states.append(state)
    logits = model.logits(model.read(z, state), embedded[:, -1:])  # (B, C) or (B, 1, C)
    labels = y.reshape(len(y), -1)[:, -1]
    loss = cross_entropy(logits.flatten(0, -2), labels, reduction="sum")
    return squared_norms(loss, states[1:-1]).div(len(x)).sqrt()  # nothing reads the last state
