"""The fused kernels for noisy circuits on the CPU: numba functions on blocks of LANES sequences."""

from __future__ import annotations

from dataclasses import dataclass
from math import isqrt

import numpy as np
import torch

from qrnn.circuit.readout_noise import ReadoutNoise
from qrnn.memory.kernels.base import Packed
from qrnn.memory.kernels.cpu.density import backward_density, forward_density
from qrnn.memory.kernels.cpu.density_sequence import (
    backward_density_sequence,
    forward_density_sequence,
)
from qrnn.memory.kernels.cpu.lanes import (
    blocks_of,
    empty_like,
    flat,
    from_lanes,
    shares_of,
    to_lanes,
    whole_blocks,
)
from qrnn.memory.kernels.cpu.parallel import run
from qrnn.memory.kernels.cpu.simd import LANES
from qrnn.memory.kernels.density_program import DensityProgram

# A sequence keeps the state before every step up to this many numbers, else before some (256 MiB
# in single precision).
MOST_KEPT = 2**26


@dataclass(frozen=True)
class _Sequence:
    """Kept by a sequence; see `density_sequence.forward_density_sequence`."""

    states: np.ndarray
    every: int
    x: np.ndarray
    z_start: np.ndarray
    z: np.ndarray
    active: np.ndarray
    packed: Packed
    factor: np.float32


