"""`qrnn estimate`: the cost of an evaluation, a prediction or a training on an IBM backend."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from textwrap import fill
from typing import Any

from rich.console import Console

from qrnn.config import EstimateConfig, TrainerConfig
from qrnn.config.commands import SPSA
from qrnn.data import Part
from qrnn.devices import DeviceOptions
from qrnn.errors import ConfigError, QRNNError
from qrnn.evaluation import neuron_costs
from qrnn.evaluation.costs import FORMULA, Price, priceable, prices, table
from qrnn.evaluation.evaluation import check_runnable
from qrnn.evaluation.trained import load
from qrnn.models.base import Model
from qrnn.models.cells import cells_of
from qrnn.training.checkpoint import load_data
from qrnn.training.checks import batches_of_epoch, check_device, check_trainer
from qrnn.training.jobs import price
from qrnn.training.spsa import check_spsa

OF_AN_EVALUATION = ("split", "limit", "batch_size", "readout_angle", "input", "every")
OF_THE_TASK = ("split", "limit", "data_dir", "readout_angle")


def run(config: EstimateConfig) -> None:
    """Print the cost: of an evaluation for each feedback and readout mode, or of a prediction.

    Raises:
        ConfigError: keys of an evaluation are given with `input`.
        DataError: the checkpoint or the new rows cannot be read.
        DeviceError: the device cannot run the model.
    """
    options = priceable(config.device)
    money = config.price_per_second
    if money is not None and not 0 <= money < math.inf:
        raise ConfigError(f"price_per_second must be a number of at least 0, got {money}")
    if config.trainer != TrainerConfig():
        fine_tuning(config, options)
        return
    if config.input is None:
        if config.every:
            raise ConfigError("every must be left out without input: it is about new rows")
        loaded = load(config.checkpoint)
        data = load_data(loaded.config, config.data_dir)
        part = getattr(data, config.split).head(config.limit)
    else:
        for key in OF_THE_TASK:
            if (given := getattr(config, key)) != getattr(EstimateConfig, key):
                raise ConfigError(f"{key} must be left out with input, got {given}")
        loaded = load(config.checkpoint)
        part, _ = loaded.encode(config.input, every=config.every)
    model: Any = loaded.model

    def training() -> Part:
        return (load_data(loaded.config) if config.input else data).train

    console = Console()
    if model.projects:
        print(f"{head(config, part)}, {options.shots} kept shots of each")
        console.print(neuron_costs.table(neuron_costs.neuron_prices(model, options, part)))
        print("Costs of reading each sequence's last step, projected on its tokens.")
        print("Fraction of shots kept: median over the sequences. Executions: circuits x shots,")
        print("lost shots included. QPU seconds: (delay + length) x executions, IBM's formula:")
        print(FORMULA)
        return
    check_runnable(model, part, "closed", ibm=True)
    print(f"{head(config, part)}, {options.shots} shots")
    if config.input is None:
        found, notes = evaluations(model, options, part, config, training)
    else:
        found = prices(model, options, part, config.batch_size, ["closed"], training)
        notes = []
    console.print(table(found, money))
    print_fake(config, options)
    for note in notes:
        print(fill(note, 80))
    if options.calibrate is not None:
        print(
            f"With the calibration by {options.calibrate} training sequences, which other runs of"
        )
        print("this checkpoint with these options use for a day.")
    if config.input is None:
        print("Closed, open: feedback; measured: mid-circuit, readout_mode=measure. Depth and")
    else:
        print("A recursive forecast runs this once for each of its horizons. Depth and")
    print("gates: largest circuit. Error of z: shot noise of the least precise readout.")
    print_units()


def print_fake(config: EstimateConfig, options: DeviceOptions) -> None:
    """Print that a backend was priced on its fake backend, if it was."""
    if options.name != config.device.name:
        print(f"Priced on {options.name}, its fake backend, as no IBM account is saved here.")
        if config.device.fractional_gates:
            print("It has no fractional gates, with which the circuits would be shorter.")


def print_units() -> None:
    """Print the meaning of the rows that all tables have."""
    print("Executions: circuits x shots. Open Plan: share of its 10 minutes in 28 days.")
    print("QPU seconds: 2 a job + (delay + length) x executions, IBM's formula:")
    print(FORMULA)


def fine_tuning(config: EstimateConfig, options: DeviceOptions) -> None:
    """Print the cost of fine-tuning a checkpoint with SPSA.

    Raises:
        ConfigError: another optimiser is set, or keys of an evaluation.
        DeviceError: the device cannot run the model.
    """
    trainer = config.trainer
    if trainer.optimizer != SPSA:
        raise ConfigError(
            f"trainer.optimizer must be spsa to train on {config.device.name}, which gives no "
            f"gradients, got {trainer.optimizer}: trainer=spsa"
        )
    for key in OF_AN_EVALUATION:
        if (given := getattr(config, key)) != getattr(EstimateConfig, key):
            raise ConfigError(f"{key} must be left out with trainer=spsa, got {given}")
    check_trainer(trainer)
    loaded = load(config.checkpoint)
    data = load_data(loaded.config, config.data_dir)
    check_device(replace(loaded.config, device=options, trainer=trainer))
    check_spsa(loaded.model, data)
    batches_of_epoch(data, trainer)
    found = price(loaded.model, options, data, trainer)
    epochs = trainer.epochs
    print(f"{config.device.name}: {counted(len(data.train))} of training, {options.shots} shots")
    columns = {"a step": found.step, "an epoch": found.epoch, "training": found.epoch * epochs}
    Console().print(table(columns, config.price_per_second))
    print_fake(config, options)
    print(f"Training: {epochs} epoch{'s' * (epochs != 1)}, each with a validation of", end=" ")
    print(f"{found.validation.qpu_seconds:,.1f} QPU seconds.")
    print_units()


def head(config: EstimateConfig, part: Part) -> str:
    """Return the device, and the number of sequences and of their steps, or of a text's tokens."""
    n = len(part)
    if part.is_text:
        return f"{config.device.name}: {n} predicted tokens of a text"
    return f"{config.device.name}: {counted(n)}, {part.tensors[0].shape[1]} steps"


