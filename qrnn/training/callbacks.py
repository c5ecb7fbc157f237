"""What the trainer does beside training: first checkpoint, times, progress, Ctrl-C."""

from __future__ import annotations

import math
import shutil
import signal
import threading
import time
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
from lightning.pytorch.callbacks import Checkpoint, EarlyStopping, ModelCheckpoint
from typing_extensions import override

from qrnn.utils.files import atomic_write
from qrnn.utils.progress import progress_bar


class LastCheckpoint(Checkpoint):
    """Writes the last checkpoint at the start and at the end of each epoch.

    From there a resumed run has the losses of an uninterrupted one, which it would not have from
    the middle of an epoch. Lightning's own `save_last` leaves out epochs that are not the best.

    Args:
        path: of the checkpoint.
    """

    def __init__(self, path: Path):
        self.path = path
        self.begun = False

    @override
    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self.begun = True
        trainer.save_checkpoint(self.path)

    @override
    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Called after what stops a run, and after the best one."""
        trainer.save_checkpoint(self.path)


class BestCheckpoint(ModelCheckpoint):
    """Keeps the checkpoint of the lowest validation loss.

    Lightning's forgets the best one and its loss where a run goes on in another folder: the best of
    the epochs from there on would pass for the run's. Here it comes along.

    Args:
        run_dir: folder of the run.
        resume: the checkpoint that it goes on from, beside which its best one lies; None: none.
    """

    def __init__(self, run_dir: Path, resume: str | None):
        super().__init__(
            run_dir,
            "best",
            monitor="val/loss",
            enable_version_counter=False,
        )
        self.resume = resume

    @property
    def state_key(self) -> str:
        """Lightning's name of its own class, as in older checkpoints."""
        return super().state_key.replace(type(self).__name__, ModelCheckpoint.__name__)

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from a checkpoint; without a best one beside it, that of the epochs to come."""
        assert self.resume is not None  # as there is a state
        assert self.dirpath is not None
        last = Path(self.resume)
        copy(last, Path(self.dirpath) / "last.ckpt")  # for a run without an epoch to go
        kept, here = last.parent / "best.ckpt", Path(self.dirpath) / "best.ckpt"
        if not (kept.is_file() and state_dict["best_model_path"]):
            return
        copy(kept, here)
        best = {
            "dirpath": self.dirpath,
            "best_model_path": str(here),
            "best_k_models": {str(here): state_dict["best_model_score"]},
            "kth_best_model_path": str(here),
            "last_model_path": "",
        }
        super().load_state_dict({**state_dict, **best})


def copy(source: Path, target: Path) -> None:
    """Copy a file, unless it is there already."""
    if source.resolve() != target.resolve():
        with atomic_write(target) as temporary:
            shutil.copyfile(source, temporary)


class Stopper(EarlyStopping):
    """Stops at a validation loss below a threshold, or when it has not fallen for some epochs.

    Args:
        below: the threshold, nats; None: there is none.
        patience: epochs without a lower loss; None: any number.
    """

    def __init__(self, below: float | None, patience: int | None):
        super().__init__(
            "val/loss",
            patience=math.inf if patience is None else patience,  # type: ignore[arg-type]
            stopping_threshold=below,
        )

        self.loss, self.stopped = math.inf, False

    @property
    def state_key(self) -> str:
        """Lightning's name of its own class, as in older checkpoints."""
        return super().state_key.replace(type(self).__name__, EarlyStopping.__name__)

    @override
    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """The epoch's checkpoints are written next."""
        super().on_train_epoch_end(trainer, pl_module)
        self.loss = float(trainer.callback_metrics[self.monitor])
        self.stopped = trainer.should_stop

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Let a run that was stopped have ended, also when it is resumed with the same limits."""
        trainer.should_stop = trainer.should_stop or self.stopped

    @override
    def state_dict(self) -> dict[str, Any]:
        limits = [self.stopping_threshold, self.patience]
        return {
            **super().state_dict(),
            "loss": self.loss,
            "stopped": self.stopped,
            "limits": limits,
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from a checkpoint, but with the patience that this run was given."""
        super().load_state_dict({**state_dict, "patience": self.patience})
        self.loss = state_dict.get("loss", math.inf)
        same = state_dict.get("limits") == [self.stopping_threshold, self.patience]
        self.stopped = same and state_dict["stopped"]

    @property
    def reached(self) -> bool | None:
        """Whether the last validation loss was below the threshold; None: there is none."""
        return None if self.stopping_threshold is None else self.loss < self.stopping_threshold


class EpochTimes(pl.Callback):
    """Seconds of each epoch, validation included; those before a resume too."""

    def __init__(self) -> None:
        self.seconds: list[float] = []

    @override
    def on_train_epoch_start(self, *_: Any) -> None:
        self._start = time.perf_counter()

    @override
    def on_validation_end(self, *_: Any) -> None:
        """The epoch's checkpoints are written next."""
        self.seconds.append(time.perf_counter() - self._start)

    @override
    def state_dict(self) -> dict[str, Any]:
        return {"seconds": self.seconds}

    @override
    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.seconds = list(state_dict["seconds"])


class WholeRun(pl.Callback):
    """A progress bar over all epochs, with the time that they will still take.

    Lightning's own bars begin anew with each epoch.
    """

    @override
    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._bar = progress_bar("batches", trainer.is_global_zero)
        self._task = self._bar.add_task(
            self._epoch(trainer),
            total=int(trainer.estimated_stepping_batches),
            completed=trainer.global_step,
        )
        self._bar.start()

    @override
    def on_train_batch_end(self, *_: Any) -> None:
        self._bar.advance(self._task)

    @override
    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        loss = trainer.callback_metrics["val/loss"]
        told = f"{self._epoch(trainer)}, val loss {loss:.3g}"
        self._bar.update(self._task, description=told)

    @override
    def on_train_end(self, *_: Any) -> None:
        self._bar.stop()

    @override
    def on_exception(self, *_: Any) -> None:
        """Nothing is shown yet if it came before the first batch."""
        if hasattr(self, "_bar"):
            self._bar.stop()

    @staticmethod
    def _epoch(trainer: pl.Trainer) -> str:
        return f"epoch {trainer.current_epoch + 1} of {trainer.max_epochs}"


class Interrupts(pl.Callback):
    """Keeps the first Ctrl-C until the next batch starts; a second one is raised at once.

    What is raised while C calls Python is printed and lost; numba's compiler and its cache do so.
    """

    def __init__(self) -> None:
        self.heard = False

    def __enter__(self) -> Interrupts:
        self._before = signal.getsignal(signal.SIGINT)
        self._hears = (
            self._before is signal.default_int_handler  # so not ignored
            and threading.current_thread() is threading.main_thread()  # the only one that can
        )
        if self._hears:
            signal.signal(signal.SIGINT, self._hear)
        return self

    def __exit__(self, *_: object) -> None:
        # Lightning leaves the process deaf to Ctrl-C after the first.
        if self._hears:
            signal.signal(signal.SIGINT, self._before)

    def _hear(self, *_: object) -> None:
        if self.heard:
            raise KeyboardInterrupt
        self.heard = True

    @override
    def on_train_batch_start(self, *_: Any) -> None:
        if self.heard:
            raise KeyboardInterrupt

    @override
    def on_validation_batch_start(self, *_: Any) -> None:
        if self.heard:
            raise KeyboardInterrupt
