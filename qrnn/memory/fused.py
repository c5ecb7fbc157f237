"""The fused strategy: custom kernels, with memory that does not grow with T.

U is unitary, so the backward pass recomputes |psi_(t-1)> = U^dagger |psi_t> instead of storing it
(reversible adjoint). So an autograd node stores only a `Snapshot`, which holds the amplitudes only
as long as no later step can recompute them. qrnn's controllers run inside the kernels, a whole
sequence in one node; any other module is called at each step.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from pennylane.qnn import TorchLayer
from torch import nn
from typing_extensions import override

from qrnn.circuit.readout_noise import ReadoutNoise
from qrnn.circuit.step import StepCircuit
from qrnn.memory.backends import kernels_for
from qrnn.memory.base import Memory, across
from qrnn.memory.fused_sequence import SequenceNode, UndoSequence, packed_for
from qrnn.memory.fused_step import StepNode, UndoStep
from qrnn.memory.kernels.base import Kernels
from qrnn.memory.kernels.program import Program, compile_program
from qrnn.memory.slots import Slots
from qrnn.memory.snapshot import Snapshot
from qrnn.utils.autograd import refuse_transforms
from qrnn.utils.limits import check_memory

# Per amplitude: psi and lambda of one sequence before and after a step, in single precision, and
# the constants of a diagonal layer.
BYTES = 4 * 8 + 16


@dataclass(frozen=True)
class FusedState:
    """Amplitudes of B sequences.

    Attributes:
        psi: amplitudes in the kernels' layout, part of the autograd graph.
        raw: the same values outside the graph; they live as long as the state object.
        snapshot: gives the amplitudes to the backward pass.
        batch: number of sequences B.
    """

    psi: torch.Tensor
    raw: torch.Tensor
    snapshot: Snapshot
    batch: int

    @classmethod
    def of(cls, psi: torch.Tensor, batch: int) -> FusedState:
        """Return the state for amplitudes that are not part of a graph."""
        return cls(psi, psi, Snapshot(psi), batch)

    @classmethod
    def taken(cls, psi: torch.Tensor, batch: int) -> FusedState:
        """Return the state for amplitudes, in memory of their own, that are part of a graph."""
        raw = psi.detach()
        return cls(psi, raw, Snapshot(raw), batch)

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle and copy only the amplitudes: autograd graphs cannot be pickled."""
        return FusedState.of, (self.raw, self.batch)


class PureStates(Memory):
    """Pure states that the kernels for their torch device advance.

    Attributes:
        copies: number of states of a sequence.
        program: the kernels' gate program.

    Raises:
        DeviceError: the inputs' torch device has no kernels.
        MissingExtraError: the kernels need a package that is not installed.
        ConfigError: the states of one sequence do not fit into this machine's memory.
    """

    copies = 1

    def __init__(self, circuit: StepCircuit, layer: TorchLayer):
        super().__init__(circuit, layer)
        remedy = "lower model.n_qubits"
        check_memory(
            f"a training of {circuit.n_wires} qubits on device 'fused'",
            BYTES * self.copies * 2.0**circuit.n_wires,
            remedy if self.copies == 1 else f"{remedy} or device.trajectories",
        )
        self.program: Program = self.compile()
        self._kernels: dict[str, Kernels] = {}

    def compile(self) -> Program:
        """Return the kernels' gate program."""
        return compile_program(self.circuit)

    @override
    def __getstate__(self) -> dict[str, Any]:
        """Keep the program, from which kernels can be built again."""
        return {**super().__getstate__(), "program": self.program, "_kernels": {}}

    def kernels(self, device: torch.device) -> Kernels:
        """Return the kernels for a torch device.

        Raises:
            DeviceError: a transform of `torch.func` is active.
        """
        refuse_transforms()
        if device.type not in self._kernels:
            self._kernels[device.type] = kernels_for(self.program, device)
        return self._kernels[device.type]

    @override
    def tangent(self, state: torch.Tensor, gradient: torch.Tensor) -> torch.Tensor:
        kernels, most = self.kernels(state.device), state.numel()  # sequences, with padding
        return across(*(kernels.amplitudes(one, most) for one in (state, gradient)))

    def advance(
        self, state: FusedState, angles: torch.Tensor, active: torch.Tensor | None
    ) -> tuple[torch.Tensor, FusedState]:
        """Advance by one step with the slots' angles (B, S); return z (B, R) and the new state."""
        undo = UndoStep(self.kernels(state.psi.device), active)
        psi, z = StepNode.apply(state.psi, angles, state.snapshot, undo)
        if psi.requires_grad:
            state.snapshot.follow(undo)
        return z, FusedState(psi, undo.after.psi(), undo.after, state.batch)


class FusedMemory(PureStates):
    """The state as amplitudes, advanced by the kernels for its torch device.

    The cost is linear in T; memory does not depend on T. For the gradient, see the reversible
    adjoint in docs/how-it-works.md.
    """

    def __init__(self, circuit: StepCircuit, layer: TorchLayer):
        super().__init__(circuit, layer)
        self.slots = Slots(self.program.columns, self.program.factors)

    @override
    def start(self, batch: int, like: torch.Tensor) -> FusedState:
        return FusedState.of(self.kernels(like.device).start(batch, like), batch)

    @override
    def step(
        self, state: FusedState, controls: torch.Tensor, active: torch.Tensor | None = None
    ) -> tuple[torch.Tensor, FusedState]:
        angles = self.slots.angles(self.circuit.parameters(controls + self.layer.bias))
        return self.advance(state, angles, active)

    @override
    def sequence(
        self,
        controller: nn.Module,
        x: torch.Tensor,
        state: FusedState,
        z_start: torch.Tensor,
        active: torch.Tensor | None,
        noise: ReadoutNoise,
        n_fed_back: int | None = None,
    ) -> tuple[torch.Tensor, FusedState] | None:
        kernels, n = self.kernels(x.device), z_start.shape[1]
        if x.dtype not in kernels.sequence_dtypes:
            return None
        packed = packed_for(self, self.slots, controller, x, state.psi, n, n_fed_back)
        if packed is None:
            return None
        undo = UndoSequence(kernels)
        psi, z = SequenceNode.apply(
            state.psi,
            z_start,
            x,
            packed.weights,
            packed.biases,
            packed,
            active,
            noise,
            state.snapshot,
            undo,
        )
        if psi.requires_grad:
            undo.watch(z)
            state.snapshot.follow(undo)
        return z, FusedState(psi, undo.after.psi(), undo.after, state.batch)

    @override
    def detach(self, state: FusedState) -> FusedState:
        return FusedState.of(state.raw, state.batch)

    @override
    def select(self, state: FusedState, rows: torch.Tensor) -> FusedState:
        kernels = self.kernels(state.psi.device)
        psi = kernels.pack(kernels.amplitudes(state.psi, state.batch)[rows])
        # In new memory, and with a snapshot of its own: the steps that follow undo it alone, and
        # the state that it was taken from stays as it is.
        return FusedState.taken(psi, len(rows))

    @override
    def amplitudes(self, state: FusedState) -> torch.Tensor:
        return self.kernels(state.psi.device).amplitudes(state.psi, state.batch)
