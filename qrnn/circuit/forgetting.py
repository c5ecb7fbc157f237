"""Forgetting: amplitude damping of each qubit at the start of a step.

A unitary step keeps everything it has read, so that after many steps the readouts show nothing
recent. Damping of strength gamma moves a qubit towards |0>, like the forget gate of an LSTM; on
hardware, a fresh ancilla takes up what is lost, and is reset.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from math import pi
from typing import Any

import pennylane as qml
import torch
from torch import nn

from qrnn.circuit.ansatz import Ansatz, QuantumFunction
from qrnn.circuit.channels import Damping
from qrnn.errors import ConfigError
from qrnn.utils.registry import unknown_name

FORGETS = ("gate", "constant", "reset")
START = pi / 6  # radians; sin^2 is gamma = 1/4


def with_forgetting(ansatz: Ansatz, forget: str | None, circuits: int = 1) -> Ansatz:
    """Return an ansatz that first damps the state.

    Args:
        ansatz: the ansatz, with P angles.
        forget: `gate`: each qubit k has a strength sin^2(pi / 6 + angle P + k), which the
            controller gives; `constant`: sin^2 of a weight of its own; `reset`: the last half of
            the qubits of each circuit is reset to |0>. None: the ansatz as it is.
        circuits: number of circuits side by side; see `build_ansatz`.

    Raises:
        ConfigError: the name is unknown, or a circuit has only one qubit to reset.
    """
    if forget is None:
        return ansatz
    if forget not in FORGETS:
        raise unknown_name("forget", forget, FORGETS)
    n, first = ansatz.n_wires, ansatz.n_angles
    damp: QuantumFunction
    if forget == "gate":
        damp = partial(_gate, first=first)
    elif forget == "constant":
        damp = partial(_constant, angle=nn.Parameter(torch.full((n,), START)))
    elif (size := n // circuits) > 1:
        damp = partial(_reset, size=size)
    else:
        raise ConfigError(
            "forget=reset needs at least 2 qubits in a circuit, of which it resets half, got 1"
        )
    apply = partial(_damped, forget=damp, ansatz=ansatz.apply, n_angles=first)
    return Ansatz(apply, n, first + n * (forget == "gate"), ansatz.pairs)


# Partials of module-level functions, unlike closures, can be pickled.
def _damped(
    angles: Any,
    wires: Sequence[int],
    *,
    forget: QuantumFunction,
    ansatz: QuantumFunction,
    n_angles: int,
) -> None:
    forget(angles, wires)
    ansatz(angles[:n_angles], wires)


def _gate(angles: Any, wires: Sequence[int], *, first: int) -> None:
    for k, wire in enumerate(wires):
        Damping(START + angles[first + k], wires=wire)


def _constant(angles: Any, wires: Sequence[int], *, angle: nn.Parameter) -> None:
    for k, wire in enumerate(wires):
        Damping(angle[k], wires=wire)


def _reset(angles: Any, wires: Sequence[int], *, size: int) -> None:
    for k, wire in enumerate(wires):
        if k % size >= size - size // 2:
            Damping(pi / 2, wires=wire)


def damp_by_ancilla(gate: Damping, ancilla: int) -> None:
    """Queue amplitude damping as gates with an ancilla in |0>, which is reset."""
    wire = gate.wires[0]
    qml.CRY(2 * gate.data[0], wires=[wire, ancilla])
    qml.CNOT(wires=[ancilla, wire])
    qml.measure(ancilla, reset=True)
