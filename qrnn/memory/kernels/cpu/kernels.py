"""The fused kernels on the CPU: numba functions on blocks of sequences."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from typing_extensions import override

from qrnn.circuit.readout_noise import ReadoutNoise
from qrnn.memory.kernels.base import Kernels, Packed
from qrnn.memory.kernels.cpu.lanes import (
    blocks_of,
    empty,
    empty_like,
    flat,
    from_lanes,
    shares_of,
    to_lanes,
    whole_blocks,
)
from qrnn.memory.kernels.cpu.layout import WHOLE_BITS, tables
from qrnn.memory.kernels.cpu.parallel import run
from qrnn.memory.kernels.cpu.sequence import backward_sequence, forward_sequence
from qrnn.memory.kernels.cpu.simd import LANE_BITS, LANES
from qrnn.memory.kernels.cpu.step import backward, forward
from qrnn.memory.kernels.cpu.team import idle_cores, run_team, team_of
from qrnn.memory.kernels.program import Program

# Number of qubits from which threads share a state. With fewer it stays whole in the cache of one
# core, and two threads were slower than one.
SHARED_FROM = WHOLE_BITS + LANE_BITS + 1


@dataclass(frozen=True)
class _Step:
    """Kept by a step: cosines and sines (blocks, S, 2, LANES), active (blocks, LANES), B."""

    cs: torch.Tensor
    active: torch.Tensor
    batch: int


@dataclass(frozen=True)
class _Sequence:
    """Kept by a sequence; see `sequence.forward_sequence`."""

    x: np.ndarray
    z_start: np.ndarray
    z: np.ndarray
    active: np.ndarray
    packed: Packed
    factor: np.float32


class NumbaKernels(Kernels):
    """A gate program on the CPU, for both layouts of the state (see `cpu/gates.py`).

    psi is (ceil(B / LANES), 2^n, 2 LANES) if batched, and (B, 2^n / LANES, 2 LANES) if spread.

    Whole sequences run only in single precision, to which the kernels' elementary functions are
    accurate.
    """

    sequence_dtypes: tuple[torch.dtype, ...] = (torch.float32,)

    def __init__(self, program: Program):
        self.program = program
        self.n_readouts = program.n_readouts
        self._tables: dict[tuple[torch.dtype, bool], tuple] = {}

    def is_spread(self, psi: torch.Tensor) -> bool:
        """Return whether a state has the spread layout."""
        return psi.shape[1] < 2**self.program.n_wires

    def threads(self, psi: torch.Tensor) -> tuple[int, int]:
        """Return the number of threads, and how many of them share each block.

        A state is shared only by threads on idle cores, so rounding errors depend on the machine's
        load, unless torch's algorithms are to be deterministic.
        """
        blocks, most = psi.shape[0], torch.get_num_threads()
        if (
            blocks < most
            and self.is_spread(psi)
            and self.program.n_wires >= SHARED_FROM
            and not torch.are_deterministic_algorithms_enabled()
            and (members := min(most, idle_cores())) > blocks
        ):
            return members, members
        return min(most, blocks), 1

    def tables(self, psi: torch.Tensor) -> tuple:
        """Return the program's tables for the layout and the precision of a state."""
        key = psi.dtype, self.is_spread(psi)
        if key not in self._tables:
            real = psi.new_empty(0).numpy().dtype.type
            self._tables[key] = tables(self.program, real, spread=key[1])
        return self._tables[key]

    def run(
        self, kernel: Callable, psi: torch.Tensor, threads: tuple[int, int], *arguments: Any
    ) -> None:
        """Run a kernel on all blocks of a state; for `threads`, see there."""
        blocks, (count, members) = psi.shape[0], threads
        slots = len(self.program.columns)
        with team_of(members, max(slots, self.n_readouts) * LANES, psi.numpy().dtype) as team:
            if members > 1:
                all_blocks = [(i, 0, blocks, member) for i, member in enumerate(team)]
                run_team(kernel, all_blocks, *arguments)
            else:
                parts = [(*share, *team) for share in shares_of(blocks, count)]
                run(kernel, parts, *arguments)

    @override
    def start(self, batch: int, like: torch.Tensor) -> torch.Tensor:
        n = self.program.n_wires
        spread = spread_pays(n, batch)
        shape = (batch, 2 ** (n - LANE_BITS)) if spread else (blocks_of(batch), 2**n)
        psi = empty((*shape, 2 * LANES), like.dtype).zero_()
        psi[:, 0, : 1 if spread else LANES] = 1
        return psi

    @override
    def forward(
        self, psi: torch.Tensor, angles: torch.Tensor, active: torch.Tensor | None
    ) -> tuple[torch.Tensor, torch.Tensor, _Step]:
        blocks, batch, spread = psi.shape[0], angles.shape[0], self.is_spread(psi)
        if active is None:
            mask = torch.ones(blocks, LANES, dtype=torch.bool)
        else:
            mask = to_lanes(active[:, None], blocks, spread=spread)[:, 0]
        lanes = to_lanes(angles, blocks, spread=spread)
        kept = _Step(torch.stack([lanes.cos(), lanes.sin()], 2), mask, batch)
        psi_out = empty_like(psi)
        z, threads = psi.new_empty(blocks, self.n_readouts, LANES), self.threads(psi)
        arrays = [flat(a) for a in (psi, psi_out, kept.cs, kept.active)]
        self.run(forward, psi, threads, *arrays, self.tables(psi), flat(z))
        z = z[:, :, 0] if spread else from_lanes(z, batch)
        return psi_out, z, kept

    @override
    def backward(
        self, psi: torch.Tensor, lam: torch.Tensor | None, grad_z: torch.Tensor | None, kept: _Step
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        blocks, spread = psi.shape[0], self.is_spread(psi)
        if grad_z is None:
            grad_z = psi.new_zeros(kept.batch, self.n_readouts)
        psi_in, lam_in = empty_like(psi), empty_like(psi)
        lam = empty_like(psi).zero_() if lam is None else lam.contiguous()
        grads = psi.new_empty(blocks, kept.cs.shape[1], LANES)
        arrays = [flat(a) for a in (psi, lam, psi_in, lam_in, kept.cs, kept.active)]
        given = flat(to_lanes(grad_z, blocks, spread=spread))
        threads = self.threads(psi)
        self.run(backward, psi, threads, *arrays, self.tables(psi), given, flat(grads))
        return psi_in, lam_in, from_lanes(grads, kept.batch, spread=spread)

    @override
    def forward_sequence(
        self,
        psi: torch.Tensor,
        z_start: torch.Tensor,
        x: torch.Tensor,
        active: torch.Tensor | None,
        packed: Packed,
        noise: ReadoutNoise,
    ) -> tuple[torch.Tensor, torch.Tensor, _Sequence]:
        factor, inverse_shots = noise.strength()
        mask = np.empty((0, x.shape[1]), bool) if active is None else active.numpy()
        z = x.new_empty(*x.shape[:2], self.n_readouts)
        xi = torch.randn_like(z) if inverse_shots else z[:0]
        kept = _Sequence(
            x.contiguous().numpy(),
            z_start.contiguous().numpy(),
            z.numpy(),
            mask,
            packed,
            np.float32(factor),
        )
        psi_out, threads = empty_like(psi), self.threads(psi)
        arrays = (
            flat(psi),
            flat(psi_out),
            kept.x,
            kept.z_start,
            kept.z,
            kept.active,
            xi.numpy(),
            kept.factor,
            np.float32(inverse_shots),
            packed.kind,
            packed.layers,
            packed.weights.detach().numpy(),
            packed.biases.detach().numpy(),
            self.tables(psi),
            packed.size * LANES,
        )
        self.run(forward_sequence, psi, threads, *arrays)
        return psi_out, z, kept

    @override
    def backward_sequence(
        self,
        psi: torch.Tensor,
        lam: torch.Tensor | None,
        grad_z: torch.Tensor | None,
        kept: _Sequence,
        *,
        want_x: bool,
    ) -> tuple[torch.Tensor, ...]:
        packed = kept.packed
        given = np.zeros_like(kept.z) if grad_z is None else grad_z.contiguous().numpy()
        psi_in, lam_in = empty_like(psi), empty_like(psi)
        lam = empty_like(psi).zero_() if lam is None else lam.contiguous()
        grad_x = psi.new_empty(kept.x.shape if want_x else (0, *kept.x.shape[1:]))
        grad_z_start = psi.new_empty(kept.z_start.shape)
        threads = self.threads(psi)
        grad_weights = psi.new_empty(threads[0], packed.weights.numel())
        grad_biases = psi.new_empty(threads[0], packed.biases.numel())
        arrays = (
            flat(psi),
            flat(lam),
            flat(psi_in),
            flat(lam_in),
            kept.x,
            kept.z_start,
            kept.z,
            given,
            kept.active,
            kept.factor,
            packed.kind,
            packed.layers,
            packed.weights.detach().numpy(),
            packed.transposed.numpy(),
            packed.biases.detach().numpy(),
            self.tables(psi),
            packed.size * LANES,
            grad_x.numpy(),
            grad_z_start.numpy(),
        )
        sums = grad_weights.numpy(), grad_biases.numpy()
        self.run(backward_sequence, psi, threads, *arrays, *sums)
        return psi_in, lam_in, grad_x, grad_z_start, grad_weights.sum(0), grad_biases.sum(0)

    @override
    def amplitudes(self, psi: torch.Tensor, batch: int) -> torch.Tensor:
        blocks = psi.shape[0]
        order = (0, 1, 3, 2) if self.is_spread(psi) else (0, 3, 1, 2)
        size = 2**self.program.n_wires
        parts = psi.reshape(blocks, -1, 2, LANES).permute(order)
        return torch.view_as_complex(parts.reshape(-1, size, 2).contiguous())[:batch]

    @override
    def pack(self, amplitudes: torch.Tensor) -> torch.Tensor:
        batch, size = amplitudes.shape
        parts = torch.view_as_real(amplitudes)
        if spread_pays(self.program.n_wires, batch):
            parts = parts.reshape(batch, -1, LANES, 2).permute(0, 1, 3, 2)
        else:
            parts = whole_blocks(parts).reshape(-1, LANES, size, 2).permute(0, 2, 3, 1)
        return parts.reshape(len(parts), -1, 2 * LANES).contiguous()


def spread_pays(n: int, batch: int) -> bool:
    """Return whether the spread layout is faster for `batch` sequences of n qubits, as measured.

    With few qubits, the controller takes most of the time; batched states of many qubits do not
    fit into the cache.
    """
    return n > 16 or batch < 2 * (n - 10)
