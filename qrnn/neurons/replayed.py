"""The circuit on a PennyLane device: for each step, each sequence is rerun from |0...0>."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import pennylane as qml
import torch
from pennylane.tape import QuantumScript

from qrnn.circuit.step import precision_of
from qrnn.circuit.threads import one_at_a_time
from qrnn.devices import Device
from qrnn.errors import ConfigError, DeviceError
from qrnn.neurons.circuit import apply_steps
from qrnn.neurons.definition import Definition, Weights
from qrnn.neurons.recurrence import sample

SKIPPED = -1  # token of steps at which a sequence was inactive
History = tuple[Sequence[int], Sequence[int]]
"""The inputs of t steps, and the outcomes of the first t - 1."""


class Replay:
    """Measures the in/out qubits after the last of several steps, on a device.

    Without shots, PennyLane's tree traversal follows only the projected branches, so a circuit
    costs no more than its gates; deferred measurements would need one qubit each. With shots, those
    that fail a projection are lost, as on hardware.

    Args:
        definition: the cell.
        device: an open device that can postselect.

    Raises:
        ConfigError: these circuits do not support the device's strategy or gradient.
        DeviceError: the device cannot postselect, or has too few qubits.
    """

    def __init__(self, definition: Definition, device: Device):
        self.definition = definition
        self.device = device
        options = device.options
        # default.mixed can measure mid-circuit, but has no projector.
        if "replayed" not in device.spec.measured or device.name == "default.mixed":
            raise DeviceError(
                f"device {device.name!r} cannot postselect measurements, which quantum neurons "
                f"need: use fused, default.qubit, aer or an IBM backend"
            )
        if options.strategy not in (None, "replayed"):
            raise ConfigError(
                f"device.strategy must be replayed for quantum neurons, got {options.strategy!r}: "
                f"leave it out"
            )
        if options.replay is not None:
            raise ConfigError(
                f"device.replay must be left out for quantum neurons, which forget nothing, got "
                f"{options.replay}"
            )
        # Conditional probabilities after postselection have no parameter-shift rule.
        if options.gradient not in (None, "backprop", "none"):
            raise ConfigError(
                f"device.gradient must be backprop or none for quantum neurons, got "
                f"{options.gradient!r}: leave it out, or train on device fused"
            )
        device.check_wires(definition.n_wires, "lower workspace, in_out or order")
        self.differentiable = (
            device.exact and "backprop" in device.spec.gradients and options.gradient != "none"
        )
        self.mcm_method: Any = None if device.mcm_method is None else "tree-traversal"
        self.plugin = device.plugin(definition.n_wires)

    def sequence(
        self,
        weights: Weights,
        x: torch.Tensor,
        carried: tuple[torch.Tensor, ...],
        active: torch.Tensor,
        targets: torch.Tensor | None,
        draws: torch.Tensor | None,
    ) -> tuple[torch.Tensor, tuple[torch.Tensor, ...], torch.Tensor, torch.Tensor | None]:
        """Advance by T steps.

        Args:
            weights: the parameters.
            x: inputs (T, B).
            carried: the tokens and outcomes so far, each (B, t).
            active: (T, B) bool.
            targets: outcomes (T, B), or None.
            draws: random numbers (T, B) in [0, 1) that select the outcomes if targets is None.

        Returns:
            log p (T, B, 2^io), 0 if inactive; the new carried state; the outcomes (T, B); and the
            fraction of shots kept (T, B), NaN if inactive, or None on an exact device.

        Raises:
            DeviceError: no shots of a circuit remain.
        """
        x, active = x.cpu(), active.cpu()
        tokens, before = (part.cpu() for part in carried)
        tokens = torch.cat([tokens, x.masked_fill(~active, SKIPPED).T], 1)
        outcomes = torch.cat([before, (x * 0 if targets is None else targets.cpu()).T], 1)
        log_p = weights.theta.new_zeros(*x.shape, self.definition.classes)
        kept = torch.full(x.shape, torch.nan, dtype=torch.float64)
        # With targets, no circuit depends on another's result: all are executed at once.
        rounds = (
            [range(len(x))] if targets is not None else [range(t, t + 1) for t in range(len(x))]
        )
        for steps in rounds:
            at = active[steps.start : steps.stop].nonzero() + torch.tensor([steps.start, 0])
            if not len(at):
                continue
            p, share = self.read(
                weights,
                [history(tokens[b], outcomes[b], before.shape[1] + t) for t, b in at.tolist()],
            )
            t, b = at.T
            log_p = log_p.index_put((t.to(p.device), b.to(p.device)), p.log())
            if share is not None:
                kept[t, b] = share
            if draws is not None:
                chosen = sample(p.detach(), draws[t.to(p.device), b.to(p.device)])
                outcomes[b, before.shape[1] + t] = chosen.cpu()
        new = outcomes[:, before.shape[1] :].T.to(weights.theta.device)
        return log_p, (tokens, outcomes), new, None if self.device.exact else kept

    def tapes(
        self, weights: Weights, x: torch.Tensor, targets: torch.Tensor, active: torch.Tensor
    ) -> list[QuantumScript]:
        """Return the circuits of `sequence` with targets from the start, in their order."""
        numbers: list[Any] = [part.detach().cpu().numpy() for part in weights]
        values = Weights(*numbers)
        tokens = x.masked_fill(~active, SKIPPED).T
        return [
            self.tape(values, history(tokens[b], targets.T[b], t))
            for t, b in active.nonzero().tolist()
        ]

    @one_at_a_time
    def tape(self, weights: Weights, history: History) -> QuantumScript:
        """Return the circuit of several steps, with the final measurement."""
        io_wires = list(self.definition.io_wires)
        with qml.queuing.AnnotatedQueue() as queue:
            apply_steps(self.definition, weights, *history)
            if self.device.exact:
                qml.probs(wires=io_wires)
            else:
                qml.counts(wires=io_wires)
        return QuantumScript.from_queue(queue, shots=self.device.options.shots)

    @one_at_a_time
    def read(
        self, weights: Weights, histories: Sequence[History]
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Return the in/out probabilities of all circuits, in one execution (on IBM: one job).

        Args:
            weights: the parameters; differentiable on exact devices.
            histories: one per circuit.

        Returns:
            Probabilities (len(histories), 2^io); and the fraction of shots that pass all
            projections (len(histories),) float64, or None on an exact device.

        Raises:
            DeviceError: no shots of a circuit remain.
        """
        values: Any = weights
        if not self.differentiable:
            numbers: list[Any] = [part.detach().cpu().numpy() for part in weights]
            values = Weights(*numbers)
        tapes = [self.tape(values, history) for history in histories]
        with precision_of(weights.theta), warnings.catch_warnings():
            # The tree traversal reads probabilities that require gradients.
            warnings.filterwarnings("ignore", "Converting a tensor with requires_grad")
            results = qml.execute(
                tapes,
                self.plugin,
                diff_method="backprop" if self.differentiable else None,
                mcm_method=self.mcm_method,
                postselect_mode=None if self.device.exact else "hw-like",
            )
        if self.device.exact:
            return torch.stack([torch.as_tensor(p).to(weights.theta) for p in results]), None
        shots = self.device.options.shots or 0
        counts = torch.zeros(len(tapes), self.definition.classes, dtype=torch.float64)
        for row, result, (inputs, _) in zip(counts, results, histories, strict=True):
            for bits, count in result.items():
                row[int(bits, 2)] = int(count)
            if not row.sum():
                raise DeviceError(
                    f"shots must outlast the projections of {len(inputs)} steps, but none of "
                    f"{shots} did: raise device.shots, or use fewer steps or a lower order"
                )
        total = counts.sum(1)
        return (counts / total[:, None]).to(weights.theta), total / shots


def history(tokens: torch.Tensor, outcomes: torch.Tensor, last: int) -> History:
    """Return a sequence's inputs and outcomes for its circuit up to step `last`.

    Args:
        tokens: tokens of all steps (t,), `SKIPPED` where the sequence was inactive.
        outcomes: outcomes of all steps (t,).
        last: the step at which in/out is measured; the sequence is active there.
    """
    moved = (tokens[: last + 1] != SKIPPED).nonzero().flatten()
    return tokens[moved].tolist(), outcomes[moved[:-1]].tolist()
