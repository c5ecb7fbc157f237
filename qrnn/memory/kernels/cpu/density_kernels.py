"""The fused kernels for noisy circuits on the CPU: numba functions on blocks of LANES sequences."""

from __future__ import annotations

from collections.abc import Callable
from threading import Thread
from typing import Any

import numpy as np
import torch

from qrnn.memory.kernels.cpu.density import backward_density, forward_density
from qrnn.memory.kernels.cpu.lanes import (
    blocks_of,
    empty_like,
    flat,
    from_lanes,
    shares_of,
    to_lanes,
    whole_blocks,
)
from qrnn.memory.kernels.cpu.simd import LANES
from qrnn.memory.kernels.density_program import DensityProgram


def run(kernel: Callable, shares: np.ndarray, *arguments: Any) -> None:
    """Run a kernel on each share of the blocks, in a thread of its own.

    Not in numba's threads: once started, torch uses as many, which spin on a busy machine.
    """
    threads = [
        Thread(target=kernel, args=(i, *share, *arguments)) for i, share in enumerate(shares)
    ]
    for thread in threads[1:]:
        thread.start()
    threads[0].run()
    for thread in threads[1:]:
        thread.join()


class NumbaDensityKernels:
    """A noisy gate program on the CPU; r is (blocks, 4^n, LANES)."""

    def __init__(self, program: DensityProgram):
        self.program = program
        self._tables: dict[torch.dtype, tuple] = {}
        self._spare: list[np.ndarray] = []

    def tables(self, dtype: torch.dtype) -> tuple:
        """Return the program's tables, with the constants in the state's precision."""
        if dtype not in self._tables:
            real = torch.empty(0, dtype=dtype).numpy().dtype.type
            self._tables[dtype] = self.program.tables(real)
        return self._tables[dtype]

    @property
    def rows(self) -> int:
        """Number of states that the backward pass of a block needs at once."""
        return len(self.program.instructions) + 3

    def shares(self, blocks: int) -> np.ndarray:
        """Return the blocks of each thread; a thread for less than about 0.2 ms is not worth it."""
        numbers = blocks * self.rows * LANES * 4**self.program.n_wires
        return shares_of(blocks, max(1, min(torch.get_num_threads(), blocks, numbers >> 21)))

    def size(self, batch: int) -> float:
        """Return how many numbers a step of `batch` sequences and its backward pass need."""
        blocks = blocks_of(batch)
        threads = len(self.shares(blocks))
        return 4.0**self.program.n_wires * LANES * (2 * blocks + threads * self.rows)

    def start(self, batch: int, like: torch.Tensor) -> torch.Tensor:
        """Return |0...0> for `batch` sequences, with the dtype of `like`."""
        n = self.program.n_wires
        r = like.new_zeros(blocks_of(batch), *[4] * n, LANES)
        r[:, *[slice(0, 3, 2)] * n] = 1  # the words of I and Z
        return r.view(-1, 4**n, LANES)

    def forward(
        self, r: torch.Tensor, angles: torch.Tensor, active: torch.Tensor | None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Advance by one step.

        Args:
            r: the values of the Pauli words; not modified.
            angles: the slot angles (B, S), radians.
            active: (B,) bool; None: all are active.

        Returns:
            r after the step, and readouts z (B, R).
        """
        blocks = r.shape[0]
        r_out = empty_like(r)
        z = r.new_empty(blocks, self.program.n_readouts, LANES)
        arrays = [flat(v) for v in (r, r_out, *self._lanes(angles, active, blocks))]
        run(forward_density, self.shares(blocks), *arrays, self.tables(r.dtype), flat(z))
        return r_out, from_lanes(z, len(angles))

    def backward(
        self,
        r: torch.Tensor,
        lam: torch.Tensor,
        grad_z: torch.Tensor,
        angles: torch.Tensor,
        active: torch.Tensor | None,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Take cotangents one step back.

        Args:
            r: the state before the step.
            lam: the cotangent of the state after it, without the contribution of the readouts.
            grad_z: the cotangent of z (B, R).
            angles: see `forward`.
            active: see `forward`.

        Returns:
            The cotangents of r and of the angles.
        """
        blocks = r.shape[0]
        lam_in = empty_like(r)
        grads = r.new_empty(blocks, angles.shape[1], LANES)
        arrays = [flat(v) for v in (r, lam, lam_in, *self._lanes(angles, active, blocks))]
        given, ranges = flat(to_lanes(grad_z, blocks)), self.shares(blocks)
        # Kept from step to step: the pages of new memory take longer to map than to use.
        work = self._spare.pop() if self._spare else r.new_empty(0).numpy()
        shape = len(ranges), self.rows, r[0].numel()
        if work.shape != shape or work.dtype != arrays[0].dtype:
            work = np.empty(shape, arrays[0].dtype)
        tables = self.tables(r.dtype)
        run(backward_density, ranges, *arrays, tables, given, flat(grads), work)
        self._spare[:] = [work]
        return lam_in, from_lanes(grads, len(angles))

    def _lanes(
        self, angles: torch.Tensor, active: torch.Tensor | None, blocks: int
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return cosines and sines (blocks, S, 2, LANES), and active (blocks, LANES)."""
        lanes = to_lanes(angles, blocks)
        if active is None:
            mask = torch.ones(blocks, LANES, dtype=torch.bool)
        else:
            mask = to_lanes(active[:, None], blocks)[:, 0]
        return torch.stack([lanes.cos(), lanes.sin()], 2), mask

    def select(self, r: torch.Tensor, rows: torch.Tensor) -> torch.Tensor:
        """Return r of some sequences, by their indices (K,), differentiable."""
        size = r.shape[1]
        chosen = whole_blocks(r.permute(0, 2, 1).reshape(-1, size)[rows])
        return chosen.reshape(-1, LANES, size).permute(0, 2, 1).contiguous()

    def matrices(self, r: torch.Tensor, batch: int) -> torch.Tensor:
        """Return r as complex density matrices (B, 2^n, 2^n), differentiable."""
        n = self.program.n_wires
        parts = r.permute(0, 2, 1).reshape(-1, *[4] * n)[:batch]
        rho = torch.complex(parts, torch.zeros_like(parts))
        paulis = rho.new_tensor(
            [[[1, 0], [0, 1]], [[0, 1], [1, 0]], [[1, 0], [0, -1]], [[0, -1j], [1j, 0]]]
        )
        for _ in range(n):  # the letters of wire 0, 1, ... become two indices at the end
            rho = torch.tensordot(rho, paulis / 2, ([1], [0]))
        order = [0, *range(1, 2 * n, 2), *range(2, 2 * n + 1, 2)]
        return rho.permute(order).reshape(batch, 2**n, 2**n)
