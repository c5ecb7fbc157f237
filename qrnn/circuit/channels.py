"""Noise channels on one qubit, and the noise of a circuit's gates and readouts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import acos, asin, sqrt

import numpy as np
import pennylane as qml
from pennylane.operation import Channel as PennyLaneChannel
from pennylane.operation import Operator


class Damping(PennyLaneChannel):
    """Amplitude damping of strength sin^2(phi), as a part of a cell's circuit.

    Its Kraus matrices are diag(1, cos(phi)) and sin(phi) |0><1|, smooth in phi: where cos(phi) is
    negative, it is amplitude damping followed by Z. The angle phi, like that of a gate, may be one
    of the controller's: each sequence then forgets its own fraction of a qubit at each step, as
    `Damping(angles[k], wires=w)` in a cell's quantum function. Devices that do not simulate
    density matrices run it with an ancilla that is reset.

    Args:
        phi: the angle, radians.
        wires: the wire.
    """

    num_params = 1
    num_wires = 1
    ndim_params = (0,)  # so that PennyLane sees a batch of angles
    grad_method = None

    def __init__(self, phi, wires, id=None):
        super().__init__(phi, wires=wires, id=id)

    @staticmethod
    def compute_decomposition(phi, wires):
        """Return PennyLane's channel, and Z if cos(phi) is negative."""
        turn = np.pi * (qml.math.detach(qml.math.cos(phi)) < 0)
        damping = qml.AmplitudeDamping(qml.math.sin(phi) ** 2, wires=wires)
        return [damping, qml.PhaseShift(turn, wires=wires)]

    @staticmethod
    def compute_kraus_matrices(phi):
        """Return the two Kraus matrices."""
        c, s = qml.math.cos(phi), qml.math.sin(phi)
        zero = qml.math.zeros_like(c)
        return [
            qml.math.stack([qml.math.stack(row) for row in rows])
            for rows in ([[zero + 1, zero], [zero, c]], [[zero, s], [zero, zero]])
        ]


class JointDepolarizing(PennyLaneChannel):
    """Depolarizing of two wires together, which is not a product of channels on each.

    All Pauli words with a letter on the wires are scaled by 1 - p.

    Args:
        p: the probability that the state of the wires is replaced by the fully mixed one, in
            [0, 16/15].
        wires: the two wires.
    """

    num_params = 1
    num_wires = 2
    grad_method = None

    def __init__(self, p, wires, id=None):
        super().__init__(p, wires=wires, id=id)

    @staticmethod
    def compute_decomposition(p, wires):
        """Return PennyLane's channel."""
        return [qml.QubitChannel(JointDepolarizing.compute_kraus_matrices(p), wires=wires)]

    @staticmethod
    def compute_kraus_matrices(p):
        """Return a Kraus matrix for each of the 16 Pauli words."""
        p = float(qml.math.detach(p))
        paulis = [np.eye(2), *(gate.compute_matrix() for gate in (qml.X, qml.Y, qml.Z))]
        words = [np.kron(a, b) for a in paulis for b in paulis]
        return [sqrt(1 - 15 / 16 * p) * words[0], *(sqrt(p) / 4 * word for word in words[1:])]


def has_constant_strength(gate: Operator) -> bool:
    """Return whether a gate is a channel whose parameter never changes."""
    return isinstance(gate, PennyLaneChannel) and not isinstance(gate, Damping)


@dataclass(frozen=True)
class Kind:
    """A channel that scales Pauli words.

    Attributes:
        operator: PennyLane's channel, of (strength, wires).
        angle: the channel's angle phi for a strength p: with c = cos(phi), `depolarizing` scales X,
            Y and Z by c, `phase_damping` X and Y by c, and `amplitude_damping` X and Y by c and Z
            by c^2, and adds 1 - c^2 to Z.
    """

    operator: Callable[..., Operator]
    angle: Callable[[float], float]


KINDS = {
    "depolarizing": Kind(qml.DepolarizingChannel, lambda p: acos(1 - 4 * p / 3)),
    "phase_damping": Kind(qml.PhaseDamping, lambda p: asin(sqrt(p))),
    "amplitude_damping": Kind(qml.AmplitudeDamping, lambda p: asin(sqrt(p))),
}
NOTHING = (qml.GlobalPhase, qml.Identity)  # gates that no device executes
CHANNELS = {kind.operator: name for name, kind in KINDS.items()}


@dataclass(frozen=True)
class Channel:
    """A channel on one wire.

    Attributes:
        kind: a key of `KINDS`.
        strength: its probability p.
        wire: the wire.
    """

    kind: str
    strength: float
    wire: int


@dataclass(frozen=True)
class CircuitNoise:
    """The noise of a step circuit.

    Attributes:
        channels: (kind, strength) of the channels on each wire of a gate, by the gate's name; those
            of `""` are for all other gates that do something: not for a global phase or Identity.
        flip: probability of a readout error on a qubit.
    """

    channels: dict[str, tuple[tuple[str, float], ...]]
    flip: float = 0.0

    def after(self, gate: Operator) -> list[Channel]:
        """Return the channels that act after a gate, in their order."""
        others = () if isinstance(gate, NOTHING) else self.channels.get("", ())
        found = self.channels.get(gate.name, others)
        return [Channel(kind, strength, wire) for wire in gate.wires for kind, strength in found]
