"""Decomposition of an ansatz's operators into the gate set, and the map of their parameters.

PennyLane decomposes each operator once. Its matrix is an analytic function of its data, so a
decomposition that holds near one point (these gates, these affine parameters) holds for all data.
PennyLane may depend on values, e.g. drop a gate of angle 0, but is not called again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import pi
from typing import Any

import pennylane as qml
import torch
from pennylane.devices.preprocess import decompose
from pennylane.operation import Operator
from pennylane.ops.functions import bind_new_parameters
from pennylane.tape import QuantumScript
from torch._C import _functorch as functorch

from qrnn.circuit.channels import Damping
from qrnn.circuit.dependence import is_affine, leaves, not_smooth
from qrnn.circuit.gates import GATES
from qrnn.circuit.tracking import Tracker
from qrnn.errors import ConfigError

# The `angle` of these operators is safe: it is the phase of a nonzero number.
PHASES = {"DiagonalQubitUnitary": frozenset({"Angle"})}

NOT_UNITARY = 1e-5  # above the rounding of float32
# The periods of gates' angles: also of a rotation's that is controlled by other gates.
HALF_TURNS = frozenset({"PhaseShift", "ControlledPhaseShift", "GlobalPhase"})


def expand(op: Operator, *, smooth: bool) -> list[Operator]:
    """Return an operator as gates of the gate set.

    Args:
        op: the operator.
        smooth: decompose one-qubit unitaries by `unitary_to_rotations`, not by PennyLane.

    Raises:
        ConfigError: PennyLane cannot decompose the operator.
    """
    if _is_gate(op) or isinstance(op, Damping):
        return [op]

    def is_one_qubit_unitary(op: Operator) -> bool:
        return smooth and isinstance(op, qml.QubitUnitary) and len(op.wires) == 1

    def stops(op: Operator) -> bool:
        _check_unitary(op)
        return _is_gate(op) or is_one_qubit_unitary(op)

    try:
        (tape,), _ = decompose(QuantumScript([op]), stopping_condition=stops, name="qrnn")
    except ConfigError:  # of a matrix, or from a custom operator that reads values
        raise
    except Exception as error:  # PennyLane's rules raise errors of any type
        raise _not_decomposed(op, error) from error
    gates: list[Operator] = []
    for gate in tape.operations:
        gates += (
            unitary_to_rotations(gate.data[0], gate.wires) if is_one_qubit_unitary(gate) else [gate]
        )
    return gates


def _is_gate(op: Operator) -> bool:
    """Return whether an operator is PennyLane's own, not a namesake, and in the gate set."""
    base = getattr(op, "base", op)  # of Adjoint(S)
    return op.name in GATES and all(type(o).__module__.startswith("pennylane.") for o in (op, base))


def _check_unitary(op: Operator) -> None:
    """Raise an error if an operator has a matrix that is not unitary.

    PennyLane decomposes any matrix, into gates whose product is another one.
    """
    if (base := getattr(op, "base", None)) is not None:  # of a controlled or adjoint operator
        _check_unitary(base)
    elif isinstance(op, (qml.QubitUnitary, qml.DiagonalQubitUnitary)):
        with torch._C.DisableTorchFunction():  # the ansatz does not read these values
            given = dense(op.data[0]).detach()
            while functorch.is_functorch_wrapped_tensor(given):
                if functorch.is_batchedtensor(given):  # its values cannot be read
                    return
                given = functorch.get_unwrapped(given)
            given = given.to("cpu", torch.complex128)
            given = torch.diag_embed(given) if isinstance(op, qml.DiagonalQubitUnitary) else given
            far = (given @ given.mH - torch.eye(given.shape[-1])).abs().max().item()
        if not far <= NOT_UNITARY:
            raise ConfigError(
                f"the ansatz must have unitary matrices U, got {op.name} with "
                f"max |U U^dagger - 1| = {far:.2g}: correct the matrix, or compute it as "
                f"torch.linalg.matrix_exp(-1j * H) of a Hermitian H"
            )


