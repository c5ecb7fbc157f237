"""Evaluate a trained model on a device, and compare it with the device that trained it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from rich.table import Table

from qrnn.config.commands import FEEDBACKS
from qrnn.config.devices import option_info
from qrnn.data import Numbers, Part
from qrnn.devices import Device, DeviceOptions, open_device
from qrnn.devices.noise import described
from qrnn.errors import ConfigError
from qrnn.evaluation.damping import Damping
from qrnn.evaluation.hardware import Cost, start_run
from qrnn.evaluation.metrics import METRICS, Judge, shown
from qrnn.evaluation.predict import Outcome, rms_difference, run, run_open_loop, translate
from qrnn.evaluation.scores import by_step, rms_distance
from qrnn.evaluation.truncation import truncation
from qrnn.models.base import Model
from qrnn.models.cells import cells_of, circuits_of, device_of, refuse_options
from qrnn.models.identity import model_identity
from qrnn.networks import NETWORKS
from qrnn.training.baselines import baseline_folder
from qrnn.training.checkpoint import load_model
from qrnn.utils.checks import whole
from qrnn.utils.modes import evaluating
from qrnn.utils.registry import unknown_name


@dataclass(frozen=True)
class Evaluation:
    """The results of a model on a device.

    Attributes:
        device: name of the device.
        options: the device options that were set.
        reference: the device that the model was trained on.
        feedback: `closed`: the device's own readouts drove the controller; `open`: the angles came
            from the reference device, and this one only measured.
        readout_mode: how the cell was read, `expval` or `measure`.
        readout_angle: angle of the ancilla's controlled RY in mode `measure`, radians.
        sequences: number of sequences, or of predicted tokens of a text.
        metric: the task's metric, a key of `METRICS`.
        value: value of that metric.
        loss: mean loss; of labels the cross entropy in nats, or with `model.frozen` the squared
            error of the scores.
        accuracy: fraction of labels predicted correctly; None: numbers are predicted.
        agreement: fraction of labels predicted as on the reference device; None: numbers are
            predicted, see `difference`.
        rms_z: root mean square difference between the readouts and the reference's, over all steps;
            with feedback `open` and one circuit for each step, over those that the head reads.
        rms_z_steps: the same at each time step; empty if not all were read.
        seconds: wall-clock time on the device.
        translations: one sentence per sequence; empty unless the task is translation.
        predictions: predicted label of each sequence, or of each labelled step (teacher forcing);
            or numbers (N, H, K) in their own units.
        labels: the true labels, or numbers.
        kept: fraction of shots kept by the projections of quantum neurons, mean over all steps
            read (on `fused`: the expected fraction); None: no shots are lost to projections.
        split: `test`, `val` or `train`; None: not recorded.
        limit: number of sequences evaluated, the first of the split; None: all.
        signature: sacreBLEU's signature of the metric; None for other metrics.
        cost: what the evaluation used on an IBM backend, real or fake; None on other
            devices.
        checkpoint: identity of the model (`qrnn.models.identity`); None: the model did not come
            from a checkpoint, or the evaluation from an older version.
        difference: root mean square difference between the predicted numbers and the reference
            device's, in their own units, or of several targets as in NRMSE; None: labels are
            predicted.
        scores: all metrics of predicted numbers (`qrnn.evaluation.scores`).
        rmse_steps: root mean square error of the numbers at each step ahead (H); NRMSE of several
            targets.
        baselines: the task's metric of other predictions, by their names: those that need no
            training, and the recurrent networks of `trainer.baselines`.
        levels: predicted quantiles (N, H, K, Q) in the targets' units; empty: none are.
        damping: what `device.calibrate` found; None: it was not set.
        truncation: error of z that `device.replay` makes by itself; None: it was not set, or the
            model has several cells.
        outcome: all that the model put out; not saved.
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
    accuracy: float | None
    agreement: float | None
    rms_z: float
    rms_z_steps: list[float]
    seconds: float
    translations: list[str]
    predictions: list
    labels: list
    kept: float | None = None
    split: str | None = None
    limit: int | None = None
    signature: str | None = None
    cost: Cost | None = None
    checkpoint: str | None = None
    difference: float | None = None
    scores: dict[str, float] = field(default_factory=dict)
    rmse_steps: list[float] = field(default_factory=list)
    baselines: dict[str, float] = field(default_factory=dict)
    levels: list = field(default_factory=list)
    damping: Damping | None = None
    truncation: float | None = None
    outcome: Outcome | None = field(default=None, repr=False, compare=False)


