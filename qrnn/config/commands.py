"""The configuration of each command, and the `trainer` group."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from qrnn.config.devices import DeviceOptions
from qrnn.config.models import NETWORKS, HybridConfig, ModelConfig
from qrnn.config.tasks import MISSING, TASKS, TaskConfig
from qrnn.utils.registry import Registry

# The groups whose keys depend on a name.
TABLES: dict[str, Registry[Any]] = {"task": TASKS, "model": NETWORKS}

SPLITS = ("test", "val", "train")  # the parts of a task's data, attributes of `TaskData`
FEEDBACKS = ("closed", "open")
SPSA, LBFGS = "spsa", "lbfgs"
# By name, the classes of `torch.optim`; SPSA's gradients are estimates, which Adam follows.
OPTIMIZERS = {
    "adamw": "AdamW",
    "adam": "Adam",
    "rmsprop": "RMSprop",
    "sgd": "SGD",
    LBFGS: "LBFGS",
    SPSA: "Adam",
}


@dataclass
class TrainerConfig:
    """The options of the trainer.

    Attributes:
        epochs: number of passes over the training data.
        batch_size: number of sequences per batch B, over all processes.
        lr: peak learning rate; of `lbfgs`, the first step length that its line search tries.
        optimizer: torch optimiser, `adamw`, `adam`, `rmsprop` or `sgd`; `lbfgs`, with a line
            search, which evaluates a batch about 25 times at most in a step; or `spsa`, which needs
            no gradients, for devices that run jobs. `trainer=lbfgs` and `trainer=spsa` set the keys
            that go with them.
        directions: of `spsa`, random directions per step, each with two evaluations of the batch;
            None: 4.
        perturbation: of `spsa`, change of each weight in the first step's evaluations; None: 0.02.
        weight_decay: decoupled for `adamw`, added to the gradient for the others.
        schedule: `cosine` (warm-up, then cosine decay to zero over all epochs), `constant` or
            `power` (Spall's gains, lr ((1 + A) / (k + 1 + A))^0.602 at step k, A a tenth of all).
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
            recurrent parameters, such as `[lstm,gru]`; evaluations show them as further rows.
    """

    epochs: int = 60
    batch_size: int = 32
    lr: float = 2e-2
    optimizer: str = "adamw"
    directions: int | None = None
    perturbation: float | None = None
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
        finetune: checkpoint whose weights a new training begins with, a file or the name of a
            shipped one; task and model are the checkpoint's, device and trainer are not.
    """

    task: TaskConfig = MISSING
    model: ModelConfig = field(default_factory=HybridConfig)
    device: DeviceOptions = field(default_factory=DeviceOptions)
    trainer: TrainerConfig = field(default_factory=TrainerConfig)
    resume: str | None = None
    finetune: str | None = None


@dataclass
class PartConfig:
    """Some of a task's sequences on a device.

    Attributes:
        checkpoint: a file that `qrnn train` wrote, or the name of a shipped one.
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
    """`qrnn estimate`: of an evaluation, with `input` of a prediction, or of a training.

    Attributes:
        device: where it would run; ledger, budget and timeout do not change the cost.
        trainer: of a training that begins with the checkpoint, chosen by `trainer=spsa`; without
            one, the cost is that of an evaluation.
        input: a CSV or Parquet file with new rows, as of `qrnn predict`; `-`: standard input; None:
            the cost is that of an evaluation.
        every: of a forecast of `input`, from every window of the table, not only from the last one.
        price_per_second: price of a QPU second, in any currency; None: only seconds are shown.
    """

    input: str | None = None
    every: bool = False
    price_per_second: float | None = None
    trainer: TrainerConfig = field(default_factory=TrainerConfig)


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
        checkpoint: a file that `qrnn train` wrote, or the name of a shipped one.
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
        checkpoint: a file that `qrnn train` wrote, or the name of a shipped one.
        index: index of the sequence, from 0, or a list of several.
        split: `test`, `val` or `train`.
        cell: number of the cell, in a model with several layers or directions: layer by layer,
            forward before backward.
        device: a second device to compare with; without a name, none.
        gradient: whether to differentiate the loss.
        states: whether to save the states as well, 2^n or 4^n numbers per step.
        formats: formats of the figures, `svg`, `pdf` or `png`.
        folder: folder for numbers and figures; None: `inspection` next to the checkpoint, or of a
            shipped one in `runs/NAME`.
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
        checkpoint: a file that `qrnn train` wrote, or the name of a shipped one.
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
