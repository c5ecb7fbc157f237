"""One step of the fused device as an autograd node, for any controller."""

from __future__ import annotations

from typing import Any

import torch
from typing_extensions import override

from qrnn.memory.kernels.base import Kernels
from qrnn.memory.snapshot import Snapshot
from qrnn.utils.autograd import once_differentiable


class UndoStep:
    """What is needed to undo a step; the step itself sets `kept` and `after`."""

    kept: Any
    after: Snapshot

    def __init__(self, kernels: Kernels, active: torch.Tensor | None):
        self.kernels, self.active = kernels, active

    def state(self, psi: torch.Tensor) -> torch.Tensor:
        """Return only psi before the step."""
        return self.kernels.backward(psi, None, None, self.kept)[0]


class StepNode(torch.autograd.Function):
    """One step as an autograd node: (psi, angles) -> (psi', z)."""

    @staticmethod
    @override
    def forward(ctx: Any, psi, angles, before: Snapshot, undo: UndoStep):
        """Psi is in the kernels' layout, angles are (B, S)."""
        psi_out, z, undo.kept = undo.kernels.forward(psi, angles, undo.active)
        # A second tensor on the same storage: psi_out itself would form a cycle with ctx.
        undo.after = Snapshot(psi_out.detach())
        ctx.undo, ctx.before = undo, before
        ctx.set_materialize_grads(False)
        return psi_out, z

    @staticmethod
    @once_differentiable()
    @override
    def backward(ctx: Any, lam, grad_z):
        undo: UndoStep = ctx.undo
        psi_in, lam_in, grads = undo.kernels.backward(undo.after.psi(), lam, grad_z, undo.kept)
        ctx.before.hold(psi_in)
        undo.after.release()
        return lam_in, grads, None, None