def check_runnable(model: Model, part: Part, feedback: str, ibm: bool) -> None:
    """Raise an error for a model or data that cannot be evaluated this way.

    Args:
        model: the model.
        part: the data.
        feedback: `closed` or `open`.
        ibm: whether the device is IBM's.

    Raises:
        ConfigError: the feedback is unknown, or the open loop needs a model of one hybrid cell,
            or sequences of equal length, or an IBM device a model with circuits.
    """
    if feedback not in FEEDBACKS:
        raise unknown_name("feedback", feedback, FEEDBACKS)
    cells = len(cells_of(model))
    if feedback == "open" and model.projects:
        raise ConfigError(
            "feedback=open must have a hybrid model, got quantum neurons, which have no feedback: "
            "use feedback=closed"
        )
    if feedback == "open" and (cells != 1 or model.translates):
        raise ConfigError(f"feedback=open must have a model with one hybrid cell, got {cells}")
    if ibm and not circuits_of(model):
        raise ConfigError("an IBM device must have a model with circuits, got one without")
    if feedback == "open" and part.n_steps is None:
        raise ConfigError(
            "feedback=open must have sequences of equal length, got a text or different lengths: "
            "use feedback=closed"
        )


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
    training: Part | None = None,
) -> Evaluation:
    """Evaluate a trained model on a device, and compare it with the model's own device.

    Args:
        model: the model, on the device to compare with.
        part: the sequences, or a text.
        device: a device, its name or its options.
        judge: the metric, and the data it needs.
        feedback: `closed` or `open`; see `Evaluation`. With `open`, a device that replays runs all
            sequences in one round instead of T, and only the steps that the head reads.
        readout_mode: `expval` or `measure`; None: as the model was trained.
        readout_angle: angle of the ancilla's controlled RY in mode `measure`, radians.
        batch_size: number of sequences, or of parallel parts of a text, that run together; None:
            all sequences (the fewest jobs on hardware), or 32 parts.
        folder: the run's folder, where the jobs of an IBM device are recorded, so that the same
            call resumes after a crash, and where its trained baselines are; None: jobs are recorded
            only in `device.ledger`, if set.
        progress: whether to show a progress bar, and an IBM device's price.
        training: the training sequences, which `device.calibrate` needs.

    Raises:
        ConfigError: there are no sequences, the device would ignore some of its options, or
            options are given for a model that runs entirely in torch.
        DeviceError: the device cannot run the model, or the price exceeds the budget.
    """
    if batch_size is not None:
        whole("batch_size", batch_size)
    if len(part) < 1 or (batch_size is not None and batch_size < 1):
        raise ConfigError(
            f"limit and batch_size must be at least 1, got {len(part)} sequences and batch_size="
            f"{batch_size}"
        )
    opened = open_device(device)
    check_runnable(model, part, feedback, opened.spec.submits_jobs)
    title = opened.name if progress else None
    own = device_of(model)
    refuse_options(model, opened.options)
    same = own is None or own.options == opened.options
    same = same and not (feedback == "open" or readout_mode or readout_angle)
    reading = {"readout_mode": readout_mode, "readout_angle": readout_angle}
    with (
        evaluating(model),
        start_run(
            model,
            opened,
            part,
            feedback=feedback,
            reading=reading,
            batch_size=batch_size,
            folder=folder,
            quiet=not progress,
            training=None if training is None else lambda: training,
            translates=model.translates,
        ) as on,
    ):
        expected = run(model, part, batch_size)
        if feedback == "open":
            sequences = part.sequences("feedback=open")
            found = run_open_loop(model, on.model, sequences, batch_size, title, on.note)
        elif same:
            found = expected
        else:
            found = run(on.model, part, batch_size, title, on.note)
        translations = translate(on.model, part, judge.vocabulary, batch_size, title, on.note)
        on.settle()
        cost = on.cost
    cells = cells_of(on.model)
    measured = cells[0].circuit.measured if cells else None
    steps = found.steps
    theirs = expected.z if steps is None else [z[:, steps] for z in expected.z]
    real = [model.real_steps(batch) for batch in part.all_batches(batch_size)]
    rms_z, rms_z_steps = rms_difference(found.z, theirs, real)
    score = judge.score(found, translations)
    agreement, difference, rmse_steps, levels = None, None, [], []
    replay = opened.options.replay
    if isinstance(found.objective, Numbers):
        if found.objective.quantiles:
            levels = found.objective.levels(found.outputs).tolist()
        predicted, truth = found.predictions.numpy(), found.labels.numpy()
        difference = rms_distance(predicted, expected.predictions.numpy(), truth)
        rmse_steps = by_step(predicted, truth)
    else:
        agreement = (found.predictions == expected.predictions).double().mean().item()
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
        agreement=agreement,
        rms_z=rms_z,
        rms_z_steps=rms_z_steps if steps is None else [],
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
        difference=difference,
        scores=judge.scores(found),
        rmse_steps=rmse_steps,
        baselines=judge.baselines | trained_baselines(folder, part, judge, batch_size),
        levels=levels,
        damping=on.damping,
        truncation=None if replay is None else truncation(model, part, replay, batch_size),
        outcome=found,
    )


