"""Decorators for custom autograd functions and the cells that use them."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any, TypeVar

import torch
from torch import nn

from qrnn.errors import DeviceError

F = TypeVar("F", bound=Callable[..., Any])


def refuse_transforms(remedy: str = "use torch.autograd.grad, or .on('default.qubit')") -> None:
    """Check that no transform of `torch.func` is active, for which a custom function has no rule.

    Raises:
        DeviceError: one is.
    """
    if torch._C._are_functorch_transforms_active():
        raise DeviceError(
            f"torch.func must be left out where gradients are computed by hand: {remedy}"
        )


def once_differentiable(remedy: str = "use .on('default.qubit')") -> Callable[[Callable], Callable]:
    """Make the `backward` of an autograd function raise an error when differentiated again.

    torch's own `once_differentiable` raises it in a node that `torch.autograd.grad` does not visit,
    so wrong second derivatives would be returned.

    Args:
        remedy: how the user can get second derivatives.
    """

    def decorate(backward: Callable) -> Callable:
        @wraps(backward)
        def checked(ctx: Any, *gradients: torch.Tensor) -> Any:
            if torch.is_grad_enabled():
                raise DeviceError(
                    "create_graph must be False where there are no second derivatives, got True: "
                    f"{remedy}"
                )
            if any(map(_is_batch, gradients)):
                raise DeviceError(
                    "vectorize and is_grads_batched must be False where gradients are computed by "
                    f"hand, got True: use vectorize=False, or {remedy.removeprefix('use ')}"
                )
            return backward(ctx, *gradients)

        return checked

    return decorate


BATCHED = torch._C._dispatch_key_parse("Batched")  # of torch.autograd, not of torch.func


def _is_batch(gradient: torch.Tensor | None) -> bool:
    """Return whether a gradient stands for several, of which each has its own backward pass."""
    return gradient is not None and torch._C._dispatch_keys(gradient).has(BATCHED)


def in_full_precision(run: F) -> F:
    """Run a method of (cell, x, ...) in the parameters' precision even under `torch.autocast`.

    With angles rounded to bfloat16's 8 bits, the readouts would have errors of about 0.01.
    """

    @wraps(run)
    def with_autocast_off(cell: nn.Module, x: torch.Tensor, *others: Any, **named: Any) -> Any:
        if not isinstance(x, torch.Tensor):  # refused in `run`
            return run(cell, x, *others, **named)
        kind = x.device.type
        if not torch.amp.is_autocast_available(kind) or not torch.is_autocast_enabled(kind):
            return run(cell, x, *others, **named)
        if x.is_floating_point():
            x = x.to(next(cell.parameters()).dtype)
        with torch.autocast(kind, enabled=False):
            return run(cell, x, *others, **named)

    return with_autocast_off  # type: ignore[return-value]
