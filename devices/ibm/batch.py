"""Convert a batch of tapes to blocks, and the blocks' bits to results."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from pennylane.tape import QuantumScript
from pennylane.wires import Wires

from qrnn.devices.ibm.jobs import Block
from qrnn.devices.ibm.readout import MidBit, Plan, Recipe
from qrnn.devices.ibm.results import postselected_results, results
from qrnn.devices.ibm.translate import Structure, native, read, rows


class _Place(NamedTuple):
    """The bits of one setting of a tape: rows of a block, and the wire of each bit."""

    block: int
    rows: slice
    labels: list[Any]


class _Tape(NamedTuple):
    tape: QuantumScript
    recipes: list[Recipe]
    places: list[_Place]
    postselected: dict[int, int]


class Batch:
    """Tapes as blocks, one for each structure, measurement setting and number of shots.

    Args:
        tapes: preprocessed tapes.
        wires: wires of the device; None: each tape's own wires.
    """

    def __init__(self, tapes: Sequence[QuantumScript], wires: Wires | None):
        self._wires = wires
        self._index: dict[tuple[Structure, int], int] = {}
        self._parts: list[list[np.ndarray]] = []
        self._mid_circuit: set[int] = set()  # blocks with such readouts
        self._tapes = [self._enter(tape) for tape in tapes]

    @property
    def blocks(self) -> list[Block]:
        """The blocks to run."""
        return [
            Block(structure, np.concatenate(parts), shots, index in self._mid_circuit)
            for index, ((structure, shots), parts) in enumerate(
                zip(self._index, self._parts, strict=True)
            )
        ]

    def _enter(self, tape: QuantumScript) -> _Tape:
        wires = self._wires or tape.wires
        positions = {wire: i for i, wire in enumerate(wires)}
        body = read(tape.operations, positions, tape.measurements)
        plan = Plan(tape.measurements, tape.wires, body.bits)
        table = rows(body.angles, tape.batch_size)
        places = []
        for setting in plan.settings:
            turn = read(native(setting.gates), positions)
            measured = tuple(sorted(positions[wire] for wire in setting.basis))
            structure = Structure(len(wires), (*body.steps, *turn.steps), measured)
            values = np.hstack([table, np.tile(rows(turn.angles, None), (len(table), 1))])
            labels = [wires[p] for p in measured] + [MidBit(j) for j in range(len(body.bits))]
            places.append(_Place(*self._append(structure, tape.shots.total_shots, values), labels))
        if any(mp.mv is not None for mp in tape.measurements):
            self._mid_circuit.update(place.block for place in places)
        return _Tape(tape, plan.recipes, places, body.postselected)

    def _append(self, structure: Structure, shots: int, values: np.ndarray) -> tuple[int, slice]:
        """Add rows to the block of a structure; return the block's index and the rows' slice."""
        block = self._index.setdefault((structure, shots), len(self._index))
        if block == len(self._parts):
            self._parts.append([])
        start = sum(len(part) for part in self._parts[block])
        self._parts[block].append(values)
        return block, slice(start, start + len(values))

    def zeros(self) -> tuple:
        """Return each tape's result if all measurements give 0."""
        cut = any(one.tape.shots.has_partitioned_shots for one in self._tapes)
        bits = [  # of one shot, which has the same means
            np.zeros((len(one.values), one.shots if cut else 1, one.structure.bits), np.uint8)
            for one in self.blocks
        ]
        return self.results(bits)[0]

    def results(
        self, bits: Sequence[np.ndarray], corrections: Sequence[np.ndarray] | None = None
    ) -> tuple[tuple, tuple]:
        """Return each tape's result, and the fraction of shots kept by its postselection.

        Args:
            bits: for each block, an array (rows, shots, bits) of 0 and 1.
            corrections: for each block, its readout corrections from `Calibration`.

        Returns:
            The results; and for each, the fractions (B,), or None without postselection.
        """
        out, shares = [], []
        for tape, recipes, places, postselected in self._tapes:
            chosen = [bits[place.block][place.rows] for place in places]
            labels = [place.labels for place in places]
            fixes = [corrections[place.block] if corrections else None for place in places]
            share = None
            common = (recipes, chosen, labels, fixes, tape.shots, tape.batch_size)
            if postselected and places:
                result, share = postselected_results(*common, postselected)
            else:
                result = results(*common)
            out.append(result)
            shares.append(share)
        return tuple(out), tuple(shares)
