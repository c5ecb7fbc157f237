"""The fused kernels on a GPU: launches of Triton kernels on torch tensors."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from typing_extensions import override

from qrnn.circuit.readout_noise import ReadoutNoise
from qrnn.memory.kernels.base import Kernels, Packed
from qrnn.memory.kernels.gpu.sequence import backward_sequence, forward_sequence
from qrnn.memory.kernels.gpu.step import backward_step, forward_step
from qrnn.memory.kernels.gpu.tables import Tables, tables_of
from qrnn.memory.kernels.program import Program

# A program holds one sequence in registers, with 32 bytes per thread for each part of psi and
# lambda, which leaves enough registers for a gate's temporaries.
BYTES = 32
WARP, MOST_WARPS, REGISTERS = 32, 16, 65536
LARGEST = 12
TILE = 32
# Number of controller records that the backward pass collects before it computes gradients.
RECORD_BYTES = 64 * 2**20


def warps_for(n: int, dtype: torch.dtype) -> int:
    """Return the number of warps of a program for n qubits."""
    return min(MOST_WARPS, max(1, 2**n * dtype.itemsize // (WARP * BYTES)))


def options_for(n: int, dtype: torch.dtype) -> dict[str, Any]:
    """Return the compile options of a kernel for n qubits."""
    warps = warps_for(n, dtype)
    # Otherwise ptxas may spill registers rather than let one program fill a multiprocessor.
    registers = REGISTERS // (WARP * warps) if warps == MOST_WARPS else None
    return {
        "n": n,
        "one_warp": warps == 1,
        "num_warps": warps,
        "maxnreg": registers,
        "enable_fp_fusion": True,
    }


@dataclass(frozen=True)
class Step:
    """Kept by a step: cosines and sines (B, S, 2), and active (B,) int8."""

    cs: torch.Tensor
    active: torch.Tensor

    @classmethod
    def of(cls, angles: torch.Tensor, active: torch.Tensor | None) -> Step:
        """Return it for slot angles (B, S), and active (B,) bool or None."""
        moves = angles.new_ones(len(angles)) if active is None else active
        return cls(torch.stack([angles.cos(), angles.sin()], 2), moves.to(torch.int8))


@dataclass(frozen=True)
class _Sequence:
    """Kept by a sequence; see `sequence.forward_sequence`."""

    x: torch.Tensor
    z_start: torch.Tensor
    z: torch.Tensor
    active: torch.Tensor | None
    noise: torch.Tensor
    packed: Packed


class TritonKernels(Kernels):
    """A gate program on a GPU; psi is (B, 2, 2^n), with real and imaginary parts."""

    sequence_dtypes: tuple[torch.dtype, ...] = (torch.float32, torch.float64)

    def __init__(self, program: Program):
        self.program = program
        self.n = program.n_wires
        self.n_slots = len(program.columns)
        self._tables: dict[tuple[torch.dtype, torch.device], Tables] = {}

    def tables(self, like: torch.Tensor) -> Tables:
        """Return the program's tables, for the precision and torch device of `like`."""
        key = (like.dtype, like.device)
        if key not in self._tables:
            self._tables[key] = tables_of(self.program, *key)
        return self._tables[key]

    @override
    def start(self, batch: int, like: torch.Tensor) -> torch.Tensor:
        psi = like.new_zeros(batch, 2, 2**self.n)
        psi[:, 0, 0] = 1
        return psi

    @override
    def forward(
        self, psi: torch.Tensor, angles: torch.Tensor, active: torch.Tensor | None
    ) -> tuple[torch.Tensor, torch.Tensor, Step]:
        batch = len(psi)
        kept = Step.of(angles, active)
        psi_out, z = torch.empty_like(psi), psi.new_empty(batch, self.program.n_readouts)
        launch(
            forward_step,
            (batch,),
            psi,
            psi_out,
            kept.cs,
            kept.active,
            z,
            self.n_slots,
            *flat(self.tables(psi)),
            **options_for(self.n, psi.dtype),
        )
        return psi_out, z, kept

    @override
    def backward(
        self, psi: torch.Tensor, lam: torch.Tensor | None, grad_z: torch.Tensor | None, kept: Step
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        batch = len(psi)
        if grad_z is None:
            grad_z = psi.new_zeros(batch, self.program.n_readouts)
        lam = torch.zeros_like(psi) if lam is None else lam.contiguous()
        psi_in, lam_in = torch.empty_like(psi), torch.empty_like(psi)
        grads = psi.new_zeros(batch, self.n_slots)
        launch(
            backward_step,
            (batch,),
            psi,
            lam,
            psi_in,
            lam_in,
            kept.cs,
            kept.active,
            grad_z.contiguous(),
            grads,
            self.n_slots,
            *flat(self.tables(psi)),
            **options_for(self.n, psi.dtype),
        )
        return psi_in, lam_in, grads

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
        (steps, batch, width), readouts = x.shape, self.program.n_readouts
        share, inverse_shots = noise.strength()
        noisy = share != 1 or inverse_shots > 0
        strength = torch.tensor([share, inverse_shots], dtype=psi.dtype, device=psi.device)
        z = psi.new_empty(steps, batch, readouts)
        moves = None if active is None else active.to(torch.int8).contiguous()
        kept = _Sequence(x.contiguous(), z_start.contiguous(), z, moves, strength, packed)
        psi_out = torch.empty_like(psi)
        launch(
            forward_sequence,
            (batch,),
            psi,
            psi_out,
            kept.x,
            kept.z_start,
            z,
            strength if moves is None else moves,
            torch.randn_like(z) if noisy else strength,
            strength,
            psi.new_empty(batch, packed.size),
            psi.new_empty(batch, self.n_slots, 2),
            steps,
            batch,
            width,
            self.n_slots,
            packed.size,
            self.layers(packed, psi),
            len(packed.layers),
            packed.transposed,
            packed.biases.detach(),
            *flat(self.tables(psi)),
            kind=packed.kind,
            ragged=moves is not None,
            noisy=noisy,
            TILE=TILE,
            **options_for(self.n, psi.dtype),
        )
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
        lam = torch.zeros_like(psi) if lam is None else lam.contiguous()
        packed, (steps, batch, width) = kept.packed, kept.x.shape
        grad_z = torch.zeros_like(kept.z) if grad_z is None else grad_z.contiguous()
        grad_x = torch.empty_like(kept.x if want_x else kept.x[:0])
        carry = torch.zeros_like(kept.z_start)
        gradients = [torch.zeros_like(p.detach()) for p in (packed.weights, packed.biases)]
        at_once = max(1, min(steps, RECORD_BYTES // (batch * packed.size * psi.element_size())))
        records = psi.new_empty(at_once, batch, packed.size)
        cs = psi.new_empty(batch, self.n_slots, 2)
        grad_in = psi.new_empty(batch, self.program.n_readouts + packed.size)
        layers, tables = self.layers(packed, psi), flat(self.tables(psi))
        for stop in range(steps, 0, -at_once):
            first = max(0, stop - at_once)
            psi_in, lam_in = torch.empty_like(psi), torch.empty_like(psi)
            launch(
                backward_sequence,
                (batch,),
                psi,
                lam,
                psi_in,
                lam_in,
                kept.x,
                kept.z_start,
                kept.z,
                grad_z,
                kept.noise if kept.active is None else kept.active,
                kept.noise,
                records,
                cs,
                carry,
                grad_in,
                grad_x,
                first,
                stop - first,
                batch,
                width,
                self.n_slots,
                packed.size,
                layers,
                len(packed.layers),
                packed.weights.detach(),
                packed.transposed,
                packed.biases.detach(),
                *tables,
                kind=packed.kind,
                ragged=kept.active is not None,
                want_x=want_x,
                TILE=TILE,
                **options_for(self.n, psi.dtype),
            )
            add_weight_gradients(packed, records[: stop - first], *gradients)
            psi, lam = psi_in, lam_in
        return psi, lam, grad_x, carry, *gradients

    def layers(self, packed: Packed, like: torch.Tensor) -> torch.Tensor:
        """Return a controller's table of layers, on the torch device of `like`."""
        return torch.tensor(packed.layers, dtype=torch.int32, device=like.device)

    @override
    def amplitudes(self, psi: torch.Tensor, batch: int) -> torch.Tensor:
        return torch.complex(psi[:, 0], psi[:, 1])

    @override
    def pack(self, amplitudes: torch.Tensor) -> torch.Tensor:
        return torch.stack([amplitudes.real, amplitudes.imag], 1)


def launch(kernel: Any, grid: tuple[int, ...], *arguments: Any, **options: Any) -> None:
    """Run a kernel on the GPU of its first argument, even if it is not the current GPU."""
    with torch.cuda.device_of(arguments[0]):
        kernel[grid](*arguments, **options)


def flat(tables: Tables) -> tuple:
    """Return tables in the order of the kernels' arguments."""
    return (
        tables.gates,
        tables.n_gates,
        tables.matrices,
        tables.z_slots,
        tables.constants,
        tables.readouts,
        tables.n_readouts,
    )


def add_weight_gradients(
    packed: Packed, records: torch.Tensor, weights: torch.Tensor, biases: torch.Tensor
) -> None:
    """Add gradients from the records (steps, B, size) to those of weights and biases."""
    rows = records.flatten(0, 1)
    for n_in, n_out, w, b, source, target in packed.layers.tolist():
        gradient = rows[:, target : target + n_out]
        weights[w : w + n_in * n_out] += (gradient.T @ rows[:, source : source + n_in]).flatten()
        biases[b : b + n_out] += gradient.sum(0)
