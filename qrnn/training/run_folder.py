"""The folder of a run belongs to one training: no other one writes there, now or later."""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout
from lightning.pytorch.utilities import rank_zero_only

from qrnn.errors import ConfigError

CHECKPOINTS = ("last.ckpt", "best.ckpt")
# What only a run that has begun holds, and what another would overwrite.
KEPT = (*CHECKPOINTS, "metrics.csv", "summary.json")
LOCK = ".lock"


def first_process() -> bool:
    """Return whether this is the first of the processes that train together."""
    return getattr(rank_zero_only, "rank", 0) == 0


def check_free(run_dir: Path, resume: str | None) -> None:
    """Refuse a folder that another run has begun in; a run may go on in its own.

    Of processes that train together only the first checks: the others start when it has begun.

    Args:
        run_dir: the folder.
        resume: the checkpoint that the run goes on from, or None.

    Raises:
        ConfigError: it holds another run.
    """
    own = resume is not None and Path(resume).resolve().parent == run_dir.resolve()
    if own or not first_process():
        return
    found = [name for name in KEPT if (run_dir / name).exists()]
    if not found:
        return
    advice = "choose another hydra.run.dir"
    if found[0] in CHECKPOINTS:
        from qrnn.utils.overrides import override

        words = override("resume", os.path.relpath(run_dir / found[0]))
        advice = f"resume it with `qrnn train {shlex.quote(words)}`, or {advice}"
    raise ConfigError(f"run folder {os.path.relpath(run_dir)} already holds a run: {advice}")


@contextmanager
def claimed(run_dir: Path, resume: str | None) -> Iterator[None]:
    """Hold a run's folder for this training; the system lets it go when the process is killed.

    Args:
        run_dir: the folder; made.
        resume: see `check_free`.

    Raises:
        ConfigError: it holds another run, or another process trains there.
    """
    if not first_process():  # which holds it for all that train together
        yield
        return
    run_dir.mkdir(parents=True, exist_ok=True)
    try:
        lock = FileLock(run_dir / LOCK, timeout=0)
        lock.acquire()
    except Timeout:
        raise ConfigError(
            f"run folder {os.path.relpath(run_dir)} is in use by another training: wait until it "
            f"ends, or choose another hydra.run.dir"
        ) from None
    try:
        check_free(run_dir, resume)
        # A run that goes on has not ended; nor is what a killed one had half written of use.
        (run_dir / "summary.json").unlink(missing_ok=True)
        for name in CHECKPOINTS:
            for half in run_dir.glob(f".{name}.*"):
                half.unlink()
        yield
    finally:
        lock.release()
