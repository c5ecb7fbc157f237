"""Evaluating a trained model on another device, beside the device that trained it."""

from __future__ import annotations

import itertools
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    TextColumn,
    TimeRemainingColumn,
)
from rich.table import Table

from qrnn.data import Split
from qrnn.devices import DeviceOptions, open_device
from qrnn.errors import ConfigError
from qrnn.files import write_text
from qrnn.hardware_run import Cost, started
from qrnn.models import SequenceClassifier
from qrnn.registry import unknown_name

FEEDBACKS = ("closed", "open")
# Options that are left out of the kept numbers: whose account it was, and a path in `cost`.
UNTOLD = ("instance", "ledger")


@dataclass(frozen=True)
class Evaluation:
    """What a model did on a device.

    Attributes:
        device: the device's name.
        options: the options that were set on it.
        reference: the device that the model was trained on.
        feedback: `closed`: the device's own readouts drove the controller; `open`: the angles came
            from the reference device, and this one only measured.
        readout_mode: how the cell was read on the device.
        readout_angle: of mode `measure`, radians.
        sequences: number of sequences.
        accuracy: share of right classes.
        agreement: share of sequences with the same class as on the reference.
        rms_z: root mean square of the readouts' difference to the reference, over all steps.
        rms_z_steps: the same at each time step.
        seconds: wall-clock time on the device.
        predictions: class of each sequence.
        labels: right class of each sequence.
        cost: what it took from an IBM backend or its simulated copy; None on other devices.
    """

    device: str
    options: dict
    reference: str
    feedback: str
    readout_mode: str
    readout_angle: float | None
    sequences: int
    accuracy: float
    agreement: float
    rms_z: float
    rms_z_steps: list[float]
    seconds: float
    predictions: list[int]
    labels: list[int]
    cost: Cost | None = None


# Called with the step and the sequences that a device is about to run, for its records.
Note = Callable[[str, str], None]


def _no_note(step: str, sequences: str) -> None:
    pass


def columns(unit: str) -> tuple[ProgressColumn, ...]:
    """Return a progress bar that counts `unit` and says how long it will still take."""
    return (
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TextColumn(unit),
        TimeRemainingColumn(),
    )  # fmt: skip


