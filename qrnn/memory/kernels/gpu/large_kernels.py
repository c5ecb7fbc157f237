"""The fused kernels on a GPU for states in memory: one launch per gate, step by step."""

from __future__ import annotations

from typing import Any

import torch
from typing_extensions import override

from qrnn.memory.kernels.gpu.kernels import Step, TritonKernels, launch
from qrnn.memory.kernels.gpu.large_gates import (
    add_cotangent_tiles,
    backward_gate,
    forward_gate,
    read_tiles,
)

TILE = 1024


class LargeKernels(TritonKernels):
    """Like `TritonKernels`, for states of any size; whole sequences go step by step."""

    sequence_dtypes: tuple[torch.dtype, ...] = ()

    @property
    def options(self) -> dict[str, Any]:
        """Compile options of a kernel."""
        return {"n": self.n, "TILE": min(TILE, 2**self.n), "enable_fp_fusion": True}

    @property
    def tiles(self) -> int:
        """Number of programs per sequence."""
        return max(1, 2**self.n // TILE)

    @override
    def forward(
        self, psi: torch.Tensor, angles: torch.Tensor, active: torch.Tensor | None
    ) -> tuple[torch.Tensor, torch.Tensor, Step]:
        tables, kept, grid = self.tables(psi), Step.of(angles, active), (len(psi), self.tiles)
        spare = torch.empty_like(psi)
        at, to = psi, torch.empty_like(psi)
        for g in range(tables.n_gates):
            launch(
                forward_gate,
                grid,
                at,
                to,
                kept.cs,
                kept.active,
                g,
                self.n_slots,
                tables.gates,
                tables.matrices,
                tables.z_slots,
                tables.constants,
                **self.options,
            )
            at, to = to, spare if at is psi else at
        if at is psi:
            at = psi.clone()
        z = psi.new_empty(*grid, tables.n_readouts)
        launch(read_tiles, grid, at, z, tables.readouts, tables.n_readouts, **self.options)
        return at, z.sum(1), kept

    @override
    def backward(
        self, psi: torch.Tensor, lam: torch.Tensor | None, grad_z: torch.Tensor | None, kept: Step
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        tables, grid = self.tables(psi), (len(psi), self.tiles)
        lam = torch.zeros_like(psi) if lam is None else lam.contiguous()
        lam_out = torch.empty_like(lam)
        if grad_z is None:
            lam_out.copy_(lam)
        else:
            launch(
                add_cotangent_tiles,
                grid,
                psi,
                lam,
                lam_out,
                grad_z.contiguous(),
                tables.readouts,
                tables.n_readouts,
                **self.options,
            )
        grads = psi.new_zeros(*grid, self.n_slots)
        at, to = (psi.clone(), lam_out), (torch.empty_like(psi), torch.empty_like(psi))
        for g in reversed(range(tables.n_gates)):
            launch(
                backward_gate,
                grid,
                *at,
                *to,
                kept.cs,
                kept.active,
                grads,
                g,
                self.n_slots,
                tables.gates,
                tables.matrices,
                tables.z_slots,
                tables.constants,
                **self.options,
            )
            at, to = to, at
        return *at, grads.sum(1)