class NumbaDensityKernels:
    """A noisy gate program on the CPU; r is (blocks, N, LANES)."""

    sequence_dtypes: tuple[torch.dtype, ...] = (torch.float32,)

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
        return self.program.most_instructions + 3

    def shares(self, blocks: int, steps: int = 1) -> list[tuple[int, int, int]]:
        """Return the blocks of each thread; one for less than about 0.2 ms is not worth it."""
        numbers = steps * blocks * self.rows * LANES * self.program.numbers
        return shares_of(blocks, max(1, min(torch.get_num_threads(), blocks, numbers >> 21)))

    def size(self, batch: int) -> float:
        """Return how many numbers a step of `batch` sequences and its backward pass need."""
        blocks = blocks_of(batch)
        threads = len(self.shares(blocks))
        return float(self.program.numbers) * LANES * (2 * blocks + threads * self.rows)

    def start(self, batch: int, like: torch.Tensor) -> torch.Tensor:
        """Return |0...0> for `batch` sequences, with the dtype of `like`."""
        groups = []
        for wires in self.program.wires:
            n = len(wires)
            words = like.new_zeros([4] * n)
            words[*[slice(0, 3, 2)] * n] = 1  # the words of I and Z
            groups.append(words.view(-1))
        return torch.cat(groups)[:, None].repeat(blocks_of(batch), 1, LANES)

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
        work = self._work((len(ranges), self.rows, r[0].numel()), arrays[0].dtype)
        tables = self.tables(r.dtype)
        run(backward_density, ranges, *arrays, tables, given, flat(grads), work)
        self._spare[:] = [work]
        return lam_in, from_lanes(grads, len(angles))

    def forward_sequence(
        self,
        r: torch.Tensor,
        z_start: torch.Tensor,
        x: torch.Tensor,
        active: torch.Tensor | None,
        packed: Packed,
        noise: ReadoutNoise,
        *,
        keep: bool,
    ) -> tuple[torch.Tensor, torch.Tensor, _Sequence]:
        """Advance by T steps.

        Args:
            r: the values of the Pauli words; not modified.
            z_start: readouts before the first step (B, R).
            x: inputs (T, B, D).
            active: (T, B) bool; None: all are active.
            packed: the controller.
            noise: of the readouts.
            keep: whether to keep what `backward_sequence` needs.

        Returns:
            r after the steps, the readouts z (T, B, R), and what is kept.
        """
        (steps, batch, _), blocks, size = x.shape, r.shape[0], r[0].numel()
        factor, inverse_shots = noise.strength()
        mask = np.empty((0, batch), bool) if active is None else active.numpy()
        z = x.new_empty(steps, batch, self.program.n_readouts)
        xi = torch.randn_like(z) if inverse_shots else z[:0]
        every = 1 if steps * r.numel() <= MOST_KEPT else max(1, isqrt(steps))
        states = r.new_empty(-(-steps // every) if keep else 0, blocks, size)
        kept = _Sequence(
            states.numpy(),
            every,
            x.contiguous().numpy(),
            z_start.contiguous().numpy(),
            z.numpy(),
            mask,
            packed,
            np.float32(factor),
        )
        r_out = empty_like(r)
        arguments = (
            *(flat(r), flat(r_out), kept.states, every),
            *(kept.x, kept.z_start, kept.z, kept.active, xi.numpy(), kept.factor),
            *(np.float32(inverse_shots), packed.kind, packed.layers),
            *(packed.weights.detach().numpy(), packed.biases.detach().numpy()),
            *(self.tables(r.dtype), packed.size * LANES),
        )
        run(forward_density_sequence, self.shares(blocks, steps), *arguments)
        return r_out, z, kept

    def backward_sequence(
        self, lam: torch.Tensor, grad_z: torch.Tensor | None, kept: _Sequence, *, want_x: bool
    ) -> tuple[torch.Tensor, ...]:
        """Take cotangents T steps back.

        Args:
            lam: the cotangent of the state after the last step.
            grad_z: the cotangent of z (T, B, R); None: zero.
            kept: from `forward_sequence`.
            want_x: whether the cotangent of x is requested.

        Returns:
            The cotangents of r, x (0, B, D if not requested), z_start, and the packed weights and
            biases.
        """
        packed, x = kept.packed, torch.from_numpy(kept.x)
        given = np.zeros_like(kept.z) if grad_z is None else grad_z.contiguous().numpy()
        lam_in, ranges = empty_like(lam), self.shares(lam.shape[0], len(x))
        grad_x = torch.empty_like(x if want_x else x[:0])
        grad_z_start = x.new_empty(kept.z_start.shape)
        grad_weights = x.new_empty(len(ranges), packed.weights.numel())
        grad_biases = x.new_empty(len(ranges), packed.biases.numel())
        size = lam[0].numel()
        work = self._work((len(ranges), self.rows, size), kept.states.dtype)
        arguments = (
            *(kept.states, kept.every, flat(lam), flat(lam_in), kept.x, kept.z_start, kept.z),
            *(given, kept.active, kept.factor, packed.kind, packed.layers),
            *(packed.weights.detach().numpy(), packed.transposed.numpy()),
            *(packed.biases.detach().numpy(), self.tables(lam.dtype), packed.size * LANES),
            *(grad_x.numpy(), grad_z_start.numpy(), grad_weights.numpy(), grad_biases.numpy()),
            *(np.empty((len(ranges), kept.every, size), work.dtype), work),
        )
        run(backward_density_sequence, ranges, *arguments)
        self._spare[:] = [work]
        return lam_in, grad_x, grad_z_start, grad_weights.sum(0), grad_biases.sum(0)

    def _work(self, shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
        """Return space, that of the last step if it fits: it takes longer to map than to use."""
        try:
            work = self._spare.pop()
        except IndexError:  # none yet, or another thread has it
            work = np.empty(0, dtype)
        if work.shape != shape or work.dtype != dtype:
            work = np.empty(shape, dtype)
        return work

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
        ends = np.cumsum([4 ** len(wires) for wires in self.program.wires])
        order: list[int] = []
        rho = torch.complex(r.new_ones(batch, 1, 1), r.new_zeros(batch, 1, 1))
        for wires, end in zip(self.program.wires, ends.tolist(), strict=True):
            own = _matrices(r[:, end - 4 ** len(wires) : end], len(wires), batch)
            rho = torch.einsum("bij,bkl->bikjl", rho, own)
            rho = rho.reshape(batch, rho.shape[1] * rho.shape[2], -1)
            order += wires
        n, back = len(order), np.argsort(order).tolist()
        axes = [0, *(1 + k for k in back), *(1 + n + k for k in back)]
        return rho.view(batch, *[2] * (2 * n)).permute(axes).reshape(batch, 2**n, 2**n)


def _matrices(r: torch.Tensor, n: int, batch: int) -> torch.Tensor:
    """Return the density matrices (B, 2^n, 2^n) of a group of n qubits."""
    words = r.permute(0, 2, 1).reshape(-1, *[4] * n)[:batch]
    rho = torch.complex(words, torch.zeros_like(words))
    paulis = rho.new_tensor(
        [[[1, 0], [0, 1]], [[0, 1], [1, 0]], [[1, 0], [0, -1]], [[0, -1j], [1j, 0]]]
    )
    for _ in range(n):  # the letters of wire 0, 1, ... become two indices at the end
        rho = torch.tensordot(rho, paulis / 2, ([1], [0]))
    order = [0, *range(1, 2 * n, 2), *range(2, 2 * n + 1, 2)]
    return rho.permute(order).reshape(batch, 2**n, 2**n)
