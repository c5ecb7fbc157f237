"""Snapshots: amplitudes that a fused step stores, or that later steps can recompute."""

from __future__ import annotations

import weakref
from typing import Protocol

import torch


class Undo(Protocol):
    """Takes a state one autograd node back.

    Attributes:
        after: the state after the node.
    """

    after: Snapshot

    def state(self, psi: torch.Tensor) -> torch.Tensor:
        """Return the amplitudes before the node, for those after it."""


class Snapshot:
    """Amplitudes after a step, stored or recomputable from the next step.

    Attributes:
        follower: the step that consumed this state; None for the last state.
    """

    def __init__(self, psi: torch.Tensor):
        self._held: torch.Tensor | None = psi
        self._seen = weakref.ref(psi)
        self.follower: Undo | None = None

    def follow(self, undo: Undo) -> None:
        """Release the amplitudes, because `undo` can recompute them."""
        self.follower = undo
        self._held = None

    def hold(self, psi: torch.Tensor) -> None:
        """Store recomputed amplitudes."""
        self._held = psi

    def release(self) -> None:
        """Release the amplitudes if a later step can recompute them."""
        if self.follower is not None:
            self._held = None

    def psi(self) -> torch.Tensor:
        """Return the amplitudes, recomputed from later steps if necessary."""
        chain: list[Undo] = []
        at = self
        while (psi := at._held if at._held is not None else at._seen()) is None:
            assert at.follower is not None  # only `follow` releases amplitudes
            chain.append(at.follower)
            at = at.follower.after
        # For a loss on early steps only: the backward of later steps never ran.
        for undo in reversed(chain):
            psi = undo.state(psi)
        return psi
