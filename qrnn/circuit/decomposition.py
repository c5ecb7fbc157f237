"""From an operator of an ansatz to gates of the set, and the map between their parameters.

PennyLane decomposes each operator once. Its matrix is an analytic function of its data, so that
what holds of the decomposition around one point (these gates, these affine parameters) holds for
all data: PennyLane may look at values, and leave out a gate of angle 0, but is not asked again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pennylane as qml
import torch
from pennylane.devices.preprocess import decompose
from pennylane.operation import Operator
from pennylane.ops.functions import bind_new_parameters
from pennylane.tape import QuantumScript

from qrnn.circuit.dependence import is_affine, leaves, not_smooth
from qrnn.circuit.gates import GATES
from qrnn.circuit.watching import Watch
from qrnn.errors import ConfigError

# Their angles are phases of numbers that cannot be 0.
PHASES = {"DiagonalQubitUnitary": frozenset({"Angle"})}


def expand(op: Operator, *, smoothly: bool) -> list[Operator]:
    """Return an operator as gates of the set.

    Args:
        op: the operator.
        smoothly: write unitaries of one qubit as `turned` does, not as PennyLane.

    Raises:
        ConfigError: PennyLane cannot decompose it.
    """
    if op.name in GATES:
        return [op]

    def is_turned(op: Operator) -> bool:
        return smoothly and isinstance(op, qml.QubitUnitary) and len(op.wires) == 1

    try:
        (tape,), _ = decompose(
            QuantumScript([op]),
            stopping_condition=lambda op: op.name in GATES or is_turned(op),
            name="qrnn",
        )
    except ConfigError:  # of a user's own operator that reads values
        raise
    except Exception as error:  # PennyLane's rules raise errors of any type
        reason = " ".join(str(error).split())
        raise ConfigError(
            f"the ansatz has a gate outside the gate set that PennyLane cannot decompose, one of "
            f"{op.name} ({reason}): use gates of {', '.join(GATES)}"
        ) from error
    gates: list[Operator] = []
    for gate in tape.operations:
        gates += turned(gate.data[0], gate.wires) if is_turned(gate) else [gate]
    return gates


def turned(unitary: torch.Tensor, wire: qml.wires.Wires) -> list[Operator]:
    """Return gates that are a unitary (2, 2), with its first and second derivatives everywhere.

    No three angles of rotations are smooth functions of all unitaries: at some, d(angle) is
    infinite or a direction is missing. So the angles are taken as constants here, and the
    derivatives are those of rotations by 0 behind them: of exp(i K) with U = exp(i K) U_0, where
    sin(K) is the anti-Hermitian part of U U_0^dagger, and K is 0 at U_0.
    """
    unitary = torch.as_tensor(unitary)
    unitary = unitary if unitary.is_complex() else unitary * (1 + 0j)
    at = unitary.detach()
    phase = torch.linalg.det(at).angle() / 2
    v = at * torch.exp(-1j * phase)
    plus, minus = v[1, 1].angle(), v[1, 0].angle()
    beta = 2 * torch.atan2(v[1, 0].abs(), v[1, 1].abs())
    t = unitary @ at.mH
    k = [
        (t[0, 0] + t[1, 1]).imag / 2,
        (t[0, 1] + t[1, 0]).imag / 2,
        (t[0, 1] - t[1, 0]).real / 2,
        (t[0, 0] - t[1, 1]).imag / 2,
    ]
    zero, x, y, z = (value - value.detach() for value in k)
    return [
        qml.RZ(plus - minus, wire),
        qml.RY(beta, wire),
        qml.RZ(plus + minus, wire),
        # Symmetric: their product is exp of their sum to second order.
        qml.RX(-x, wire),
        qml.RY(-y, wire),
        qml.RZ(-2 * z, wire),
        qml.RY(-y, wire),
        qml.RX(-x, wire),
        qml.GlobalPhase(-phase - zero, wire),
    ]


@dataclass
class Expansion:
    """How an operator's gates follow from its data.

    Attributes:
        gates: the operator as gates of the set, with any parameters.
        depends: indices of its data that depend on angles or weights.
        matrix: M (S, D): the gates' parameters are M x + b for the D real numbers x of these data;
            None: the operator is expanded anew each time.
        offset: b (S,).
    """

    gates: list[Operator]
    depends: list[int]
    matrix: torch.Tensor | None
    offset: torch.Tensor

    @classmethod
    def of(cls, op: Operator, watch: Watch) -> Expansion:
        """Return the expansion of an operator that was queued under `watch`, in float64.

        Raises:
            ConfigError: it cannot be decomposed, or not with gradients everywhere, or it depends on
                angles in other ways than by its data.
        """
        depends = [index for index, value in enumerate(op.data) if watch.derives(value)]
        x = flat([op.data[index] for index in depends]).detach()
        x = x.to(torch.float64).requires_grad_()
        inner, bound = Watch(x), _rebound(op, depends, x)
        with inner:
            gates = expand(bound, smoothly=bool(depends))
        values = parameters(gates, x)
        _check(op, values, x)
        matrix: torch.Tensor | None = x.new_zeros(len(values), len(x))
        # A remainder differs from its argument by whole turns.
        if inner.cut or not is_affine([values], also="Remainder"):
            matrix = None
        elif values.requires_grad:
            matrix = jacobian(values, x)
        values, x = values.detach(), x.detach()
        gates = [
            bind_new_parameters(gate, [torch.as_tensor(value).detach() for value in gate.data])
            if gate.data
            else gate
            for gate in gates
        ]
        offset = values if matrix is None else values - matrix @ x
        return cls(gates, depends, matrix, offset)

    def reals(self, op: Operator, like: torch.Tensor) -> torch.Tensor:
        """Return x of an operator like that of `of`, or its gates' parameters if M is None.

        Raises:
            ConfigError: it has other gates.
        """
        x = flat([op.data[index] for index in self.depends], like)
        if self.matrix is not None:
            return x
        gates = expand(op, smoothly=True)
        if layout(gates) == layout(self.gates):
            return parameters(gates, like)
        if x.requires_grad:
            raise ConfigError(
                f"the ansatz must have the same gates for all angles, but {op.name} is decomposed "
                f"into others at some: write it with rotations, qml.Rot or qml.PauliRot"
            )
        with torch.enable_grad():  # else PennyLane may leave out a gate, or decompose otherwise
            op = _rebound(op, self.depends, x.detach().requires_grad_())
            return self.reals(op, like).detach()


def layout(gates: Sequence[Operator]) -> list[tuple]:
    """Return names and wires of gates."""
    return [(gate.name, gate.wires) for gate in gates]


def flat(data: Sequence[torch.Tensor], like: torch.Tensor | None = None) -> torch.Tensor:
    """Return data as one row of real numbers, two for each complex one."""
    rows = [
        (torch.view_as_real(value) if value.is_complex() else value).reshape(-1) for value in data
    ]
    like = torch.empty(0) if like is None else like
    return torch.cat([row.to(like.dtype) for row in rows]) if rows else like.new_zeros(0)


def parameters(gates: Sequence[Operator], like: torch.Tensor) -> torch.Tensor:
    """Return the parameters (S,) of gates, in order, in the dtype of `like`."""
    data = [torch.as_tensor(value) for gate in gates for value in gate.data]
    if not data:
        return like.new_zeros(0)
    if many := [value for value in data if value.numel() != 1]:
        raise ConfigError(
            f"the ansatz must give each gate one number a parameter, got a tensor of shape "
            f"{tuple(many[0].shape)}: use angles[0], angles[1], ... and the like of weights"
        )
    return torch.stack([value.real.to(like.dtype).reshape(()) for value in data])


def jacobian(values: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
    """Return d values (S,) / d x (D,), 0 where there is no dependence; x of any shape is a row."""
    if not values.requires_grad or not x.requires_grad:
        return values.new_zeros(len(values), x.numel())
    rows = [
        torch.autograd.grad(value, x, retain_graph=True, allow_unused=True)[0] for value in values
    ]
    rows = [torch.zeros_like(x) if row is None else row for row in rows]
    return torch.stack(rows).detach().reshape(len(values), -1)


def _rebound(op: Operator, depends: Sequence[int], x: torch.Tensor) -> Operator:
    """Return an operator with the real numbers x (D,) in the place of some of its data."""
    if not depends:
        return op
    data, first = list(op.data), 0
    for index in depends:
        old = data[index]
        shape = torch.Size((*old.shape, 2)) if old.is_complex() else old.shape
        part = x[first : first + shape.numel()].reshape(shape)
        first += shape.numel()
        data[index] = torch.view_as_complex(part) if old.is_complex() else part
    return bind_new_parameters(op, data)


def _check(op: Operator, values: torch.Tensor, x: torch.Tensor) -> None:
    """Raise the error for parameters that do not depend on x alone, or not smoothly."""
    if any(leaf is not x for leaf in leaves([values])):
        raise ConfigError(
            f"the ansatz must use angles and weights as gate parameters only, but {op.name} takes "
            f"one in another place: write it with rotations, qml.Rot or qml.PauliRot"
        )
    if sharp := not_smooth([values]) - PHASES.get(op.name, frozenset({"Remainder"})):
        raise ConfigError(
            f"the ansatz must have a gradient for all angles, but PennyLane decomposes "
            f"{op.name} by {', '.join(sorted(sharp)).lower()}, which has none at some: write it "
            f"with rotations, qml.Rot or qml.PauliRot"
        )
