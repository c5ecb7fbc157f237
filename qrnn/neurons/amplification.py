"""Amplitude amplification of the neurons' projections: deeper circuits that lose fewer shots.

The gates of an order-1 neuron, V, take the ancilla's 0 to sqrt(p) |0> (good) + sqrt(1 - p) |1>
(bad), p = cos(eta)^4 + sin(eta)^4 in [1/2, 1], so that a projection keeps half of the shots at the
bias eta = pi/4. l rounds of fixed-point amplification (Yoder, Low, Chuang, PRL 2014, arXiv
1409.3305), each one V^dagger and one V more, raise p to

    P(p) = 1 - delta^2 T_L(T_(1/L)(1 / delta) sqrt(1 - p))^2,   L = 2 l + 1,

with T the Chebyshev polynomials: at least 1 - delta^2 wherever p is above a small bound. It is
oblivious: V's good part is sqrt(p) times a rotation, whatever the target's state is, so that no
state has to be prepared again. What holds, and what does not:

- For each string s of control bits, the neuron's rotation arctan(tan(eta)^(2^k)) is exact.
- p depends on s. The projection weighs s by sqrt(p(s)); amplified, by sqrt(P(p(s))), which is
  nearly flat: what the neuron does to the controls is lost with the shots' loss. The circuit is
  another function, `transfer(..., gain=...)`, equal to the paper's as far as p(s) does not vary.
- The amplified part gains a phase chi(p(s)) too. Every other projection takes the conjugate
  phases. The projections inside a neuron of order 2 or more come in pairs, so that there the phases
  cancel exactly; at order 1 they stay, and superpositions of s with different p(s) are dephased.
- Only the projections that follow a unitary are amplified: the 2^(k - 1) of order 1 of the 2^k - 1
  in a neuron of order k. The others are behind measurements, and stay as they are.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from math import acosh, atan2, cosh, pi, sqrt, tan
from typing import NamedTuple

import pennylane as qml
import torch
from pennylane.operation import Operator
from pennylane.ops import MidMeasure
from pennylane.tape import QuantumScript

from qrnn.errors import ConfigError
from qrnn.neurons.cell import QuantumNeuronCell
from qrnn.neurons.recurrence import Recurrence
from qrnn.neurons.transfer import transfer


def check_amplification(rounds: int, delta: float) -> None:
    """Raise the error for an amplification that is none.

    Raises:
        ConfigError: fewer than 0 rounds, or delta outside (0, 1).
    """
    if rounds < 0:
        raise ConfigError(f"rounds must be at least 0, got {rounds}")
    if not 0 < delta < 1:
        raise ConfigError(f"delta must be in (0, 1), got {delta}: 1 - delta^2 is reached")


def fixed_point_phases(rounds: int, delta: float) -> list[tuple[float, float]]:
    """Return the phases (alpha_j, beta_j) of each round, radians.

    Args:
        rounds: number of rounds l.
        delta: the square root of the largest loss.
    """
    check_amplification(rounds, delta)
    queries = 2 * rounds + 1
    width = sqrt(1 - cosh(acosh(1 / delta) / queries) ** -2)
    alpha = [2 * atan2(1, tan(2 * pi * j / queries) * width) for j in range(1, rounds + 1)]
    return list(zip(alpha, [-a for a in reversed(alpha)], strict=True))


def success(p: torch.Tensor, rounds: int, delta: float) -> torch.Tensor:
    """Return the probability P(p) of a projection after amplification.

    Args:
        p: its probability before, of any shape.
        rounds: number of rounds; 0 leaves p.
        delta: the square root of the largest loss.
    """
    check_amplification(rounds, delta)
    queries = 2 * rounds + 1
    x = cosh(acosh(1 / delta) / queries) * (1 - p).clamp(min=0).sqrt()
    inside = (queries * x.clamp(max=1).acos()).cos()
    outside = (queries * x.clamp(min=1).acosh()).cosh()
    return 1 - delta**2 * torch.where(x <= 1, inside, outside).square()


@qml.transform
def amplify(tape: QuantumScript, ancilla, rounds: int = 1, delta: float = 0.3):
    """Amplify the projections of an ancilla on 0 that follow a unitary from 0.

    Of each measurement of the ancilla with postselect 0, the gates in front of it that act on the
    ancilla are V; each round appends V^dagger and V with a phase on the ancilla's 0 before and
    behind V^dagger.

    Args:
        tape: a circuit of `qrnn.neurons.circuit`.
        ancilla: the neurons' first ancilla.
        rounds: number of rounds l; V runs 2 l + 1 times.
        delta: the square root of the largest loss, in (0, 1).

    Raises:
        ConfigError: fewer than 0 rounds, or delta outside (0, 1).
    """
    phases = fixed_point_phases(rounds, delta)
    operations: list[Operator] = []
    unitary: list[Operator] = []
    sign = 1
    for op in tape.operations:
        on_ancilla = ancilla in op.wires
        if isinstance(op, MidMeasure) and on_ancilla and op.postselect == 0 and unitary:
            operations += rounds_of(unitary, ancilla, [(sign * a, sign * b) for a, b in phases])
            sign = -sign
        is_gate = on_ancilla and not isinstance(op, MidMeasure)
        unitary = [*unitary, op] if is_gate else []
        operations.append(op)
    return (tape.copy(operations=operations),), lambda results: results[0]


def rounds_of(
    unitary: Sequence[Operator], ancilla, phases: Sequence[tuple[float, float]]
) -> list[Operator]:
    """Return the gates of all rounds, behind V; up to a global phase."""
    with qml.QueuingManager.stop_recording():
        undo = [qml.adjoint(op, lazy=False) for op in reversed(unitary)]
        gates: list[Operator] = []
        for alpha, beta in phases:
            # RZ(-x) is a phase x on 0, up to a global one.
            gates += [qml.RZ(-beta, wires=ancilla), *undo, qml.RZ(alpha, wires=ancilla), *unitary]
    return gates


class Saving(NamedTuple):
    """What amplification saves of a run.

    Attributes:
        shots: executions for each kept one as the circuit is (B,) float64.
        amplified: the same with amplification.
        rotations: how many times as often the neurons' rotations run then: 2 l + 1.
    """

    shots: torch.Tensor
    amplified: torch.Tensor
    rotations: int

    @property
    def factor(self) -> torch.Tensor:
        """How many times fewer executions reach the same number of kept shots (B,)."""
        return self.shots / self.amplified


def shots_saved(
    cell: QuantumNeuronCell,
    x: torch.Tensor,
    targets: torch.Tensor,
    rounds: int = 1,
    delta: float = 0.3,
) -> Saving:
    """Return how many executions the last step of given sequences takes, with and without.

    At order 1, the phases that amplification leaves there are not counted in.

    Args:
        cell: the cell, with its weights.
        x: inputs (T, B).
        targets: outcomes (T, B); the last step's are not read.
        rounds: number of rounds l.
        delta: the square root of the largest loss, in (0, 1).

    Raises:
        ConfigError: fewer than 0 rounds, or delta outside (0, 1).
    """
    psi = cell.theta.new_zeros(x.shape[1], 2**cell.definition.workspace)
    psi[:, 0] = 1
    shots = []
    with torch.no_grad():
        for gain in (None, partial(success, rounds=rounds, delta=delta)):
            matrices, log_scale = transfer(cell.definition, cell.weights, cell.subsets, gain)
            log_p, _, _, log_norm = Recurrence.apply(matrices, psi, x, targets, None, None)
            reading = log_norm.double() + 2 * log_scale[x]
            passed = log_p.gather(2, targets[..., None])[..., 0]
            shots.append((-reading.sum(0) - passed[:-1].sum(0)).exp())
    return Saving(shots[0], shots[1], 2 * rounds + 1)
