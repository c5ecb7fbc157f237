"""The page of one run."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import yaml
from rich.console import Console
from torch import nn

from qrnn.circuit.step import StepCircuit
from qrnn.config import from_plain
from qrnn.data import TaskData
from qrnn.errors import ConfigError, QRNNError
from qrnn.models.base import Model
from qrnn.models.cells import device_of
from qrnn.neurons import QuantumNeuronCell
from qrnn.reporting import behaviour, dataset, figures
from qrnn.reporting.commands import commands, left_out
from qrnn.reporting.devices import devices
from qrnn.reporting.folder import RunFolder
from qrnn.reporting.parts import Code, Facts, Figures, Page, Part, Section, Text
from qrnn.reporting.words import count, duration, loss, percent, plain, result, sequences
from qrnn.training.checkpoint import load_data, load_model
from qrnn.utils.environment import environment

DRAWN = 100_000  # characters of a circuit as text; beyond, only its size is told


@dataclass(frozen=True)
class Loaded:
    """What could be made of a run's configuration and checkpoint.

    Attributes:
        data: the task's data, or None.
        model: the trained model, or None.
        missing: why one of them is not there, by its name.
    """

    data: TaskData | None
    model: Model | None
    missing: dict[str, str]


def load(run: RunFolder, data_dir: str | None, console: Console) -> Loaded:
    """Return a run's data and model, as far as they are there.

    Args:
        run: what its files say.
        data_dir: where the data lies now, if not where the training found it.
        console: to say what takes its time.

    Raises:
        ConfigError: a data folder for a task that reads none.
    """
    if data_dir is not None and "data_dir" not in run.config["task"]:
        raise ConfigError(f"data_dir must be left out: task {run.name_of('task')} reads no files")
    found: dict[str, Any] = {"data": None, "model": None}
    missing = {}
    with console.status(f"reading the data of {run.name_of('task')}"):
        try:
            found["data"] = load_data(from_plain(run.config), data_dir)
        except QRNNError as error:
            missing["data"] = str(error)
    if run.checkpoint is None:
        missing["model"] = "there is no checkpoint in the folder"
    else:
        with console.status("building the model"):
            try:
                found["model"] = load_model(run.checkpoint)[0]
            except QRNNError as error:
                missing["model"] = str(error)
            except RuntimeError as error:  # weights of other sizes than the configuration's
                missing["model"] = f"{run.checkpoint.name}: {str(error).splitlines()[0]}"
    return Loaded(**found, missing=missing)


def page_of(run: RunFolder, loaded: Loaded) -> Page:
    """Return the page of a run."""
    splits = [
        None if loaded.data is None else dataset.split_of(one, loaded.data)
        for one in run.evaluations
    ]
    split = splits[0] if splits else None
    sections = [
        Section("data", "Data", list(data_parts(run, loaded))),
        Section("training", "Training", list(training(run))),
        Section("results", "Results", list(results(run, loaded, split))),
        Section("circuit", "Circuit", list(circuit(loaded))),
        Section("devices", "Devices", devices(run)),
        Section("cost", "Time and memory", list(time_and_memory(run))),
        Section("configuration", "Configuration", [configuration(run)]),
        Section("commands", "Commands", [Code(commands(run, splits))]),
        Section("environment", "Environment", list(surroundings(run))),
    ]
    return Page(
        title=" · ".join((run.name_of("task"), run.name_of("model"), trained_on(run, loaded))),
        lead=lead(run, split),
        tiles=tiles(run, split),
        sections=sections,
        footer=footer(str(run.folder)),
        missing=[*run.missing, *left_out(run)],
    )


def trained_on(run: RunFolder, loaded: Loaded) -> str:
    """Return the device that trained; a classical model ignores the configuration's."""
    if run.main is not None:
        return run.main.reference
    classical = loaded.model is not None and device_of(loaded.model) is None
    return "torch" if classical else run.name_of("device")


def footer(what: str) -> str:
    """Return who made a page, of what, and when."""
    now = datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")
    return f"{what}. Made by qrnn {environment()['qrnn']}, {now}."


def best_epoch(run: RunFolder) -> tuple[int, float, float] | None:
    """Return epoch (from 1), loss and accuracy of the best validation, or None."""
    losses = run.history.get("val/loss")
    if not losses:
        return None
    epoch, value = min(losses, key=lambda point: point[1])
    accuracy = dict(run.history.get("val/accuracy", [])).get(epoch, float("nan"))
    return epoch + 1, value, accuracy


def lead(run: RunFolder, split: str | None) -> str:
    """Return the result in a line."""
    best = best_epoch(run)
    validation = None
    if best is not None:
        validation = f"validation accuracy {percent(best[2])} in epoch {best[0]}, the best"
    if run.main is not None:
        main = f"{result(run.main)} on {sequences(run.main, split)}, device {run.main.device}"
        return f"{main}; {validation}." if validation else f"{main}."
    if validation:
        return f"Not evaluated yet; {validation}."
    return "No epoch has ended yet."


