"""Groups of parameters with a learning rate each, for any optimiser of torch."""

from __future__ import annotations

from typing import Any

from torch import nn


def param_groups(model: nn.Module, lr: float) -> list[dict[str, Any]]:
    """Return a model's parameters in groups for an optimiser, each with its learning rate.

    A parameter's attribute `lr_scale` multiplies the rate: the key `model.output_lr` sets it for
    the controller's last layer and the bias, small changes of which turn the state at each step.

    Args:
        model: any module.
        lr: the rate of all parameters without that attribute.

    Examples:
        >>> rnn = qrnn.QRNN(2, 2)
        >>> optimizer = torch.optim.Adam(qrnn.param_groups(rnn, lr=1e-2))
    """
    groups: dict[float, list[nn.Parameter]] = {}
    for parameter in model.parameters():
        groups.setdefault(getattr(parameter, "lr_scale", 1.0) * lr, []).append(parameter)
    return [{"params": group, "lr": rate} for rate, group in groups.items()]