def counted(n: int) -> str:
    """Return a number of sequences."""
    return f"{n} sequence{'' if n == 1 else 's'}"


def evaluations(
    model: Model,
    options: DeviceOptions,
    part: Part,
    config: EstimateConfig,
    training: Callable[[], Part],
) -> tuple[dict[str, Price], list[str]]:
    """Return the price of each way to evaluate, and notes on what could not be priced."""
    found, notes, feedbacks = {}, [], ["closed"]
    if model.translates:
        notes.append(
            "With a beam search of sentences as long as the longest target: of those that end "
            "earlier, fewer circuits run."
        )
    try:
        check_runnable(model, part, "open", ibm=True)
        feedbacks.append("open")
    except ConfigError as error:
        notes.append(f"The open loop has no price: {error}")
    modes: dict[str, dict[str, Any]] = {"expval": {}}
    if cells_of(model):
        modes["expval"] = {"readout_mode": "expval"}
        modes["measure"] = {"readout_mode": "measure", "readout_angle": config.readout_angle}
    for mode, reading in modes.items():
        try:
            loops = prices(
                model,
                options,
                part,
                config.batch_size,
                feedbacks,
                training,
                translates=model.translates,
                **reading,
            )
        except QRNNError as error:
            if mode == "expval":
                raise
            notes.append(f"Measured readouts could not be priced: {error}")
            continue
        kind = "measured, " if mode == "measure" else ""
        found.update({f"{kind}{loop}": price for loop, price in loops.items()})
        refusals = [price.refusal for price in loops.values() if price.refusal is not None]
        notes += [f"The run would be refused: {refusals[0]}"] if refusals else []
    return found, notes