def tiles(run: RunFolder, split: str | None) -> list[tuple[str, str, str]]:
    """Return the main numbers."""
    found = []
    best = best_epoch(run)
    if run.main is not None:
        value, _, name = result(run.main).partition(" ")
        found.append((name, value, f"{run.main.device}, {sequences(run.main, split)}"))
        if run.main.metric != "cross_entropy":
            found.append(("loss", loss(run.main.loss), "nats a label"))
    elif best is not None:
        found.append(("accuracy", percent(best[2]), f"validation, epoch {best[0]}"))
        found.append(("loss", loss(best[1]), "validation, nats a label"))
    if run.summary is not None:
        told = run.summary
        whole = f"recurrent; {told['all_parameters']:,} in all"
        found.append(("parameters", f"{told['parameters']:,}", whole))
        found.append(("training", duration(60 * told["minutes"]), count(told["epochs"], "epoch")))
    found.append(("seed", plain(run.config["trainer"].get("seed")), "of one training"))
    return found


def data_parts(run: RunFolder, loaded: Loaded) -> Iterator[Part]:
    """Yield what there is to say of the data."""
    if loaded.data is None:
        yield Text(f"The data is not shown: {loaded.missing['data']}", True)
    else:
        yield from dataset.describe(loaded.data)


def training(run: RunFolder) -> Iterator[Part]:
    """Yield the curves."""
    drawn = figures.curves(run.history)
    if drawn:
        yield Figures(drawn)
    else:
        yield Text("No curves: metrics.csv has no epoch.", True)
    skipped = sum(value for _, value in run.history.get("train/skipped", []))
    if skipped:
        yield Text(
            f"Some gradients were not finite and left out: train/skipped adds up to {skipped:.3g} "
            "of an epoch's steps."
        )


def results(run: RunFolder, loaded: Loaded, split: str | None) -> Iterator[Part]:
    """Yield what the model says of single sequences."""
    if run.main is None:
        best = run.checkpoint or run.folder / "best.ckpt"
        yield Text(f"Not evaluated yet: qrnn evaluate checkpoint={best}", True)
    elif loaded.data is None:
        yield Text("No predictions are shown, as the data is missing.", True)
    else:
        yield from behaviour.results(run.main, loaded.data, split, run.name_of("task"))
    if loaded.model is not None and loaded.data is not None:
        yield from behaviour.said_by(loaded.model, loaded.data)


def circuit(loaded: Loaded) -> Iterator[Part]:
    """Yield the circuit of a step, and its size."""
    if loaded.model is None:
        yield Text(f"The circuit is not shown: {loaded.missing['model']}", True)
        return
    steps = step_circuits(loaded.model)
    if steps:
        drawing = steps[0]
        told = drawing.specs()
        kinds = ", ".join(f"{number} {name}" for name, number in told.pop("gate_types").items())
        facts = [(name.replace("_", " "), str(value)) for name, value in told.items()]
        yield Figures([figures.circuit(drawing)])
        yield Facts([*facts, ("gates by name", kinds)])
        if len(steps) > 1:
            yield Text(f"The model has {count(len(steps), 'such circuit')}; this is the first.")
        return
    neurons = next((m for m in loaded.model.modules() if isinstance(m, QuantumNeuronCell)), None)
    if neurons is None:
        yield Text("This model has no circuit that runs on a device.")
        return
    sizes = neurons.definition
    yield Facts(
        [
            (
                "wires",
                f"{sizes.n_wires}: {sizes.in_out} in/out, {sizes.workspace} workspace, "
                f"{sizes.order} ancillas",
            ),
            ("neurons a step", str(sizes.n_neurons)),
            ("stages", str(sizes.stages)),
            ("order", str(sizes.order)),
            ("degree", str(sizes.degree)),
            ("parameters", f"{sizes.n_parameters:,}"),
        ]
    )
    drawn = neurons.draw(max_length=10**9)
    if len(drawn) <= DRAWN:
        yield Code(drawn, title="One step with input 0, gate by gate")


def step_circuits(model: nn.Module) -> list[StepCircuit]:
    """Return the traced circuits of a model, those of the hybrid cells and of others."""
    found = (getattr(module, "circuit", None) for module in model.modules())
    return [one for one in found if isinstance(one, StepCircuit)]


def time_and_memory(run: RunFolder) -> Iterator[Part]:
    """Yield what training took."""
    if run.summary is None:
        yield Text("Not on record: summary.json is written when a training ends.", True)
        return
    told = run.summary
    memory = told.get("peak_memory_mb")
    yield Facts(
        [
            ("epochs", f"{told['epochs']:,}"),
            ("optimiser steps", f"{told['steps']:,}"),
            ("time per epoch", f"{duration(told['seconds_per_epoch'])} (median)"),
            ("training in all", duration(60 * told["minutes"])),
            ("peak memory", "not recorded" if memory is None else f"{memory:,.0f} MB"),
            ("threads of torch", str(told["threads"])),
        ]
    )


def configuration(run: RunFolder) -> Code:
    """Return the whole configuration, folded."""
    text = yaml.safe_dump(run.config, sort_keys=False, allow_unicode=True).rstrip("\n")
    return Code(text, title="All keys and their values")


def surroundings(run: RunFolder) -> Iterator[Part]:
    """Yield processor and versions of the training."""
    if run.environment is not None:
        yield Facts(list(run.environment.items()))
        return
    now = ", ".join(
        f"{name} {value}" for name, value in environment().items() if name != "processor"
    )
    yield Text("The training's versions are not on record: environment.json is missing.", True)
    yield Text(f"This page was made with {now}.")
