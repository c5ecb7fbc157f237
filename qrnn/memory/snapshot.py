"""Amplitudes that can be had again: what a fused step keeps of the state that it gave."""

from __future__ import annotations

import weakref
from typing import Protocol

import torch


class Undo(Protocol):
    """What takes a state one node back.

    Attributes:
        after: the state behind the node.
    """

    after: Snapshot

    def state(self, psi: torch.Tensor) -> torch.Tensor:
        """Return the amplitudes before the node, for those behind it."""


class Snapshot:
    """Amplitudes that one step gave, held or recomputable from the step after.

    Attributes:
        follower: the step that consumed this state, or None for the last one.
    """

    def __init__(self, psi: torch.Tensor):
        self._held: torch.Tensor | None = psi
        self._seen = weakref.ref(psi)
        self.follower: Undo | None = None

    def follow(self, undo: Undo) -> None:
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
        chain: list[Undo] = []
        at = self
        while (psi := at._held if at._held is not None else at._seen()) is None:
            assert at.follower is not None  # only `follow` lets go
            chain.append(at.follower)
            at = at.follower.after
        # A loss on an early step alone: the later steps' backward never ran.
        for undo in reversed(chain):
            psi = undo.state(psi)
        return psi
