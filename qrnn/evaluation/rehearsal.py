"""Rehearse a run on an IBM device: the same calls, whose circuits are only counted."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from qrnn.data import Part
from qrnn.devices.ibm import Estimate, IBMDevice, estimate, estimate_of
from qrnn.evaluation.damping import Calibration


def rehearsed(
    target: Any,
    plugin: IBMDevice,
    part: Part,
    feedback: str,
    batch_size: int | None,
    calibration: Calibration | None = None,
    *,
    translates: bool = False,
) -> Estimate:
    """Return the estimate of an evaluation or a prediction.

    Args:
        target: the model on the device.
        plugin: its IBM device.
        part: the sequences, or a text.
        feedback: `closed` or `open`.
        batch_size: number of sequences that run together; None: all.
        calibration: what runs first; None: nothing.
        translates: whether sentences are translated as well.

    Raises:
        DeviceError: the device cannot run one of the circuits.
    """
    batches = part.all_batches(batch_size)
    if target.projects:  # after the projections, nothing is left of shots that all measure 0
        return estimate(plugin, (target.tapes(batch) for batch in batches))

    def run() -> None:
        if calibration is not None:
            split = calibration.sequences
            _open(target, len(split), split.x.shape[1], calibration.steps)
        state = None
        for i, batch in enumerate(batches):
            if feedback == "open":
                steps = batch.x.shape[1]
                _open(target, len(batch.x), steps, target.steps_read(steps))
                continue
            answer = target.answer(batch, state if part.continues(batches, i) else None)
            state = answer.state
        for batch in batches if translates else []:
            target.sentences(batch, EveryWord(), longest=True)

    with torch.no_grad():
        return estimate_of(plugin, run)


class EveryWord(Sequence[str]):
    """A vocabulary of which every token is the same word."""

    def __len__(self) -> int:
        return 1

    def __getitem__(self, index: Any) -> Any:
        return "word"


def _open(target: Any, rows: int, steps: int, read: Sequence[int]) -> None:
    """Run the open loop with the angles of the bias."""
    cell = target.rnn.cell
    cell.memory.run(cell.quantum.bias.new_zeros(rows, steps, cell.circuit.n_angles), read)
