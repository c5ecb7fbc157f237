"""The schemas of the configuration: groups `task`, `model`, `device` and `trainer`.

Hydra checks every key and type against these dataclasses; ranges are checked where the values are
used. A checkpoint holds the resolved configuration as a plain dict.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, fields, is_dataclass
from importlib import resources
from typing import Any

from hydra.core.config_store import ConfigStore
from omegaconf import MISSING, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from qrnn.data import TASKS, TaskConfig
from qrnn.devices import DeviceOptions, device_names
from qrnn.devices.hardware import IBM_NAME
from qrnn.errors import ConfigError
from qrnn.networks import NETWORKS, HybridConfig, ModelConfig
from qrnn.utils.registry import unknown_name
from qrnn.utils.safe_yaml import check_plain


@dataclass
class TrainerConfig:
    """How it is learned.

    Attributes:
        epochs: passes over the training data.
        batch_size: sequences in a batch B, over all processes.
        lr: peak learning rate.
        optimizer: `adamw`, `adam`, `rmsprop` or `sgd`: torch's.
        weight_decay: decoupled for `adamw`, added to the gradient for the others.
        schedule: `cosine` (warm-up, then cosine to zero over all epochs) or `constant`.
        clip: largest norm of the gradient.
        patience: epochs without a better validation loss before stopping; None: never.
        stop_below: validation loss (nats) below which training stops; None: never.
        steps_per_epoch: optimiser steps after which an epoch ends, with its validation and
            checkpoint: each epoch takes other sequences then, at random; None: when all the
            sequences have been seen.
        seed: of initialisation, order of the data and dropout.
        progress: whether to show a progress bar.
        processes: processes that share each batch (Lightning's DDP); on GPUs, one each.
    """

    epochs: int = 60
    batch_size: int = 32
    lr: float = 2e-2
    optimizer: str = "adamw"
    weight_decay: float = 1e-2
    schedule: str = "cosine"
    clip: float = 1.0
    patience: int | None = None
    stop_below: float | None = None
    steps_per_epoch: int | None = None
    seed: int = 0
    progress: bool = True
    processes: int = 1


@dataclass
class TrainConfig:
    """`qrnn train`.

    Attributes:
        task: what is learned.
        model: the recurrent network.
        device: where its circuits run.
        trainer: how it is learned.
        resume: checkpoint to go on from; the configuration is then the checkpoint's.
    """

    task: TaskConfig = MISSING
    model: ModelConfig = field(default_factory=HybridConfig)
    device: DeviceOptions = field(default_factory=DeviceOptions)
    trainer: TrainerConfig = field(default_factory=TrainerConfig)
    resume: str | None = None


@dataclass
class EstimateConfig:
    """`qrnn estimate`.

    Attributes:
        checkpoint: a file that `qrnn train` wrote.
        device: where to evaluate; ledger, budget and timeout have no price.
        readout_angle: of the ancilla's controlled RY, radians, for measured readouts.
        split: `test`, `val` or `train`.
        limit: number of sequences, the first ones; None: all.
        batch_size: sequences that run at once, or rows of a text at most; None: all (of a text 32).
        data_dir: where the data lies now, if not where the training found it.
    """

    checkpoint: str = MISSING
    device: DeviceOptions = field(default_factory=DeviceOptions)
    readout_angle: float | None = None
    split: str = "test"
    limit: int | None = None
    batch_size: int | None = None
    data_dir: str | None = None


@dataclass
class EvaluateConfig(EstimateConfig):
    """`qrnn evaluate`: what has a price, and how it is run.

    Attributes:
        device: where to evaluate.
        feedback: `closed`, or `open` (the angles come from the device that trained).
        readout_mode: `expval` or `measure`; None: as the model was trained.
    """

    feedback: str = "closed"
    readout_mode: str | None = None


@dataclass
class InspectConfig:
    """`qrnn inspect`.

    Attributes:
        checkpoint: a file that `qrnn train` wrote.
        index: of the sequence, counted from 0, or a list of several.
        split: `test`, `val` or `train`.
        cell: of a model of several layers or directions: layer by layer, forward before
            backward.
        device: another device to run beside the model's own; without a name, no other.
        gradient: whether to differentiate the loss.
        states: whether to keep the states too: 2^n or 4^n numbers a step.
        formats: of the figures: `svg`, `pdf`, `png`.
        folder: where numbers and figures go; None: `inspection` beside the checkpoint.
        data_dir: where the data lies now, if not where the training found it.
    """

    checkpoint: str = MISSING
    index: Any = 0
    split: str = "test"
    cell: int = 0
    device: DeviceOptions = field(default_factory=lambda: DeviceOptions(name=""))
    gradient: bool = True
    states: bool = False
    formats: list[str] = field(default_factory=lambda: ["svg", "png"])
    folder: str | None = None
    data_dir: str | None = None


@dataclass
class ExportConfig:
    """`qrnn export`.

    Attributes:
        checkpoint: a file that `qrnn train` wrote.
        index: of the sequence whose angles the circuit has, counted from 0.
        step: `all`, one after the other, or the number of a single one, counted from 0.
        format: `qasm3`, `qiskit` (a QPY file) or `tape` (Python source of a PennyLane tape).
        output: the file to write; None: print the circuit.
        basis: Pauli basis to measure in at the end, one letter a qubit; None: no measurement.
        cell: number of the cell, in a model of several layers or directions.
        readout_mode: `expval` or `measure` (mid-circuit); None: as the model was trained.
        readout_angle: of the ancilla's controlled RY, radians, for measured readouts.
        split: `test`, `val` or `train`.
        data_dir: where the data lies now, if not where the training found it.
    """

    checkpoint: str = MISSING
    index: int = 0
    step: str = "all"
    format: str = "qasm3"
    output: str | None = None
    basis: str | None = None
    cell: int = 0
    readout_mode: str | None = None
    readout_angle: float | None = None
    split: str = "test"
    data_dir: str | None = None


@dataclass
class ReportConfig:
    """`qrnn report`.

    Attributes:
        run: folder of a run, or a list of several.
        output: the file to write; None: `report.html` in the run's folder, of several runs
            `comparison.html` here.
        data_dir: where the data lies now, if not where the training found it; for one run.
    """

    run: Any = MISSING
    output: str | None = None
    data_dir: str | None = None


@dataclass
class DrawConfig:
    """`qrnn draw`.

    Attributes:
        model: of `model=hybrid`, the cell.
        device: where its circuits would run.
    """

    model: ModelConfig = field(default_factory=HybridConfig)
    device: DeviceOptions = field(default_factory=DeviceOptions)


COMMAND_SCHEMAS: dict[str, type] = {
    "train": TrainConfig,
    "evaluate": EvaluateConfig,
    "estimate": EstimateConfig,
    "inspect": InspectConfig,
    "export": ExportConfig,
    "report": ReportConfig,
    "draw": DrawConfig,
}


def register_schemas(overrides: Sequence[str] = ()) -> None:
    """Enter the schemas, and every device by its name, into Hydra's config store.

    Args:
        overrides: the command line: the names of IBM's backends cannot be listed, so those that
            occur in it are entered.
    """
    store = ConfigStore.instance()
    for command, of_command in COMMAND_SCHEMAS.items():
        node = of_command(model=MISSING) if command in ("train", "draw") else of_command
        store.store(f"{command}_schema", node)
    for group, table in (("task", TASKS), ("model", NETWORKS)):
        shipped = resources.files("qrnn.configs") / group
        for name in table:
            schema = table[name].schema
            store.store(f"{name}_schema", schema, group=group)
            if not (shipped / f"{name}.yaml").is_file():  # registered by a user's own program
                store.store(name, schema, group=group)
    chosen = (item.partition("=")[2].split(",") for item in overrides if item[:7] == "device=")
    named = (name for names in chosen for name in names if IBM_NAME.fullmatch(name))
    for name in (*device_names(), *named):
        # Its options have their defaults in the command's schema; Hydra copies the store often.
        store.store(name, {"name": name}, group="device")


def to_plain(config: Any) -> dict[str, Any]:
    """Return a configuration as plain dicts, lists and numbers."""
    return OmegaConf.to_container(  # type: ignore[return-value]
        OmegaConf.structured(config) if not OmegaConf.is_config(config) else config, resolve=True
    )


def to_typed(config: Any) -> Any:
    """Return the schema's own dataclass of a configuration that Hydra composed.

    Raises:
        ConfigError: a key that nothing reads, which Hydra lets `+key=value` add, or a number
            beyond all limits.
    """
    typed: Any = OmegaConf.to_object(config)
    _check(typed, "")
    return typed


MOST_WHOLE, MOST_REAL = 2**32 - 1, 1e30  # beyond them, counts and float32 overflow somewhere


def _check(value: Any, key: str) -> None:
    """Refuse keys that nothing reads, and numbers that no key allows, in all that a value holds."""
    if is_dataclass(value):
        known = [one.name for one in fields(value)]
        for name, inner in vars(value).items():
            if name not in known:
                raise unknown_name("key", name, known)
            _check(inner, f"{key}.{name}" if key else name)
    elif isinstance(value, (list, dict)):
        for inner in value.values() if isinstance(value, dict) else value:
            _check(inner, key)
    elif isinstance(value, (int, float)) and math.isfinite(value):
        most = MOST_WHOLE if isinstance(value, int) else MOST_REAL
        if abs(value) > most:
            raise ConfigError(f"{key} must be within {-most}..{most}, got {value}")


def from_plain(plain: dict[str, Any]) -> TrainConfig:
    """Return the typed configuration of a checkpoint.

    Raises:
        ConfigError: the dict does not fit the schemas, or holds an interpolation.
    """
    check_plain(plain)
    names: dict[str, str] = {}
    for group in ("task", "model"):
        of_group = plain.get(group)
        given = of_group.get("name") if isinstance(of_group, dict) else of_group
        if not isinstance(given, str):
            raise ConfigError(f"{group}.name must be the name of a {group}, got {given!r:.60}")
        names[group] = given
    schema = OmegaConf.structured(
        TrainConfig(task=TASKS[names["task"]].schema(), model=NETWORKS[names["model"]].schema())
    )
    try:
        # Not every type that YAML and torch can write is one of OmegaConf's.
        return OmegaConf.to_object(OmegaConf.merge(schema, plain))  # type: ignore[return-value]
    except (OmegaConfBaseException, TypeError, ValueError, OverflowError) as error:
        reason = str(error).split("\n")[0]
        raise ConfigError(f"the configuration does not fit this version: {reason}") from error
