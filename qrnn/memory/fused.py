"""The fused strategy: own kernels, memory that does not grow with T.

U is unitary, so the backward pass recomputes |psi_(t-1)> = U^dagger |psi_t> instead of storing it
(reversible adjoint). A step's autograd node therefore keeps no state of its own but a `Snapshot`,
which holds the amplitudes only while nothing later can give them back.
"""

from __future__ import annotations

import weakref
from dataclasses import dataclass
from typing import Any

import numba
import numpy as np
import torch
from pennylane.qnn import TorchLayer
from torch.autograd.function import once_differentiable

from qrnn.circuit import StepCircuit
from qrnn.errors import DeviceError
from qrnn.memory.base import Memory
from qrnn.memory.program import Program, compile_program
from qrnn.memory.simd import LANES
from qrnn.memory.step_kernels import backward, forward


class Snapshot:
    """Amplitudes that one step gave, held or recomputable from the step after.

    Attributes:
        follower: the step that consumed this state, or None for the last one.
    """

    def __init__(self, psi: torch.Tensor):
        self._held: torch.Tensor | None = psi
        self._seen = weakref.ref(psi)
        self.follower: _Undo | None = None

    def follow(self, undo: _Undo) -> None:
        """Let go of the amplitudes: `undo` can recompute them."""
        self.follower = undo
        self._held = None

    def hold(self, psi: torch.Tensor) -> None:
        """Take recomputed amplitudes."""
        self._held = psi

    def release(self) -> None:
        """Let go again, where a later step can give them back."""
        if self.follower is not None:
            self._held = None

    def psi(self) -> torch.Tensor:
        """Return the amplitudes, undoing later steps if that is the only way."""
        chain: list[_Undo] = []
        at = self
        while (psi := at._held if at._held is not None else at._seen()) is None:
            assert at.follower is not None  # only `follow` lets go
            chain.append(at.follower)
            at = at.follower.after
        # A loss on an early step alone: the later steps' backward never ran.
        for undo in reversed(chain):
            psi = undo.state(psi)
        return psi


class _Undo:
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


@dataclass(frozen=True)
class FusedState:
    """Amplitudes of B sequences in blocks (see `gate_kernels`).

    Attributes:
        psi: (blocks, 2^n, 2 LANES), part of the autograd graph.
        raw: the same values outside the graph; alive as long as the user holds the state.
        snapshot: where the backward pass finds them.
        batch: number of sequences B.
    """

    psi: torch.Tensor
    raw: torch.Tensor
    snapshot: Snapshot
    batch: int


class _Step(torch.autograd.Function):
    """One step as an autograd node: (psi, parameters) -> (psi', z)."""

    @staticmethod
    def forward(ctx: Any, psi, parameters, before: Snapshot, undo: _Undo):
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
        undo: _Undo = ctx.undo
        grad_z = to_lanes(grad_z, lam.shape[0])
        psi_in, lam_in, grads = undo.run(undo.after.psi(), lam.contiguous(), grad_z)
        ctx.before.hold(psi_in)
        undo.after.release()
        grad = undo.memory.parameter_gradient(from_lanes(grads, ctx.batch), ctx.columns)
        return lam_in, grad, None, None


def empty_like(psi: torch.Tensor) -> torch.Tensor:
    """Return an uninitialised tensor for amplitudes, aligned to cache lines.

    Torch aligns with posix_memalign, which cannot reuse the hole that a freed state of the same
    size left behind (glibc < 2.38): the heap then grows with T by a third of a state a step.
    """
    size = psi.numel() * psi.element_size()
    buffer = np.empty(size + 64, np.uint8)
    start = -buffer.ctypes.data % 64
    return torch.from_numpy(buffer[start : start + size]).view(psi.dtype).view(psi.shape)


def flat(values: torch.Tensor) -> np.ndarray:
    """Return a tensor as a numpy array of one row a block."""
    return values.numpy().reshape(values.shape[0], -1)


def to_lanes(values: torch.Tensor, blocks: int) -> torch.Tensor:
    """Return (B, K) values as (blocks, K, LANES), padded with zeros."""
    batch, width = values.shape
    if batch < blocks * LANES:
        padded = values.new_zeros(blocks * LANES, width)
        padded[:batch] = values
        values = padded
    return values.view(blocks, LANES, width).transpose(1, 2).contiguous()


