"""Inspecting a trained model: some sequences, one cell, one or two devices."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.nn.functional import cross_entropy

from qrnn.data import IGNORED, SPLITS, Batch, Split, TaskData
from qrnn.devices import Device, DeviceOptions, open_device
from qrnn.errors import ConfigError
from qrnn.evaluation.evaluation import check_runnable
from qrnn.evaluation.hardware import DeviceRun, start_run
from qrnn.inspection.places import Place, angle_names, place_of
from qrnn.inspection.quantities import fidelities
from qrnn.inspection.result import NONE, Inspection, joined
from qrnn.inspection.tracing import Trace, as_array, by_chunks, shows_state, trace
from qrnn.models.base import Model, asked
from qrnn.models.identity import model_identity
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
    """Look at what a hybrid cell of a trained model does, step by step.

    Args:
        checkpoint: a file that `qrnn train` wrote.
        index: of one or several sequences, counted from 0. A text is cut into windows of
            `task.steps` tokens, each of which begins anew.
        split: `test`, `val` or `train`.
        cell: number of the cell, in a model of several layers or directions.
        device: another device to run beside the model's own; None: no other.
        gradient: whether to differentiate the loss.
        states: whether to keep the states themselves too: 2^n or 4^n numbers a step.
        data_dir: where the data lies now, if not where the training found it.
        progress: whether to show a progress bar.
        **options: fields of `DeviceOptions`, e.g. `noise="depolarizing", strength=0.002`.

    Returns:
        The numbers; `qrnn.inspection.draw` makes pictures of them.

    Raises:
        ConfigError: an index, split or cell that there is not, or a model without a hybrid cell.
        DataError: not a checkpoint, or its data is missing.
        DeviceError: the other device cannot run the model.

    Examples:
        >>> found = qrnn.inspect("runs/demo/best.ckpt", 12)  # doctest: +SKIP
        >>> found.trace.bloch.shape  # doctest: +SKIP
        (1, 8, 6, 3)
    """
    if device is None and options:
        raise ConfigError(f"device must be named with its options, got {', '.join(options)} alone")
    if device is not None:
        device = open_device(device, **options)
    from qrnn.training.checkpoint import load_data, load_model

    model, config = load_model(checkpoint)
    place_of(model, cell, f"model={config.model.name}")  # before the data is loaded
    return inspect_model(
        model,
        load_data(config, data_dir),
        index,
        split=split,
        cell=cell,
        device=device,
        gradient=gradient,
        states=states,
        folder=Path(checkpoint).parent,
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
    """Do what `inspect` does, for a model and data at hand.

    Args:
        model: on its own device.
        data: the task's.
        index: see `inspect`; as are the others.
        split: `test`, `val` or `train`.
        cell: number of the cell.
        device: the other device, or None.
        gradient: whether to differentiate the loss.
        states: whether to keep the states.
        folder: where jobs on an IBM device are recorded; None: only where `device.ledger` says.
        progress: whether to show a progress bar.

    Raises:
        ConfigError: as `inspect` does.
        DeviceError: as `inspect` does.
    """
    place = place_of(model, cell)
    if split not in SPLITS:
        raise unknown_name("split", split, SPLITS)
    part = getattr(data, split).windows()
    rows = rows_of(index, len(part), split)
    other = None if device is None else open_device(device)
    if other is not None:
        check_runnable(model, part, "closed", other.spec.submits_jobs)
    model.eval()
    singles = [one_of(part, row) for row in rows]
    steps = [n_steps(one.batch([0]), place) for one in singles]
    about: dict[str, Any] = {
        "split": split,
        "cell": cell,
        "cell_name": place.name,
        "device": place.cell.device.name,
        "device_beside": None if other is None else in_words(other),
        "words": place.cell.circuit.words,
        "angles": tuple(angle_names(place.cell.circuit)),
        "vocabulary": data.classes if place.decoder else data.vocabulary,
        "classes": data.classes,
        "checkpoint": model_identity(model),
    }
    found = []
    with progress_bar("steps", progress) as bar:
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
                    labels=labels_of(batch.y.flatten(), batch),
                    trace=mine if states else replace(mine, state=None),
                    **compared,
                )
            )
    return joined(found)


def n_steps(batch: Batch, place: Place) -> int:
    """Return how many steps a cell takes with a batch."""
    return (batch.y if place.decoder else batch.x).shape[1]


def look(
    on: DeviceRun, cell: int, batch: Batch, gradient: bool, advance: Callable[[], Any]
) -> tuple[Trace, np.ndarray | None]:
    """Run a model with one sequence, and look at a cell.

    Args:
        on: the model, on the device to run it on.
        cell: number of the cell.
        batch: of one sequence.
        gradient: whether to differentiate the loss, if the device shows its state.
        advance: is called behind each step of the cell.

    Returns:
        What the cell did, and the tokens (T,) that its inputs embed, or None.
    """
    place, count = place_of(on.model, cell), itertools.count()
    given: list[torch.Tensor] = []
    logits: list[torch.Tensor] = []

    def run() -> torch.Tensor:
        logits.append(on.model.answer(batch).logits.flatten(0, -2))
        return cross_entropy(*asked(logits[0], batch.y))

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
        loss = cross_entropy(*asked(logits[0], batch.y))
    found = replace(found, loss=as_array(loss), predictions=labels_of(logits[0].argmax(1), batch))
    tokens = as_array(given[0][0]) if given and given[0].ndim == 2 else None
    return found, tokens


def labels_of(labels: torch.Tensor, batch: Batch) -> np.ndarray:
    """Return labels (U,) of one sequence, -1 where none is asked for."""
    return as_array(labels.masked_fill(batch.y.flatten() == IGNORED, NONE))


def comparison(mine: Trace, theirs: Trace, states: bool) -> dict[str, Any]:
    """Return the fields of an `Inspection` that a second device brings."""
    fidelity = None
    if mine.state is not None and theirs.state is not None:
        fidelity = by_chunks(fidelities, mine.state, theirs.state)
    return {
        "beside": theirs if states else replace(theirs, state=None),
        "rms_z": np.sqrt(((theirs.z - mine.z) ** 2).mean(1)),
        "fidelity": fidelity,
    }


def one_of(part: Split, row: int) -> Split:
    """Return one sequence of a part."""
    lengths = None if part.lengths is None else part.lengths[row : row + 1]
    return Split(part.x[row : row + 1], part.y[row : row + 1], lengths)


def rows_of(index: int | Sequence[int], size: int, split: str) -> list[int]:
    """Return the indices as a list.

    Raises:
        ConfigError: one that is no sequence of the part, or none at all.
    """
    several = isinstance(index, (list, tuple, range, np.ndarray))
    rows: list[Any] = list(index) if several else [index]  # type: ignore[arg-type]
    whole = all(isinstance(row, (int, np.integer)) and type(row) is not bool for row in rows)
    if not rows or not whole or not all(0 <= row < size for row in rows):
        raise ConfigError(
            f"index must be one or several whole numbers of 0..{size - 1} ({split} has {size} "
            f"sequences), got {index!r}: write index=12 or index=[3,12]"
        )
    return [int(row) for row in rows]


def in_words(device: Device) -> str:
    """Return a device and how it is read in a few words."""
    options = device.options
    words = [device.name]
    if options.noise is not None:
        words.append(f"{options.noise} {options.strength:g}")
    if options.shots is not None:
        words.append(f"{options.shots} shots")
    return ", ".join(words)
