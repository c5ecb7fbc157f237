"""Whole sequences of the fused device as one autograd node, if the controller supports it.

Custom controllers, dropout and precisions that the kernels do not support go step by step.
"""

from __future__ import annotations

from typing import Any, TypeGuard

import numpy as np
import torch
from torch import nn
from typing_extensions import override

from qrnn.controllers import Controller
from qrnn.errors import ConfigError, DeviceError
from qrnn.memory.base import Memory, has_hooks, is_patched
from qrnn.memory.kernels.base import GELU, GLU, LINEAR, RELU, Kernels, Packed
from qrnn.memory.slots import Slots
from qrnn.memory.snapshot import Snapshot
from qrnn.utils.autograd import once_differentiable

KINDS: dict[type[nn.Module], int] = {
    nn.Identity: LINEAR,
    nn.ReLU: RELU,
    nn.GELU: GELU,
    nn.GLU: GLU,
}
LAYERS: tuple[type[nn.Module], ...] = (nn.Linear, nn.Dropout, *KINDS)
FORWARDS = {layer.forward for layer in LAYERS}
ACTIVATIONS: list[set[str]] = [set(), *({repr(kind())} for kind in KINDS)]


def is_packable(controller: nn.Module, n_inputs: int, n_angles: int) -> TypeGuard[Controller]:
    """Return whether the kernels can run a controller: unmodified, no hooks, no active dropout."""
    if type(controller) is not Controller or is_patched(controller):
        return False
    if has_hooks(*controller.modules()):
        return False
    # A user may have replaced layers (adapters, quantised layers) or a layer's `forward`.
    if any(type(m).forward not in FORWARDS or is_patched(m) for m in controller):
        return False
    layers = [m for m in controller if not isinstance(m, nn.Dropout)]
    between = {repr(m) for m in layers[1::2]}  # with its options
    return (
        all(isinstance(m, nn.Linear) and m.bias is not None for m in layers[::2])
        and len(layers) % 2 == 1
        and between in ACTIVATIONS
        and fits(controller, n_inputs, n_angles)
        and not any(isinstance(m, nn.Dropout) and m.training and m.p > 0 for m in controller)
    )


def fits(controller: nn.Sequential, n_inputs: int, n_angles: int) -> bool:
    """Return whether the layers' sizes match, from n_inputs to n_angles."""
    size: float = n_inputs
    for module in controller:
        if isinstance(module, nn.Linear):
            if module.weight.shape[1] != size:
                return False
            size = module.weight.shape[0]
        elif isinstance(module, nn.GLU):
            size = size / 2  # an odd size, which torch rejects, matches no layer
    return size == n_angles


def check_dtypes(x: torch.Tensor, controller: Controller, psi: torch.Tensor) -> None:
    """Raise an error if weights or state do not have the dtype of x.

    Raises:
        ConfigError: the dtypes differ.
    """
    found = {"the state": {psi.dtype}, "controller": {p.dtype for p in controller.parameters()}}
    for name, dtypes in found.items():
        if other := dtypes - {x.dtype}:
            raise ConfigError(
                f"{name} must be {x.dtype}, like x, got {min(map(str, other))}: use .to({x.dtype})"
            )


def times(matrix: torch.Tensor, values: torch.Tensor) -> torch.Tensor:
    """Return `matrix @ values`, without BLAS if each row of the matrix has at most one entry.

    BLAS's threads may have to wait for a busy core, longer than the whole sequence takes. On a GPU,
    to look at the entries would take longer than the product.
    """
    if matrix.device.type != "cpu" or (matrix.count_nonzero(1) > 1).any():
        return matrix @ values
    column = matrix.abs().argmax(1)
    return matrix.gather(1, column[:, None]) * values[column]


def pack(
    controller: Controller,
    bias: torch.Tensor,
    slot_map: tuple[torch.Tensor, torch.Tensor],
    n_inputs: int,
) -> Packed:
    """Return a controller in the kernels' format.

    Args:
        controller: the controller.
        bias: the quantum layer's bias (P,), radians.
        slot_map: M (S, P) and b (S,) with slot angles M theta + b.
        n_inputs: D + R; missing inputs of the controller, from z, get zero weights.
    """
    linear = [m for m in controller if isinstance(m, nn.Linear)]
    kinds = [KINDS[type(m)] for m in controller if type(m) in KINDS]
    weights: list[torch.Tensor] = [m.weight for m in linear]
    biases: list[torch.Tensor] = [m.bias for m in linear]
    weights[0] = nn.functional.pad(weights[0], (0, n_inputs - weights[0].shape[1]))
    matrix, offset = (values.to(weights[-1]) for values in slot_map)
    last = times(matrix, torch.cat([weights[-1], (biases[-1] + bias)[:, None]], 1))
    weights[-1], biases[-1] = last[:, :-1], last[:, -1] + offset
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


