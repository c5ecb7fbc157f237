"""Whole sequences as one autograd node of the fused device, where the controller allows it.

Single precision only: the kernels' elementary functions have no more digits. Double precision, own
controllers and dropout go step by step.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeGuard

import numba
import numpy as np
import torch
from torch import nn
from torch.autograd.function import once_differentiable

from qrnn.controllers import Controller
from qrnn.memory.controller_kernels import GELU, GLU, LINEAR, RELU
from qrnn.memory.lanes import (
    empty_like,
    flat,
    from_lanes,
    steps_from_lanes,
    steps_to_lanes,
    to_lanes,
)
from qrnn.memory.sequence_kernels import backward_sequence, forward_sequence
from qrnn.memory.simd import LANES
from qrnn.memory.snapshot import Snapshot
from qrnn.readout_noise import ReadoutNoise

if TYPE_CHECKING:
    from qrnn.memory.fused import FusedMemory

KINDS: dict[type[nn.Module], int] = {
    nn.Identity: LINEAR, nn.ReLU: RELU, nn.GELU: GELU, nn.GLU: GLU,
}  # fmt: skip


@dataclass(frozen=True)
class Packed:
    """A controller as the kernels read it.

    Attributes:
        kind: its activation.
        layers: see `controller_kernels`.
        weights: flat, part of the autograd graph; the last layer gives the slots' angles.
        transposed: flat, each layer's weights transposed.
        biases: flat, part of the autograd graph.
        size: numbers in a record.
    """

    kind: int
    layers: np.ndarray
    weights: torch.Tensor
    transposed: torch.Tensor
    biases: torch.Tensor
    size: int


def is_packable(controller: nn.Module) -> TypeGuard[Controller]:
    """Whether the kernels can stand in for a controller: built in, unobserved, no dropout now."""
    if type(controller) is not Controller:
        return False
    if any(m._forward_hooks or m._forward_pre_hooks or m._backward_hooks
           for m in controller.modules()):  # fmt: skip
        return False
    return not any(isinstance(m, nn.Dropout) and m.training and m.p > 0 for m in controller)


def pack(
    controller: Controller, bias: torch.Tensor, slot_map: tuple[torch.Tensor, torch.Tensor]
) -> Packed:
    """Return a controller as the kernels read it.

    Args:
        controller: the controller.
        bias: the quantum layer's (P,), radians.
        slot_map: M (S, P) and b (S,) with the slots' angles = M theta + b.
    """
    linear = [m for m in controller if isinstance(m, nn.Linear)]
    kinds = [KINDS[type(m)] for m in controller if type(m) in KINDS]
    weights: list[torch.Tensor] = [m.weight for m in linear]
    biases: list[torch.Tensor] = [m.bias for m in linear]
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
        (source + widest) * LANES,
    )


class UndoSequence:
    """What it takes to go back over a sequence; the node itself fills the attributes."""

    after: Snapshot
    z: torch.Tensor

    def __init__(
        self, memory: FusedMemory, packed: Packed, active: torch.Tensor, noise: ReadoutNoise
    ):
        self.memory, self.packed, self.active = memory, packed, active
        self.share, self.inverse_shots = noise.strength()

    def advance(
        self, psi: torch.Tensor, x: torch.Tensor, z_start: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return psi and z (T, blocks, R, LANES) behind the sequence; x and z_start in lanes."""
        self.x, self.z_start = x, z_start
        psi_out = empty_like(psi)
        self.z = psi.new_empty(len(x), *z_start.shape)
        xi = torch.randn_like(self.z) if self.inverse_shots else self.z[:0]
        packed = self.packed
        forward_sequence(
            flat(psi), flat(psi_out), rows(x), flat(z_start), rows(self.z), self.active.numpy(),
            rows(xi), np.float32(self.share), np.float32(self.inverse_shots), packed.kind,
            packed.layers, packed.weights.detach().numpy(), packed.biases.detach().numpy(),
            self.memory.tables(psi.dtype), packed.size,
        )  # fmt: skip
        return psi_out, self.z

    def run(
        self, psi: torch.Tensor, lam: torch.Tensor, grad_z: torch.Tensor, *, want_x: bool
    ) -> tuple[torch.Tensor, ...]:
        """Return psi and lambda before the sequence, and the cotangents of what led through it."""
        psi_in, lam_in = empty_like(psi), empty_like(psi)
        grad_x = torch.empty_like(self.x if want_x else self.x[:0])
        grad_z_start = torch.empty_like(self.z_start)
        packed = self.packed
        groups = min(numba.get_num_threads(), len(psi))
        grad_weights = psi.new_empty(groups, packed.weights.numel())
        grad_biases = psi.new_empty(groups, packed.biases.numel())
        backward_sequence(
            flat(psi), flat(lam), flat(psi_in), flat(lam_in), rows(self.x), flat(self.z_start),
            rows(self.z), rows(grad_z), self.active.numpy(), np.float32(self.share), packed.kind,
            packed.layers, packed.weights.detach().numpy(), packed.transposed.numpy(),
            packed.biases.detach().numpy(), self.memory.tables(psi.dtype), packed.size,
            rows(grad_x), flat(grad_z_start), grad_weights.numpy(), grad_biases.numpy(),
        )  # fmt: skip
        return psi_in, lam_in, grad_x, grad_z_start, grad_weights.sum(0), grad_biases.sum(0)

    def state(self, psi: torch.Tensor) -> torch.Tensor:
        """Return psi before the sequence alone."""
        return self.run(psi, torch.zeros_like(psi), torch.zeros_like(self.z), want_x=False)[0]


def rows(values: torch.Tensor) -> np.ndarray:
    """Return (T, blocks, K, LANES) values as a numpy array (T, blocks, K LANES)."""
    return values.numpy().reshape(*values.shape[:2], values.shape[2] * values.shape[3])


class SequenceNode(torch.autograd.Function):
    """T steps as an autograd node: (psi, z_start, x, weights, biases) -> (psi', z)."""

    @staticmethod
    def forward(ctx: Any, psi, z_start, x, weights, biases, before: Snapshot, undo: UndoSequence):
        """See torch; psi in lanes, z_start (B, R), x (T, B, D), the rest as in `Packed`."""
        blocks, batch = psi.shape[0], x.shape[1]
        psi_out, z = undo.advance(psi, steps_to_lanes(x, blocks), to_lanes(z_start, blocks))
        # A second tensor on the same storage: psi_out itself will point at ctx, a cycle.
        undo.after = Snapshot(psi_out.detach())
        ctx.undo, ctx.before, ctx.batch = undo, before, batch
        return psi_out, steps_from_lanes(z, batch)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, lam, grad_z):
        """See torch."""
        undo: UndoSequence = ctx.undo
        psi_in, lam_in, grad_x, grad_z_start, grad_weights, grad_biases = undo.run(
            undo.after.psi(), lam.contiguous(), steps_to_lanes(grad_z, lam.shape[0]),
            want_x=ctx.needs_input_grad[2],
        )  # fmt: skip
        ctx.before.hold(psi_in)
        undo.after.release()
        return (
            lam_in, from_lanes(grad_z_start, ctx.batch),
            steps_from_lanes(grad_x, ctx.batch) if ctx.needs_input_grad[2] else None,
            grad_weights, grad_biases, None, None,
        )  # fmt: skip