def unitary_to_rotations(unitary: torch.Tensor, wire: qml.wires.Wires) -> list[Operator]:
    """Decompose a unitary (2, 2) into gates with correct first and second derivatives everywhere.

    No three rotation angles are smooth functions of all unitaries: at some, an angle's derivative
    is infinite or a direction is missing. So the angles are constants here, and the derivatives
    come from rotations by 0 after them: U = exp(i K) U_0, where sin(K) is the anti-Hermitian part
    of U U_0^dagger, and K is 0 at U_0.
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
        # In symmetric order, the product equals exp of the sum to second order.
        qml.RX(-x, wire),
        qml.RY(-y, wire),
        qml.RZ(-2 * z, wire),
        qml.RY(-y, wire),
        qml.RX(-x, wire),
        qml.GlobalPhase(-phase - zero, wire),
    ]


@dataclass
class Expansion:
    """The decomposition of an operator as a function of its data.

    Attributes:
        gates: the operator as gates of the gate set, with placeholder parameters.
        depends: indices of the operator's data that depend on angles or weights.
        matrix: M (S, D): the gates' parameters are M x + b for the D real numbers x of these data;
            None: the operator is decomposed each time.
        offset: b (S,).
    """

    gates: list[Operator]
    depends: list[int]
    matrix: torch.Tensor | None
    offset: torch.Tensor

    @classmethod
    def of(cls, op: Operator, tracker: Tracker) -> Expansion:
        """Return the expansion, in float64, of an operator that was queued under `tracker`.

        Raises:
            ConfigError: the operator cannot be decomposed with gradients everywhere, or depends on
                angles other than through its data.
        """
        depends = [index for index, value in enumerate(op.data) if tracker.is_derived(value)]
        x = flat([op.data[index] for index in depends]).detach()
        x = x.to(torch.float64).requires_grad_()
        inner, bound = Tracker(x), _rebound(op, depends, x)
        with inner:
            gates = expand(bound, smooth=bool(depends))
        values = parameters(gates, x)
        _check(op, values, x)
        matrix: torch.Tensor | None = x.new_zeros(len(values), len(x))
        if inner.detached or not is_affine([values], also="Remainder"):
            matrix = None
        elif values.requires_grad:
            matrix = jacobian(values, x)
            affine = is_affine([values]) or _only_drops_turns(op, depends, gates, matrix, x)
            matrix = matrix if affine else None
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
        """Return x for an operator of the same kind, or its gates' parameters if M is None.

        Raises:
            ConfigError: the operator decomposes into other gates.
        """
        x = flat([op.data[index] for index in self.depends], like)
        if self.matrix is not None:
            return x
        gates = expand(op, smooth=True)
        if layout(gates) == layout(self.gates):
            return parameters(gates, like)
        if x.requires_grad:
            raise ConfigError(
                f"the ansatz must have the same gates for all angles, but the decomposition of "
                f"{op.name} changes: write it with rotations, qml.Rot or qml.PauliRot"
            )
        with torch.enable_grad():  # else PennyLane may drop a gate or decompose in another way
            op = _rebound(op, self.depends, x.detach().requires_grad_())
            return self.reals(op, like).detach()


def layout(gates: Sequence[Operator]) -> list[tuple]:
    """Return names and wires of gates."""
    return [(gate.name, gate.wires) for gate in gates]


def dense(value: Any) -> torch.Tensor:
    """Return an operator's datum of any array type, e.g. a sparse matrix, as a tensor."""
    return torch.as_tensor(value.toarray() if hasattr(value, "toarray") else value)


def flat(data: Sequence[torch.Tensor], like: torch.Tensor | None = None) -> torch.Tensor:
    """Return data as a flat tensor of real numbers, two per complex number."""
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
            f"the ansatz must use a single number for each gate parameter, got a tensor of shape "
            f"{tuple(many[0].shape)}: index angles and weights, as in angles[0]"
        )
    return torch.stack([value.real.to(like.dtype).reshape(()) for value in data])


