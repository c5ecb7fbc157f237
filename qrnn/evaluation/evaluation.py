"""Evaluating a trained model on another device, beside the device that trained it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from rich.table import Table

from qrnn.data import Part
from qrnn.devices import Device, DeviceOptions, open_device
from qrnn.devices.spec import option_info
from qrnn.errors import ConfigError
from qrnn.evaluation.hardware import Cost, started
from qrnn.evaluation.metrics import METRICS, Judge, shown
from qrnn.evaluation.predict import errors_of, run, run_open, translate
from qrnn.models.base import Model
from qrnn.models.cells import cells_of, device_of, refuse_options
from qrnn.models.identity import model_identity
from qrnn.utils.checks import whole
from qrnn.utils.files import write_text
from qrnn.utils.registry import unknown_name

FEEDBACKS = ("closed", "open")


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
        sequences: number of sequences, or of predicted tokens of a text.
        metric: what the task is judged by.
        value: that metric.
        loss: mean cross entropy of a label, nats.
        accuracy: share of right labels.
        agreement: share of labels that are the same on the reference.
        rms_z: root mean square of the readouts' difference to the reference, over all steps.
        rms_z_steps: the same at each time step.
        seconds: wall-clock time on the device.
        translations: a sentence of each sequence, or none.
        predictions: label of each sequence, or of each step that is asked for, teacher forced.
        labels: the right ones.
        kept: share of shots that quantum neurons' projections kept, mean over all steps read (on
            `fused` in theory); None: nothing is projected, or exactly.
        split: the part of the data, `test`, `val` or `train`; None: it was not said.
        limit: number of its first sequences; None: all.
        signature: how the metric was computed, in sacreBLEU's words; None: it needs none.
        cost: what it took from an IBM backend or its simulated copy; None on other devices.
        checkpoint: identity of the model (`qrnn.models.identity`); None: of no checkpoint, or
            written by an older version.
    """

    device: str
    options: dict
    reference: str
    feedback: str
    readout_mode: str
    readout_angle: float | None
    sequences: int
    metric: str
    value: float
    loss: float
    accuracy: float
    agreement: float
    rms_z: float
    rms_z_steps: list[float]
    seconds: float
    translations: list[str]
    predictions: list[int]
    labels: list[int]
    kept: float | None = None
    split: str | None = None
    limit: int | None = None
    signature: str | None = None
    cost: Cost | None = None
    checkpoint: str | None = None


def check_runnable(model: Model, part: Part, feedback: str, ibm: bool) -> None:
    """Raise the error for what cannot be evaluated so.

    Raises:
        ConfigError: an unknown feedback, or one cell or whole sequences are needed.
    """
    if feedback not in FEEDBACKS:
        raise unknown_name("feedback", feedback, FEEDBACKS)
    cells = len(cells_of(model))
    if feedback == "open" and model.projects:
        raise ConfigError(
            "feedback=open must have a hybrid model: quantum neurons feed nothing back"
        )
    if (feedback == "open" or ibm) and cells != 1 and not model.projects:
        what = "feedback=open" if feedback == "open" else "an IBM device"
        raise ConfigError(f"{what} must have a model of one hybrid cell, got {cells}")
    if feedback == "open" and part.n_steps is None:
        raise ConfigError(
            "feedback=open must have sequences of one length, got a text or several lengths: use "
            "feedback=closed"
        )
    if ibm and part.is_text:
        raise ConfigError("an IBM device must have sequences, got a text: it carries no state")


