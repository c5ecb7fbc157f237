"""Controllers: torch networks that compute the angles from the input and the last readouts.

    theta_t = bias + controller([e_t ; z_(t-1)])

Any `torch.nn.Module` from (B, D + R) to (B, P) can replace the built-in ones.
"""

from __future__ import annotations

import torch
from torch import nn

from qrnn.config.models import HybridConfig
from qrnn.utils.checks import probability, whole
from qrnn.utils.limits import MOST_LAYERS, MOST_UNITS
from qrnn.utils.registry import unknown_name

ACTIVATIONS = {"linear": nn.Identity, "relu": nn.ReLU, "gelu": nn.GELU, "glu": nn.GLU}

# With small output and feedback weights, inputs and readouts change U little and the recurrence
# starts stable; with torch's default scale the cell stays at chance level on long sequences.
OUTPUT_SCALE = 0.1
FEEDBACK_SCALE = 0.1


class Controller(nn.Sequential):
    """A feed-forward controller: `depth` hidden layers, then one linear layer to the angles.

    Initialised like torch's linear layers, except that the output layer (its bias is zero) and the
    weights that read z are multiplied by 0.1, so that they change U little at the start.

    Args:
        input_size: number of input features D.
        n_readouts: number of readouts R that are fed back.
        n_angles: number of angles P.
        kind: activation of the hidden layers: `linear` (none, for ablations), `relu`, `gelu`,
            `glu`.
        width: units per hidden layer.
        depth: number of hidden layers; 0: a single linear layer.
        dropout: dropout probability after each hidden layer.

    Shape:
        Input (B, D + R), output (B, P) in radians.

    Raises:
        ConfigError: an unknown kind, or a size or probability out of range.
    """

    def __init__(
        self,
        input_size: int,
        n_readouts: int,
        n_angles: int,
        kind: str = HybridConfig.controller,
        width: int = HybridConfig.width,
        depth: int = HybridConfig.depth,
        dropout: float = HybridConfig.dropout,
    ):
        if kind not in ACTIVATIONS:
            raise unknown_name("controller", kind, ACTIVATIONS)
        input_size = whole("input_size", input_size, 1)
        n_readouts = whole("n_readouts", n_readouts, 0)
        n_angles, depth = whole("n_angles", n_angles, 1), whole("depth", depth, 0, MOST_LAYERS)
        width, dropout = whole("width", width, 1, MOST_UNITS), probability("dropout", dropout)
        modules: list[nn.Module] = []
        size = input_size + n_readouts
        for _ in range(depth):
            modules.append(nn.Linear(size, 2 * width if kind == "glu" else width))
            modules.append(ACTIVATIONS[kind]())
            if dropout:
                modules.append(nn.Dropout(dropout))
            size = width
        modules.append(nn.Linear(size, n_angles))
        super().__init__(*modules)
        linear = [module for module in modules if isinstance(module, nn.Linear)]
        with torch.no_grad():
            linear[-1].weight.mul_(OUTPUT_SCALE)
            linear[-1].bias.zero_()
            linear[0].weight[:, input_size:].mul_(FEEDBACK_SCALE)
