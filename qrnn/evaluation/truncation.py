"""What is lost where a device replays only the last steps (`device.replay`)."""

from __future__ import annotations

from typing import Any

import torch

from qrnn.data.parts import Part
from qrnn.evaluation.predict import record_controls
from qrnn.models.base import Model
from qrnn.models.cells import cells_of, device_of


def truncation(model: Model, part: Part, window: int) -> float | None:
    """Return the error of z that replaying only the last steps makes by itself.

    Simulated exactly, with the angles of the whole replay.

    Args:
        model: the trained model.
        part: the sequences.
        window: number of steps that are replayed.

    Returns:
        The root mean square difference of the readouts over all steps; None: the model has several
        cells or none, or the sequences differ in length.
    """
    if len(cells_of(model)) != 1 or model.projects or part.n_steps is None:
        return None
    own = device_of(model)
    whole = own is not None and own.exact and own.options.replay is None
    exact: Any = model if whole else model.on("fused")
    x = part.sequences("device.replay").x
    total, memory = 0.0, exact.rnn.cell.memory
    with torch.no_grad():
        controls = record_controls(exact, x)
        expected = memory.run(controls)
        for t in range(window, controls.shape[1]):
            last = memory.run(controls[:, t + 1 - window : t + 1], [window - 1])[:, 0]
            total += (last - expected[:, t]).double().square().sum().item()
    return (total / expected.numel()) ** 0.5
