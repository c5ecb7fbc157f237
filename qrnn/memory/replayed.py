"""The replayed strategy: the angles so far are carried, and replayed from |0...0> at each step.

It works on devices that give no access to the state (shots, noise, hardware). Step t executes one
circuit of t repetitions per sequence, all sequences in one broadcast execution, so T steps take T
executions and O(T^2) gates. A state that has forgotten what lies k steps back (`model.forget`)
needs only the last k: O(k T) gates. Gradients are the device's own.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple

import pennylane as qml
import torch
from pennylane.qnn import TorchLayer
from pennylane.tape import QuantumScript
from typing_extensions import override

from qrnn.circuit.step import StepCircuit, precision_of
from qrnn.circuit.threads import one_at_a_time, with_locked_backward
from qrnn.errors import DeviceError
from qrnn.memory.base import Memory


class ReplayedState(NamedTuple):
    """The controls of all steps so far.

    Attributes:
        controls: one (B, P) tensor per step, radians, without the bias.
        active: one (B,) bool tensor per step: whether the sequence was active.
    """

    controls: tuple[torch.Tensor, ...]
    active: tuple[torch.Tensor, ...]


class ReplayedMemory(Memory):
    """Runs `layer` (a `qml.qnn.TorchLayer`) on the controls so far, (B, t P).

    Args:
        circuit: the step circuit.
        layer: the quantum layer.
        at_once: a QNode with mid-circuit measurements that returns the results of all steps, so
            that the open loop needs only one circuit.
        window: number of steps to replay, the last ones; None: all.

    Attributes:
        damping: factors (T, R) by which the device shrinks the readouts after 1..T steps; readouts
            are divided by them. None: they are left as they are.
    """

    def __init__(
        self,
        circuit: StepCircuit,
        layer: TorchLayer,
        at_once: qml.QNode | None = None,
        window: int | None = None,
    ):
        super().__init__(circuit, layer)
        self.at_once, self.window = at_once, window
        self.damping: torch.Tensor | None = None

    @override
    def size(self, batch: int, like: torch.Tensor) -> float:
        return 0.0  # only angles

    @override
    def start(self, batch: int, like: torch.Tensor) -> ReplayedState:
        return ReplayedState((), ())

    @override
    def step(
        self, state: ReplayedState, controls: torch.Tensor, active: torch.Tensor | None = None
    ) -> tuple[torch.Tensor, ReplayedState]:
        if active is None:
            active = torch.ones(len(controls), dtype=torch.bool, device=controls.device)
        state = ReplayedState((*state.controls, controls), (*state.active, active))
        history = torch.stack(state.controls, 1)  # (B, t, P)
        moved = torch.stack(state.active, 1)  # (B, t)
        if moved.all():
            return self._read(history), state
        # Sequences that skipped the same steps share a circuit; inactive ones need none.
        z = controls.new_zeros(len(controls), len(self.circuit.words))
        patterns, group = moved.unique(dim=0, return_inverse=True)
        chosen, calls = [], []
        for index, pattern in enumerate(patterns):
            rows = ((group == index) & active).nonzero().flatten()
            if len(rows):
                chosen.append(rows)
                calls.append(partial(self._read, history[rows][:, pattern]))
        for rows, found in zip(chosen, self._together(calls), strict=True):
            z = z.index_put((rows,), found)
        return z, state

    def _together(self, calls: Sequence[Callable[[], torch.Tensor]]) -> list[torch.Tensor]:
        """Return what calls return; on IBM devices, they are one job."""
        joins = getattr(self.layer.qnode.device, "together", None)
        if joins is None or len(calls) < 2 or torch.is_grad_enabled():
            return [call() for call in calls]
        return joins(calls)

    def _read(self, history: torch.Tensor) -> torch.Tensor:
        """Return z (B, R) for controls (B, t, P)."""
        inputs, bias = self._last(history).flatten(1), self.layer.bias
        if self.layer.qnode.diff_method in ("backprop", None):  # torch's own graph
            z = self._run_layer(inputs, bias)
        else:
            weights = self.circuit.weights.values()
            z = with_locked_backward(self._run_layer, inputs, bias, weights=weights)
        if z.shape != (len(history), len(self.circuit.words)):
            raise DeviceError(
                f"device {self.layer.qnode.device.name} must return readouts of shape "
                f"{(len(history), len(self.circuit.words))}, got {tuple(z.shape)}: please report it"
            )
        return z if self.damping is None else z / self.damping[history.shape[1] - 1].to(z)

    def _last(self, history: torch.Tensor) -> torch.Tensor:
        """Return those of the controls (B, t, P) that are replayed."""
        return history if self.window is None else history[:, -self.window :]

    def _run_layer(self, inputs: torch.Tensor, bias: torch.Tensor) -> torch.Tensor:
        with precision_of(inputs):
            # TorchLayer keeps its original parameter, and would miss a replacement by
            # load_state_dict(assign=True) or torch.func.functional_call.
            self.layer.qnode_weights["bias"] = bias
            return self.circuit.values(self.layer(inputs))

    @property
    @override
    def charges_steps(self) -> bool:
        return self.at_once is None

    @override
    @one_at_a_time
    @torch.no_grad()  # the ansatz's own weights would require gradients
    def run(self, controls: torch.Tensor, steps: Sequence[int] | None = None) -> torch.Tensor:
        """Run all steps of all sequences in one execution (on IBM: one job)."""
        read = range(controls.shape[1]) if steps is None else steps
        qnode, bias = self.layer.qnode, self.layer.bias.detach()
        if self.at_once is not None:
            with precision_of(controls):
                results = torch.stack(self.at_once(controls.detach().flatten(1), bias), -1)
            z = self.circuit.values(results.reshape(*controls.shape[:2], -1).to(controls))
            return z[:, list(read)]
        tapes: list[QuantumScript] = []
        slices, posts = [], []
        with precision_of(controls):
            for t in read:
                inputs = self._last(controls[:, : t + 1]).detach().flatten(1)
                batch, post = qml.workflow.construct_batch(qnode, level="user")(inputs, bias)
                slices.append(slice(len(tapes), len(tapes) + len(batch)))
                posts.append(post)
                tapes.extend(batch)
            results = qml.execute(tapes, qnode.device, diff_method=None)
            values_of = []
            for part, post in zip(slices, posts, strict=True):
                (values,) = post(tuple(results[part]))
                values = torch.stack([torch.as_tensor(value) for value in values], -1)
                # With shots, a batch of 1 is squeezed.
                values_of.append(values.reshape(len(controls), -1))
        z = self.circuit.values(torch.stack(values_of, 1).to(controls))
        return z if self.damping is None else z / self.damping[list(read)].to(z)

    @override
    def detach(self, state: ReplayedState) -> ReplayedState:
        return ReplayedState(tuple(c.detach() for c in state.controls), state.active)

    @override
    def select(self, state: ReplayedState, rows: torch.Tensor) -> ReplayedState:
        return ReplayedState(*(tuple(one[rows] for one in part) for part in state))

    @override
    def amplitudes(self, state: ReplayedState) -> torch.Tensor:
        """Raise an error: the state consists only of the angles so far.

        Raises:
            DeviceError: always.
        """
        raise DeviceError(
            "amplitudes need a device that gives access to its state, got a replayed one: "
            "use .on('fused') or .on('default.qubit')"
        )
