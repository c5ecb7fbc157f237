"""A run's folder belongs to one training run: no other may write there, now or later."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout
from lightning.pytorch.utilities import rank_zero_only

from qrnn.errors import ConfigError
from qrnn.utils.program import command, shown_path

CHECKPOINTS = ("last.ckpt", "best.ckpt")
# Files that exist only once a run has begun, and that another run would overwrite.
RUN_FILES = (*CHECKPOINTS, "metrics.csv", "summary.json")
LOCK = ".lock"


def first_process() -> bool:
    """Return whether this is the first of the processes of a distributed training."""
    return getattr(rank_zero_only, "rank", 0) == 0


def check_free(run_dir: Path, resume: str | None) -> None:
    """Check that a folder holds no other run; a resumed run may continue in its own.

    In distributed training only the first process checks: the others start after it has begun.

    Args:
        run_dir: the folder.
        resume: the checkpoint to resume from, or None.

    Raises:
        ConfigError: the folder holds another run.
    """
    own = resume is not None and Path(resume).resolve().parent == run_dir.resolve()
    if own or not first_process():
        return
    found = [name for name in RUN_FILES if (run_dir / name).exists()]
    if not found:
        return
    advice = "choose another hydra.run.dir"
    if found[0] in CHECKPOINTS:
        from qrnn.utils.overrides import argument

        again = argument("resume", shown_path(run_dir / found[0]))
        advice = f"resume it with `{command('train', again)}`, or {advice}"
    raise ConfigError(f"run folder {shown_path(run_dir)} already holds a run: {advice}")


@contextmanager
def locked(run_dir: Path, resume: str | None) -> Iterator[None]:
    """Lock a run's folder while training; the system frees the lock if the process is killed.

    Args:
        run_dir: the folder; created if missing.
        resume: see `check_free`.

    Raises:
        ConfigError: the folder holds another run, or another process is training there.
    """
    if not first_process():  # the first process holds the lock for all
        yield
        return
    run_dir.mkdir(parents=True, exist_ok=True)
    try:
        lock = FileLock(run_dir / LOCK, timeout=0)
        lock.acquire()
    except Timeout:
        raise ConfigError(
            f"run folder {shown_path(run_dir)} is in use by another training: wait until it "
            f"ends, or choose another hydra.run.dir"
        ) from None
    try:
        check_free(run_dir, resume)
        # A killed run may have left half-written checkpoints.
        for name in CHECKPOINTS:
            for half in run_dir.glob(f".{name}.*"):
                half.unlink()
        yield
    finally:
        lock.release()
