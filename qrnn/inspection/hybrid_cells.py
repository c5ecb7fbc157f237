"""Find a model's hybrid cells, and name their angles."""

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
class CellInfo:
    """A hybrid cell and its position in a model.

    Attributes:
        cell: the cell.
        name: its position, such as "layer 1, forward".
        backward: whether it reads sequences from their end.
        embed: the embedding of its inputs; None: it reads the readouts of the layer below.
        decoder: whether it reads target tokens.
    """

    cell: QRNNCell
    name: str
    backward: bool
    embed: nn.Module | None
    decoder: bool = False


def hybrid_cells(model: nn.Module) -> list[CellInfo]:
    """Return a model's hybrid cells in the order of `cell=0, 1, ...`.

    The order is encoder before decoder, layer by layer, forward before backward.
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
            names = [part] if part else []
            names.append(f"layer {layer + 1}")
            if rnn.directions == 2:
                names.append("backward" if backward else "forward")
            name, own_embed = ", ".join(names), None if layer else embed
            found.append(CellInfo(cell, name, backward, own_embed, part == "decoder"))
    return found


def hybrid_cell(model: nn.Module, cell: int, name: str | None = None) -> CellInfo:
    """Return one hybrid cell of a model.

    Args:
        model: the model.
        cell: number of the cell.
        name: the model's name, for the message.

    Raises:
        ConfigError: the model has no hybrid cell, or none with this number.
    """
    found = hybrid_cells(model)
    if not found:
        raise ConfigError(
            f"the model to inspect must have a hybrid cell, got {name or type(model).__name__}: "
            "only model=hybrid has one"
        )
    cell = whole("cell", cell)
    if not 0 <= cell < len(found):
        shown = ", ".join(f"{k} ({info.name})" for k, info in enumerate(found))
        raise ConfigError(f"cell must be one of {shown}, got {cell}")
    return found[cell]


def angle_names(circuit: StepCircuit) -> list[str]:
    """Return a name for each of the P angles: "RY 0" for RY on qubit 0, or "3" for angle 3.

    An angle is named after a gate if it is the parameter of that gate only; a second such gate on
    the same qubit is "RY 0 (2)".
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
