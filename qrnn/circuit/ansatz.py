"""Ansaetze: the PennyLane quantum functions U(theta) that advance the hidden state by one step.

An ansatz is any function of `(angles, wires)` that queues PennyLane gates; `angles` has shape
(P,), in radians. Registered ansaetze are chosen by name, custom ones passed as a callable with
their number of angles. No other module defines the step circuit's gates.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import combinations
from typing import Any

import pennylane as qml
from pennylane.tape import QuantumScript

from qrnn.config.models import ANSAETZE, HybridConfig
from qrnn.errors import ConfigError
from qrnn.utils.checks import whole
from qrnn.utils.registry import unknown_name

Pairs = tuple[tuple[int, int], ...]
QuantumFunction = Callable[[Any, Sequence[int]], Any]

ROTATIONS = {"RX": qml.RX, "RY": qml.RY, "RZ": qml.RZ}
ENTANGLERS = {
    name: getattr(qml, name)
    for name in ("CZ", "CNOT", "CRX", "CRY", "CRZ", "IsingXX", "IsingYY", "IsingZZ")
}
TOPOLOGIES = ("line", "ring", "all")


@dataclass(frozen=True)
class Ansatz:
    """A step circuit without its readouts.

    Attributes:
        apply: the quantum function `(angles, wires)`; angles (P,) in radians.
        n_wires: number of qubits n.
        n_angles: number of angles P.
        pairs: the coupled pairs of qubits, which the readouts `XX`, `YY` and `ZZ` measure.
    """

    apply: QuantumFunction
    n_wires: int
    n_angles: int
    pairs: Pairs

    def __post_init__(self) -> None:
        object.__setattr__(self, "pairs", pairs_of(self.pairs, self.n_wires, "pairs"))


def pairs_of(
    topology: str | Sequence[Sequence[int]], n_wires: int, option: str = "topology"
) -> Pairs:
    """Return the coupled pairs of qubits.

    Args:
        topology: `line` (maps to IBM's heavy-hex lattice without SWAPs), `ring`, `all`, or a list
            of pairs of wires.
        n_wires: number of qubits n.
        option: name of the option, for error messages.

    Raises:
        ConfigError: the name is unknown, or a pair is not two different wires of 0..n-1.
    """
    if isinstance(topology, str):
        line = tuple((q, q + 1) for q in range(n_wires - 1))
        if topology == "line":
            return line
        if topology == "ring":  # two qubits have only one coupling
            return (*line, (n_wires - 1, 0)) if n_wires > 2 else line
        if topology == "all":
            return tuple(combinations(range(n_wires), 2))
        raise unknown_name(option, topology, TOPOLOGIES)
    if not isinstance(topology, Iterable):
        raise ConfigError(f"{option} must be a list of pairs of wires, got {topology!r}")
    pairs = []
    for pair in topology:
        wires = tuple(pair) if isinstance(pair, Iterable) else (pair,)
        if len(set(wires)) != 2 or len(wires) != 2 or not set(wires) <= set(range(n_wires)):
            raise ConfigError(
                f"{option}: each pair must be two different wires of 0..{n_wires - 1}, "
                f"got {list(wires)}"
            )
        pairs.append((int(wires[0]), int(wires[1])))
    return tuple(pairs)


def rotations(
    n_wires: int,
    layers: int = HybridConfig.layers,
    rotations: Sequence[str] = ("RY", "RZ"),
    entangler: str = "CZ",
    topology: str | Sequence[Sequence[int]] = "line",
) -> Ansatz:
    """Build layers of rotations on every wire, followed by an entangler on every pair.

    The default, RY RZ and CZ on a line, is shallow and needs no routing on IBM devices; with all
    angles zero its two CZ layers cancel, so U starts near the identity.

    Args:
        n_wires: number of qubits n.
        layers: number of layers.
        rotations: names of rotations, RX, RY or RZ, in order.
        entangler: CZ, CNOT (no angle), CRX, CRY, CRZ, IsingXX, IsingYY or IsingZZ (one angle per
            pair).
        topology: see `pairs_of`.
    """
    for name in rotations:
        if name not in ROTATIONS:
            raise unknown_name("rotation", name, ROTATIONS)
    if entangler not in ENTANGLERS:
        raise unknown_name("entangler", entangler, ENTANGLERS)
    layers = whole("layers", layers, 1)
    pairs = pairs_of(topology, n_wires)
    turns = [ROTATIONS[name] for name in rotations]
    entangle = ENTANGLERS[entangler]
    has_angle = entangle.num_params == 1
    # A partial of a module-level function, unlike a closure, can be pickled.
    apply = partial(
        _rotate_and_entangle, layers=layers, turns=turns, entangle=entangle, pairs=pairs
    )
    per_layer = len(turns) * n_wires + (len(pairs) if has_angle else 0)
    return Ansatz(apply, n_wires, layers * per_layer, pairs)


def _rotate_and_entangle(
    angles: Any, wires: Sequence[int], *, layers: int, turns: Sequence, entangle: Any, pairs: Pairs
) -> None:
    index = 0
    for _ in range(layers):
        for turn in turns:
            for wire in wires:
                turn(angles[index], wires=wire)
                index += 1
        for a, b in pairs:
            if entangle.num_params == 1:
                entangle(angles[index], wires=[wires[a], wires[b]])
                index += 1
            else:
                entangle(wires=[wires[a], wires[b]])


def _template(template: Any) -> Callable[..., Ansatz]:
    """Wrap one of PennyLane's layer templates, whose weights have shape (layers, n, ...)."""

    def build(n_wires: int, layers: int = HybridConfig.layers) -> Ansatz:
        layers = whole("layers", layers, 1)
        shape = template.shape(n_layers=layers, n_wires=n_wires)
        apply = partial(_apply_template, template=template, shape=shape)
        n_angles = 1
        for size in shape:
            n_angles *= size
        return Ansatz(apply, n_wires, n_angles, pairs_of("ring", n_wires))

    build.__doc__ = f"Build `layers` layers of `qml.{template.__name__}`."
    return build


def _apply_template(angles: Any, wires: Sequence[int], *, template: Any, shape: Any) -> None:
    template(qml.math.reshape(angles, shape), wires=wires)


strongly_entangling = _template(qml.StronglyEntanglingLayers)
basic_entangler = _template(qml.BasicEntanglerLayers)


def build_ansatz(
    ansatz: str | QuantumFunction | Ansatz,
    n_wires: int,
    n_angles: int | None = None,
    circuits: int = HybridConfig.circuits,
    **options,
) -> Ansatz:
    """Build a registered ansatz, or wrap a custom quantum function.

    Args:
        ansatz: a registered name, an `Ansatz`, or a quantum function of `(angles, wires)`.
        n_wires: number of qubits n, at least 1.
        n_angles: number of angles P; required for a quantum function, not allowed otherwise.
        circuits: number of equal circuits side by side, on n / circuits qubits each, with angles
            of their own; the other arguments are those of one of them.
        **options: options of the registered ansatz, e.g. `layers=2, entangler="CRX"`.

    Raises:
        ConfigError: a name or option is unknown, `n_angles` is missing, or the number of qubits is
            no multiple of the number of circuits.
    """
    n_wires, circuits = whole("n_qubits", n_wires, 1), whole("circuits", circuits, 1)
    if n_wires % circuits:
        raise ConfigError(
            f"n_qubits must be a multiple of circuits, which have the same number of qubits each, "
            f"got {n_wires} qubits for {circuits} circuits"
        )
    one = _build_one(ansatz, n_wires // circuits, n_angles, options)
    if circuits == 1:
        return one
    apply = partial(_side_by_side, ansatz=one)
    pairs = tuple(
        (a + first, b + first) for first in range(0, n_wires, one.n_wires) for a, b in one.pairs
    )
    return Ansatz(apply, n_wires, circuits * one.n_angles, pairs)


def _side_by_side(angles: Any, wires: Sequence[int], *, ansatz: Ansatz) -> None:
    n, n_angles = ansatz.n_wires, ansatz.n_angles
    for k in range(len(wires) // n):
        own = wires[k * n : (k + 1) * n]
        with qml.queuing.AnnotatedQueue() as queue:
            ansatz.apply(angles[k * n_angles : (k + 1) * n_angles], own)
        for op in QuantumScript.from_queue(queue):
            if foreign := [wire for wire in op.wires if wire not in own]:
                raise ConfigError(
                    f"the ansatz must use the wires that it is given, {list(own)} in circuit "
                    f"number {k} of circuits={len(wires) // n}, got {op.name} on wire "
                    f"{foreign[0]!r}: write wires[i] instead of i"
                )
            qml.apply(op)


def _build_one(
    ansatz: str | QuantumFunction | Ansatz,
    n_wires: int,
    n_angles: int | None,
    options: dict[str, Any],
) -> Ansatz:
    if isinstance(ansatz, str):
        if n_angles is not None:
            raise ConfigError(f"n_angles is set by the ansatz {ansatz!r}: leave it out")
        try:
            found = ANSAETZE[ansatz](n_wires, **options)
        except TypeError as error:
            raise ConfigError(f"ansatz {ansatz!r}: {error}") from error
        if not isinstance(found, Ansatz):
            raise ConfigError(
                f"ansatz {ansatz!r} must return a qrnn.Ansatz, got {type(found).__name__}"
            )
        return found
    if options:
        raise ConfigError(f"a custom ansatz takes no options, got {sorted(options)}")
    if isinstance(ansatz, Ansatz):
        if ansatz.n_wires != n_wires:
            raise ConfigError(f"n_qubits must be the ansatz's {ansatz.n_wires}, got {n_wires}")
        return ansatz
    if n_angles is None:
        raise ConfigError("a custom ansatz needs its number of angles: pass n_angles=...")
    n_angles = whole("n_angles", n_angles, 1)
    return Ansatz(ansatz, n_wires, n_angles, pairs_of("line", n_wires))
