"""Training on a device that submits jobs: priced, recorded, within a budget, and resumable."""

from __future__ import annotations

import itertools
import math
import re
import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import torch
from rich.console import Console
from typing_extensions import override

from qrnn.config import TrainerConfig
from qrnn.data import Batch, TaskData, loader
from qrnn.devices import DeviceOptions, device_spec
from qrnn.devices.ibm import Estimate, IBMDevice, estimate_of
from qrnn.devices.ibm.budget import BudgetError
from qrnn.devices.ibm.cost import Cost, cost_of, job_count
from qrnn.devices.ibm.ledger import recorded_backend
from qrnn.errors import ConfigError, DeviceError
from qrnn.models.base import Model
from qrnn.models.cells import cells_of
from qrnn.training.learner import EVAL_BATCH, Learner
from qrnn.training.spsa import DIRECTIONS, repeated
from qrnn.utils.overrides import argument
from qrnn.utils.program import command, shown_path


@dataclass(frozen=True)
class TrainingPrice:
    """The estimated cost of a training; for sequences of different lengths, of its first epoch.

    Attributes:
        step: of an optimiser step, with a whole batch.
        validation: of the validation after each epoch.
        epoch: of an epoch with its validation.
        backend: the backend that it is for.
    """

    step: Estimate
    validation: Estimate
    epoch: Estimate
    backend: str


def price(
    model: Model, options: DeviceOptions, data: TaskData, trainer: TrainerConfig
) -> TrainingPrice:
    """Return the price of a training with SPSA; nothing is run.

    Args:
        model: the model.
        options: the device.
        data: the task's data.
        trainer: options of the trainer.

    Raises:
        ConfigError: the model has not one hybrid cell.
        DeviceError: the device cannot run the model, or would refuse it.
    """
    with tempfile.TemporaryDirectory() as folder:  # hardware requires a ledger
        target = on_jobs(model, options, folder)
        try:
            return _price(target, target.rnn.cell.plugin, data, trainer)
        finally:
            target.rnn.cell.plugin.close()


def _price(
    model: Model, plugin: IBMDevice, data: TaskData, trainer: TrainerConfig
) -> TrainingPrice:
    copies = 2 * (trainer.directions or DIRECTIONS)
    known: dict[Any, Estimate] = {}

    def total(batches: list[Batch]) -> Estimate:
        sizes: Counter[Any] = Counter()
        for batch in batches:  # the price depends on sizes and lengths alone
            lengths = None if batch.lengths is None else tuple(sorted(batch.lengths.tolist()))
            sizes[batch.x.shape, lengths] += 1
            if (batch.x.shape, lengths) not in known:
                with torch.no_grad():
                    found = estimate_of(plugin, partial(model.answer, batch))
                known[batch.x.shape, lengths] = found
        found, *others = [known[size] * number for size, number in sizes.items()]
        for one in others:
            found += one
        return found

    batches = loader(data.train_of(0), trainer.batch_size, shuffle=True, seed=trainer.seed)
    train = [repeated(one, copies) for one in itertools.islice(batches, trainer.steps_per_epoch)]
    step, validation = total(train[:1]), total(data.val.all_batches(EVAL_BATCH))
    epoch = total(train) + validation
    if epoch.refusal is not None:
        raise DeviceError(epoch.refusal)
    return TrainingPrice(step, validation, epoch, plugin.backend_name)


class Jobs(pl.Callback):
    """Keeps the jobs of a training apart, and within the budget.

    Each job's key has the step or the validation that it is of, so that a resumed run finds the
    jobs of its own steps. After each epoch, training stops if the budget is too small for the next.

    Args:
        model: the model on the device.
        plugin: its IBM device.
        ledger: folder of its ledger.
        price: the price of an epoch.
        shown: whether to show the price before training.
    """

    def __init__(self, model: Any, plugin: IBMDevice, ledger: Path, price: Estimate, shown: bool):
        self.plugin, self.ledger, self.price, self.shown = plugin, ledger, price, shown
        self.begun = 0.0  # estimated QPU seconds of all epochs before the current one
        self.stopped: str | None = None
        self._purpose, self._steps = "", itertools.count()
        model.rnn.cell.register_forward_pre_hook(self._note)

    def settled(self, patience: float) -> Cost:
        """Return the cost, once IBM has metered the jobs.

        Args:
            patience: seconds to wait for that; jobs that are not metered by then count with their
                estimate.
        """
        self.plugin.settle(patience)
        return cost_of(self.plugin, self.ledger)

    def _begin(self, purpose: str) -> None:
        self._purpose, self._steps = purpose, itertools.count()

    def _note(self, *_: Any) -> None:
        """Record in the ledger what the next job computes."""
        self.plugin.annotate(purpose=self._purpose, config="training", step=str(next(self._steps)))

    def check(self, epoch: int) -> None:
        """Check that the budget suffices for an epoch, without the jobs that it has already.

        Args:
            epoch: its number, from 0.

        Raises:
            DeviceError: it does not.
        """
        there = max(0.0, self.plugin.begun_seconds - self.begun)
        self.plugin.allow(max(0.0, self.price.qpu_seconds - there), f"epoch {epoch + 1}")

    @override
    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        left = (trainer.max_epochs or 0) - trainer.current_epoch
        if left > 0:
            self.check(trainer.current_epoch)
        if self.shown:
            self._announce(left)

    def _announce(self, epochs: int) -> None:
        per, total = self.price.qpu_seconds, epochs * self.price.qpu_seconds
        lines = [
            f"{self.plugin.backend_name}: {epochs} epoch{'s' * (epochs != 1)} of "
            f"{job_count(self.price.jobs)} and {per:,.1f} QPU s, estimated at {total:,.1f} QPU s",
            f"jobs are recorded in {shown_path(self.ledger)}",
        ]
        most = self.plugin.options.max_qpu_seconds
        if most is not None and most < total:
            lines.append(f"the budget of {most:g} QPU s stops the training before its last epoch")
        Console(stderr=True, highlight=False, soft_wrap=True).print("\n".join(lines))

    @override
    def on_train_batch_start(self, trainer: pl.Trainer, *_: Any) -> None:
        self._begin(f"step {trainer.global_step}")

    @override
    def on_validation_batch_start(
        self, trainer: pl.Trainer, module: Any, batch: Any, index: int, *_: Any
    ) -> None:
        self._begin(f"validation {trainer.current_epoch}, batch {index}")

    @override
    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Lightning writes the epoch's checkpoints after this call."""
        self.begun = self.plugin.begun_seconds
        done = trainer.current_epoch + 1
        if done < (trainer.max_epochs or 0) and not trainer.should_stop:
            try:
                self.check(done)
            except DeviceError as error:
                self.stopped = resumable(error, self.ledger.parent.parent, self.price.qpu_seconds)
                trainer.should_stop = True

    @override
    def state_dict(self) -> dict[str, Any]:
        return {"begun": self.begun}

    @override
    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.begun = state_dict["begun"]