def evaluate(
    model: Model,
    part: Part,
    device: str | DeviceOptions | Device,
    *,
    judge: Judge = Judge(),  # noqa: B008
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
        part: the sequences, or a text.
        device: name of a device, its options, or one that is open.
        judge: what the task is judged by.
        feedback: `closed` or `open`; see `Evaluation`. Open, a device that replays runs all steps
            of all sequences at once instead of T rounds.
        readout_mode: `expval` or `measure`; None: as the model was trained.
        readout_angle: of mode `measure`, radians.
        batch_size: sequences that run at once, or parallel parts of a text; None: all (32), which
            is fewest jobs on hardware.
        folder: the run's folder, where the jobs of an IBM device are recorded, so that the same
            call goes on after a crash; None: only where `device.ledger` says.
        progress: whether to show a progress bar, and an IBM device's price.

    Raises:
        ConfigError: no sequences, or options that the device would ignore, or of a model that
            runs in torch alone.
        DeviceError: the device cannot run the model, or its budget does not suffice.
    """
    if batch_size is not None:
        whole("batch_size", batch_size)
    if len(part) < 1 or (batch_size is not None and batch_size < 1):
        raise ConfigError(
            f"limit and batch_size must be at least 1, got {len(part)} sequences and batch_size="
            f"{batch_size}"
        )
    model.eval()
    opened = open_device(device)
    check_runnable(model, part, feedback, opened.spec.submits_jobs)
    title = opened.name if progress else None
    own = device_of(model)
    refuse_options(model, opened.options)
    same = own is None or own.options == opened.options
    same = same and not (feedback == "open" or readout_mode or readout_angle)
    reading = {"readout_mode": readout_mode, "readout_angle": readout_angle}
    with started(
        model,
        opened,
        part,
        feedback=feedback,
        reading=reading,
        batch_size=batch_size,
        folder=folder,
        quiet=not progress,
    ) as on:
        expected = run(model, part, batch_size)
        if feedback == "open":
            sequences = part.sequences("feedback=open")
            found = run_open(model, on.model, sequences, batch_size, title, on.note)
        elif same:
            found = expected
        else:
            found = run(on.model, part, batch_size, title, on.note)
        translations = translate(on.model, part, judge.words, batch_size, title)
        cost = on.cost
    cells = cells_of(on.model)
    measured = cells[0].circuit.measured if cells else None
    rms_z, rms_z_steps = errors_of(found.z, expected.z)
    score = judge.score(found.loss, found.accuracy, translations)
    return Evaluation(
        device=opened.name if own else "torch",
        options=opened.options.given_where(lambda one: one.recorded),
        reference=own.name if own else "torch",
        feedback=feedback,
        readout_mode="expval" if measured is None else "measure",
        readout_angle=None if measured is None else measured.angle,
        sequences=len(part),
        metric=judge.metric,
        value=score.value,
        loss=found.loss,
        accuracy=found.accuracy,
        agreement=(found.predictions == expected.predictions).double().mean().item(),
        rms_z=rms_z,
        rms_z_steps=rms_z_steps,
        seconds=found.seconds,
        translations=translations,
        predictions=found.predictions.tolist(),
        labels=found.labels.tolist(),
        kept=found.kept,
        split=judge.split,
        limit=judge.limit,
        signature=score.signature,
        cost=cost,
        checkpoint=model_identity(model),
    )


def describe(one: Evaluation) -> str:
    """Return in a few words how a device was read, for a table."""
    options, words = one.options, []
    if options.get("noise"):
        words.append(f"{options['noise']} {options['strength']:g}")
    words.append(f"{options['shots']} shots" if options.get("shots") else "exact")
    shown_in_tables = [k for k in options if k in option_info() and option_info()[k].shown]
    words += [f"{k.replace('_', ' ')} {options[k]}" for k in shown_in_tables]
    if one.kept is not None:
        words.append(f"{one.kept:.2g} kept")
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
    judged_by = METRICS[evaluations[0].metric][0]
    for heading in ("seqs", judged_by, "agree", "RMS z", "time"):
        out.add_column(heading, justify="right", no_wrap=True)
    for one in evaluations:
        out.add_row(
            one.device,
            describe(one),
            str(one.sequences),
            shown(one.metric, one.value),
            f"{100 * one.agreement:.1f}%",
            f"{one.rms_z:.1e}" if 0 < one.rms_z < 1e-3 else f"{one.rms_z:.3f}",
            f"{one.seconds:.1f} s",
        )
    return out


def file_name(evaluation: Evaluation) -> str:
    """Return the name of an evaluation's file.

    It says the device, and what was asked for beside: `evaluation-fake_torino-open.json`. One of
    the first sequences alone has another name than one of all.
    """
    words = [evaluation.device]
    words += [
        word
        for word in (evaluation.split, evaluation.feedback, evaluation.readout_mode)
        if word not in (None, "test", "closed", "expval")
    ]
    if evaluation.limit is not None:
        words.append(f"limit{evaluation.limit}")
    return f"evaluation-{'-'.join(words)}.json"


def save(evaluation: Evaluation, folder: str | Path) -> Path:
    """Write an evaluation as JSON, in place of an earlier one of its kind; return the path."""
    path = Path(folder) / file_name(evaluation)
    write_text(path, json.dumps(asdict(evaluation), indent=1) + "\n")
    return path
