"""The schemas of the configuration: groups `task`, `model`, `device` and `trainer`.

Hydra checks keys and types against these dataclasses; ranges are checked where the values are
used. A checkpoint holds the resolved configuration as a plain dict.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, fields, is_dataclass
from importlib import resources
from typing import Any

from hydra.core.config_store import ConfigNode, ConfigStore
from omegaconf import MISSING, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from qrnn.config_errors import config_error_line
from qrnn.data import TASKS, TaskConfig
from qrnn.devices import DeviceOptions, device_names
from qrnn.devices.hardware import IBM_NAME
from qrnn.errors import ConfigError, QRNNError
from qrnn.networks import NETWORKS, HybridConfig, ModelConfig
from qrnn.utils.registry import Registry, unknown_name
from qrnn.utils.safe_yaml import check_plain


@dataclass
class TrainerConfig:
    """The options of the trainer.

    Attributes:
        epochs: number of passes over the training data.
        batch_size: number of sequences per batch B, over all processes.
        lr: peak learning rate.
        optimizer: torch optimiser, `adamw`, `adam`, `rmsprop` or `sgd`.
        weight_decay: decoupled for `adamw`, added to the gradient for the others.
        schedule: `cosine` (warm-up, then cosine decay to zero over all epochs) or `constant`.
        clip: largest gradient norm; larger gradients are scaled down.
        patience: epochs without a lower validation loss before stopping; None: never stop.
        stop_below: validation loss (nats) below which training stops; None: never stop.
        steps_per_epoch: optimiser steps per epoch, None: all sequences. An epoch ends with
            validation and a checkpoint; each draws other sequences at random.
        seed: seed of initialisation, data order and dropout.
        loggers: Lightning's loggers, of `csv`, `tensorboard`, `wandb` and `mlflow`.
        progress: whether to show a progress bar.
        processes: processes that share each batch (Lightning's DDP), one per GPU.
        baselines: networks to train in the same way after the model, each with about as many
            recurrent parameters, e.g. `[lstm,gru]`; evaluations show them as further rows.
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
    loggers: list[str] = field(default_factory=lambda: ["tensorboard"])
    progress: bool = True
    processes: int = 1
    baselines: list[str] = field(default_factory=list)


@dataclass
class TrainConfig:
    """`qrnn train`.

    Attributes:
        task: the task and its data.
        model: the recurrent network.
        device: the device that runs its circuits.
        trainer: options of the trainer.
        resume: checkpoint to resume from, which then sets the configuration.
    """

    task: TaskConfig = MISSING
    model: ModelConfig = field(default_factory=HybridConfig)
    device: DeviceOptions = field(default_factory=DeviceOptions)
    trainer: TrainerConfig = field(default_factory=TrainerConfig)
    resume: str | None = None


@dataclass
class PartConfig:
    """Some of a task's sequences on a device.

    Attributes:
        checkpoint: a file that `qrnn train` wrote.
        device: where to evaluate.
        readout_angle: angle of the ancilla's controlled RY in mode `measure`, radians.
        split: `test`, `val` or `train`.
        limit: number of sequences, the first of the split; None: all.
        batch_size: sequences (or parallel parts of a text) that run together; None: all (32).
        data_dir: folder of the data, if it has moved since training.
    """

    checkpoint: str = MISSING
    device: DeviceOptions = field(default_factory=DeviceOptions)
    readout_angle: float | None = None
    split: str = "test"
    limit: int | None = None
    batch_size: int | None = None
    data_dir: str | None = None


@dataclass
class EstimateConfig(PartConfig):
    """`qrnn estimate`: of an evaluation, or with `input` of a prediction.

    Attributes:
        device: where it would run; ledger, budget and timeout do not change the cost.
        input: a CSV or Parquet file with new rows, as of `qrnn predict`; `-`: standard input; None:
            the cost is that of an evaluation.
        every: of a forecast of `input`, from every window of the table, not only from the last one.
        price_per_second: price of a QPU second, in any currency; None: only seconds are shown.
    """

    input: str | None = None
    every: bool = False
    price_per_second: float | None = None


@dataclass
class EvaluateConfig(PartConfig):
    """`qrnn evaluate`.

    Attributes:
        feedback: `closed`, or `open` (the angles come from the training device).
        readout_mode: `expval` or `measure`; None: as the model was trained.
    """

    feedback: str = "closed"
    readout_mode: str | None = None


@dataclass
class PredictConfig:
    """`qrnn predict`.

    Attributes:
        checkpoint: a file that `qrnn train` wrote.
        input: a CSV or Parquet file with new rows; `-`: CSV from standard input.
        output: the CSV file to write; null: print it.
        device: where the circuits run.
        every: of a forecast, predict from every window of the table, not only from the last one.
        steps: of a forecast, number of steps to predict; null: the horizon.
        recursive: of a forecast, go on with the predictions as the past, for more steps than the
            horizon.
        batch_size: sequences that run at once; null: all.
        plot: picture of a forecast to write, e.g. forecast.png; null: none.
    """

    checkpoint: str = MISSING
    input: str = MISSING
    output: str | None = None
    device: DeviceOptions = field(default_factory=DeviceOptions)
    every: bool = False
    steps: int | None = None
    recursive: bool = False
    batch_size: int | None = None
    plot: str | None = None


@dataclass
class InspectConfig:
    """`qrnn inspect`.

    Attributes:
        checkpoint: a file that `qrnn train` wrote.
        index: index of the sequence, from 0, or a list of several.
        split: `test`, `val` or `train`.
        cell: number of the cell, in a model with several layers or directions: layer by layer,
            forward before backward.
        device: a second device to compare with; without a name, none.
        gradient: whether to differentiate the loss.
        states: whether to save the states as well, 2^n or 4^n numbers per step.
        formats: formats of the figures, `svg`, `pdf` or `png`.
        folder: folder for numbers and figures; None: `inspection` next to the checkpoint.
        data_dir: folder of the data, if it has moved since training.
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
        index: index of the sequence that sets the angles, from 0.
        step: number of a step, from 0, or `all` for all steps in one circuit.
        format: `qasm3`, `qiskit` (a QPY file) or `tape` (Python source of a PennyLane tape).
        output: the file to write; None: print the circuit.
        basis: Pauli basis to measure in at the end, one letter per qubit; None: no measurement.
        cell: number of the cell, in a model with several layers or directions.
        readout_mode: `expval` or `measure` (mid-circuit); None: as the model was trained.
        readout_angle: angle of the ancilla's controlled RY in mode `measure`, radians.
        split: `test`, `val` or `train`.
        data_dir: folder of the data, if it has moved since training.
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
        output: the file to write; None: `report.html` in the run's folder, or `comparison.html`
            in the working directory for several runs.
        data_dir: folder of the data, if it has moved since training; for one run only.
    """

    run: Any = MISSING
    output: str | None = None
    data_dir: str | None = None


@dataclass
class DrawConfig:
    """`qrnn draw`.

    Attributes:
        model: options of `model=hybrid`.
        device: the device that would run its circuits.
    """

    model: ModelConfig = field(default_factory=HybridConfig)
    device: DeviceOptions = field(default_factory=DeviceOptions)


COMMAND_SCHEMAS: dict[str, type] = {
    "train": TrainConfig,
    "evaluate": EvaluateConfig,
    "estimate": EstimateConfig,
    "predict": PredictConfig,
    "inspect": InspectConfig,
    "export": ExportConfig,
    "report": ReportConfig,
    "draw": DrawConfig,
}


TABLES: dict[str, Registry[Any]] = {"task": TASKS, "model": NETWORKS}


class SchemaNode(ConfigNode):
    """A task's or model's schema in Hydra's store; a plug-in is imported only when it is read.

    Args:
        stored: name in the store.
        group: `task` or `model`.
        entry: name of the task or model.
    """

    def __init__(self, stored: str, group: str, entry: str):
        self._node: Any = None
        super().__init__(f"{stored}.yaml", None, group, None, None)  # type: ignore[arg-type]
        self.entry = entry

    @property
    def node(self) -> Any:
        """The schema, as Hydra composes it."""
        if self._node is None:
            self._node = OmegaConf.structured(TABLES[str(self.group)][self.entry].schema)
        return self._node

    @node.setter
    def node(self, value: Any) -> None:
        self._node = value


def register_schemas(overrides: Sequence[str] = ()) -> None:
    """Register the schemas, and every device by its name, in Hydra's config store.

    Args:
        overrides: the command line. The IBM backends that it names are registered too, because
            their names cannot be listed.
    """
    store = ConfigStore.instance()
    for command, of_command in COMMAND_SCHEMAS.items():
        node = of_command(model=MISSING) if command in ("train", "draw") else of_command
        store.store(f"{command}_schema", node)
    for group, table in TABLES.items():
        store.repo.setdefault(group, {})
        shipped = resources.files("qrnn.configs") / group
        for name in table:
            store.repo[group][f"{name}_schema.yaml"] = SchemaNode(f"{name}_schema", group, name)
            if not (shipped / f"{name}.yaml").is_file():  # a plug-in's, or of the user's program
                store.repo[group][f"{name}.yaml"] = SchemaNode(name, group, name)
    chosen = (item.partition("=")[2].split(",") for item in overrides if item[:7] == "device=")
    named = (name for names in chosen for name in names if IBM_NAME.fullmatch(name))
    for name in (*device_names(), *named):
        # Only the name, as the schema has the defaults: Hydra copies the store often.
        store.store(name, {"name": name}, group="device")


def compose(command: str, overrides: Sequence[str]) -> Any:
    """Return the typed configuration of a command, as its line of arguments gives it.

    Args:
        command: a key of `COMMAND_SCHEMAS`.
        overrides: its arguments, such as `model.n_qubits=4`.

    Raises:
        ConfigError: an unknown key, or a value of the wrong type.
    """
    from hydra import compose as compose_in
    from hydra import initialize_config_module
    from hydra.core.global_hydra import GlobalHydra
    from hydra.initialize import get_gh_backup, restore_gh_from_backup

    register_schemas(overrides)
    outer = get_gh_backup()  # of the command that may be running
    GlobalHydra.instance().clear()
    try:
        with initialize_config_module("qrnn.configs", version_base="1.3"):
            return to_typed(compose_in(command, overrides=list(overrides)))
    except QRNNError:
        raise
    except Exception as error:  # Hydra's own are of many types
        raise ConfigError(config_error_line(error)) from error
    finally:
        restore_gh_from_backup(outer)


def to_plain(config: Any) -> dict[str, Any]:
    """Return a configuration as plain dicts, lists and numbers."""
    return OmegaConf.to_container(  # type: ignore[return-value]
        OmegaConf.structured(config) if not OmegaConf.is_config(config) else config, resolve=True
    )


def to_typed(config: Any) -> Any:
    """Convert a configuration composed by Hydra to the dataclass of its schema.

    Raises:
        ConfigError: a key is unknown (Hydra accepts any with `+key=value`), or a number is too
            large for every key.
    """
    typed: Any = OmegaConf.to_object(config)
    _check(typed, "")
    return typed


MOST_WHOLE, MOST_REAL = 2**32 - 1, 1e30  # beyond them, counts and float32 overflow somewhere


def _check(value: Any, key: str) -> None:
    """Check nested values for unknown keys and for numbers beyond every key's range."""
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
        ConfigError: the dict does not fit the schemas, or contains an interpolation.
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
        # OmegaConf does not know every type that YAML and torch can write.
        return OmegaConf.to_object(OmegaConf.merge(schema, plain))  # type: ignore[return-value]
    except (OmegaConfBaseException, TypeError, ValueError, OverflowError) as error:
        reason = str(error).split("\n")[0]
        raise ConfigError(f"the configuration does not fit this version: {reason}") from error
