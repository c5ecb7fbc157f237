"""The fused strategy: own kernels, memory that does not grow with T.

U is unitary, so the backward pass recomputes |psi_(t-1)> = U^dagger |psi_t> instead of storing it
(reversible adjoint). An autograd node therefore keeps no state of its own but a `Snapshot`, which
holds the amplitudes only while nothing later can give them back. The controllers that come with
qrnn run inside the kernels, a whole sequence in one node; any other module is called at each step.
"""

from __future__ import annotations

from dataclasses import dataclass

import numba
import torch
from pennylane.qnn import TorchLayer
from torch import nn

from qrnn.circuit import StepCircuit
from qrnn.errors import DeviceError
from qrnn.memory.base import Memory
from qrnn.memory.fused_sequence import SequenceNode, UndoSequence, is_packable, pack
from qrnn.memory.fused_step import StepNode, UndoStep
from qrnn.memory.lanes import blocks_of, steps_to_lanes, to_lanes
from qrnn.memory.program import Program, compile_program
from qrnn.memory.simd import LANES
from qrnn.memory.snapshot import Snapshot
from qrnn.readout_noise import ReadoutNoise


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
        undo = UndoStep(self, mask)
        psi, z = StepNode.apply(state.psi, parameters, state.snapshot, undo)
        if psi.requires_grad:
            state.snapshot.follow(undo)
        return z, FusedState(psi, undo.after.psi(), undo.after, state.batch)

    def sequence(
        self,
        controller: nn.Module,
        x: torch.Tensor,
        state: FusedState,
        z_start: torch.Tensor,
        active: torch.Tensor | None,
        noise: ReadoutNoise,
    ) -> tuple[torch.Tensor, FusedState] | None:
        """See `Memory.sequence`."""
        slot_map = self.slot_map
        if x.dtype != torch.float32 or slot_map is None or not is_packable(controller):
            return None
        blocks = state.psi.shape[0]
        if active is None:
            mask = torch.ones(0, blocks, LANES, dtype=torch.bool)
        else:
            mask = steps_to_lanes(active[:, :, None], blocks)[:, :, 0]
        packed = pack(controller, self.layer.bias, slot_map)
        undo = UndoSequence(self, packed, mask, noise)
        psi, z = SequenceNode.apply(
            state.psi, z_start, x, packed.weights, packed.biases, state.snapshot, undo
        )
        if psi.requires_grad:
            state.snapshot.follow(undo)
        return z, FusedState(psi, undo.after.psi(), undo.after, state.batch)

    @property
    def slot_map(self) -> tuple[torch.Tensor, torch.Tensor] | None:
        """M (S, P) and b (S,), float64: the slots' angles are M theta + b, if they are affine."""
        affine = self.circuit.affine()
        if affine is None:
            return None
        matrix, offset = affine
        return self._factors[:, None] * matrix[self._columns], self._factors * offset[self._columns]

    def detach(self, state: FusedState) -> FusedState:
        """See `Memory.detach`."""
        psi = state.raw
        return FusedState(psi, psi, Snapshot(psi), state.batch)

    def amplitudes(self, state: FusedState) -> torch.Tensor:
        """See `Memory.amplitudes`."""
        blocks, size, _ = state.psi.shape
        parts = state.psi.reshape(blocks, size, 2, LANES).permute(0, 3, 1, 2)
        return torch.view_as_complex(parts.reshape(-1, size, 2).contiguous())[: state.batch]