def from_lanes(values: torch.Tensor, batch: int) -> torch.Tensor:
    """Return (blocks, K, LANES) values as (B, K)."""
    return values.transpose(1, 2).reshape(-1, values.shape[1])[:batch]


class FusedMemory(Memory):
    """The state as amplitudes in blocks of sequences, moved by numba kernels.

    T steps cost T times the gates; memory does not depend on T. Source of the gradient: the
    reversible adjoint of docs/how-it-works.md.

    Raises:
        DeviceError: inputs that are not on the CPU.
    """

    def __init__(self, circuit: StepCircuit, layer: TorchLayer):
        super().__init__(circuit, layer)
        self.n_readouts = len(circuit.words)
        self.program: Program = compile_program(circuit)
        columns = self.program.columns
        self._identity = columns == list(range(circuit.n_parameters))
        self._columns = torch.tensor(columns, dtype=torch.long)
        self._factors = torch.tensor(self.program.factors, dtype=torch.float64)
        self._tables: dict[torch.dtype, tuple] = {}

    def tables(self, dtype: torch.dtype) -> tuple:
        """Return the program's tables, with the constants in the state's precision."""
        if dtype not in self._tables:
            real = torch.empty(0, dtype=dtype).numpy().dtype.type
            self._tables[dtype] = self.program.tables(real)
        return self._tables[dtype]

    def slot_angles(self, parameters: torch.Tensor) -> torch.Tensor:
        """Return cosines and sines (blocks, S, 2, LANES) for gate parameters (B, n_parameters)."""
        if not self._identity:
            parameters = parameters[:, self._columns]
        slots = parameters * self._factors.to(parameters.dtype)
        lanes = to_lanes(slots, blocks_of(parameters.shape[0]))
        return torch.stack([lanes.cos(), lanes.sin()], 2)

    def parameter_gradient(self, grads: torch.Tensor, columns: int) -> torch.Tensor:
        """Return the gradient (B, n_parameters) for slot gradients (B, S)."""
        grads = grads * self._factors.to(grads.dtype)
        if self._identity:
            return grads
        return grads.new_zeros(grads.shape[0], columns).index_add_(1, self._columns, grads)

    def start(self, batch: int, like: torch.Tensor) -> FusedState:
        """See `Memory.start`."""
        if like.device.type != "cpu":
            raise DeviceError(
                f"device 'fused' needs weights and inputs on the CPU, got {like.device}: use "
                f".to('cpu'), or device lightning.gpu"
            )
        most = numba.config.NUMBA_NUM_THREADS  # type: ignore[attr-defined]
        numba.set_num_threads(min(torch.get_num_threads(), most))
        psi = like.new_zeros(blocks_of(batch), 2**self.circuit.n_wires, 2 * LANES)
        psi[:, 0, :LANES] = 1
        return FusedState(psi, psi, Snapshot(psi), batch)

    def step(
        self, state: FusedState, controls: torch.Tensor, active: torch.Tensor | None = None
    ) -> tuple[torch.Tensor, FusedState]:
        """See `Memory.step`."""
        blocks = state.psi.shape[0]
        if active is None:
            mask = torch.ones(blocks, LANES, dtype=torch.bool)
        else:
            mask = to_lanes(active[:, None], blocks)[:, 0]
        parameters = self.circuit.parameters(controls + self.layer.bias)
        undo = _Undo(self, mask)
        psi, z = _Step.apply(state.psi, parameters, state.snapshot, undo)
        if psi.requires_grad:
            state.snapshot.follow(undo)
        return z, FusedState(psi, undo.after.psi(), undo.after, state.batch)

    def detach(self, state: FusedState) -> FusedState:
        """See `Memory.detach`."""
        psi = state.raw
        return FusedState(psi, psi, Snapshot(psi), state.batch)

    def amplitudes(self, state: FusedState) -> torch.Tensor:
        """See `Memory.amplitudes`."""
        blocks, size, _ = state.psi.shape
        parts = state.psi.reshape(blocks, size, 2, LANES).permute(0, 3, 1, 2)
        return torch.view_as_complex(parts.reshape(-1, size, 2).contiguous())[: state.batch]


def blocks_of(batch: int) -> int:
    """Return the number of blocks for a batch."""
    return -(-batch // LANES)
