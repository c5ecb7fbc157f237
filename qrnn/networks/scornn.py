"""scoRNN: a recurrent network whose recurrent matrix stays orthogonal.

Source: Helfrich, Willmott, Ye, Orthogonal Recurrent Neural Networks with Scaled Cayley Transform,
ICML 2018, arXiv 1707.09520, and the initialisation of the authors' code.
"""

from __future__ import annotations

from math import pi
from typing import Any

import torch
from torch import nn
from typing_extensions import override

from qrnn.cell.state import CellState
from qrnn.config.models import ScoRNNConfig
from qrnn.devices import DeviceOptions
from qrnn.networks.layers import Layers, StepCell, at_least_one
from qrnn.utils.autograd import once_differentiable
from qrnn.utils.checks import number, positive


class Cayley(nn.Module):
    """A learned orthogonal matrix W = (I + A)^-1 (I - A) D, by the scaled Cayley transform.

    A is skew-symmetric; its n(n-1)/2 entries above the diagonal are the parameters. D is a fixed
    diagonal matrix of 1 and -1, so that W can have eigenvalues near -1 with a bounded A.

    A is initialised block-diagonal, so that (I + A)^-1 (I - A) rotates n/2 planes by angles t
    uniform in [0, pi/2]: the entry of each block is tan(t/2) = sqrt((1 - cos t) / (1 + cos t)).

    Args:
        n: size of W.
        negative_share: fraction of -1 on the diagonal of D.
        skew_lr: learning rate of A, relative to the other parameters; kept in `lr_scales`.

    Raises:
        ConfigError: n is below 1, the fraction outside [0, 1], or the learning rate not positive.
    """

    signs: torch.Tensor

    def __init__(self, n: int, negative_share: float = 0.0, skew_lr: float = ScoRNNConfig.skew_lr):
        super().__init__()
        self.n = at_least_one("hidden_size", n)
        n = self.n
        negative_share = number(
            "negative_share", negative_share, "in [0, 1]", lambda v: 0 <= v <= 1
        )
        skew_lr = positive("skew_lr", skew_lr)
        blocks = torch.zeros(n, n)
        even = torch.arange(0, n - 1, 2)
        blocks[even, even + 1] = torch.tan(torch.rand(len(even)) * pi / 4)
        self.skew = nn.Parameter(blocks[above_diagonal(n, "cpu")])
        self.lr_scales = {"skew": skew_lr}  # read by `qrnn.param_groups`
        signs = torch.ones(n)
        signs[n - round(negative_share * n) :] = -1
        self.register_buffer("signs", signs)

    def forward(self) -> torch.Tensor:
        """Return W (n, n), differentiable."""
        above = above_diagonal(self.n, self.skew.device)
        upper = self.skew.new_zeros(self.n, self.n).index_put(above, self.skew)
        a = upper - upper.T
        eye = torch.eye(self.n).to(a)
        return torch.linalg.solve(eye + a, eye - a) * self.signs


def above_diagonal(n: int, device: torch.device | str) -> tuple[torch.Tensor, torch.Tensor]:
    """Return rows and columns of the n(n-1)/2 entries above the diagonal."""
    rows, columns = torch.triu_indices(n, n, 1, device=device)
    return rows, columns


class ScoRNNCell(StepCell):
    """A cell with an orthogonal recurrence and modReLU.

        h_t = modReLU(U x_t + W h_(t-1)),  modReLU(a) = sign(a) relu(|a| + b)

    with h_0 = 0 and W from `Cayley`. As in the authors' code, U is initially uniform in
    [-0.01, 0.01] and b = 0. The gradient through modReLU keeps its norm where |a| + b > 0.

    Args:
        input_size: number of input features D.
        hidden_size: number of units n.
        negative_share: fraction of -1 on the diagonal of D.
        skew_lr: learning rate of A, relative to the other parameters.

    Shape:
        x (T, B, D), z = h (T, B, n).

    Raises:
        ConfigError: a value is out of range.
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        negative_share: float = ScoRNNConfig.negative_share,
        skew_lr: float = ScoRNNConfig.skew_lr,
    ):
        super().__init__(input_size, at_least_one("hidden_size", hidden_size))
        hidden_size, input_size = self.n_readouts, self.input_size
        self.recurrent = Cayley(hidden_size, negative_share, skew_lr)
        self.weight = nn.Parameter(torch.empty(hidden_size, input_size).uniform_(-0.01, 0.01))
        self.bias = nn.Parameter(torch.zeros(hidden_size))

    @override
    def start(self, batch: int, like: torch.Tensor) -> CellState:
        return CellState(like.new_zeros(batch, self.n_readouts))

    @override
    def step(self, x: torch.Tensor, state: CellState, shared: torch.Tensor) -> CellState:
        """The input x is U x_t; the shared value is W."""
        a = x + state.z @ shared.T
        return CellState(a.sign() * torch.relu(a.abs() + self.bias))

    @override
    def prepare(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return x @ self.weight.T, self.recurrent()

    @override
    def sequence(
        self, x: torch.Tensor, state: CellState | None = None, active: torch.Tensor | None = None
    ) -> tuple[torch.Tensor, CellState]:
        """Run all steps in one autograd node."""
        state = self.checked(x, state)
        inputs, w = self.prepare(x)
        h = ModReLUSequence.apply(inputs, state.z, w, self.bias, active)
        return h, CellState(h[-1].clone())  # h may be changed in place


class ModReLUSequence(torch.autograd.Function):
    """T steps of `ScoRNNCell` as one autograd node, in about 60% of autograd's time.

    After modReLU, h_t = 0 where |a| + b <= 0, and sign(h_t) = sign(a) elsewhere. So the backward
    pass needs only the outputs, and the gradient of W is one product over all steps.
    """

    @staticmethod
    def forward(ctx: Any, inputs, h, w, bias, active):
        """Return h (T, B, n) for inputs U x (T, B, n), h_0 (B, n), W, b and active (T, B)."""
        out = torch.empty_like(inputs)
        start = h
        for t, x in enumerate(inputs):
            a = torch.addmm(x, h, w.T)
            new = a.abs().add_(bias).relu_().mul_(a.sign())
            out[t] = new if active is None else torch.where(active[t][:, None], new, h)
            h = out[t]
        ctx.save_for_backward(start, out, w, active)
        return out

    @staticmethod
    @once_differentiable("call the cell step by step")
    @override
    def backward(ctx: Any, grad):
        start, out, w, active = ctx.saved_tensors
        grad_a = torch.empty_like(out)
        grad_b = torch.zeros_like(out[0])
        grad_h = torch.zeros_like(out[0])
        for t in range(len(out) - 1, -1, -1):
            grad_h = grad_h + grad[t]
            sign = out[t].sign()
            if active is not None:
                sign *= active[t][:, None]
            signed = grad_h * sign
            grad_b += signed
            torch.mul(signed, sign, out=grad_a[t])
            back = grad_a[t] @ w
            grad_h = back if active is None else back + grad_h * ~active[t][:, None]
        grad_w = grad_a[0].T @ start
        grad_w.addmm_(grad_a[1:].flatten(0, 1).T, out[:-1].flatten(0, 1))
        return grad_a, grad_h, grad_w, grad_b.sum(0), None


def scornn(config: ScoRNNConfig, input_size: int, device: DeviceOptions) -> Layers:
    """Build the network of a configuration; it has no circuit, and ignores the device."""
    return Layers(
        lambda size: ScoRNNCell(size, config.hidden_size, config.negative_share, config.skew_lr),
        input_size,
        config,
    )
