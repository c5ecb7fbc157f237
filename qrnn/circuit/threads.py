"""Locks for PennyLane, which only one Python thread may use at a time.

Its queue of gates and torch's default dtype are global to the process, and a Lightning device holds
a single state. So all code that records, builds or runs circuits holds `PENNYLANE`, including
backward passes that run circuits. The fused kernels need no lock.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Any

import torch
from pennylane.queuing import AnnotatedQueue

from qrnn.utils.autograd import once_differentiable, refuse_transforms
from qrnn.utils.locks import holding

# PennyLane's own re-entrant lock, which it holds while recording: with a second lock, two threads
# that take both in different orders would deadlock.
PENNYLANE = AnnotatedQueue._lock


one_at_a_time = holding(PENNYLANE)


def with_locked_backward(
    run: Callable[..., torch.Tensor], *inputs: torch.Tensor, weights: Sequence[torch.Tensor] = ()
) -> torch.Tensor:
    """Return `run(*inputs)`; its backward pass, which runs circuits too, holds `PENNYLANE`.

    Args:
        run: a once-differentiable function of its inputs and the weights.
        *inputs: tensors.
        weights: other tensors that `run` uses.

    Raises:
        DeviceError: a transform of `torch.func` is active.
    """
    refuse_transforms()
    if not torch.is_grad_enabled() or not any(v.requires_grad for v in (*inputs, *weights)):
        return run(*inputs)
    return _LockedBackward.apply(run, len(inputs), *inputs, *weights)


class LastCall(threading.local):
    """Additional results of a cell's last call in this thread.

    Attributes:
        outcomes: see `QuantumNeuronCell`.
        kept: see `QuantumNeuronCell`.
    """

    outcomes: torch.Tensor | None = None
    kept: torch.Tensor | None = None

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle and copy without the results."""
        return LastCall, ()


class _LockedBackward(torch.autograd.Function):
    """A separate graph inside one autograd node, whose backward can hold a lock."""

    @staticmethod
    def forward(ctx: Any, run: Callable[..., torch.Tensor], n: int, *inputs):
        with torch.enable_grad():
            given = [v.detach().requires_grad_(v.requires_grad) for v in inputs[:n]]
            ctx.inner = [*given, *inputs[n:]]
            ctx.out = run(*given)
        ctx.save_for_backward(*inputs)
        return ctx.out.detach()

    @staticmethod
    @once_differentiable()
    def backward(ctx: Any, gradient):
        _ = ctx.saved_tensors  # raises torch's error if the graph was freed or an input changed
        wanted = [value for value in ctx.inner if value.requires_grad]
        with PENNYLANE:
            found = iter(
                torch.autograd.grad(
                    ctx.out, wanted, gradient, retain_graph=True, materialize_grads=True
                )
            )
        gradients = (next(found) if value.requires_grad else None for value in ctx.inner)
        return None, None, *gradients
