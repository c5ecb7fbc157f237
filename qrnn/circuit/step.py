"""The step circuit: an ansatz and its readouts, traced once.

The QNodes, drawings, resource counts, hardware circuits and the fused kernels' gate program are all
derived from this trace.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Any

import pennylane as qml
import torch
from pennylane.measurements import MeasurementValue
from pennylane.operation import Operator
from pennylane.ops.functions import bind_new_parameters
from pennylane.tape import QuantumScript

from qrnn.circuit.angle_map import AngleMap, precision_of
from qrnn.circuit.ansatz import Ansatz
from qrnn.circuit.channels import Damping, has_constant_strength
from qrnn.circuit.forgetting import damp_by_ancilla
from qrnn.circuit.mid_circuit import MeasuredReadout, check_mode
from qrnn.circuit.observables import masks, observables, pauli_words
from qrnn.circuit.threads import one_at_a_time
from qrnn.circuit.weights import Weights
from qrnn.config.models import HybridConfig
from qrnn.utils.checks import whole
from qrnn.utils.limits import MOST_ANGLES
from qrnn.utils.tensors import checked_angles

__all__ = ["StepCircuit", "precision_of"]


class StepCircuit:
    """One time step U(theta), followed by the R readouts.

    Args:
        ansatz: the circuit; see `qrnn.circuit.ansatz.build_ansatz`.
        readout: the observables; see `qrnn.circuit.observables.pauli_words`.
        readout_mode: `expval`: expectation values, which leave the state as it is; `measure`:
            mid-circuit measurements through an ancilla; see `qrnn.circuit.mid_circuit`.
        readout_angle: angle of the controlled RY in mode `measure`, radians; None: pi / 4.

    Attributes:
        n_wires: number of qubits n.
        n_angles: number of angles P.
        words: the R Pauli words.
        read: the Pauli words whose expectation values give the readouts; see `values`.
        measured: the mid-circuit measurements, or None for expectation values.
        map: the map from angles and weights to U's gates and their parameters.
        gates: U's gates, all in `qrnn.circuit.gates.GATES` or `Damping`, with placeholder
            parameters.
        n_parameters: number of gate parameters S.
        channels: whether `Damping` is a channel; else it is gates with an ancilla that is reset.
        ancillas: number of the wires after the n memory wires that are measured or reset within a
            step; wire w uses the one of number w modulo this.

    Raises:
        ConfigError: the ansatz contains measurements, uses wires outside 0..n-1, does not use P
            angles, or has a gate that PennyLane cannot decompose into the gate set.
    """

    def __init__(
        self,
        ansatz: Ansatz,
        readout: str | Sequence[str] = HybridConfig.readout,
        readout_mode: str = HybridConfig.readout_mode,
        readout_angle: float | None = None,
    ):
        whole("angles of a step", ansatz.n_angles, 0, MOST_ANGLES)
        whole("coupled pairs of qubits", len(ansatz.pairs), 0, MOST_ANGLES)
        self.ansatz = ansatz
        self.n_wires = ansatz.n_wires
        self.n_angles = ansatz.n_angles
        self.wires = range(ansatz.n_wires)
        self.words = self.read = pauli_words(readout, ansatz.n_wires, ansatz.pairs)
        # Trace on the CPU, even inside a user's `with torch.device(...)`.
        with torch.device("cpu"):
            self.measured = self._measured(readout_mode, readout_angle)
            self.map = AngleMap(ansatz)
        self.gates, self.n_parameters = self.map.gates, len(self.map.offset)
        self.channels, self.ancillas = True, 1

    def _measured(self, mode: str, angle: float | None) -> MeasuredReadout | None:
        check_mode(mode, angle)
        return MeasuredReadout(self.words, angle) if mode == "measure" else None

    def read_by(self, mode: str | None, angle: float | None = None) -> StepCircuit:
        """Return the same circuit with another readout mode or angle; None: unchanged."""
        other = copy.copy(self)
        mode = mode or ("expval" if self.measured is None else "measure")
        if angle is None and mode == "measure" and self.measured is not None:
            angle = self.measured.angle
        other.measured = self._measured(mode, angle)
        return other

    def unitary(self) -> StepCircuit:
        """Return the same circuit with `Damping` as gates with an ancilla that is reset."""
        other = copy.copy(self)
        other.channels = False
        return other

    def with_ancillas(self, count: int) -> StepCircuit:
        """Return the same circuit with another number of ancillas."""
        other = copy.copy(self)
        other.ancillas = count
        return other

    @property
    def mid_measurements(self) -> int:
        """Number of measurements within a step."""
        resets = 0 if self.channels else sum(isinstance(g, Damping) for g in self.gates)
        return resets + (0 if self.measured is None else len(self.words))

    @property
    def weights(self) -> Weights:
        """The trainable weights of the ansatz function; most have none."""
        return self.map.weights

    def holding(self, weights: Weights) -> StepCircuit:
        """Return the same circuit with other weights, e.g. those of a copied module."""
        other = copy.copy(self)
        other.map = self.map.holding(weights)
        return other

    def parameters(self, theta: torch.Tensor) -> torch.Tensor:
        """Return the gates' parameters in tape order, differentiable; see `AngleMap.parameters`."""
        return self.map.parameters(theta)

    def affine(self) -> tuple[torch.Tensor, torch.Tensor] | None:
        """Return M (S, P) and b (S,) with parameters = M theta + b; see `AngleMap.affine`."""
        return self.map.affine()

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
                if values and not has_constant_strength(gate):
                    gate = bind_new_parameters(gate, values)
                operations.append(gate)
                first = stop
        return operations

    def apply(self, theta: Any) -> None:
        """Queue U(theta) inside a quantum function; theta (P,) or (B, P), radians.

        These are the traced gates. The user's function cannot index a batch, and noise must always
        act on the same gates.
        """
        for operation in self.operations(theta):
            if not self.channels and isinstance(operation, Damping):
                damp_by_ancilla(operation, self.n_wires + operation.wires[0] % self.ancillas)
            else:
                qml.apply(operation)

    def expvals(self) -> list[qml.measurements.ExpectationMP]:
        """Return (and queue, inside a quantum function) the expectation values of `read`."""
        return [qml.expval(observable) for observable in observables(self.read, self.wires)]

    def replay(
        self, theta: Any, *, every_step: bool = False
    ) -> list[qml.measurements.ExpectationMP]:
        """Queue all steps so far inside a quantum function.

        Args:
            theta: (t, P) or (B, t, P), radians.
            every_step: return the readouts of all steps; mid-circuit measurements only.

        Returns:
            R (or t R) expectation values, of the Pauli words or of the ancilla's outcomes.
        """
        outcomes: list[MeasurementValue] = []
        for step in range(qml.math.shape(theta)[-2]):
            self.apply(theta[..., step, :])
            if self.measured is not None:
                outcomes += self.measured.measure(self.ancillas)
        if self.measured is None:
            return self.expvals()
        return [qml.expval(m) for m in (outcomes if every_step else outcomes[-len(self.words) :])]

    def values(self, results: torch.Tensor) -> torch.Tensor:
        """Return z (..., R) for the results of `replay`'s measurements, (..., R) or as `read`."""
        return results if self.measured is None else self.measured.unbiased(results)

    @property
    def damped(self) -> bool:
        """Whether U has channels, so that a state vector does not stay one."""
        return any(isinstance(gate, Damping) for gate in self.gates)

    @property
    def groups(self) -> list[list[int]]:
        """The groups of qubits that gates or readouts couple, each in order.

        Qubits of different groups are never correlated.
        """
        group = list(self.wires)
        read = [[k for k, letter in enumerate(word) if letter != "I"] for word in self.read]
        gates = [g.wires.tolist() for g in self.gates if not isinstance(g, qml.GlobalPhase)]
        for wires in gates + read:
            joined = {group[wire] for wire in wires}
            group = [min(joined) if g in joined else g for g in group]
        return [[k for k in self.wires if group[k] == first] for first in sorted(set(group))]

    @property
    def identity(self) -> tuple[Any, ...]:
        """Plain values that identify U up to its gate parameters."""
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
        """Plain values that identify the readouts and how they are measured."""
        return self.words, None if self.measured is None else self.measured.angle

    @property
    def outcomes(self) -> torch.Tensor:
        """The two possible results of one shot for each readout: (2, R), or (2, 1) for 1 and -1."""
        if self.measured is None:
            return torch.tensor([[1.0], [-1.0]], dtype=torch.float64)
        return self.measured.outcomes

    def start_readout(self) -> torch.Tensor:
        """Return z_0 (R,), the readouts of |0...0>: 1 for Pauli words of I and Z, else 0."""
        return torch.tensor(self._start_readout)

    @cached_property
    def _start_readout(self) -> list[float]:
        return [0.0 if masks(word)[0] else 1.0 for word in self.words]

    def function(self) -> Callable[[Any], Any]:
        """Return the step with the user's own gates, as a quantum function with R readouts."""

        def step(theta):
            self.map.queue(theta)
            if self.measured is not None:
                return [qml.expval(m) for m in self.measured.measure()]
            return self.expvals()

        return step

    @one_at_a_time
    def draw(self, theta: Sequence[float] | None = None, *, decimals: int | None = 2) -> str:
        """Return the step circuit as text; without theta, gates are shown without parameters."""
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
