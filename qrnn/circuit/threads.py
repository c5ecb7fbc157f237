"""PennyLane in several Python threads: one of them at a time.

Its queue of gates belongs to the process, as torch's default dtype does, and a Lightning device
holds one state. So whatever records, builds or runs circuits holds `PENNYLANE`, the backward passes
that run circuits included. The fused kernels need no lock.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from functools import wraps
from typing import Any, TypeVar

import torch
from pennylane.queuing import AnnotatedQueue

from qrnn.utils.autograd import first_derivative

F = TypeVar("F", bound=Callable[..., Any])

# Re-entrant, and held by PennyLane while it records: behind a second lock, two threads that take
# them in different orders would wait for each other.
PENNYLANE = AnnotatedQueue._lock


def one_at_a_time(run: F) -> F:
    """Let a function hold `PENNYLANE` while it runs."""

    @wraps(run)
    def alone(*arguments: Any, **named: Any) -> Any:
        with PENNYLANE:
            return run(*arguments, **named)

    return alone  # type: ignore[return-value]


def with_circuits_behind(
    run: Callable[..., torch.Tensor], *inputs: torch.Tensor, weights: Sequence[torch.Tensor] = ()
) -> torch.Tensor:
    """Return `run(*inputs)`, whose backward pass runs circuits too: it holds `PENNYLANE` then.

    Args:
        run: differentiable once, in its inputs and the weights alone.
        *inputs: tensors.
        weights: tensors that it uses without being given them.
    """
    if not torch.is_grad_enabled() or not any(v.requires_grad for v in (*inputs, *weights)):
        return run(*inputs)
    return _Alone.apply(run, len(inputs), *inputs, *weights)


def kernels_alone(run: F) -> F:
    """Let a function that runs numba's parallel kernels be one at a time where numba needs it.

    Where it finds neither OpenMP nor TBB, it ends the process as soon as two threads run one.
    """

    @wraps(run)
    def alone(*arguments: Any, **named: Any) -> Any:
        with nullcontext() if _side_by_side() else _KERNELS:
            return run(*arguments, **named)

    return alone  # type: ignore[return-value]


_KERNELS = threading.RLock()


def _side_by_side() -> bool:
    """Return whether numba's kernels may run in several threads; False before the first has."""
    import numba

    try:
        return numba.threading_layer() != "workqueue"
    except ValueError:
        return False


class LastCall(threading.local):
    """What a cell says of its last call beside what it returns: of this thread's last one.

    Attributes:
        outcomes: see `QuantumNeuronCell`.
        kept: see `QuantumNeuronCell`.
    """

    outcomes: torch.Tensor | None = None
    kept: torch.Tensor | None = None

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle and copy nothing of it."""
        return LastCall, ()


class _Alone(torch.autograd.Function):
    """A graph of its own inside one node: torch calls a node's backward, where a lock can be."""

    @staticmethod
    def forward(ctx: Any, run: Callable[..., torch.Tensor], n: int, *inputs):
        with torch.enable_grad():
            given = [v.detach().requires_grad_(v.requires_grad) for v in inputs[:n]]
            ctx.inner = [*given, *inputs[n:]]
            ctx.out = run(*given)
        ctx.save_for_backward(*inputs)
        return ctx.out.detach()

    @staticmethod
    @first_derivative()
    def backward(ctx: Any, gradient):
        _ = ctx.saved_tensors  # torch's error if the graph is gone, or an input was changed
        wanted = [value for value in ctx.inner if value.requires_grad]
        with PENNYLANE:
            found = iter(
                torch.autograd.grad(
                    ctx.out, wanted, gradient, retain_graph=True, materialize_grads=True
                )
            )
        gradients = (next(found) if value.requires_grad else None for value in ctx.inner)
        return None, None, *gradients
