"""Callbacks of the trainer: checkpoints, early stopping, timing and Ctrl-C."""

from __future__ import annotations

import io
import math
import shutil
import signal
import sys
import threading
import time
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import torch
from lightning.pytorch.callbacks import Checkpoint, EarlyStopping, ModelCheckpoint
from lightning.pytorch.plugins import TorchCheckpointIO
from typing_extensions import override

from qrnn.utils.files import atomic_write


class AtomicCheckpointIO(TorchCheckpointIO):
    """Lightning's checkpoint writer, but the old file stays until the new one is complete."""

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None
    ) -> None:
        """Write a checkpoint; see Lightning's `CheckpointIO`."""
        # torch.save to a path hides the operating system's error.
        torch.save(checkpoint, buffer := io.BytesIO())
        with atomic_write(path) as temporary:
            temporary.write_bytes(buffer.getbuffer())


class LastCheckpoint(Checkpoint):
    """Writes the last checkpoint when training starts and at the end of each epoch.

    A run resumed from there has the same losses as an uninterrupted one, which does not hold in the
    middle of an epoch. Lightning's own `save_last` skips epochs that are not the best.

    Args:
        path: the checkpoint's path.
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
        """Lightning calls this after early stopping and after `BestCheckpoint`."""
        trainer.save_checkpoint(self.path)


class BestCheckpoint(ModelCheckpoint):
    """Keeps the checkpoint with the lowest validation loss.

    When a run is resumed in another folder, Lightning's callback forgets the best checkpoint and
    its loss, and only compares later epochs. This one copies the checkpoint to the new folder.

    Args:
        run_dir: folder of the run.
        resume: the checkpoint to resume from; the best one is next to it. None: a new run.
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
        """The key of Lightning's own class, so that older checkpoints load."""
        return super().state_key.replace(type(self).__name__, ModelCheckpoint.__name__)

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore the best checkpoint, if there is one next to the resumed checkpoint."""
        assert self.resume is not None  # a state is loaded only when resuming
        assert self.dirpath is not None
        last = Path(self.resume)
        copy(last, Path(self.dirpath) / "last.ckpt")  # needed if no epoch is left to train
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
    """Stops when the validation loss is below a threshold, or has not fallen for some epochs.

    Args:
        below: the threshold, nats; None: no threshold.
        patience: number of epochs without a lower loss; None: unlimited.
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
        """The key of Lightning's own class, so that older checkpoints load."""
        return super().state_key.replace(type(self).__name__, EarlyStopping.__name__)

    @override
    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Lightning writes the epoch's checkpoints after this call."""
        super().on_train_epoch_end(trainer, pl_module)
        self.loss = float(trainer.callback_metrics[self.monitor])
        self.stopped = trainer.should_stop

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Keep a stopped run stopped when it is resumed with the same limits."""
        trainer.should_stop = trainer.should_stop or self.stopped

    @override
    def state_dict(self) -> dict[str, Any]:
        return {
            **super().state_dict(),
            "loss": self.loss,
            "stopped": self.stopped,
            "limits": self._limits,
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore the state, but keep the patience of the current configuration."""
        super().load_state_dict({**state_dict, "patience": self.patience})
        self.loss = state_dict.get("loss", math.inf)
        same = state_dict.get("limits") == self._limits
        self.stopped = same and state_dict["stopped"]

    @property
    def _limits(self) -> str:
        """Threshold and patience as text: either may be None."""
        return f"{self.stopping_threshold} {self.patience}"

    @property
    def reached(self) -> bool | None:
        """Whether the last validation loss was below the threshold; None: no threshold."""
        return None if self.stopping_threshold is None else self.loss < self.stopping_threshold


class EpochTimes(pl.Callback):
    """Records the seconds of each epoch, including validation and epochs before a resume."""

    def __init__(self) -> None:
        self.seconds: list[float] = []

    @override
    def on_train_epoch_start(self, *_: Any) -> None:
        self._start = time.perf_counter()

    @override
    def on_validation_end(self, *_: Any) -> None:
        """Lightning writes the epoch's checkpoints after this call."""
        self.seconds.append(time.perf_counter() - self._start)

    @override
    def state_dict(self) -> dict[str, Any]:
        return {"seconds": self.seconds}

    @override
    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.seconds = list(state_dict["seconds"])


class Interrupts(pl.Callback):
    """Defers the first Ctrl-C to the start of the next batch; a second one is raised at once.

    An exception raised in a Python callback of C code is printed and lost. numba's compiler and
    cache have such callbacks.
    """

    def __init__(self) -> None:
        self.pending = False

    def __enter__(self) -> Interrupts:
        self._before = signal.getsignal(signal.SIGINT)
        self._installed = (
            self._before is signal.default_int_handler  # Ctrl-C is not ignored
            and threading.current_thread() is threading.main_thread()  # else signal.signal fails
        )
        if self._installed:
            signal.signal(signal.SIGINT, self._handle)
        return self

    def __exit__(self, *_: object) -> None:
        # After the first Ctrl-C, Lightning leaves it ignored.
        if self._installed:
            signal.signal(signal.SIGINT, self._before)

    def _handle(self, *_: object) -> None:
        if self.pending:
            raise KeyboardInterrupt
        self.pending = True
        line = "\nqrnn: stopping before the next batch; Ctrl-C again stops at once"
        print(line, file=sys.stderr, flush=True)

    @override
    def on_train_batch_start(self, *_: Any) -> None:
        if self.pending:
            raise KeyboardInterrupt

    @override
    def on_validation_batch_start(self, *_: Any) -> None:
        if self.pending:
            raise KeyboardInterrupt