def packed_for(
    memory: Memory,
    slots: Slots,
    controller: nn.Module,
    x: torch.Tensor,
    state: torch.Tensor,
    n_readouts: int,
    n_fed_back: int | None,
) -> Packed | None:
    """Return a controller in the kernels' format; None: they cannot run it.

    Args:
        memory: the strategy, for its circuit and quantum layer.
        slots: the kernels' angles.
        controller: the cell's controller.
        x: inputs (T, B, D).
        state: the kernels' state.
        n_readouts: R.
        n_fed_back: number of readouts that the controller reads; None: all.

    Raises:
        ConfigError: the dtype of the controller's weights or the state differs from x's.
    """
    slot_map = slots.affine(memory.circuit.affine())
    n_seen = x.shape[2] + (n_readouts if n_fed_back is None else n_fed_back)
    if slot_map is None or not is_packable(controller, n_seen, memory.circuit.n_angles):
        return None
    check_dtypes(x, controller, state)
    return pack(controller, memory.layer.bias, slot_map, x.shape[2] + n_readouts)


class UndoSequence:
    """What is needed to undo a sequence; the node sets `kept` and `after`.

    `kept` shares the memory of z, which the user must not modify before the backward pass. torch
    checks this in the sequence's own backward pass, `state` in that of an earlier sequence.
    """

    kept: Any
    after: Snapshot

    def __init__(self, kernels: Kernels):
        self.kernels = kernels

    def watch(self, z: torch.Tensor) -> None:
        """Record torch's version counter of z (T, B, R)."""
        self._z = z.detach()  # shares z's counter; outside the graph, so there is no cycle
        self._version = z._version

    def state(self, psi: torch.Tensor) -> torch.Tensor:
        """Return only psi before the sequence.

        Raises:
            DeviceError: z was modified.
        """
        if self._z._version != self._version:
            raise DeviceError(
                "z must not change before the backward pass of earlier sequences, but was modified "
                "by an inplace operation: modify z.clone()"
            )
        return self.kernels.backward_sequence(psi, None, None, self.kept, want_x=False)[0]


class SequenceNode(torch.autograd.Function):
    """T steps as an autograd node: (psi, z_start, x, weights, biases) -> (psi', z)."""

    @staticmethod
    @override
    def forward(
        ctx: Any,
        psi,
        z_start,
        x,
        weights,
        biases,
        packed: Packed,
        active,
        noise,
        before: Snapshot,
        undo: UndoSequence,
    ):
        """See `Kernels.forward_sequence`; weights and biases are those of `packed`."""
        # Copies: a loop may refill its input buffer before the backward pass reads it.
        x, z_start = (v.clone(memory_format=torch.contiguous_format) for v in (x, z_start))
        psi_out, z, undo.kept = undo.kernels.forward_sequence(
            psi, z_start, x, active, packed, noise
        )
        # A second tensor on the same storage: psi_out itself would form a cycle with ctx.
        undo.after = Snapshot(psi_out.detach())
        ctx.undo, ctx.before = undo, before
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(z)
        return psi_out, z

    @staticmethod
    @once_differentiable()
    @override
    def backward(ctx: Any, lam, grad_z):
        undo: UndoSequence = ctx.undo
        _ = ctx.saved_tensors  # raises torch's error if z, which `kept` shares, was modified
        want_x = ctx.needs_input_grad[2]
        psi_in, lam_in, grad_x, grad_z_start, grad_weights, grad_biases = (
            undo.kernels.backward_sequence(undo.after.psi(), lam, grad_z, undo.kept, want_x=want_x)
        )
        ctx.before.hold(psi_in)
        undo.after.release()
        return (
            lam_in,
            grad_z_start,
            grad_x if want_x else None,
            grad_weights,
            grad_biases,
            *[None] * 5,
        )
