"""The fused strategy with noise: density matrices, exactly, with gradients.

A channel cannot be undone, so the backward pass needs the state before each step. Where these are
many, some are kept, and the others are computed again from them. As without noise, qrnn's
controllers run inside the kernels, a whole sequence in one node.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import accumulate
from math import isqrt
from typing import Any

import torch
from pennylane.qnn import TorchLayer
from torch import nn
from typing_extensions import override

from qrnn.circuit.channels import CircuitNoise
from qrnn.circuit.readout_noise import ReadoutNoise
from qrnn.circuit.step import StepCircuit
from qrnn.errors import DeviceError
from qrnn.memory.base import Memory
from qrnn.memory.fused_sequence import packed_for
from qrnn.memory.kernels.density_program import compile_density_program
from qrnn.memory.slots import Slots
from qrnn.utils.autograd import once_differentiable, refuse_transforms

MOST_NOISY = 12  # coupled qubits of density matrices: 4^n numbers for a sequence


def check_shown(n_wires: int) -> None:
    """Raise DeviceError if the density matrix of all qubits is too large to be shown."""
    if n_wires > MOST_NOISY:
        raise DeviceError(
            f"device 'fused' shows the state of at most {MOST_NOISY} qubits with noise, got "
            f"{n_wires}: readouts are available"
        )


class Moment:
    """A state that autograd may need: kept, or computed again from the moment before.

    Args:
        r: the state after t steps; it is kept if t is a multiple of the largest power of two up to
            sqrt(t).
        before: the moment before the last step, and the step's kernels, angles and active
            sequences; None: t = 0.
    """

    def __init__(
        self, r: torch.Tensor, before: tuple[Moment, Any, torch.Tensor, Any] | None = None
    ):
        self.before = before
        self.count: int = 0 if before is None else before[0].count + 1
        self.kept = self.count % 2 ** (max(1, isqrt(self.count)).bit_length() - 1) == 0
        self._r = r if self.kept else None

    def state(self) -> torch.Tensor:
        """Return the state; one that is computed again is held until `release`."""
        chain: list[Moment] = []
        at = self
        while at._r is None:
            chain.append(at)
            assert at.before is not None  # the first is kept
            at = at.before[0]
        r = at._r
        for moment in reversed(chain):
            assert moment.before is not None
            _, kernels, angles, active = moment.before
            r = moment._r = kernels.forward(r, angles, active)[0]
        return r

    def release(self) -> None:
        """Release a state that can be computed again."""
        if not self.kept:
            self._r = None


class DensityNode(torch.autograd.Function):
    """One noisy step as an autograd node: (r, angles) -> (r', z)."""

    @staticmethod
    @override
    def forward(ctx: Any, r, angles, kernels, active, before: Moment):
        """R is in the kernels' layout, angles are (B, S)."""
        ctx.kernels, ctx.active, ctx.before = kernels, active, before
        ctx.save_for_backward(angles)
        return kernels.forward(r, angles, active)

    @staticmethod
    @once_differentiable("use .on('default.mixed')")
    @override
    def backward(ctx: Any, lam, grad_z):
        (angles,) = ctx.saved_tensors
        r = ctx.before.state()
        lam_in, grads = ctx.kernels.backward(r, lam.contiguous(), grad_z, angles, ctx.active)
        ctx.before.release()
        return lam_in, grads, None, None, None


class DensitySequenceNode(torch.autograd.Function):
    """T noisy steps as an autograd node: (r, z_start, x, weights, biases) -> (r', z)."""

    @staticmethod
    @override
    def forward(ctx: Any, r, z_start, x, weights, biases, packed, active, noise, kernels):
        """See `NumbaDensityKernels.forward_sequence`; weights and biases are those of `packed`."""
        # Copies: a loop may refill its input buffer before the backward pass reads it.
        x, z_start = (v.clone(memory_format=torch.contiguous_format) for v in (x, z_start))
        keep = any(ctx.needs_input_grad)
        r_out, z, kept = kernels.forward_sequence(r, z_start, x, active, packed, noise, keep=keep)
        ctx.kernels, ctx.kept = kernels, kept
        ctx.save_for_backward(z)
        return r_out, z

    @staticmethod
    @once_differentiable("use .on('default.mixed')")
    @override
    def backward(ctx: Any, lam, grad_z):
        _ = ctx.saved_tensors  # raises torch's error if z, which `kept` shares, was modified
        want_x = ctx.needs_input_grad[2]
        lam_in, grad_x, grad_z_start, grad_weights, grad_biases = ctx.kernels.backward_sequence(
            lam.contiguous(), grad_z, ctx.kept, want_x=want_x
        )
        return (
            lam_in,
            grad_z_start,
            grad_x if want_x else None,
            grad_weights,
            grad_biases,
            *[None] * 4,
        )


@dataclass(frozen=True)
class DensityState:
    """Density matrices of B sequences.

    Attributes:
        r: values of the Pauli words in the kernels' layout, part of the autograd graph.
        moment: gives the state to the backward pass.
        batch: number of sequences B.
    """

    r: torch.Tensor
    moment: Moment
    batch: int

    @classmethod
    def of(cls, r: torch.Tensor, batch: int) -> DensityState:
        """Return the state for values that are not part of a graph."""
        return cls(r, Moment(r), batch)

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle and copy only the values: autograd graphs cannot be pickled."""
        return DensityState.of, (self.r.detach(), self.batch)


class FusedDensities(Memory):
    """Density matrices as the values of Pauli words, advanced by kernels with noise in the gates.

    Args:
        circuit: the step circuit.
        layer: the quantum layer.
        noise: the noise of the gates and readouts.
    """

    def __init__(self, circuit: StepCircuit, layer: TorchLayer, noise: CircuitNoise):
        super().__init__(circuit, layer)
        self.program = compile_density_program(circuit, noise)
        self.slots = Slots(self.program.columns, self.program.factors, self.program.offsets)
        self._kernels: Any = None

    @override
    def __getstate__(self) -> dict[str, Any]:
        """Keep the program, from which kernels can be built again."""
        return {**super().__getstate__(), "program": self.program, "_kernels": None}

    def kernels(self, device: torch.device) -> Any:
        """Return the kernels.

        Raises:
            DeviceError: the torch device is not the CPU, or a transform of `torch.func` is active.
        """
        refuse_transforms()
        if device.type != "cpu":
            raise DeviceError(
                f"device 'fused' with device.noise needs weights and inputs on cpu, got {device}: "
                f"use .to('cpu')"
            )
        if self._kernels is None:
            from qrnn.memory.kernels.cpu.density_kernels import NumbaDensityKernels

            self._kernels = NumbaDensityKernels(self.program)
        return self._kernels

    @override
    def size(self, batch: int, like: torch.Tensor) -> float:
        return self.kernels(like.device).size(batch) * like.element_size()

    @override
    def start(self, batch: int, like: torch.Tensor) -> DensityState:
        return DensityState.of(self.kernels(like.device).start(batch, like), batch)

    @override
    def step(
        self, state: DensityState, controls: torch.Tensor, active: torch.Tensor | None = None
    ) -> tuple[torch.Tensor, DensityState]:
        angles = self.slots.angles(self.circuit.parameters(controls + self.layer.bias))
        kernels = self.kernels(controls.device)
        r, results = DensityNode.apply(state.r, angles, kernels, active, state.moment)
        z = self.circuit.values(results)
        if not r.requires_grad:
            return z, DensityState.of(r, state.batch)
        before = state.moment, kernels, angles.detach(), active
        return z, DensityState(r, Moment(r.detach(), before), state.batch)

    @override
    def sequence(
        self,
        controller: nn.Module,
        x: torch.Tensor,
        state: DensityState,
        z_start: torch.Tensor,
        active: torch.Tensor | None,
        noise: ReadoutNoise,
        n_fed_back: int | None = None,
    ) -> tuple[torch.Tensor, DensityState] | None:
        kernels, n = self.kernels(x.device), z_start.shape[1]
        if x.dtype not in kernels.sequence_dtypes or self.circuit.measured is not None:
            return None
        packed = packed_for(self, self.slots, controller, x, state.r, n, n_fed_back)
        if packed is None:
            return None
        weights, biases = packed.weights, packed.biases
        r, z = DensitySequenceNode.apply(
            state.r, z_start, x, weights, biases, packed, active, noise, kernels
        )
        # The next call's backward pass needs the state: a sequence has kept its own.
        return z, DensityState(r, Moment(r.detach()), state.batch)

    @override
    def detach(self, state: DensityState) -> DensityState:
        return DensityState.of(state.r.detach(), state.batch)

    @override
    def select(self, state: DensityState, rows: torch.Tensor) -> DensityState:
        r = self.kernels(state.r.device).select(state.r, rows)
        return DensityState(r, Moment(r.detach()), len(rows))

    @override
    def amplitudes(self, state: DensityState) -> torch.Tensor:
        check_shown(self.n_wires)
        return self.kernels(state.r.device).matrices(state.r, state.batch)

    @override
    def tangent(self, state: torch.Tensor, gradient: torch.Tensor) -> torch.Tensor:
        found = gradient.clone()
        sizes = [4 ** len(wires) for wires in self.program.wires]
        found[:, list(accumulate(sizes[:-1], initial=0))] = 0  # each group's word of I: its trace
        return found
