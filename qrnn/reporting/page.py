"""The page of one run."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from typing import NamedTuple

import yaml
from rich.console import Console

from qrnn.circuit.step import StepCircuit
from qrnn.config import from_plain
from qrnn.data import KINDS, Labels, Numbers, Objective, TaskData
from qrnn.data.tables.base import Encoder
from qrnn.devices.ibm.ledger import recorded_circuits
from qrnn.errors import ConfigError, QRNNError
from qrnn.evaluation.evaluation import Evaluation, describe
from qrnn.evaluation.metrics import METRICS, shown
from qrnn.models.base import Model
from qrnn.models.cells import device_of
from qrnn.neurons import QuantumNeuronCell
from qrnn.reporting import numbers, plots
from qrnn.reporting.commands import commands, left_out, not_found
from qrnn.reporting.folder import RunFolder
from qrnn.reporting.formats import (
    PARTS,
    count,
    duration,
    named,
    percent,
    result,
    sequences,
    small,
)
from qrnn.reporting.parts import Code, Facts, Figure, Page, Part, Table, Text
from qrnn.training.checkpoint import load_checkpoint, load_data
from qrnn.utils.overrides import argument

CLASSES = 50  # largest number of classes in a confusion matrix
NAMED = 30  # largest number of classes that are all listed by name
ERRORS = 8  # number of wrong predictions listed
COLUMNS = 88  # letters in a line of a drawing
DRAWN = 100_000  # largest text drawing of a circuit, in characters; beyond, only its size is shown
COSTS = ("backend", "jobs", "circuits", "executions", "QPU s, estimated", "QPU s, metered")


class Loaded(NamedTuple):
    """The data and model of a run, where they could be loaded; `missing` says why not."""

    data: TaskData | None
    model: Model | None
    missing: dict[str, str]
    encoder: Encoder | None = None

    @property
    def objective(self) -> Objective | None:
        """What the model was trained for; None: not known."""
        if self.model is not None:
            return self.model.objective
        return None if self.data is None else self.data.objective


def load(run: RunFolder, data_dir: str | None, console: Console) -> Loaded:
    """Load a run's data and model, as far as possible.

    Raises:
        ConfigError: `data_dir` is given, but the task reads no files.
    """
    if data_dir is not None and "data_dir" not in run.config["task"]:
        raise ConfigError(f"data_dir must be left out: task {run.name_of('task')} reads no files")
    data, model, encoder = None, None, None
    missing = {"model": "the folder has no checkpoint"}
    with console.status(f"loading the data of {run.name_of('task')} and building the model"):
        try:
            data = load_data(from_plain(run.config), data_dir)
            encoder = data.encoder
        except QRNNError as error:
            missing["data"] = str(error)
        try:
            if run.checkpoint is not None:
                model, _, encoder = load_checkpoint(run.checkpoint)
        except (QRNNError, RuntimeError) as error:  # RuntimeError: weights of other sizes
            missing["model"] = str(error).splitlines()[0]
    return Loaded(data, model, missing, encoder)


def page_of(run: RunFolder, loaded: Loaded) -> Page:
    """Return the page of a run."""
    configuration = yaml.safe_dump(run.config, sort_keys=False, allow_unicode=True)
    sections: dict[str, Iterable[Part]] = {
        "Data": data_parts(loaded),
        "Training": training(run),
        "Results": results(run, loaded),
        "Circuit": circuit(loaded),
        "Devices": devices(run),
        "Time and memory": time_and_memory(run),
        "Configuration": [Code(configuration.rstrip("\n"), title="All keys and their values")],
        "Commands": [
            Code(commands(run)),
            Text("They repeat the run in a new folder, from the one where this page was written."),
            *(
                Text(f"{key} was not found: set it to the path of the training's data.", True)
                for key in not_found(run)
            ),
        ],
        "Environment": [
            Text("The versions used in training are unknown: environment.json is missing.", True)
            if run.environment is None
            else Facts([(name, str(value)) for name, value in run.environment.items()])
        ],
    }
    return Page(
        title=" · ".join((run.name_of("task"), run.name_of("model"), trained_on(run, loaded))),
        lead=lead(run),
        sections={title: list(parts) for title, parts in sections.items()},
        missing=[*run.missing, *left_out(run)],
    )


def trained_on(run: RunFolder, loaded: Loaded) -> str:
    """Return the training device; a classical model ignores the configured one."""
    classical = loaded.model is not None and device_of(loaded.model) is None
    trained = "torch" if classical else run.name_of("device")
    return trained if run.main is None else run.main.reference


def lead(run: RunFolder) -> str:
    """Return the result in one line."""
    clauses = []
    if run.main is not None:
        clauses.append(f"{result(run.main)} on {sequences(run.main)}, device {run.main.device}")
    if run.best is not None:
        clauses += [] if clauses else ["Not evaluated yet"]
        best = run.best
        value = named(best.metric, best.value)
        clauses.append(f"best checkpoint: epoch {best.epoch}, validation {value}")
    return f"{'; '.join(clauses)}." if clauses else "No epoch has finished yet."


def data_parts(loaded: Loaded) -> Iterator[Part]:
    """Yield the sizes of the data."""
    data = loaded.data
    if data is None:
        yield Text(f"The data is not shown: {loaded.missing['data']}", True)
        return
    sizes = [getattr(data, part).describe() for part in PARTS]
    rows = [[name, *each.values()] for name, each in zip(PARTS.values(), sizes, strict=True)]
    yield Table(["part", *sizes[0]], rows, (1, 2, 3))
    shape, names = data.shape, [name if name.strip() else "(blank)" for name in data.classes]
    size = f"{shape.input_size:,}" if shape.tokens else count(shape.input_size, "number")
    names = names if len(names) <= NAMED else [*names[:10], "…"]
    facts = [
        ("inputs", f"tokens from a vocabulary of {size}" if shape.tokens else f"{size} per step")
    ]
    if isinstance(data.objective, Numbers):
        facts += numbers.targets(data.objective, "T" in KINDS[shape.kind].axes)
    else:
        unit = {"classify": "sequence", "label": "step", "translate": "target token"}[shape.kind]
        labels = f"one per {unit}, {len(data.classes):,} classes: {', '.join(names)}"
        facts.append(("labels", labels))
    if data.baseline is not None:
        baseline = f"{shown(data.metric, data.baseline)} {METRICS[data.metric][0]}"
        facts.append(("baseline without memory", baseline))
    yield Facts(facts)


def training(run: RunFolder) -> Iterator[Part]:
    """Yield the curves of loss, metric and gradient norm."""
    if run.best is None:
        yield Text("No curves: metrics.csv has no epochs.", True)
        return
    named = plots.quantities(run.history).items()
    for figure, (name, label) in zip(plots.curves(run.history), named, strict=True):
        last = [
            f"{PARTS[part]} {small(line[-1][1])}"
            for part in ("train", "val")
            if (line := run.history.get(f"{part}/{name}"))
        ]
        title = label.capitalize() if label.islower() else label
        caption = f"{title}, after the last epoch: {', '.join(last) or 'not recorded'}"
        yield Figure(plots.data_url(figure), caption, f"Curve over the epochs. {caption}")
    if skipped := sum(value for _, value in run.history.get("train/skipped", [])):
        yield Text(
            f"Some gradients were not finite and skipped: train/skipped adds up to {skipped:.3g} "
            "of an epoch's steps."
        )


def results(run: RunFolder, loaded: Loaded) -> Iterator[Part]:
    """Yield the metrics and the baselines, and figures of what was predicted."""
    one = run.main
    if one is None:
        best = argument("checkpoint", str(run.checkpoint or run.folder / "best.ckpt"))
        yield Text(f"Not evaluated yet: {run.program} evaluate {best}", True)
        return
    objective = loaded.objective
    if one.accuracy is None:
        aim = objective if isinstance(objective, Numbers) else None
        yield Facts(numbers.scores(one, aim))
        yield from numbers.baselines(one, run.name_of("model"))
        if aim is not None:
            yield from numbers.figures(run.evaluations, aim, loaded.encoder, loaded.data)
        return
    facts = {
        "loss": f"{small(one.loss)} {unit_of(objective)}",
        "accuracy": percent(one.accuracy),
        METRICS[one.metric][0]: shown(one.metric, one.value),
    }
    yield Facts([*facts.items(), *([("computed by", one.signature)] if one.signature else [])])
    yield from numbers.baselines(one, run.name_of("model"))
    if loaded.data is not None and loaded.data.kind == "classify":
        yield from predictions(one, loaded.data.classes, run.name_of("task"))


def unit_of(objective: Objective | None) -> str:
    """Return what the loss of labels is, after its value."""
    if isinstance(objective, Labels) and not objective.has_probabilities:
        return "(squared error of scores)"
    return "nats per label"


def predictions(one: Evaluation, classes: tuple[str, ...], task: str) -> Iterator[Part]:
    """Yield the confusion matrix, and the first sequences that were misclassified."""
    known = range(len(classes))
    if not one.labels or not all(k in known for k in (*one.labels, *one.predictions)):
        return
    where = f"{task}, {sequences(one)}, {one.device}"
    if len(classes) <= CLASSES:
        label, times = Counter(one.labels).most_common(1)[0]
        yield Figure(
            plots.data_url(plots.confusion(one.labels, one.predictions, classes)),
            f"True and predicted classes: {where}. The most common class, {classes[label]}, has "
            f"{percent(times / len(one.labels))} of the sequences.",
            f"Confusion matrix: {where}; {percent(one.accuracy or 0.0)} on the diagonal",
        )
    pairs = zip(one.labels, one.predictions, strict=True)
    wrong = [
        f"sequence {index}: true {classes[label]}, predicted {classes[guess]}"
        for index, (label, guess) in enumerate(pairs)
        if label != guess
    ]
    if wrong:
        yield Text(f"The first errors (sequences are counted from 0): {'; '.join(wrong[:ERRORS])}.")


def circuit(loaded: Loaded) -> Iterator[Part]:
    """Yield the circuit of one step, and its size."""
    if loaded.model is None:
        yield Text(f"The circuit is not shown: {loaded.missing['model']}", True)
        return
    modules = list(loaded.model.modules())
    steps = [one for m in modules if isinstance(one := getattr(m, "circuit", None), StepCircuit)]
    neurons = next((m for m in modules if isinstance(m, QuantumNeuronCell)), None)
    if steps:
        specs = steps[0].specs()
        gates = ", ".join(f"{number} {name}" for name, number in specs.pop("gate_types").items())
        facts = [(name.replace("_", " "), str(value)) for name, value in specs.items()]
        alt = "Circuit of one time step: " + ", ".join(" ".join(pair) for pair in facts)
        pieces, left_out = plots.circuit(steps[0])
        for number, figure in enumerate(pieces, 1):
            part = f"part {number} of {len(pieces)}, " if len(pieces) > 1 else ""
            caption = f"One time step, {part}from left to right; one wire per qubit"
            yield Figure(plots.data_url(figure), caption, f"{caption}. {alt}")
        if left_out:
            yield Text(f"The last {count(left_out, 'layer')} of gates are not drawn.")
        yield Facts([*facts, ("gates by name", gates)])
        if len(steps) > 1:
            yield Text(f"The first of the model's {len(steps)} circuits.")
    elif neurons is not None:
        sizes = neurons.definition
        wires = f"{sizes.in_out} in/out, {sizes.workspace} workspace, {sizes.order} ancillas"
        yield Facts(
            [("wires", f"{sizes.n_wires}: {wires}"), ("parameters", f"{sizes.n_parameters:,}")]
        )
        drawn = neurons.draw(max_length=COLUMNS)
        if len(drawn) <= DRAWN:
            yield Code(drawn, title="All gates of one step with input 0")
    else:
        yield Text("This model has no quantum circuit that runs on a device.")


def devices(run: RunFolder) -> Iterator[Part]:
    """Yield the run's evaluations side by side, with their readout errors and costs."""
    if run.main is None:
        yield Text("No device has been evaluated yet.", True)
        return
    metric, reference = METRICS[run.main.metric][0], run.main.reference
    compared, meaning = "agreement", f"fraction of labels predicted as on {reference}"
    if run.main.accuracy is None:
        compared = "difference"
        meaning = f"root mean square difference between the predictions and those on {reference}"
    yield Table(
        ["device", "read", "sequences", metric, "loss", compared, "RMS z", "shots", "time"],
        [device_row(one) for one in run.evaluations],
        range(2, 9),
        f"{compared.capitalize()}: {meaning}, the training device. "
        "RMS z: root mean square difference between the readouts and its own, over all steps.",
    )
    if others := [one for one in run.evaluations if one.rms_z > 0 and one.rms_z_steps]:
        names = [f"{one.device}, {describe(one)}" for one in others]
        drawn = plots.errors_by_step(names, [one.rms_z_steps for one in others])
        caption = f"RMS difference from the readouts on {run.main.reference} at each time step"
        overall = [f"{name} {small(one.rms_z)}" for name, one in zip(names, others, strict=True)]
        alt = f"{caption}; over all steps: {'; '.join(overall)}"
        yield Figure(plots.data_url(drawn), caption, alt)
    if priced := [one for one in run.evaluations if one.cost is not None]:
        yield Table(
            ["device", *COSTS],
            [cost_row(run, one) for one in priced],
            range(2, 7),
            "Executions: circuits x shots. The estimate is IBM's formula, 2 s per job and (delay + "
            "length) x executions of each circuit; fake backends are not metered.",
        )
    else:
        yield Text("None of these devices submits jobs, so there are no costs.")


