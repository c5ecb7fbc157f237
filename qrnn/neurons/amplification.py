"""Amplitude amplification of the neurons' projections: deeper circuits that lose fewer shots.

The gates V of an order-1 neuron map the ancilla's 0 to sqrt(p) |0> (good) + sqrt(1 - p) |1> (bad)
with p = cos(eta)^4 + sin(eta)^4 in [1/2, 1], so at the bias eta = pi/4 a projection keeps half of
the shots. l rounds of fixed-point amplification (Yoder, Low, Chuang, PRL 2014, arXiv 1409.3305),
each with an additional V^dagger and V, raise p to

    P(p) = 1 - delta^2 T_L(T_(1/L)(1 / delta) sqrt(1 - p))^2,   L = 2 l + 1,

with T the Chebyshev polynomials: at least 1 - delta^2 for all p above a small bound. The
amplification is oblivious: V's good part is sqrt(p) times a rotation for any state of the target,
so no state needs to be prepared again. Properties and limits:

- For each string s of control bits, the neuron's rotation arctan(tan(eta)^(2^k)) is exact.
- p depends on s. The projection weights s by sqrt(p(s)), the amplified one by sqrt(P(p(s))), which
  is nearly constant: the neuron's effect on its controls is lost together with the loss of shots.
  The circuit is a different function, `transfer(..., gain=...)`, which equals the paper's only as
  far as p(s) is constant.
- Amplification also adds a phase chi(p(s)). Every second projection uses the conjugate phases. The
  projections in a neuron of order 2 or more come in pairs, so their phases cancel exactly; at order
  1 they remain, and superpositions of s with different p(s) are dephased.
- Only projections that follow a unitary are amplified: 2^(k - 1), those of order 1, of the 2^k - 1
  projections in a neuron of order k. The others follow measurements and are not changed.
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
    """Check the parameters of an amplification.

    Raises:
        ConfigError: rounds is negative, or delta is outside (0, 1).
    """
    if rounds < 0:
        raise ConfigError(f"rounds must be at least 0, got {rounds}")
    if not 0 < delta < 1:
        raise ConfigError(
            f"delta must be in (0, 1), got {delta}: amplification reaches 1 - delta^2"
        )


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
        p: the probability before, of any shape.
        rounds: number of rounds; 0: no amplification.
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

    V consists of the gates on the ancilla before a measurement with postselect 0; each round
    appends V^dagger and V, with a phase on the ancilla's 0 before and after V^dagger.

    Args:
        tape: a circuit of `qrnn.neurons.circuit`.
        ancilla: the neurons' first ancilla.
        rounds: number of rounds l; V runs 2 l + 1 times.
        delta: the square root of the largest loss, in (0, 1).

    Raises:
        ConfigError: rounds is negative, or delta is outside (0, 1).
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
    """Return the gates of all rounds, to append to V; up to a global phase."""
    with qml.QueuingManager.stop_recording():
        undo = [qml.adjoint(op, lazy=False) for op in reversed(unitary)]
        gates: list[Operator] = []
        for alpha, beta in phases:
            # RZ(-x) is a phase x on 0, up to a global phase.
            gates += [qml.RZ(-beta, wires=ancilla), *undo, qml.RZ(alpha, wires=ancilla), *unitary]
    return gates


class Saving(NamedTuple):
    """The cost of a run with and without amplification.

    Attributes:
        shots: executions per kept shot without amplification (B,) float64.
        amplified: the same with amplification.
        rotations: factor by which amplification repeats the neurons' rotations: 2 l + 1.
    """

    shots: torch.Tensor
    amplified: torch.Tensor
    rotations: int

    @property
    def factor(self) -> torch.Tensor:
        """Factor by which amplification reduces the executions per kept shot (B,)."""
        return self.shots / self.amplified


def shots_saved(
    cell: QuantumNeuronCell,
    x: torch.Tensor,
    targets: torch.Tensor,
    rounds: int = 1,
    delta: float = 0.3,
) -> Saving:
    """Return the executions for the last step of sequences, with and without amplification.

    The phases that remain at order 1 are neglected.

    Args:
        cell: the cell, with its weights.
        x: inputs (T, B).
        targets: outcomes (T, B); those of the last step are not used.
        rounds: number of rounds l.
        delta: the square root of the largest loss, in (0, 1).

    Raises:
        ConfigError: rounds is negative, or delta is outside (0, 1).
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
