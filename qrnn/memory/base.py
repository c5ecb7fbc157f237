"""The interface of a memory strategy: how the quantum hidden state is carried between steps."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

import torch
from pennylane.qnn import TorchLayer
from torch import nn

from qrnn.circuit.readout_noise import ReadoutNoise
from qrnn.circuit.step import StepCircuit

State = Any
"""What a strategy carries; opaque to the cell, created only by `start` and `step`."""


class Memory(ABC):
    """A strategy for carrying |psi_t>.

    All strategies give the same readouts for the same angles; they differ in cost, hardware and
    differentiation method.

    Args:
        circuit: the step circuit.
        layer: the quantum layer, whose weight is `bias` (P,).
    """

    def __init__(self, circuit: StepCircuit, layer: TorchLayer):
        self.circuit = circuit
        self.layer = layer
        self.n_wires = circuit.n_wires
        self.origin = {"another circuit": circuit.identity, "other readouts": circuit.reading}

    def differs_from(self, other: Memory) -> str | None:
        """Return how the circuit of another strategy differs from this one's, or None."""
        if other is self:
            return None
        theirs = getattr(other, "origin", self.origin)  # missing in old saved states
        return next((what for what, mine in self.origin.items() if theirs[what] != mine), None)

    def __getstate__(self) -> dict[str, Any]:
        """Return what a saved or copied state needs of its strategy, without what runs steps.

        Devices and custom ansaetze may not be picklable, and the cell that continues has its own.
        """
        return {"n_wires": self.n_wires, "origin": self.origin}

    @abstractmethod
    def start(self, batch: int, like: torch.Tensor) -> State:
        """Return |0...0> for `batch` sequences, with the dtype and torch device of `like`."""

    def size(self, batch: int, like: torch.Tensor) -> float:
        """Return the bytes that the states of `batch` sequences take, and a step of them."""
        return 2.0 * like.element_size() * batch * 2**self.n_wires

    @abstractmethod
    def step(
        self, state: State, controls: torch.Tensor, active: torch.Tensor | None = None
    ) -> tuple[torch.Tensor, State]:
        """Advance by U(bias + controls) and read.

        Args:
            state: the state of B sequences; it is not modified.
            controls: the controller's output (B, P), radians.
            active: (B,) bool; an inactive sequence keeps its state, and its row of z is undefined.
                None: all are active.

        Returns:
            z (B, R) in [-1, 1], and the new state.
        """

    def sequence(
        self,
        controller: nn.Module,
        x: torch.Tensor,
        state: State,
        z_start: torch.Tensor,
        active: torch.Tensor | None,
        noise: ReadoutNoise,
        n_fed_back: int | None = None,
    ) -> tuple[torch.Tensor, State] | None:
        """Run the controller and all steps of whole sequences at once, if the strategy can.

        Args:
            controller: the cell's controller.
            x: inputs (T, B, D).
            state: the state of B sequences.
            z_start: the readouts before the first step (B, R).
            active: (T, B) bool; None: all are active.
            noise: the cell's readout noise.
            n_fed_back: number of readouts, from the first, that the controller reads; None: all.

        Returns:
            z (T, B, R), for inactive sequences their last value, and the new state; or None, then
            the caller must go step by step.

        Raises:
            ConfigError: the dtype of the controller's weights or the state differs from x's.
        """
        return None

    @property
    def charges_steps(self) -> bool:
        """Whether `run` costs less if it reads fewer steps."""
        return False

    def run(self, controls: torch.Tensor, steps: Sequence[int] | None = None) -> torch.Tensor:
        """Return the readouts (B, K, R) for controls (B, T, P), open loop, without a controller.

        Args:
            controls: the controls of all steps, radians.
            steps: the K steps to read, from 0, ascending; None: all T.
        """
        state, z = self.start(len(controls), controls), []
        for t in range(controls.shape[1]):
            z_t, state = self.step(state, controls[:, t])
            z.append(z_t)
        return torch.stack(z if steps is None else [z[t] for t in steps], 1)

    @abstractmethod
    def detach(self, state: State) -> State:
        """Return the state detached from the autograd graph, for truncated backpropagation."""

    @abstractmethod
    def select(self, state: State, rows: torch.Tensor) -> State:
        """Return the states of some sequences, by their indices (K,); one may be repeated.

        It is part of the autograd graph, and shares no memory with `state`.
        """

    @abstractmethod
    def amplitudes(self, state: State) -> torch.Tensor:
        """Return the state as complex amplitudes (B, 2^n), or density matrices (B, 2^n, 2^n).

        Raises:
            DeviceError: the strategy has no access to amplitudes.
        """

    def tangent(self, state: torch.Tensor, gradient: torch.Tensor) -> torch.Tensor:
        """Return the part of a gradient along changes that keep the state's norm, or its trace.

        No step changes norm or trace, so that along other changes a gradient never fades, even if
        the network forgets.

        Args:
            state: a tensor of what `step` returns.
            gradient: a loss's gradient with respect to it.
        """
        return gradient


def across(psi: torch.Tensor, gradient: torch.Tensor) -> torch.Tensor:
    """Return the part of a gradient that is orthogonal to its amplitudes, both (B, 2^n)."""
    along = (psi.conj() * gradient).sum(1, keepdim=True).real
    return gradient - psi * along / psi.abs().square().sum(1, keepdim=True)


def is_patched(module: nn.Module) -> bool:
    """Return whether an instance has a `forward` of its own in place of its class's."""
    return "forward" in vars(module)


def has_hooks(*modules: nn.Module) -> bool:
    """Return whether any of the modules, without children, has hooks, which must see each step."""
    return any(
        m._forward_hooks or m._forward_pre_hooks or m._backward_hooks or m._backward_pre_hooks
        for m in modules
    )
