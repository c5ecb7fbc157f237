"""Whole sequences as one autograd node of the fused device, where the controller allows it.

Own controllers and dropout go step by step, and so do precisions that the kernels have not got.
"""

from __future__ import annotations

from typing import Any, TypeGuard

import numpy as np
import torch
from torch import nn

from qrnn.autograd import first_derivative
from qrnn.controllers import Controller
from qrnn.memory.controller_kernels import GELU, GLU, LINEAR, RELU
from qrnn.memory.kernels import Kernels, Packed
from qrnn.memory.snapshot import Snapshot

KINDS: dict[type[nn.Module], int] = {
    nn.Identity: LINEAR, nn.ReLU: RELU, nn.GELU: GELU, nn.GLU: GLU,
}  # fmt: skip
LAYERS: tuple[type[nn.Module], ...] = (nn.Linear, nn.Dropout, *KINDS)
FORWARDS = {layer.forward for layer in LAYERS}
ACTIVATIONS: list[set[str]] = [set(), *({repr(kind())} for kind in KINDS)]


def is_packable(controller: nn.Module) -> TypeGuard[Controller]:
    """Whether the kernels can stand in for a controller: as built, unobserved, no dropout now."""
    if type(controller) is not Controller:
        return False
    if any(m._forward_hooks or m._forward_pre_hooks or m._backward_hooks or m._backward_pre_hooks
           for m in controller.modules()):  # fmt: skip
        return False
    # A user may have put other layers in (adapters, quantised ones), or a `forward` on a layer.
    if any(type(m).forward not in FORWARDS or "forward" in vars(m) for m in controller):
        return False
    layers = [m for m in controller if not isinstance(m, nn.Dropout)]
    between = {repr(m) for m in layers[1::2]}  # with its options
    return (
        all(isinstance(m, nn.Linear) and m.bias is not None for m in layers[::2])
        and len(layers) % 2 == 1
        and between in ACTIVATIONS
        and not any(isinstance(m, nn.Dropout) and m.training and m.p > 0 for m in controller)
    )


def pack(
    controller: Controller,
    bias: torch.Tensor,
    slot_map: tuple[torch.Tensor, torch.Tensor],
    n_inputs: int,
) -> Packed:
    """Return a controller as the kernels read it.

    Args:
        controller: the controller.
        bias: the quantum layer's (P,), radians.
        slot_map: M (S, P) and b (S,) with the slots' angles = M theta + b.
        n_inputs: D + R; a controller that reads fewer does not read z.
    """
    linear = [m for m in controller if isinstance(m, nn.Linear)]
    kinds = [KINDS[type(m)] for m in controller if type(m) in KINDS]
    weights: list[torch.Tensor] = [m.weight for m in linear]
    biases: list[torch.Tensor] = [m.bias for m in linear]
    weights[0] = nn.functional.pad(weights[0], (0, n_inputs - weights[0].shape[1]))
    matrix, offset = (values.to(weights[-1]) for values in slot_map)
    biases[-1] = matrix @ (biases[-1] + bias) + offset
    weights[-1] = matrix @ weights[-1]
    layers, w, b, source = [], 0, 0, 0
    for weight in weights:
        n_out, n_in = weight.shape
        layers.append([n_in, n_out, w, b, source, source + n_in])
        w, b, source = w + n_in * n_out, b + n_out, source + n_in + n_out
    widest = max(row[0] for row in layers)
    return Packed(
        kinds[0] if kinds else LINEAR,
        np.array(layers, np.int64),
        torch.cat([weight.reshape(-1) for weight in weights]),
        torch.cat([weight.detach().T.reshape(-1) for weight in weights]),
        torch.cat(biases),
        source + widest,
    )


class UndoSequence:
    """What it takes to go back over a sequence; `kept` and `after` are filled by the node."""

    kept: Any
    after: Snapshot

    def __init__(self, kernels: Kernels):
        self.kernels = kernels

    def state(self, psi: torch.Tensor) -> torch.Tensor:
        """Return psi before the sequence alone."""
        lam = torch.zeros_like(psi)
        return self.kernels.backward_sequence(psi, lam, None, self.kept, want_x=False)[0]


class SequenceNode(torch.autograd.Function):
    """T steps as an autograd node: (psi, z_start, x, weights, biases) -> (psi', z)."""

    @staticmethod
    def forward(
        ctx: Any, psi, z_start, x, weights, biases, packed: Packed, active, noise,
        before: Snapshot, undo: UndoSequence,
    ):  # fmt: skip
        """See torch, and `Kernels.forward_sequence`; weights and biases are those of `packed`."""
        psi_out, z, undo.kept = undo.kernels.forward_sequence(
            psi, z_start, x, active, packed, noise
        )
        # A second tensor on the same storage: psi_out itself will point at ctx, a cycle.
        undo.after = Snapshot(psi_out.detach())
        ctx.undo, ctx.before = undo, before
        ctx.save_for_backward(z_start, x, z)
        return psi_out, z

    @staticmethod
    @first_derivative()
    def backward(ctx: Any, lam, grad_z):
        """See torch."""
        undo: UndoSequence = ctx.undo
        _ = ctx.saved_tensors  # `kept` shares their memory: torch's error if one was changed
        want_x = ctx.needs_input_grad[2]
        psi_in, lam_in, grad_x, grad_z_start, grad_weights, grad_biases = (
            undo.kernels.backward_sequence(
                undo.after.psi(), lam.contiguous(), grad_z, undo.kept, want_x=want_x
            )
        )
        ctx.before.hold(psi_in)
        undo.after.release()
        return (
            lam_in, grad_z_start, grad_x if want_x else None, grad_weights, grad_biases,
            *[None] * 5,
        )  # fmt: skip