def run(
    model: SequenceClassifier,
    x: torch.Tensor,
    batch_size: int | None,
    title: str | None = None,
    note: Note = _no_note,
) -> tuple[torch.Tensor, torch.Tensor, float]:
    """Return classes (N,), readouts (N, T, R) and seconds; with a title, show a progress bar.

    The bar counts steps of time: on a device that replays, each is one round of circuits.
    """
    size = batch_size or len(x)
    rounds = -(-len(x) // size) * x.shape[1]
    done = itertools.count()

    def announce(*_) -> None:
        batch, step = divmod(next(done), x.shape[1])
        note(str(step), span(batch * size, size, len(x)))

    start = time.perf_counter()
    with torch.no_grad(), Progress(
        *columns("steps"), console=Console(stderr=True), transient=True, disable=title is None
    ) as progress:  # fmt: skip
        bar = progress.add_task(title or "", total=rounds)
        hooks = (
            model.rnn.cell.register_forward_pre_hook(announce),
            model.rnn.cell.register_forward_hook(lambda *_: progress.advance(bar)),
        )
        try:
            z = torch.cat([model.readouts(part) for part in x.split(size)])
        finally:
            for hook in hooks:
                hook.remove()
        classes = model.head(z[:, -1]).argmax(1)
    return classes, z, time.perf_counter() - start


def span(first: int, size: int, most: int) -> str:
    """Return a range of indices in words: "0-31"."""
    return f"{first}-{min(first + size, most) - 1}"


def record_controls(model: SequenceClassifier, x: torch.Tensor) -> torch.Tensor:
    """Return what the controller put out at each step, (N, T, P) radians without the bias."""
    controls: list[torch.Tensor] = []
    hook = model.rnn.cell.controller.register_forward_hook(
        lambda module, inputs, output: controls.append(output)
    )
    try:
        with torch.no_grad():
            model.readouts(x)
    finally:
        hook.remove()
    return torch.stack(controls, 1)


def run_open(
    reference: SequenceClassifier,
    target: SequenceClassifier,
    x: torch.Tensor,
    batch_size: int | None,
    title: str | None = None,
    note: Note = _no_note,
) -> tuple[torch.Tensor, torch.Tensor, float]:
    """Return what `run` does, for the reference's angles: one execution for each batch."""
    size = batch_size or len(x)
    start = time.perf_counter()
    with torch.no_grad(), Progress(
        *columns("batches"), console=Console(stderr=True), transient=True, disable=title is None
    ) as progress:  # fmt: skip
        z = []
        for first in progress.track(range(0, len(x), size), description=title or ""):
            controls = record_controls(reference, x[first : first + size])
            note(span(0, x.shape[1], x.shape[1]), span(first, size, len(x)))
            z.append(target.rnn.cell.memory.run(controls))
        readouts = torch.cat(z)
        classes = target.head(readouts[:, -1]).argmax(1)
    return classes, readouts, time.perf_counter() - start


def evaluate(
    model: SequenceClassifier,
    split: Split,
    device: str | DeviceOptions,
    *,
    feedback: str = "closed",
    readout_mode: str | None = None,
    readout_angle: float | None = None,
    batch_size: int | None = None,
    folder: str | Path | None = None,
    progress: bool = True,
) -> Evaluation:
    """Evaluate a trained model on a device, and compare with the device it is on.

    Args:
        model: the model, on the device to compare with.
        split: the sequences.
        device: name of a device, or its options.
        feedback: `closed` or `open`; see `Evaluation`. Open, a device that replays runs all steps
            of all sequences at once instead of T rounds.
        readout_mode: `expval` or `measure`; None: as the model was trained.
        readout_angle: of mode `measure`, radians.
        batch_size: sequences that run at once; None: all, which is fewest jobs on hardware.
        folder: the run's folder, where the jobs of an IBM device are recorded, so that the same
            call goes on after a crash; None: only where `device.ledger` says.
        progress: whether to show a progress bar, and an IBM device's price.

    Raises:
        ConfigError: no sequences, or options that the device would ignore.
        DeviceError: the device cannot run the model, or its budget does not suffice.
    """
    if len(split) < 1 or (batch_size is not None and batch_size < 1):
        raise ConfigError(
            f"limit and batch_size must be at least 1, got {len(split)} sequences and batch_size="
            f"{batch_size}"
        )
    if feedback not in FEEDBACKS:
        raise unknown_name("feedback", feedback, FEEDBACKS)
    model.eval()
    opened = open_device(device)
    title = opened.name if progress else None
    reading = {"readout_mode": readout_mode, "readout_angle": readout_angle}
    with started(
        model, opened, split.x, feedback=feedback, reading=reading, batch_size=batch_size,
        folder=folder, quiet=not progress,
    ) as on:  # fmt: skip
        expected, z_expected, _ = run(model, split.x, batch_size)
        if feedback == "open":
            answer = run_open(model, on.model, split.x, batch_size, title, on.note)
        else:
            answer = run(on.model, split.x, batch_size, title, on.note)
        predicted, z, seconds = answer
        cost = on.cost
    measured = on.model.rnn.cell.circuit.measured
    square = (z - z_expected).double().square()
    return Evaluation(
        device=opened.name,
        options={k: v for k, v in opened.options.given().items() if k not in UNTOLD},
        reference=model.rnn.cell.device.name,
        feedback=feedback,
        readout_mode="expval" if measured is None else "measure",
        readout_angle=None if measured is None else measured.angle,
        sequences=len(split),
        accuracy=(predicted == split.y).double().mean().item(),
        agreement=(predicted == expected).double().mean().item(),
        rms_z=square.mean().sqrt().item(),
        rms_z_steps=square.mean((0, 2)).sqrt().tolist(),
        seconds=seconds,
        predictions=predicted.tolist(),
        labels=split.y.tolist(),
        cost=cost,
    )


SHOWN = ("strategy", "gradient", "zne", "readout_mitigation", "optimization_level")


def describe(one: Evaluation) -> str:
    """Return in a few words how a device was read, for a table."""
    options, words = one.options, []
    if options.get("noise"):
        words.append(f"{options['noise']} {options['strength']:g}")
    words.append(f"{options['shots']} shots" if options.get("shots") else "exact")
    words += [f"{k.replace('_', ' ')} {v}" for k, v in options.items() if k in SHOWN]
    if one.readout_angle is not None:
        words.append(f"measured at {one.readout_angle:.2f}")
    if one.feedback == "open":
        words.append("open loop")
    return ", ".join(words)


def table(evaluations: Sequence[Evaluation]) -> Table:
    """Return one table of several evaluations, within 80 columns."""
    reference = evaluations[0].reference
    out = Table(title=f"Evaluation (trained on {reference})", title_style="bold")
    out.add_column("device", no_wrap=True)
    out.add_column("readout")
    for heading in ("seqs", "accuracy", "agree", "RMS z", "time"):
        out.add_column(heading, justify="right", no_wrap=True)
    for one in evaluations:
        out.add_row(
            one.device,
            describe(one),
            str(one.sequences),
            f"{100 * one.accuracy:.1f}%",
            f"{100 * one.agreement:.1f}%",
            f"{one.rms_z:.1e}" if 0 < one.rms_z < 1e-3 else f"{one.rms_z:.3f}",
            f"{one.seconds:.1f} s",
        )
    return out


def save(evaluation: Evaluation, path: str | Path) -> None:
    """Write an evaluation as JSON."""
    write_text(path, json.dumps(asdict(evaluation), indent=1) + "\n")
