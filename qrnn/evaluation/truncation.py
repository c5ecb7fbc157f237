"""What is lost where a device replays only the last steps (`device.replay`)."""

from __future__ import annotations

from typing import Any

import torch

from qrnn.data.parts import Part
from qrnn.errors import QRNNError
from qrnn.evaluation.predict import record_controls
from qrnn.models.base import Model
from qrnn.models.cells import cells_of


def truncation(
    model: Model, part: Part, window: int, batch_size: int | None = None
) -> float | None:
    """Return the error of z that replaying only the last steps makes by itself.

    Simulated exactly on `fused`, with the angles of the whole replay.

    Args:
        model: the trained model.
        part: the sequences.
        window: number of steps that are replayed.
        batch_size: number of sequences at once; None: all.

    Returns:
        The root mean square difference of the readouts over all steps; None: the model has several
        cells or none, the sequences differ in length, or `fused` cannot run the model.
    """
    if len(cells_of(model)) != 1 or model.projects or part.n_steps is None:
        return None
    total, count = 0.0, 0
    try:
        exact: Any = model.on("fused").eval()  # a copy
        with torch.no_grad():
            for batch in part.sequences("device.replay").all_batches(batch_size):
                error = _squares(exact, batch.x, window)
                total, count = total + error.sum().item(), count + error.numel()
    except QRNNError:  # the evaluation itself must not be lost
        return None
    return (total / count) ** 0.5


def _squares(exact: Any, x: torch.Tensor, window: int) -> torch.Tensor:
    """Return the squared errors of z (B, T, R), double."""
    memory, controls = exact.rnn.cell.memory, record_controls(exact, x)
    expected = memory.run(controls)
    error = torch.zeros_like(expected, dtype=torch.float64)
    for t in range(window, controls.shape[1]):
        last = memory.run(controls[:, t + 1 - window : t + 1], [window - 1])[:, 0]
        error[:, t] = (last - expected[:, t]).double().square()
    return error
