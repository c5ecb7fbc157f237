"""Trace a cell over one sequence, step by step, through the cell's public API."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch

from qrnn.cell.cell import QRNNCell, QRNNState
from qrnn.circuit.channels import Damping
from qrnn.errors import ConfigError, DeviceError
from qrnn.inspection import quantities
from qrnn.inspection.gradients import squared_norms

CHUNK = 1 << 22  # complex numbers of the states processed together


@dataclass(frozen=True)
class Trace:
    """A cell over time on one device, for one sequence; for N sequences, N comes before T.

    T steps, D inputs, n qubits, P angles, R readouts. Quantities of the state are None if the
    device does not provide it.

    Attributes:
        x: the cell's inputs (T, D).
        z: its readouts (T, R).
        theta: angles of its circuit (T, P), bias included, radians.
        damping: strength of the damping of each qubit at each step (T, n); None: without.
        bloch: Bloch vector of each qubit after each step (T, n, 3).
        entropy: von Neumann entropy of each qubit (T, n), bits.
        half_chain_entropy: entropy of the first n // 2 qubits (T,), bits.
        state_entropy: entropy of the whole state (T,), bits; 0 if it is pure.
        fidelity_previous: fidelity of each state with the previous one (T,), at first the start.
        fidelity_start: fidelity of each state with the start state (T,).
        gradient_norm: norm of the loss's gradient with respect to the state and readouts that
            the cell passes to its next step (T,), nats; see `squared_norms`.
        state: amplitudes (T, 2^n), or density matrices (T, 2^n, 2^n).
        loss: mean cross entropy of the labels (), nats.
        predictions: most likely label (U,), of the sequence (U = 1) or of each step; -1 for steps
            without a label.
    """

    x: np.ndarray
    z: np.ndarray
    theta: np.ndarray
    damping: np.ndarray | None = None
    bloch: np.ndarray | None = None
    entropy: np.ndarray | None = None
    half_chain_entropy: np.ndarray | None = None
    state_entropy: np.ndarray | None = None
    fidelity_previous: np.ndarray | None = None
    fidelity_start: np.ndarray | None = None
    gradient_norm: np.ndarray | None = None
    state: np.ndarray | None = None
    loss: np.ndarray | None = None
    predictions: np.ndarray | None = None


@dataclass
class Steps:
    """The recorded steps of a cell, one tensor per step, for one sequence.

    Attributes:
        x: inputs (1, D).
        controls: the controller's outputs (1, P), radians.
        states: the start state, and the state after each step.
    """

    x: list[torch.Tensor] = field(default_factory=list)
    controls: list[torch.Tensor] = field(default_factory=list)
    states: list[QRNNState] = field(default_factory=list)


@contextmanager
def recording(cell: QRNNCell) -> Iterator[Steps]:
    """Record the steps of a cell, with hooks that make it run step by step.

    Raises:
        ConfigError: the cell gets several sequences at once.
    """
    steps = Steps()

    def record(module: QRNNCell, arguments: tuple, output: tuple[torch.Tensor, QRNNState]) -> None:
        x, state = (*arguments, None)[:2]
        if len(x) != 1:
            raise ConfigError(f"run must take one sequence through the cell, got {len(x)} at once")
        if not steps.states:
            steps.states.append(cell.start(1, x) if state is None else state)
        steps.x.append(x)
        steps.states.append(output[1])

    hooks = [
        cell.register_forward_hook(record),
        cell.controller.register_forward_hook(lambda *call: steps.controls.append(call[2])),
    ]
    try:
        yield steps
    finally:
        for hook in hooks:
            hook.remove()


def trace(cell: QRNNCell, run: Callable[[], Any]) -> Trace:
    """Trace a cell while a function runs it on one sequence.

    Args:
        cell: the cell.
        run: runs the cell. If it returns a scalar tensor that depends on the cell, this is the loss
            to differentiate.

    Raises:
        ConfigError: `run` did not call the cell, or called it with several sequences at once.

    Examples:
        >>> rnn = QRNN(8, n_qubits=4, batch_first=True)
        >>> trace(rnn.cell, lambda: rnn(torch.rand(1, 5, 8))).entropy.shape
        (5, 4)
    """
    with recording(cell) as steps:
        loss = run()
    if not steps.x:
        raise ConfigError("run must call the cell, but did not: pass the cell that it calls")
    theta = torch.cat(steps.controls) + cell.quantum.bias
    found = Trace(
        x=as_array(torch.cat(steps.x)),
        z=as_array(torch.cat([state.z for state in steps.states[1:]])),
        theta=as_array(theta),
        damping=damping_of(cell, theta),
    )
    if not shows_state(cell):
        return found
    states = as_array(torch.cat([state.amplitudes() for state in steps.states]))
    if isinstance(loss, torch.Tensor) and loss.numel() == 1 and loss.requires_grad:
        norms = squared_norms(loss, steps.states[1:]).sqrt()  # the loss may read the last state
        found = replace(found, gradient_norm=as_array(norms))
    return with_states(found, states[0], states[1:])


def damping_of(cell: QRNNCell, theta: torch.Tensor) -> np.ndarray | None:
    """Return how much of each qubit's |1> a step damps (T, n), at angles (T, P), or None."""
    circuit = cell.circuit
    if not circuit.damped:
        return None
    kept = np.ones((len(theta), circuit.n_wires))
    gates = [gate for gate in circuit.gates for _ in gate.data]
    for gate, phi in zip(gates, as_array(circuit.parameters(theta)).T, strict=True):
        if isinstance(gate, Damping):
            kept[:, gate.wires[0]] *= np.cos(phi) ** 2
    return 1 - kept


def as_array(values: torch.Tensor) -> np.ndarray:
    """Return a tensor as a NumPy array."""
    return values.detach().cpu().numpy()


def shows_state(cell: QRNNCell) -> bool:
    """Return whether a cell's device provides its state."""
    try:
        cell.start(1, cell.quantum.bias).amplitudes()
    except DeviceError:
        return False
    return True


def with_states(found: Trace, start: np.ndarray, states: np.ndarray) -> Trace:
    """Return a trace with all quantities of the states.

    Args:
        found: the trace without them.
        start: the state before the first step.
        states: the state after each of the T steps.
    """
    before = np.concatenate([start[None], states[:-1]])
    bloch = by_chunks(quantities.bloch_vectors, states)
    return replace(
        found,
        bloch=bloch,
        entropy=quantities.qubit_entropies(bloch),
        half_chain_entropy=by_chunks(quantities.half_chain_entropies, states),
        state_entropy=by_chunks(quantities.state_entropies, states),
        fidelity_previous=by_chunks(quantities.fidelities, states, before),
        fidelity_start=by_chunks(lambda part: quantities.fidelities(part, start[None]), states),
        state=states,
    )


def by_chunks(function: Callable[..., np.ndarray], *states: np.ndarray) -> np.ndarray:
    """Apply a function to states (T, ...), a few steps at a time."""
    size = max(1, CHUNK // max(part[0].size for part in states))
    firsts = range(0, len(states[0]), size)
    return np.concatenate(
        [function(*(part[first : first + size] for part in states)) for first in firsts]
    )
