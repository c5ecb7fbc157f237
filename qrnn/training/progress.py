"""What a training shows while it runs: a progress bar, or lines where none can be drawn."""

from __future__ import annotations

import sys
from typing import Any

import lightning.pytorch as pl
from typing_extensions import override

from qrnn.training.callbacks import EpochTimes
from qrnn.training.history import metric_of
from qrnn.utils.progress import drawable, progress_bar


def progress(times: EpochTimes) -> pl.Callback:
    """Return a progress bar, or lines in a log file: of `nohup`, Slurm or a pipe.

    Args:
        times: measures the epochs.
    """
    return RunProgress() if drawable() else EpochLines(times)


def place(trainer: pl.Trainer) -> str:
    """Return the current epoch and the number of epochs."""
    return f"epoch {trainer.current_epoch + 1} of {trainer.max_epochs}"


class RunProgress(pl.Callback):
    """A progress bar over all epochs, with the time remaining; Lightning's restart every epoch."""

    @override
    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._bar = progress_bar("batches", trainer.is_global_zero)
        self._task = self._bar.add_task(
            place(trainer),
            total=int(trainer.estimated_stepping_batches),
            completed=trainer.global_step,
        )
        self._bar.start()

    @override
    def on_train_batch_end(self, *_: Any) -> None:
        self._bar.advance(self._task)

    @override
    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        found = trainer.callback_metrics
        metric = metric_of(found)
        description = (
            f"{place(trainer)}, {metric} {found[f'train/{metric}']:.3g}, "
            f"val {found[f'val/{metric}']:.3g}"
        )
        self._bar.update(self._task, description=description)

    @override
    def on_train_end(self, *_: Any) -> None:
        self._bar.stop()

    @override
    def on_exception(self, *_: Any) -> None:
        """Before the first batch, there is no bar yet."""
        if hasattr(self, "_bar"):
            self._bar.stop()


class EpochLines(pl.Callback):
    """A line an epoch on stderr, with the metrics and the time that it took.

    Args:
        times: measures the epochs.
    """

    def __init__(self, times: EpochTimes):
        self._times = times

    @override
    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if not trainer.is_global_zero:
            return
        found = trainer.callback_metrics
        metric = metric_of(found)
        parts = [
            f"{title} loss {found[f'{part}/loss']:.3g}, {metric} {found[f'{part}/{metric}']:.3g}"
            for part, title in (("train", "training"), ("val", "validation"))
        ]
        line = f"{place(trainer)}: {'; '.join(parts)}; {self._times.seconds[-1]:.3g} s"
        print(line, file=sys.stderr, flush=True)