def device_row(one: Evaluation) -> list[str]:
    """Return an evaluation's row of the device table."""
    shots = one.options.get("shots")
    return [
        one.device,
        describe(one),
        f"{one.sequences:,}",
        shown(one.metric, one.value),
        small(one.loss),
        small(one.difference or 0.0) if one.agreement is None else percent(one.agreement),
        small(one.rms_z),
        "exact" if shots is None else f"{shots:,}",
        duration(one.seconds),
    ]


def cost_row(run: RunFolder, one: Evaluation) -> list[str]:
    """Return an evaluation's row of the cost table."""
    cost, circuits = one.cost, None
    assert cost is not None  # selected by `devices`
    if cost.ledger is not None:
        circuits = recorded_circuits(run.folder / "jobs" / str(cost.ledger).rpartition("/")[2])
    return [
        one.device,
        cost.backend,
        f"{cost.jobs:,}",
        "not recorded" if circuits is None else f"{circuits:,}",
        f"{cost.executions:,}",
        f"{cost.estimated_seconds:,.1f}",
        f"{cost.metered_seconds:,.1f}{cost.partly}" if cost.metered_seconds else "none",
    ]


def time_and_memory(run: RunFolder) -> Iterator[Part]:
    """Yield the time, memory and size of the training."""
    if run.summary is None:
        yield Text("Not recorded: summary.json is written when training finishes.", True)
        return
    summary, memory = run.summary, run.summary.get("peak_memory_mb")
    yield Facts(
        [
            ("recurrent parameters", f"{summary['parameters']:,}"),
            ("total parameters", f"{summary['all_parameters']:,}"),
            ("seed", str(run.config["trainer"].get("seed"))),
            ("epochs", f"{summary['epochs']:,}"),
            ("optimiser steps", f"{summary['steps']:,}"),
            ("time per epoch", f"{duration(summary['seconds_per_epoch'])} (median)"),
            ("total time", duration(60 * summary["minutes"])),
            ("peak memory", "not recorded" if memory is None else f"{memory:,.0f} MB"),
            ("torch threads", str(summary["threads"])),
        ]
    )
