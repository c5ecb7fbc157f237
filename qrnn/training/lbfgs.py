"""L-BFGS: a quasi-Newton method with a line search, which evaluates each batch several times."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from typing_extensions import override

from qrnn.errors import ConfigError
from qrnn.training.groups import param_groups

HISTORY = 10  # pairs of gradients; checkpoints hold two vectors for each


class _NotFiniteError(Exception):
    """A loss or a gradient overflowed."""


class LBFGS(torch.optim.LBFGS):
    """`torch.optim.LBFGS` with the strong Wolfe line search and weight decay.

    If an evaluation overflows, the weights stay as they were before the step, and the history of
    gradients is forgotten.

    Args:
        params: parameters, or one group of them.
        lr: first step length to try, of the quasi-Newton step.
        weight_decay: of half the squared weights, added to the loss.
    """

    def __init__(self, params: Any, lr: float = 1.0, weight_decay: float = 0.0):
        super().__init__(params, lr, history_size=HISTORY, line_search_fn="strong_wolfe")
        self.param_groups[0]["weight_decay"] = weight_decay

    @override
    def step(self, closure: Callable[[], Any]) -> Any:  # type: ignore[override]
        """Take a step; the closure computes gradients and returns the loss."""
        (group,) = self.param_groups
        weights, decay = group["params"], group["weight_decay"]
        before = [p.detach().clone() for p in weights]

        def evaluate() -> Any:
            loss = closure()
            grads = [p.grad for p in weights if p.grad is not None]
            # The learner drops gradients that are not finite.
            if not (grads and torch.isfinite(loss)):
                raise _NotFiniteError
            if not decay:
                return loss
            with torch.no_grad():
                for p in weights:
                    if p.grad is not None:
                        p.grad.add_(p, alpha=decay)
                return loss + decay / 2 * sum(p.square().sum() for p in weights)

        try:
            return super().step(evaluate)
        except _NotFiniteError:
            with torch.no_grad():
                for p, old in zip(weights, before, strict=True):
                    p.copy_(old)
            self.state.clear()
            return None


def check_lbfgs(model: nn.Module) -> None:
    """Check that a model has one learning rate.

    Raises:
        ConfigError: it has several.
    """
    scales = {group["lr"] for group in param_groups(model, 1.0)}
    if other := scales - {1.0}:
        raise ConfigError(
            f"model.output_lr must be 1 with trainer.optimizer=lbfgs, which has one step length, "
            f"got {min(other)}"
        )


def check_history(state: dict[str, Any], weights: int, dtype: torch.dtype) -> None:
    """Check the state of a saved optimiser, of which torch checks nothing.

    Args:
        state: that of the first parameter.
        weights: number of all weights N.
        dtype: of the weights.

    Raises:
        ConfigError: a value is missing, or has another type or shape than in a new run.
    """

    def is_flat(one: Any) -> bool:
        right = isinstance(one, torch.Tensor) and one.layout == torch.strided
        return right and one.shape == (weights,) and one.dtype == dtype

    def is_number(one: Any) -> bool:
        return type(one) in (int, float) or (isinstance(one, torch.Tensor) and one.ndim == 0)

    def all_of(holds: Callable[[Any], bool]) -> Callable[[Any], bool]:
        count = len(state["ro"]) if isinstance(state.get("ro"), list) else -1
        return lambda many: (
            isinstance(many, list) and len(many) == count <= HISTORY and all(map(holds, many))
        )

    def is_buffer(many: Any) -> bool:
        right = isinstance(many, list) and len(many) == HISTORY
        return right and all(one is None or is_number(one) for one in many)

    wanted: dict[str, Callable[[Any], bool]] = {"func_evals": is_number, "n_iter": is_number}
    if state.get("n_iter") != 0:
        wanted |= {"d": is_flat, "t": is_number, "prev_flat_grad": is_flat, "prev_loss": is_number}
        wanted |= {"old_dirs": all_of(is_flat), "old_stps": all_of(is_flat)}
        wanted |= {"ro": all_of(is_number), "H_diag": is_number}
    for name, holds in wanted.items():
        if not holds(state.get(name)):
            raise ConfigError(f"optimizer_states.state.{name} must be that of {weights} weights")
    if "al" in state and not is_buffer(state["al"]):
        raise ConfigError("optimizer_states.state.al must be numbers")
