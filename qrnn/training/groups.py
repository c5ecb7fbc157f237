"""Groups of parameters with a learning rate each, for any optimiser of torch."""

from __future__ import annotations

from typing import Any

from torch import nn


def param_groups(model: nn.Module, lr: float) -> list[dict[str, Any]]:
    """Return a model's parameters in groups for an optimiser, each with its learning rate.

    The key `model.output_lr` multiplies the rate of the controller's last layer and the bias, small
    changes of which turn the state at each step; `model.skew_lr` that of scoRNN's matrix.

    A module of yours says so by an attribute `lr_scales`, a factor by the name of each of its
    parameters, or of a submodule. (An attribute of the parameter itself, `lr_scale`, is read too,
    but copies and `load_state_dict(assign=True)` lose it.)

    Args:
        model: any module.
        lr: the rate of all parameters without a factor.

    Examples:
        >>> rnn = qrnn.QRNN(2, 2)
        >>> optimizer = torch.optim.Adam(qrnn.param_groups(rnn, lr=1e-2))
    """
    scales = _scales(model)
    groups: dict[float, list[nn.Parameter]] = {}
    for parameter in model.parameters():
        scale = scales.get(parameter, getattr(parameter, "lr_scale", 1.0))
        groups.setdefault(scale * lr, []).append(parameter)
    return [{"params": group, "lr": rate} for rate, group in groups.items()]


def _scales(model: nn.Module) -> dict[nn.Parameter, float]:
    """Return the factors that a model's modules name."""
    found: dict[nn.Parameter, float] = {}
    for module in model.modules():
        named: Any = getattr(module, "lr_scales", {})
        for prefix, scale in named.items():
            for name, parameter in module.named_parameters():
                if name == prefix or name.startswith(f"{prefix}."):  # also of a parametrization
                    found[parameter] = scale
    return found
