"""One step as an autograd node of the fused device, for any controller."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch.autograd.function import once_differentiable

from qrnn.memory.lanes import empty_like, flat, from_lanes, to_lanes
from qrnn.memory.simd import LANES
from qrnn.memory.snapshot import Snapshot
from qrnn.memory.step_kernels import backward, forward

if TYPE_CHECKING:
    from qrnn.memory.fused import FusedMemory


class UndoStep:
    """What it takes to go one step back; `cs` and `after` are filled by the step itself."""

    cs: torch.Tensor
    after: Snapshot

    def __init__(self, memory: FusedMemory, active: torch.Tensor):
        self.memory, self.active = memory, active

    def run(
        self, psi: torch.Tensor, lam: torch.Tensor, grad_z: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Return psi and lambda before the step, and the cotangent of its slots."""
        psi_in, lam_in = empty_like(psi), empty_like(psi)
        grads = psi.new_empty(psi.shape[0], self.cs.shape[1], LANES)
        arrays = [flat(a) for a in (psi, lam, psi_in, lam_in, self.cs, self.active)]
        backward(*arrays, self.memory.tables(psi.dtype), flat(grad_z), flat(grads))
        return psi_in, lam_in, grads

    def state(self, psi: torch.Tensor) -> torch.Tensor:
        """Return psi before the step alone."""
        no_cotangent = psi.new_zeros(psi.shape[0], self.memory.n_readouts, LANES)
        return self.run(psi, torch.zeros_like(psi), no_cotangent)[0]


class StepNode(torch.autograd.Function):
    """One step as an autograd node: (psi, parameters) -> (psi', z)."""

    @staticmethod
    def forward(ctx: Any, psi, parameters, before: Snapshot, undo: UndoStep):
        """See torch; psi in lanes, parameters (B, S)."""
        memory = undo.memory
        undo.cs = memory.slot_angles(parameters)
        psi_out = empty_like(psi)
        z = psi.new_empty(psi.shape[0], memory.n_readouts, LANES)
        arrays = [flat(a) for a in (psi, psi_out, undo.cs, undo.active)]
        forward(*arrays, memory.tables(psi.dtype), flat(z))
        # A second tensor on the same storage: psi_out itself will point at ctx, a cycle.
        undo.after = Snapshot(psi_out.detach())
        ctx.undo, ctx.before = undo, before
        ctx.batch, ctx.columns = parameters.shape
        return psi_out, from_lanes(z, ctx.batch)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, lam, grad_z):
        """See torch."""
        undo: UndoStep = ctx.undo
        grad_z = to_lanes(grad_z, lam.shape[0])
        psi_in, lam_in, grads = undo.run(undo.after.psi(), lam.contiguous(), grad_z)
        ctx.before.hold(psi_in)
        undo.after.release()
        grad = undo.memory.parameter_gradient(from_lanes(grads, ctx.batch), ctx.columns)
        return lam_in, grad, None, None
