"""The interface of the fused strategy's kernels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch

from qrnn.circuit.readout_noise import ReadoutNoise

# Activations of a controller, the values of `Packed.kind`.
LINEAR, RELU, GELU, GLU = range(4)


@dataclass(frozen=True)
class Packed:
    """A controller in the kernels' format.

    Attributes:
        kind: its activation.
        layers: a row [n_in, n_out, weight offset, bias offset, input offset, output offset] for
            each affine layer; the last two are offsets in a step's *record*, which holds the inputs
            and outputs of all layers.
        weights: flat, part of the autograd graph; the last layer gives the slot angles.
        transposed: flat, each layer's weights transposed.
        biases: flat, part of the autograd graph.
        size: size of a record for one sequence, including scratch space for a layer's inputs.
    """

    kind: int
    layers: np.ndarray
    weights: torch.Tensor
    transposed: torch.Tensor
    biases: torch.Tensor
    size: int


class Kernels(Protocol):
    """Kernels for one gate program on one type of torch device.

    The amplitudes of a batch are a tensor `psi` in the kernels' own layout. `kept` is what the
    backward pass needs in addition; it is opaque to other code.

    Attributes:
        sequence_dtypes: dtypes in which whole sequences can run; others go step by step.
    """

    sequence_dtypes: tuple[torch.dtype, ...]

    def start(self, batch: int, like: torch.Tensor) -> torch.Tensor:
        """Return |0...0> for `batch` sequences, with the dtype and torch device of `like`."""

    def forward(
        self, psi: torch.Tensor, angles: torch.Tensor, active: torch.Tensor | None
    ) -> tuple[torch.Tensor, torch.Tensor, Any]:
        """Advance by one step.

        Args:
            psi: the amplitudes; not modified.
            angles: the slot angles (B, S), radians.
            active: (B,) bool; None: all are active.

        Returns:
            psi after the step, readouts z (B, R), and `kept`.
        """

    def backward(
        self, psi: torch.Tensor, lam: torch.Tensor | None, grad_z: torch.Tensor | None, kept: Any
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Go one step back.

        Args:
            psi: the amplitudes after the step.
            lam: the cotangent of psi, without the contribution of this step's readouts; None: zero.
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
            psi: the amplitudes; not modified.
            z_start: readouts before the first step (B, R).
            x: inputs (T, B, D).
            active: (T, B) bool; None: all are active.
            packed: the controller.
            noise: the cell's readout noise.

        Returns:
            psi after the last step, readouts z (T, B, R), and `kept`.
        """

    def backward_sequence(
        self,
        psi: torch.Tensor,
        lam: torch.Tensor | None,
        grad_z: torch.Tensor | None,
        kept: Any,
        *,
        want_x: bool,
    ) -> tuple[torch.Tensor, ...]:
        """Go T steps back.

        Returns:
            psi and lambda before the sequence, and the cotangents of x (T, B, D), or (0, ...) if
            not requested, of z_start (B, R), of the weights and of the biases.
        """

    def amplitudes(self, psi: torch.Tensor, batch: int) -> torch.Tensor:
        """Return psi as complex amplitudes (B, 2^n), differentiable."""

    def pack(self, amplitudes: torch.Tensor) -> torch.Tensor:
        """Return psi for complex amplitudes (B, 2^n), differentiable."""