def jacobian(values: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
    """Return d values (S,) / d x (D,), 0 where there is no dependence; x is flattened."""
    if not values.requires_grad or not x.requires_grad:
        return values.new_zeros(len(values), x.numel())
    everywhere = torch.eye(len(values)).to(values)
    try:  # all rows in one pass: many gates depend on the same tensors
        (found,) = torch.autograd.grad(
            values, x, everywhere, retain_graph=True, allow_unused=True, is_grads_batched=True
        )
    except RuntimeError:  # an operation of the ansatz has no rule for batches
        rows = [
            torch.autograd.grad(value, x, retain_graph=True, allow_unused=True)[0]
            for value in values
        ]
        found = torch.stack([torch.zeros_like(x) if row is None else row for row in rows])
    if found is None:
        return values.new_zeros(len(values), x.numel())
    return found.detach().reshape(len(values), -1)


def _rebound(op: Operator, depends: Sequence[int], x: torch.Tensor) -> Operator:
    """Return an operator with some of its data replaced by the real numbers x (D,)."""
    if not depends:
        return op
    data, first = list(op.data), 0
    for index in depends:
        old = data[index]
        shape = torch.Size((*old.shape, 2)) if old.is_complex() else old.shape
        part = x[first : first + shape.numel()].reshape(shape)
        first += shape.numel()
        data[index] = torch.view_as_complex(part) if old.is_complex() else part
    try:
        return bind_new_parameters(op, data)
    except Exception as error:  # of an operator that keeps its data elsewhere
        raise _not_decomposed(op, error) from error


def _only_drops_turns(
    op: Operator,
    depends: Sequence[int],
    gates: Sequence[Operator],
    matrix: torch.Tensor,
    x: torch.Tensor,
) -> bool:
    """Return whether remainders in a decomposition only leave out full turns.

    Args:
        op: the operator.
        depends: the indices of its data that are replaced by x.
        gates: its gates at x.
        matrix: the derivatives (S, D) of their parameters at x.
        x: real numbers (D,).
    """
    draw = torch.Generator().manual_seed(0)
    steps = 20 * torch.randn(4, len(x), generator=draw, dtype=x.dtype)
    periods = [2 * pi if gate.name in HALF_TURNS else 4 * pi for gate in gates for _ in gate.data]
    first = parameters(gates, x).detach()
    for step in torch.cat([steps, -steps]):
        other = expand(_rebound(op, depends, (x.detach() + step).requires_grad_()), smooth=True)
        if layout(other) != layout(gates):
            return False
        turns = (parameters(other, x).detach() - first - matrix @ step) / x.new_tensor(periods)
        if not torch.allclose(turns, turns.round(), rtol=0.0, atol=1e-9):
            return False
    return True


def _not_decomposed(op: Operator, error: Exception) -> ConfigError:
    """Return the error for an operator that PennyLane fails to decompose."""
    reason = " ".join(str(error).split())
    return ConfigError(
        f"the ansatz must have gates that PennyLane can decompose into the gate set, got "
        f"{op.name} ({reason}): use gates of {', '.join(GATES)}"
    )


def _check(op: Operator, values: torch.Tensor, x: torch.Tensor) -> None:
    """Raise an error unless parameters are smooth functions of x only."""
    if any(leaf is not x for leaf in leaves([values])):
        raise ConfigError(
            f"the ansatz must use angles and weights as gate parameters only, but {op.name} uses "
            f"one elsewhere: write it with rotations, qml.Rot or qml.PauliRot"
        )
    if sharp := not_smooth([values]) - PHASES.get(op.name, frozenset({"Remainder"})):
        raise ConfigError(
            f"the ansatz must have a gradient for all angles, but PennyLane decomposes {op.name} "
            f"with {', '.join(sorted(sharp)).lower()}, which is not differentiable everywhere: "
            f"write it with rotations, qml.Rot or qml.PauliRot"
        )
