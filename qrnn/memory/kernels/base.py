"""What the fused strategy asks of its kernels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch

from qrnn.circuit.readout_noise import ReadoutNoise

# Activations of a controller, as `Packed.kind` names them.
LINEAR, RELU, GELU, GLU = range(4)


@dataclass(frozen=True)
class Packed:
    """A controller as the kernels read it.

    Attributes:
        kind: its activation.
        layers: a row [n_in, n_out, first weight, first bias, first number of the inputs, first
            number of the outputs] for each affine layer; the last two index a step's *record*, in
            which the inputs and outputs of all layers are kept.
        weights: flat, part of the autograd graph; the last layer gives the slots' angles.
        transposed: flat, each layer's weights transposed.
        biases: flat, part of the autograd graph.
        size: numbers in a record, for one sequence, with room behind it for a layer's inputs.
    """

    kind: int
    layers: np.ndarray
    weights: torch.Tensor
    transposed: torch.Tensor
    biases: torch.Tensor
    size: int


class Kernels(Protocol):
    """One gate program on one kind of torch device.

    The amplitudes of a batch are a tensor `psi` whose shape and order are the kernels' own. `kept`
    is what the way back needs beside the amplitudes; nobody else looks into it.

    Attributes:
        sequence_dtypes: in which whole sequences can be run; in others it goes step by step.
    """

    sequence_dtypes: tuple[torch.dtype, ...]

    def start(self, batch: int, like: torch.Tensor) -> torch.Tensor:
        """Return |0...0> for `batch` sequences, with the dtype and torch device of `like`."""

    def forward(
        self, psi: torch.Tensor, angles: torch.Tensor, active: torch.Tensor | None
    ) -> tuple[torch.Tensor, torch.Tensor, Any]:
        """Advance by one step.

        Args:
            psi: the amplitudes; not changed.
            angles: of the program's slots (B, S), radians.
            active: (B,) bool, whether a sequence moves; None: all do.

        Returns:
            psi behind the step, readouts z (B, R), and `kept`.
        """

    def backward(
        self, psi: torch.Tensor, lam: torch.Tensor, grad_z: torch.Tensor | None, kept: Any
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Go one step back.

        Args:
            psi: behind the step.
            lam: the cotangent of psi, but for this step's readouts.
            grad_z: the cotangent of z (B, R); None: zero.
            kept: from `forward`.

        Returns:
            psi and lambda before the step, and the cotangent of the angles (B, S).
        """

    def forward_sequence(
        self,
        psi: torch.Tensor,
        z_start: torch.Tensor,
        x: torch.Tensor,
        active: torch.Tensor | None,
        packed: Packed,
        noise: ReadoutNoise,
    ) -> tuple[torch.Tensor, torch.Tensor, Any]:
        """Advance by T steps.

        Args:
            psi: the amplitudes; not changed.
            z_start: readouts before the first step (B, R).
            x: inputs (T, B, D).
            active: (T, B) bool; None: all move.
            packed: the controller.
            noise: the cell's readout noise.

        Returns:
            psi behind the last step, readouts z (T, B, R), and `kept`.
        """

    def backward_sequence(
        self,
        psi: torch.Tensor,
        lam: torch.Tensor,
        grad_z: torch.Tensor | None,
        kept: Any,
        *,
        want_x: bool,
    ) -> tuple[torch.Tensor, ...]:
        """Go T steps back.

        Returns:
            psi and lambda before the sequence, and the cotangents of x (T, B, D), or (0, ...) if
            not wanted, of z_start (B, R), of the weights and of the biases.
        """

    def amplitudes(self, psi: torch.Tensor, batch: int) -> torch.Tensor:
        """Return psi as complex amplitudes (B, 2^n), differentiable."""
