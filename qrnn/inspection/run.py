"""Inspect one cell of a trained model on some sequences, on one or two devices."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from qrnn.data import IGNORED, SPLITS, Batch, Split, TaskData
from qrnn.devices import Device, DeviceOptions, open_device
from qrnn.devices.noise import described
from qrnn.errors import ConfigError
from qrnn.evaluation.evaluation import check_runnable
from qrnn.evaluation.hardware import DeviceRun, start_run
from qrnn.inspection.hybrid_cells import CellInfo, angle_names, hybrid_cell
from qrnn.inspection.quantities import fidelities
from qrnn.inspection.result import NONE, Inspection, joined
from qrnn.inspection.tracing import Trace, as_array, by_chunks, shows_state, trace
from qrnn.models.base import Model
from qrnn.models.identity import model_identity
from qrnn.utils.checkpoints import results_folder
from qrnn.utils.modes import evaluating
from qrnn.utils.progress import progress_bar
from qrnn.utils.registry import unknown_name


def inspect(
    checkpoint: str | Path,
    index: int | Sequence[int] = 0,
    *,
    split: str = "test",
    cell: int = 0,
    device: str | DeviceOptions | Device | None = None,
    gradient: bool = True,
    states: bool = False,
    data_dir: str | None = None,
    progress: bool = False,
    **options: Any,
) -> Inspection:
    """Record the states and readouts of a hybrid cell of a trained model, step by step.

    Args:
        checkpoint: a file that `qrnn train` wrote, or the name of a shipped one.
        index: index of a sequence, from 0, or a list of several. A text is cut into windows of
            `task.steps` tokens, each of which starts from the initial state.
        split: `test`, `val` or `train`.
        cell: number of the cell, in a model with several layers or directions.
        device: a second device to compare with; None: only the model's own.
        gradient: whether to differentiate the loss.
        states: whether to return the states as well, 2^n or 4^n numbers per step.
        data_dir: folder of the data, if it has moved since training.
        progress: whether to show a progress bar.
        **options: fields of `DeviceOptions`, e.g. `noise="depolarizing", strength=0.002`.

    Returns:
        The inspection; `qrnn.inspection.draw` plots it.

    Raises:
        ConfigError: there is no such index, split or cell, or the model has no hybrid cell.
        DataError: the file is not a checkpoint, or its data is missing.
        DeviceError: the second device cannot run the model.

    Examples:
        >>> found = qrnn.inspect("runs/demo/best.ckpt", 12)  # doctest: +SKIP
        >>> found.trace.bloch.shape  # doctest: +SKIP
        (1, 8, 6, 3)
    """
    if device is None and options:
        raise ConfigError(f"device must be named with its options, got only {', '.join(options)}")
    if device is not None:
        device = open_device(device, **options)
    from qrnn.training.checkpoint import load_data, load_model

    model, config = load_model(checkpoint)
    hybrid_cell(model, cell, f"model={config.model.name}")  # fails before the data is loaded
    return inspect_model(
        model,
        load_data(config, data_dir),
        index,
        split=split,
        cell=cell,
        device=device,
        gradient=gradient,
        states=states,
        folder=results_folder(checkpoint),
        progress=progress,
    )


def inspect_model(
    model: Model,
    data: TaskData,
    index: int | Sequence[int] = 0,
    *,
    split: str = "test",
    cell: int = 0,
    device: str | DeviceOptions | Device | None = None,
    gradient: bool = True,
    states: bool = False,
    folder: str | Path | None = None,
    progress: bool = False,
) -> Inspection:
    """Inspect a model in memory; see `inspect`.

    Args:
        model: the model, on its own device.
        data: the task's data.
        index: index of a sequence, or a list of several.
        split: `test`, `val` or `train`.
        cell: number of the cell.
        device: a second device, or None.
        gradient: whether to differentiate the loss.
        states: whether to return the states.
        folder: folder that records the jobs of an IBM device; None: only `device.ledger`, if set.
        progress: whether to show a progress bar.

    Raises:
        ConfigError: see `inspect`.
        DeviceError: see `inspect`.
    """
    place = hybrid_cell(model, cell)
    if split not in SPLITS:
        raise unknown_name("split", split, SPLITS)
    part = getattr(data, split).windows()
    rows = rows_of(index, len(part), split)
    other = None if device is None else open_device(device)
    if other is not None:
        check_runnable(model, part, "closed", other.spec.submits_jobs)
    singles = [one_of(part, row) for row in rows]
    steps = [n_steps(one.batch([0]), place) for one in singles]
    about: dict[str, Any] = {
        "split": split,
        "cell": cell,
        "cell_name": place.name,
        "device": place.cell.device.name,
        "device_beside": None if other is None else description(other),
        "words": place.cell.circuit.words,
        "angles": tuple(angle_names(place.cell.circuit)),
        "vocabulary": data.classes if place.decoder else data.vocabulary,
        "classes": data.classes,
        "checkpoint": model_identity(model),
    }
    found = []
    with evaluating(model), progress_bar("steps", progress) as bar:
        todo = [
            bar.add_task(one.name, total=sum(steps))
            for one in (place.cell.device, other)
            if one is not None
        ]
        for row, one, length in zip(rows, singles, steps, strict=True):
            batch = one.batch([0])
            mine, tokens = look(
                DeviceRun(model), cell, batch, gradient, partial(bar.advance, todo[0])
            )
            compared: dict[str, Any] = {}
            if other is not None:
                with start_run(
                    model,
                    other,
                    one,
                    feedback="closed",
                    reading={},
                    batch_size=None,
                    folder=folder,
                    quiet=not progress,
                ) as on:
                    theirs, _ = look(on, cell, batch, False, partial(bar.advance, todo[1]))
                compared = comparison(mine, theirs, states)
            position = np.arange(length)[:: -1 if place.backward else 1]
            found.append(
                Inspection(
                    **about,
                    index=np.array(row),
                    length=np.array(length),
                    position=position,
                    tokens=None if tokens is None else tokens[position],
                    image=data.images and np.array_equal(mine.x, as_array(batch.x[0])[position]),
                    labels=truth_of(model, batch),
                    trace=mine if states else replace(mine, state=None),
                    **compared,
                )
            )
    return joined(found)


def n_steps(batch: Batch, place: CellInfo) -> int:
    """Return the number of steps that a cell takes for a batch."""
    return (batch.y if place.decoder else batch.x).shape[1]


def look(
    on: DeviceRun, cell: int, batch: Batch, gradient: bool, advance: Callable[[], Any]
) -> tuple[Trace, np.ndarray | None]:
    """Run a model on one sequence, and trace a cell.

    Args:
        on: the model, on the device that runs it.
        cell: number of the cell.
        batch: a batch of one sequence.
        gradient: whether to differentiate the loss, if the device provides the state.
        advance: called after each step of the cell.

    Returns:
        The trace of the cell, and the tokens (T,) whose embeddings it reads, or None.
    """
    place, count = hybrid_cell(on.model, cell), itertools.count()
    given: list[torch.Tensor] = []
    logits: list[torch.Tensor] = []

    def run() -> torch.Tensor:
        logits.append(on.model.answer(batch).logits)
        return loss_of(on.model, logits[0], batch)

    hooks = [
        place.cell.register_forward_pre_hook(lambda *call: on.note(str(next(count)), "0-0")),
        place.cell.register_forward_hook(lambda *call: advance()),
    ]
    if place.embed is not None:
        hooks.append(
            place.embed.register_forward_pre_hook(lambda module, read: given.append(read[0]))
        )
    try:
        with torch.set_grad_enabled(gradient and shows_state(place.cell)):
            found = trace(place.cell, run)
    finally:
        for hook in hooks:
            hook.remove()
    with torch.no_grad():
        loss = loss_of(on.model, logits[0], batch)
        predictions = predictions_of(on.model, logits[0], batch)
    found = replace(found, loss=as_array(loss), predictions=predictions)
    tokens = as_array(given[0][0]) if given and given[0].ndim == 2 else None
    return found, tokens


def loss_of(model: Model, outputs: torch.Tensor, batch: Batch) -> torch.Tensor:
    """Return the mean loss of a batch of one sequence."""
    return model.objective.losses(*model.objective.asked(outputs, batch.y)).mean()


def predictions_of(model: Model, outputs: torch.Tensor, batch: Batch) -> np.ndarray:
    """Return the predictions (U,) of one sequence: labels, -1 for steps without one; or numbers."""
    found = model.objective.answers(outputs).flatten()
    if batch.y.is_floating_point():
        return as_array(found.masked_fill(batch.y.flatten().isnan(), torch.nan))
    return as_array(found.masked_fill(batch.y.flatten() == IGNORED, NONE))


def truth_of(model: Model, batch: Batch) -> np.ndarray:
    """Return the true labels (U,) of one sequence, -1 for steps without one; or numbers."""
    if batch.y.is_floating_point():
        return as_array(model.objective.truth(batch.y).flatten())
    return as_array(batch.y.flatten().masked_fill(batch.y.flatten() == IGNORED, NONE))


def comparison(mine: Trace, theirs: Trace, states: bool) -> dict[str, Any]:
    """Return the fields of an `Inspection` that compare with a second device."""
    fidelity = None
    if mine.state is not None and theirs.state is not None:
        fidelity = by_chunks(fidelities, mine.state, theirs.state)
    return {
        "beside": theirs if states else replace(theirs, state=None),
        "rms_z": np.sqrt(((theirs.z - mine.z) ** 2).mean(1)),
        "fidelity": fidelity,
    }


def one_of(part: Split, row: int) -> Split:
    """Return one sequence of a split."""
    lengths = None if part.lengths is None else part.lengths[row : row + 1]
    return Split(part.x[row : row + 1], part.y[row : row + 1], lengths)


def rows_of(index: int | Sequence[int], size: int, split: str) -> list[int]:
    """Return the indices as a list.

    Raises:
        ConfigError: there is no index, or one is not that of a sequence.
    """
    several = isinstance(index, (list, tuple, range, np.ndarray))
    rows: list[Any] = list(index) if several else [index]  # type: ignore[arg-type]
    whole = all(isinstance(row, (int, np.integer)) and type(row) is not bool for row in rows)
    if not rows or not whole or not all(0 <= row < size for row in rows):
        raise ConfigError(
            f"index must be one or several whole numbers in 0..{size - 1} ({split} has {size} "
            f"sequences), got {index!r}: use index=12 or index=[3,12]"
        )
    return [int(row) for row in rows]


def description(device: Device) -> str:
    """Return a device's name, noise and shots as text."""
    options = device.options
    parts = [device.name]
    if options.noise is not None:
        parts.append(described(vars(options)))
    if options.shots is not None:
        parts.append(f"{options.shots} shots")
    return ", ".join(parts)