def job_price(module: Learner, data: TaskData) -> TrainingPrice | None:
    """Return the price of a training, and check the budget, before anything is written.

    Args:
        module: the module to train.
        data: the task's data.

    Returns:
        The price; None: the device submits no jobs.

    Raises:
        ConfigError: the model has more than one hybrid cell, the epochs differ, or there is no
            budget on hardware.
        DeviceError: the device cannot run the model, or the budget is too small for an epoch.
    """
    config = module.config
    options, spec = config.device, device_spec(config.device.name)
    if not spec.submits_jobs:
        return None
    if data.curriculum:
        raise ConfigError(
            f"task.curriculum must be left out to train on {options.name!r}: an epoch is priced as "
            f"the first"
        )
    if config.resume is not None:  # the least busy backend is another one now
        known = recorded_backend(ledger_of(Path(config.resume).parent, options))
        options = replace(options, name=known or options.name)
    found = price(module.model, options, data, config.trainer)
    seconds = found.epoch.qpu_seconds
    most = options.max_qpu_seconds
    if spec.account and most is None:
        raise ConfigError(
            f"device.max_qpu_seconds must be set to train on {options.name!r}, where an epoch is "
            f"estimated at {seconds:,.1f} QPU s, got null"
        )
    if config.resume is None and most is not None and most < seconds:
        raise DeviceError(
            f"device.max_qpu_seconds must be enough for an epoch, estimated at {seconds:,.1f} QPU "
            f"s, got {most:g}: raise it, or use fewer shots, trainer.directions or "
            f"trainer.steps_per_epoch"
        )
    return found


@contextmanager
def recorded_jobs(
    module: Learner, run_dir: Path, price: TrainingPrice | None
) -> Iterator[Jobs | None]:
    """Move a training to a device that submits jobs.

    Args:
        module: the module to train.
        run_dir: folder of the run, where jobs are recorded.
        price: the price; None: the device submits no jobs.

    Yields:
        A callback of the training; None: its device submits no jobs.

    Raises:
        DeviceError: the device failed; the message says how to resume.
    """
    if price is None:
        yield None
        return
    options = module.config.device
    ledger = ledger_of(run_dir, options)
    target = on_jobs(module.model, replace(options, name=price.backend), ledger)
    plugin = target.rnn.cell.plugin
    module.run_on(target)
    try:
        yield Jobs(target, plugin, ledger, price.epoch, shown=module.config.trainer.progress)
    except DeviceError as error:
        raise DeviceError(resumable(error, run_dir, price.epoch.qpu_seconds)) from error
    finally:
        plugin.close()


def ledger_of(run_dir: Path, options: DeviceOptions) -> Path:
    """Return the folder in which a run records its training's jobs."""
    return run_dir / "jobs" / f"{options.name}-training"


def on_jobs(model: Model, options: DeviceOptions, ledger: str | Path) -> Any:
    """Return a model on a device that submits jobs, whose circuits are not differentiated.

    Raises:
        ConfigError: it has not one hybrid cell.
        DeviceError: the device cannot run it.
    """
    if (cells := len(cells_of(model))) != 1:
        raise ConfigError(f"an IBM device must have a model with one hybrid cell, got {cells}")
    return model.on(replace(options, ledger=str(ledger), gradient="none"))


def resumable(error: DeviceError, run_dir: Path, epoch: float) -> str:
    """Return a device's message with the command that resumes the training, if it has begun.

    Args:
        error: the device's.
        run_dir: folder of the run.
        epoch: estimated QPU seconds of an epoch, for which a larger budget must suffice.
    """
    message = str(error)
    last = run_dir / "last.ckpt"
    if not last.is_file():
        return re.sub(" and run the same command again to resume", "", message)
    keys = [argument("resume", shown_path(last))]
    if isinstance(error, BudgetError):
        enough = math.ceil(error.used + max(error.seconds, epoch))
        keys.append(argument("device.max_qpu_seconds", enough))
    resume = f"`{command('train', *keys)}`"
    return re.sub(
        r"(r)un the same command again( to resume)?",
        lambda found: f"{found[1]}esume with {resume}",
        message,
        flags=re.IGNORECASE,
    )
