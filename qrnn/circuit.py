"""The step circuit: one ansatz and its readouts, traced once; everything else is derived from it.

The QNodes, the replayed QNode, the drawing, the resource count, a hardware circuit and the fused
kernels' gate program all start from the tape that is traced here.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import pennylane as qml
import torch
from pennylane.devices.preprocess import decompose
from pennylane.measurements import MeasurementValue
from pennylane.operation import Operator
from pennylane.ops.functions import bind_new_parameters
from pennylane.tape import QuantumScript

from qrnn.ansatz import Ansatz
from qrnn.checks import checked_angles
from qrnn.errors import ConfigError
from qrnn.gates import GATES
from qrnn.measured_readout import MeasuredReadout, check_mode
from qrnn.readouts import masks, observables, pauli_words
from qrnn.threads import PENNYLANE, one_at_a_time

NOT_GATES = (
    qml.measurements.MeasurementProcess,
    qml.ops.MidMeasure,
    qml.operation.StatePrepBase,
    qml.operation.Channel,
)


@contextmanager
def precision_of(values: torch.Tensor) -> Iterator[None]:
    """Let PennyLane make new tensors in the precision of `values`.

    It turns Python floats (lightning's results, the eigenvalues of RZ) into torch's default dtype,
    so that float64 circuits would lose eight digits. The default is the process's own, so this
    holds `PENNYLANE`.
    """
    with PENNYLANE:
        default = torch.get_default_dtype()
        torch.set_default_dtype(values.dtype)
        try:
            yield
        finally:
            torch.set_default_dtype(default)


class StepCircuit:
    """One time step U(theta), followed by the R readouts.

    Args:
        ansatz: the circuit; see `qrnn.ansatz.build_ansatz`.
        readout: the observables; see `qrnn.readouts.pauli_words`.
        readout_mode: `expval`: expectation values, which leave the state as it is; `measure`:
            mid-circuit measurements through an ancilla; see `qrnn.measured_readout`.
        readout_angle: of the controlled RY of `measure`, radians; None: its default.

    Attributes:
        n_wires: number of qubits n.
        n_angles: number of angles P.
        words: the R Pauli words.
        measured: how they are measured mid-circuit, or None for expectation values.
        gates: U's gates, all in `qrnn.gates.GATES`; their parameters are placeholders.

    Raises:
        ConfigError: the ansatz measures, uses other wires than 0..n-1 or other than P angles, or
            has a gate that PennyLane cannot decompose into the gate set.
    """

    def __init__(
        self,
        ansatz: Ansatz,
        readout: str | Sequence[str] = "XYZ",
        readout_mode: str = "expval",
        readout_angle: float | None = None,
    ):
        self.ansatz = ansatz
        self.n_wires = ansatz.n_wires
        self.n_angles = ansatz.n_angles
        self.wires = range(ansatz.n_wires)
        self.words = pauli_words(readout, ansatz.n_wires, ansatz.pairs)
        # Whatever torch.device the user builds a model under: the circuit is traced on the CPU.
        with torch.device("cpu"):
            self.measured = self._measured(readout_mode, readout_angle)
            self._trace_at_points()

    @one_at_a_time
    def _trace_at_points(self) -> None:
        """Find the gates, and how their parameters follow from the angles."""
        generator = torch.Generator().manual_seed(0)
        points = torch.randn(2, self.n_angles, generator=generator, dtype=torch.float64)
        # Small and large, and both signs of each: a function may be linear in one part only.
        points = torch.cat([0.4 * points[:1], 4 * points[1:]])
        points = torch.cat([points, -points])
        self.gates = self._trace(points[0])
        same = [(gate.name, gate.wires) for gate in self.gates]
        # PennyLane's decompositions may leave out a gate of angle 0, unless it has a gradient.
        others = (*points[1:], points[0].clone().requires_grad_())
        if any([(gate.name, gate.wires) for gate in self._trace(at)] != same for at in others):
            raise ConfigError(
                "the ansatz must queue the same gates for all angles, got gates that depend on the "
                "angles' values: use the angles as gate parameters only"
            )
        self._fit_parameters(points)

    def _measured(self, mode: str, angle: float | None) -> MeasuredReadout | None:
        check_mode(mode, angle)
        return MeasuredReadout(self.words, angle) if mode == "measure" else None

    def read_by(self, mode: str | None, angle: float | None = None) -> StepCircuit:
        """Return the same circuit, read in another mode or at another angle (None: its own)."""
        other = copy.copy(self)
        mode = mode or ("expval" if self.measured is None else "measure")
        if angle is None and mode == "measure" and self.measured is not None:
            angle = self.measured.angle
        other.measured = self._measured(mode, angle)
        return other

    def _trace(self, angles: torch.Tensor) -> list[Operator]:
        """Return U's gates at these angles (P,), decomposed into the gate set."""
        with qml.queuing.AnnotatedQueue() as queue, precision_of(angles):
            try:
                self.ansatz.apply(angles, self.wires)
            except (IndexError, TypeError, ValueError, RuntimeError) as error:
                raise ConfigError(
                    f"the ansatz must accept {self.n_angles} angles on {self.n_wires} wires, "
                    f"but failed with: {error}"
                ) from error
        tape = QuantumScript.from_queue(queue)
        not_gates = [m for m in tape if isinstance(m, NOT_GATES)]
        if not_gates:
            raise ConfigError(
                f"the ansatz must hold unitary gates only, got {not_gates[0]}: give observables as "
                f"`readout`, noise as a device's noise model"
            )
        if foreign := set(tape.wires) - set(self.wires):
            raise ConfigError(
                f"the ansatz must use wires 0..{self.n_wires - 1}, got {sorted(foreign, key=str)}"
            )
        outside = sorted({op.name for op in tape.operations if op.name not in GATES})
        try:
            with precision_of(angles):
                (tape,), _ = decompose(
                    tape, stopping_condition=lambda op: op.name in GATES, name="qrnn"
                )
        except Exception as error:  # PennyLane's rules raise errors of any type
            raise ConfigError(
                f"the ansatz has a gate outside the gate set that PennyLane cannot decompose, one "
                f"of {', '.join(outside)} ({error}): use gates of {', '.join(GATES)}"
            ) from error
        return tape.operations

    def _fit_parameters(self, points: torch.Tensor) -> None:
        """Find the map from angles to gate parameters: a selection, an affine map, or neither."""
        self.n_parameters = sum(len(gate.data) for gate in self.gates)
        if self.n_parameters == 0:
            raise ConfigError("the ansatz must use its angles, got no gate with a parameter")
        # Not torch.func.jacrev: some of PennyLane's decompositions look at values.
        jacobians = torch.stack(
            [torch.autograd.functional.jacobian(self._trace_parameters, at) for at in points]
        )
        values = torch.stack([self._trace_parameters(at) for at in points])
        if unused := (jacobians.abs().amax((0, 1)) == 0).nonzero().flatten().tolist():
            raise ConfigError(
                f"the ansatz must use each of its {self.n_angles} angles, but ignores number "
                f"{', '.join(map(str, unused))}: lower n_angles"
            )
        matrix, offset = jacobians[0], values[0] - jacobians[0] @ points[0]
        residual = (points @ matrix.T + offset - values).abs().max()
        self._select = self._matrix = None
        if residual < 1e-9:
            if ((matrix == 0) | (matrix == 1)).all() and (matrix.sum(1) == 1).all() and (
                offset.abs() < 1e-12
            ).all():  # fmt: skip
                self._select = matrix.argmax(1)
            else:
                self._matrix, self._offset = matrix, offset
            return
        try:
            at_once = torch.vmap(self._trace_parameters)(points)
            self._vmap = torch.allclose(at_once, values)
        except (ConfigError, RuntimeError):  # a decomposition that looks at values
            self._vmap = False

    @one_at_a_time
    def _trace_parameters(self, angles: torch.Tensor) -> torch.Tensor:
        """Return all gate parameters, in tape order, for angles (P,)."""
        data = [value for gate in self._trace(angles) for value in gate.data]
        with precision_of(angles):
            return torch.stack([torch.as_tensor(value).real.to(angles.dtype) for value in data])

    def parameters(self, theta: torch.Tensor) -> torch.Tensor:
        """Return the gates' parameters in tape order, differentiable.

        Args:
            theta: angles (..., P), radians.

        Returns:
            Parameters (..., S), radians: one for each parameter of each gate of `gates`.
        """
        if self._select is not None:
            if self.n_parameters == self.n_angles and torch.equal(
                self._select, torch.arange(self.n_angles, device="cpu")
            ):
                return theta
            return theta[..., self._select.to(theta.device)]
        if self._matrix is not None:
            return theta @ self._matrix.T.to(theta) + self._offset.to(theta)
        flat = theta.reshape(-1, self.n_angles)
        if self._vmap:
            rows = torch.vmap(self._trace_parameters)(flat)
        else:
            rows = torch.stack([self._trace_parameters(row) for row in flat])
        return rows.reshape(*theta.shape[:-1], -1)

    def affine(self) -> tuple[torch.Tensor, torch.Tensor] | None:
        """Return M (S, P) and b (S,) with parameters = M theta + b, or None for other functions."""
        if self._matrix is not None:
            return self._matrix, self._offset
        if self._select is None:
            return None
        one_hot = torch.nn.functional.one_hot(self._select, self.n_angles).double()
        return one_hot, one_hot.new_zeros(len(one_hot))

    def operations(self, theta: Any) -> list[Operator]:
        """Return U's gates at theta: (P,), or (B, P) for gates that PennyLane broadcasts over B."""
        return self.bind(self.parameters(torch.as_tensor(theta)))

    @one_at_a_time
    def bind(self, parameters: Any) -> list[Operator]:
        """Return U's gates with parameters (S,) or (B, S) of any array type."""
        operations, first = [], 0
        with qml.QueuingManager.stop_recording():
            for gate in self.gates:
                stop = first + len(gate.data)
                values = [parameters[..., i] for i in range(first, stop)]
                operations.append(bind_new_parameters(gate, values) if values else gate)
                first = stop
        return operations

    def apply(self, theta: Any) -> None:
        """Queue U(theta) inside a quantum function; theta (P,) or (B, P), radians.

        These are the traced gates, not the user's function: that cannot index a batch, and noise
        must act on the same gates however they are queued.
        """
        for operation in self.operations(theta):
            qml.apply(operation)

    def expvals(self) -> list[qml.measurements.ExpectationMP]:
        """Return (and queue, inside a quantum function) the R expectation values."""
        return [qml.expval(observable) for observable in observables(self.words, self.wires)]

    def replay(
        self, theta: Any, *, every_step: bool = False
    ) -> list[qml.measurements.ExpectationMP]:
        """Queue all steps so far inside a quantum function.

        Args:
            theta: (t, P) or (B, t, P), radians.
            every_step: return the readouts of all steps, which only measured ones can give.

        Returns:
            R (or t R) expectation values: of the words, or of the ancilla's outcomes.
        """
        outcomes: list[MeasurementValue] = []
        for step in range(qml.math.shape(theta)[-2]):
            self.apply(theta[..., step, :])
            if self.measured is not None:
                outcomes += self.measured.measure()
        if self.measured is None:
            return self.expvals()
        return [qml.expval(m) for m in (outcomes if every_step else outcomes[-len(self.words) :])]

    def values(self, results: torch.Tensor) -> torch.Tensor:
        """Return z (..., R) for the results (..., R) of `replay`'s measurements."""
        return results if self.measured is None else self.measured.unbiased(results)

    @property
    def identity(self) -> tuple[Any, ...]:
        """What U is but for the gates' parameters, as plain values."""
        kinds = (str, int, tuple, list)
        return self.n_angles, *(
            (
                gate.name,
                tuple(gate.wires),
                str([value for value in gate.hyperparameters.values() if isinstance(value, kinds)]),
            )
            for gate in self.gates
        )

    @property
    def reading(self) -> tuple[Any, ...]:
        """What is read and how, as plain values."""
        return self.words, None if self.measured is None else self.measured.angle

    @property
    def outcomes(self) -> torch.Tensor:
        """What one shot can say of each readout: (2, R), or (2, 1) where it is 1 or -1."""
        if self.measured is None:
            return torch.tensor([[1.0], [-1.0]], dtype=torch.float64)
        return self.measured.outcomes

    def start_readout(self) -> torch.Tensor:
        """Return z_0 (R,), the readouts of |0...0>: 1 for words of I and Z, else 0."""
        return torch.tensor([0.0 if masks(word)[0] else 1.0 for word in self.words])

    def function(self) -> Callable[[Any], Any]:
        """Return the step, as the user wrote it, as a quantum function that returns R readouts."""

        def step(theta):
            self.ansatz.apply(theta, self.wires)
            if self.measured is not None:
                return [qml.expval(m) for m in self.measured.measure()]
            return self.expvals()

        return step

    @one_at_a_time
    def draw(self, theta: Sequence[float] | None = None, *, decimals: int | None = 2) -> str:
        """Return the step circuit as text; without theta the gates show no values."""
        node = qml.QNode(self.function(), qml.device("default.qubit"))
        if theta is None:
            return qml.draw(node, decimals=None, level="user")(torch.zeros(self.n_angles))
        shown = checked_angles(theta, self.n_angles)
        return qml.draw(node, decimals=decimals, level="user")(shown)

    @one_at_a_time
    def draw_mpl(self, theta: Sequence[float] | None = None):
        """Return the step circuit as a matplotlib figure and axes."""
        node = qml.QNode(self.function(), qml.device("default.qubit"))
        zeros = torch.zeros(self.n_angles)
        shown = zeros if theta is None else checked_angles(theta, self.n_angles)
        decimals = None if theta is None else 2
        return qml.draw_mpl(node, decimals=decimals, level="user")(shown)

    @one_at_a_time
    def specs(self) -> dict[str, Any]:
        """Return the resources of one step: wires, angles, readouts, gates by name and depth."""
        with qml.queuing.AnnotatedQueue() as queue:
            self.replay(torch.zeros(1, self.n_angles))
        tape = QuantumScript.from_queue(queue)
        resources = tape.specs["resources"]
        return {
            "wires": len(tape.wires),
            "angles": self.n_angles,
            "readouts": len(self.words),
            "gates": sum(resources.gate_types.values()),
            "gate_types": dict(resources.gate_types),
            "two_qubit_gates": sum(len(op.wires) == 2 for op in tape.operations),
            "depth": resources.depth,
        }
