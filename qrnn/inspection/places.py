"""Where a model's hybrid cells are, and what their angles turn."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from torch import nn

from qrnn.cell.cell import QRNNCell
from qrnn.cell.rnn import QRNN
from qrnn.circuit.step import StepCircuit
from qrnn.errors import ConfigError
from qrnn.models.base import Model, Recurrent
from qrnn.utils.checks import whole


@dataclass(frozen=True)
class Place:
    """A hybrid cell of a model.

    Attributes:
        cell: the cell.
        name: where it is, in words: "layer 1, forward".
        backward: whether it reads the sequences from their end.
        embed: what the task's inputs go through before the cell reads them; None: it reads the
            readouts of the layer below.
        decoder: whether it reads target tokens.
    """

    cell: QRNNCell
    name: str
    backward: bool
    embed: nn.Module | None
    decoder: bool = False


def places(model: nn.Module) -> list[Place]:
    """Return the hybrid cells of a model in the order of `cell=0, 1, ...`.

    Encoder before decoder, layer by layer, forward before backward.
    """
    if isinstance(model, Model):
        networks = model.networks()
    else:
        networks = [Recurrent("", getattr(model, "rnn", model), getattr(model, "embed", None))]
    found = []
    for part, rnn, embed in networks:
        if not isinstance(rnn, QRNN):
            continue
        for k, cell in enumerate(rnn.cells):
            if not isinstance(cell, QRNNCell):
                continue
            layer, backward = k // rnn.directions, bool(k % rnn.directions)
            words = [part] if part else []
            words.append(f"layer {layer + 1}")
            if rnn.directions == 2:
                words.append("backward" if backward else "forward")
            found.append(
                Place(cell, ", ".join(words), backward, None if layer else embed, part == "decoder")
            )
    return found


def place_of(model: nn.Module, cell: int, name: str | None = None) -> Place:
    """Return one hybrid cell of a model.

    Args:
        model: the model.
        cell: its number.
        name: of the model, for the message.

    Raises:
        ConfigError: the model has no hybrid cell, or none of that number.
    """
    found = places(model)
    if not found:
        raise ConfigError(
            f"the model to inspect must have a hybrid cell, got {name or type(model).__name__}: "
            "only model=hybrid has one"
        )
    cell = whole("cell", cell)
    if not 0 <= cell < len(found):
        shown = ", ".join(f"{k} ({place.name})" for k, place in enumerate(found))
        raise ConfigError(f"cell must be one of {shown}, got {cell}")
    return found[cell]


def angle_names(circuit: StepCircuit) -> list[str]:
    """Return what each of the P angles turns: "RY 0" for RY on qubit 0, or "3" for angle 3.

    An angle has a gate's name where it is the parameter of that gate and of no other; the second
    such gate on the same qubit is "RY 0 (2)".
    """
    affine, names = circuit.affine(), [str(p) for p in range(circuit.n_angles)]
    if affine is None:
        return names
    matrix, offset = affine
    gates = [gate for gate in circuit.gates for _ in gate.data]
    for p, column in enumerate(matrix.T):
        rows = column.nonzero().flatten().tolist()
        if len(rows) == 1 and column[rows[0]] == 1 and offset[rows[0]].abs() < 1e-9:
            row = rows[0]
            if matrix[row].count_nonzero() == 1:
                wires = ",".join(map(str, gates[row].wires))
                names[p] = f"{gates[row].name} {wires}"
    times: Counter[str] = Counter()
    for p, name in enumerate(names):
        times[name] += 1
        if times[name] > 1:
            names[p] = f"{name} ({times[name]})"
    return names
