"""The map from angles and an ansatz's own weights to gate parameters.

How the user's function computes gate parameters is determined from the torch functions that it
calls (`qrnn.circuit.tracking`) and their autograd graph (`qrnn.circuit.dependence`). An affine map
becomes a matrix; any other map is evaluated at each step.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from typing import Any

import pennylane as qml
import torch
from pennylane.operation import Operator
from pennylane.ops.functions import bind_new_parameters
from pennylane.tape import QuantumScript

from qrnn.circuit.ansatz import Ansatz
from qrnn.circuit.channels import Damping
from qrnn.circuit.decomposition import Expansion, dense, flat, jacobian, layout
from qrnn.circuit.dependence import is_affine, leaves
from qrnn.circuit.threads import PENNYLANE, one_at_a_time
from qrnn.circuit.tracking import Substitute, Tracker
from qrnn.circuit.weights import Owners, Weights, buffers
from qrnn.errors import ConfigError

NOT_GATES = (
    qml.measurements.MeasurementProcess,
    qml.ops.MidMeasure,
    qml.operation.StatePrepBase,
    qml.operation.Channel,
)


@contextmanager
def precision_of(values: torch.Tensor) -> Iterator[None]:
    """Let PennyLane create tensors in the precision of `values`.

    It converts Python floats (Lightning's results, eigenvalues of RZ) to torch's default dtype, so
    float64 circuits would lose eight digits. The default is global to the process, so this holds
    `PENNYLANE`.
    """
    with PENNYLANE:
        default = torch.get_default_dtype()
        torch.set_default_dtype(values.dtype)
        try:
            yield
        finally:
            torch.set_default_dtype(default)


class AngleMap:
    """The gates of an ansatz, and their parameters for any angles and weights.

    Args:
        ansatz: the ansatz.

    Attributes:
        gates: gates of the gate set with placeholder values for their S parameters.
        weights: the parameters and buffers that the function uses.
        matrix: M (S, D): the parameters are M x + b, where x are the D real numbers of the
            operators' data; see `Expansion.reals`.
        offset: b (S,).

    Raises:
        ConfigError: see `StepCircuit`; or the function reads values of angles or weights, uses
            weights that are not `nn.Parameter`, or has gates without a gradient at some angles.
    """

    @one_at_a_time
    @torch.inference_mode(False)
    @torch.enable_grad()  # in case a model is built under no_grad
    def __init__(self, ansatz: Ansatz):
        self.ansatz = ansatz
        self.n_angles, self.wires = ansatz.n_angles, range(ansatz.n_wires)
        points = _points(ansatz.n_angles)
        tracker, operators = self._tracked(points[0])
        self._layout = layout(operators)
        with qml.QueuingManager.stop_recording(), precision_of(points):
            self._expansions = [Expansion.of(op, tracker) for op in operators]
        self.gates = [gate for one in self._expansions for gate in one.gates]
        # Operators that are decomposed each time give their parameters directly.
        maps = [
            (one.matrix, one.offset)
            if one.matrix is not None
            else (torch.eye(len(one.offset)).double(), torch.zeros_like(one.offset))
            for one in self._expansions
        ]
        if not sum(len(offset) for _, offset in maps):
            raise ConfigError("the ansatz must use its angles, got no gate with a parameter")
        self.matrix = torch.block_diag(*(matrix for matrix, _ in maps))
        self.offset = torch.cat([offset for _, offset in maps])
        self.weights = Weights(ansatz.apply, tracker.originals)
        self._originals: list[torch.Tensor] | None = tracker.originals
        self._owners: Owners | None = Owners(ansatz.apply, tracker.originals)
        values = self._values(operators, tracker.inputs)
        self._affine = self._affine_map(tracker, operators, values)
        self._select = None
        self._at_once = self._check_points(points, operators, values.detach())
        self._select = _selection(self._affine)

    def __getstate__(self) -> dict[str, Any]:
        """Leave out the function's tensors: a copied function may use others."""
        return {**vars(self), "_originals": None, "_owners": None}

    def holding(self, weights: Weights) -> AngleMap:
        """Return the same map with other weights."""
        other = object.__new__(AngleMap)
        vars(other).update({**vars(self), "weights": weights})
        return other

    def _tracked(self, angles: torch.Tensor) -> tuple[Tracker, list[Operator]]:
        """Return a tracker of the function at angles (P,), and the operators that it queues."""
        angles = angles.clone().requires_grad_()
        tracker = Tracker(angles, buffers(self.ansatz.apply))
        with torch.device("cpu"), torch.enable_grad():
            operators = self._operators(angles, tracker)
        known = [angles, *tracker.replacements]
        data = [value for op in operators for value in op.data]
        for leaf in leaves(data):
            if not any(leaf is one for one in known):
                raise ConfigError(
                    f"the ansatz must compute with its parameters inside the function, got a "
                    f"tensor computed outside from one of shape {tuple(leaf.shape)}: use the "
                    f"parameter itself there"
                )
        return tracker, operators

    def _affine_map(
        self, tracker: Tracker, operators: list[Operator], values: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor] | None:
        """Return A (S, P), W (S, weights) and b (S,) of values = A theta + W w + b, or None."""
        data = [value for op in operators for value in op.data]
        not_affine = any(one.matrix is None for one in self._expansions)
        if tracker.detached or not_affine or not is_affine(data):
            return None
        angles = jacobian(values, tracker.inputs)
        weights = torch.cat(
            [
                values.new_zeros(len(values), 0),
                *(jacobian(values, w) for w in tracker.replacements),
            ],
            1,
        )
        offset = values - angles @ tracker.inputs - weights @ flat(tracker.replacements, values)
        return angles, weights, offset.detach()

    def _check_points(
        self, points: torch.Tensor, operators: Sequence[Operator], first: torch.Tensor
    ) -> bool:
        """Check the function at several angles; return whether it can be vectorised by vmap.

        Args:
            points: angles (N, P).
            operators: what the function queued at the first point.
            first: the gate parameters (S,) there.
        """
        with torch.enable_grad():
            rows = [point.clone().requires_grad_() for point in points]
            queued = [self._same_operators(row) for row in rows]
            values = [self._values(ops, row) for ops, row in zip(queued, rows, strict=True)]
            slopes = [jacobian(one, row).abs() for one, row in zip(values, rows, strict=True)]
        used = torch.stack(slopes).amax((0, 1))
        if unused := (used == 0).nonzero().flatten().tolist():
            raise ConfigError(
                f"the ansatz must use each of its {self.n_angles} angles, but ignores number "
                f"{', '.join(map(str, unused))}: lower n_angles"
            )
        expected = torch.stack(values).detach()
        same = all(self._constants(ops) == self._constants(operators) for ops in queued)
        if not same or not torch.allclose(expected[0], first, rtol=1e-9, atol=1e-9):
            raise ConfigError(
                "the ansatz must be a function of its angles, got other gate parameters for the "
                "same angles: remove random numbers and dropout"
            )
        if self._affine is not None:  # double-check
            if torch.allclose(self.parameters(points).detach(), expected, rtol=1e-9, atol=1e-9):
                return False
            self._affine = None
        try:
            return torch.allclose(torch.vmap(self._evaluate)(points), expected)
        except (ConfigError, RuntimeError):  # a function that vmap does not support
            return False

    @one_at_a_time
    def _operators(self, angles: Any, mode: Substitute | None = None) -> list[Operator]:
        """Return what the function queues at angles (P,), with the current weights."""
        like = angles if isinstance(angles, torch.Tensor) else torch.zeros(1, dtype=torch.float64)
        mode = mode or self._substitute(like.dtype)
        with qml.queuing.AnnotatedQueue() as queue, precision_of(like), mode or nullcontext():
            try:
                self.ansatz.apply(angles, self.wires)
            except ConfigError:
                raise
            except (IndexError, TypeError, ValueError, RuntimeError) as error:
                reason = " ".join(str(error).split())
                raise ConfigError(
                    f"the ansatz must accept {self.n_angles} angles on {len(self.wires)} wires, "
                    f"but failed with: {reason}"
                ) from error
        queued = list(QuantumScript.from_queue(queue))
        if not_gates := [
            one for one in queued if isinstance(one, NOT_GATES) and not isinstance(one, Damping)
        ]:
            raise ConfigError(
                f"the ansatz must have unitary gates only, got {not_gates[0]}: pass observables as "
                f"`readout`, noise as a device's noise model, or qrnn.Damping"
            )
        if foreign := {wire for op in queued for wire in op.wires} - set(self.wires):
            raise ConfigError(
                f"the ansatz must use wires 0..{len(self.wires) - 1}, got "
                f"{sorted(foreign, key=str)}"
            )
        # A weight that is used directly as a gate parameter passes through no torch function.
        return [_replaced(op, mode) for op in queued] if mode else queued

    def _substitute(self, dtype: torch.dtype) -> Substitute | None:
        """Return a mode that replaces the function's own tensors by the weights, if they differ.

        They differ in a copied cell, under `torch.func.functional_call`, or in another precision.
        """
        if not self.weights.names:
            return None
        if self._owners is not None:
            self._owners.check(self.weights)
        pairs = [
            (old, new.to(dtype) if new.is_floating_point() else new)
            for old, new in self.weights.pairs(self._found())
        ]
        return Substitute(pairs) if any(old is not new for old, new in pairs) else None

    def _found(self) -> list[torch.Tensor]:
        """Return the tensors that the function uses as weights, looked up once."""
        if self._originals is None:
            self._originals = self._tracked(_points(self.n_angles)[0])[0].originals
        return self._originals

    @one_at_a_time
    def _values(self, operators: list[Operator], like: torch.Tensor) -> torch.Tensor:
        """Return the gates' parameters (S,) for what the function queued."""
        with precision_of(like), qml.QueuingManager.stop_recording():
            x = [one.reals(op, like) for one, op in zip(self._expansions, operators, strict=True)]
            return self.matrix.to(like) @ torch.cat(x) + self.offset.to(like)

    def _constants(self, operators: Sequence[Operator]) -> list[Any]:
        """Return the operators' data that depend on neither angles nor weights, as lists."""
        return [
            dense(value).tolist()
            for one, op in zip(self._expansions, operators, strict=True)
            for index, value in enumerate(op.data)
            if index not in one.depends
        ]

    @one_at_a_time
    def _evaluate(self, angles: torch.Tensor) -> torch.Tensor:
        """Return the gates' parameters (S,) for angles (P,)."""
        return self._values(self._same_operators(angles), angles)

    def _same_operators(self, angles: torch.Tensor) -> list[Operator]:
        """Return what the function queues at angles (P,): the same operators as at first."""
        operators = self._operators(angles)
        if layout(operators) != self._layout:
            raise ConfigError(
                "the ansatz must queue the same gates for all angles, got gates that depend on the "
                "angles' values: use the angles as gate parameters only"
            )
        return operators

    def queue(self, angles: Any) -> None:
        """Queue the function's gates at angles (P,) of any array type, with the current weights."""
        for op in self._operators(angles):
            qml.apply(op)

    def parameters(self, theta: torch.Tensor) -> torch.Tensor:
        """Return the gates' parameters in tape order, differentiable.

        Args:
            theta: angles (..., P), radians.

        Returns:
            The parameters (..., S) of `gates`, radians.
        """
        if self._select is not None:
            if torch.equal(self._select, torch.arange(self.n_angles, device="cpu")):
                return theta
            return theta[..., self._select.to(theta.device)]
        if (affine := self.affine()) is not None:
            matrix, offset = affine
            return theta @ matrix.T.to(theta) + offset.to(theta)
        if self.weights.names:
            self._found()  # must not run under vmap
        flat_theta = theta.reshape(-1, self.n_angles)
        if self._at_once:
            rows = torch.vmap(self._evaluate)(flat_theta)
        else:
            rows = torch.stack([self._evaluate(row) for row in flat_theta])
        return rows.reshape(*theta.shape[:-1], -1)

    def affine(self) -> tuple[torch.Tensor, torch.Tensor] | None:
        """Return A (S, P) and b (S,), float64, with parameters = A theta + b for the weights.

        b is differentiable in the weights. None if the map is not affine.
        """
        if self._affine is None:
            return None
        angles, weights, offset = self._affine
        if weights.shape[1]:
            if self._owners is not None:
                self._owners.check(self.weights)
            offset = offset + weights @ flat([w.to("cpu") for w in self.weights.values()], offset)
        return angles, offset


def _points(n_angles: int) -> torch.Tensor:
    """Return test points (4, P): small and large random angles, with both signs."""
    generator = torch.Generator().manual_seed(0)
    points = torch.randn(2, n_angles, generator=generator, dtype=torch.float64)
    points = torch.cat([0.4 * points[:1], 4 * points[1:]])
    return torch.cat([points, -points])


def _replaced(op: Operator, mode: Substitute) -> Operator:
    """Return an operator with its data replaced as `mode` does."""
    data = [mode.current(value) if isinstance(value, torch.Tensor) else value for value in op.data]
    if all(new is old for new, old in zip(data, op.data, strict=True)):
        return op
    with qml.QueuingManager.stop_recording():
        return bind_new_parameters(op, data)


def _selection(
    affine: tuple[torch.Tensor, torch.Tensor, torch.Tensor] | None,
) -> torch.Tensor | None:
    """Return the angle index of each parameter (S,), if every parameter is just an angle."""
    if affine is None:
        return None
    angles, weights, offset = affine
    picks = ((angles == 0) | (angles == 1)).all() and (angles.sum(1) == 1).all()
    return angles.argmax(1) if picks and not weights.any() and not offset.any() else None
