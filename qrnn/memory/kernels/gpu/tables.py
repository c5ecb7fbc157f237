"""The gate program as integer tables on a torch device, for the Triton kernels."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from qrnn.memory.kernels import program as cpu
from qrnn.memory.kernels.program import Program

# Kinds of instruction; each RY is a separate ROTATE.
ROTATE, PHASE, MATRIX, DIAGONAL = range(4)
COLUMNS = 6
READOUT_COLUMNS = 4


@dataclass(frozen=True)
class Tables:
    """A gate program in the format of the Triton kernels.

    Attributes:
        gates: (G, 6) int32 rows [kind, x mask, z mask, control mask, slot, i^m]: ROTATE is
            exp(-i h P) with P |k> = i^m (-1)^popcount(k & z) |k ^ x> if all control bits are 1;
            PHASE is a phase if all control bits are 1; MATRIX is row `slot` of `matrices`, on bit
            x; DIAGONAL is row `slot` of `z_slots` and `constants`.
        matrices: (M, 8) see `Program`.
        z_slots: (D, n) int32, see `Program`.
        constants: (D, 2, 2^n) real and imaginary parts of the layer's constant phases.
        readouts: (R, 4) int32 rows [x mask, z mask, i^m, readout], sorted by x mask, so that Pauli
            words that flip the same bits share their partner amplitudes.
    """

    gates: torch.Tensor
    matrices: torch.Tensor
    z_slots: torch.Tensor
    constants: torch.Tensor
    readouts: torch.Tensor

    @property
    def n_gates(self) -> int:
        """Number of instructions."""
        return len(self.gates)

    @property
    def n_readouts(self) -> int:
        """Number of readouts R."""
        return len(self.readouts)


def gate_rows(program: Program) -> list[list[int]]:
    """Return the rows of `Tables.gates`."""
    rows = []
    for kind, a, b, c, slot, m in program.instructions.tolist():
        if kind == cpu.ROTATE_Y2:
            rows += [[ROTATE, a, a, 0, slot, 1], [ROTATE, b, b, 0, c, 1]]
        elif kind == cpu.ROTATE_Y:
            rows.append([ROTATE, a, a, 0, slot, 1])
        elif kind == cpu.ROTATE:
            rows.append([ROTATE, a, b, c, slot, m])
        elif kind == cpu.PHASE:
            rows.append([PHASE, 0, 0, a, slot, 0])
        elif kind == cpu.MATRIX:
            rows.append([MATRIX, a, 0, c, slot, 0])
        else:
            rows.append([DIAGONAL, 0, 0, 0, slot, 0])
    return rows


def readout_rows(program: Program) -> list[list[int]]:
    """Return the rows of `Tables.readouts`."""
    rows = []
    for high, low, x_high, y_high, x_low, y_low in program.pairs.tolist():
        for bit, x, y in ((high, x_high, y_high), (low, x_low, y_low)):
            rows += [[bit, 0, 0, x]] * (x >= 0) + [[bit, bit, 1, y]] * (y >= 0)
    rows += [[0, 1 << bit, 0, z] for bit, z in enumerate(program.z_out.tolist()) if z >= 0]
    rows += [[x, z, m, out] for x, z, m, out in program.words.tolist()]
    return sorted(rows)


def tables_of(program: Program, dtype: torch.dtype, device: torch.device) -> Tables:
    """Return a program's tables, with constants in the state's precision."""

    def integers(rows: list[list[int]] | np.ndarray, columns: int) -> torch.Tensor:
        return torch.tensor(rows, dtype=torch.int32, device=device).reshape(-1, columns)

    constants = torch.tensor(program.constants, dtype=dtype, device=device)
    return Tables(
        gates=integers(gate_rows(program), COLUMNS),
        matrices=torch.tensor(program.matrices, dtype=dtype, device=device),
        z_slots=integers(program.z_slots, program.n_wires),
        constants=constants.reshape(-1, 2**program.n_wires, 2).transpose(1, 2).contiguous(),
        readouts=integers(readout_rows(program), READOUT_COLUMNS),
    )