def trained_baselines(
    folder: str | Path | None, part: Part, judge: Judge, batch_size: int | None
) -> dict[str, float]:
    """Return the metric of the baselines that were trained beside a model; see `evaluate`.

    Raises:
        DataError: one of their checkpoints is damaged.
    """
    found: dict[str, float] = {}
    if folder is None:
        return found
    for name in sorted(NETWORKS):
        path = baseline_folder(folder, name) / "best.ckpt"
        if path.is_file():
            model, _ = load_model(path)
            translations = translate(model, part, judge.vocabulary, batch_size)
            score = judge.score(run(model, part, batch_size), translations)
            found[f"{name}, {model.recurrent_parameters():,} weights"] = score.value
    return found


def describe(one: Evaluation) -> str:
    """Return a short description of how a device was read, for tables."""
    options, words = one.options, []
    if options.get("noise"):
        words.append(described(options))
    words.append(f"{options['shots']} shots" if options.get("shots") else "exact")
    shown_in_tables = [k for k in options if k in option_info() and option_info()[k].shown]
    words += [f"{k.replace('_', ' ')} {options[k]}" for k in shown_in_tables]
    if one.damping is not None and one.damping.kind == "none":
        words.append("not corrected")
    if one.kept is not None:
        words.append(f"{one.kept:.2g} kept")
    if one.readout_angle is not None:
        words.append(f"measured at {one.readout_angle:.2f}")
    if one.feedback == "open":
        words.append("open loop")
    return ", ".join(words)


def table(evaluations: Sequence[Evaluation]) -> Table:
    """Return evaluations as a table, at most 80 characters wide."""
    reference = evaluations[0].reference
    out = Table(title=f"Evaluation (trained on {reference})", title_style="bold")
    out.add_column("device", no_wrap=True)
    out.add_column("readout")
    judged_by = METRICS[evaluations[0].metric][0]
    compared = "agree" if evaluations[0].difference is None else "diff"
    for heading in ("seqs", judged_by, compared, "RMS z", "time"):
        out.add_column(heading, justify="right", no_wrap=True)
    for one in evaluations:
        out.add_row(
            one.device,
            describe(one),
            str(one.sequences),
            shown(one.metric, one.value),
            f"{100 * one.agreement:.1f}%"
            if one.agreement is not None
            else shown(one.metric, one.difference or 0.0),
            f"{one.rms_z:.1e}" if 0 < one.rms_z < 1e-3 else f"{one.rms_z:.3f}",
            f"{one.seconds:.1f} s",
        )
    for name, value in evaluations[0].baselines.items():
        out.add_row(name, "baseline", "", shown(evaluations[0].metric, value), style="dim")
    return out
