"""Where a checkpoint is: a file, or the name of one that the package ships in `pretrained/`."""

from __future__ import annotations

from pathlib import Path

from qrnn.errors import DataError

PRETRAINED = Path(__file__).parents[1] / "pretrained"
MODEL, CARD = "model.ckpt", "README.md"  # in the folder of each


def shipped() -> list[str]:
    """Return the names of the checkpoints that the package ships."""
    return sorted(path.parent.name for path in PRETRAINED.glob(f"*/{MODEL}"))


def is_shipped(checkpoint: str | Path) -> bool:
    """Return whether a checkpoint is given by the name of a shipped one; an existing path wins."""
    return str(checkpoint) in shipped() and not Path(checkpoint).exists()


def checkpoint_file(checkpoint: str | Path, key: str = "checkpoint") -> Path:
    """Return the path of a checkpoint.

    Args:
        checkpoint: a file, or the name of a shipped one.
        key: what it was given as, for the message.

    Raises:
        DataError: there is no such file, and none of this name is shipped.
    """
    path = Path(checkpoint)
    if is_shipped(checkpoint):
        return PRETRAINED / path / MODEL
    within = path / ("last.ckpt" if key == "resume" else "best.ckpt")
    if within.is_file():
        raise DataError(f"{key} must be a file, but {path} is a folder: use {within}")
    if not path.is_file():
        raise DataError(
            f"{key} must be a file that `qrnn train` wrote, but {path} is not one, nor is it "
            f"shipped: {', '.join(shipped())}"
        )
    return path


def results_folder(checkpoint: str | Path) -> Path:
    """Return the folder for results and jobs of a checkpoint: its own, or of a shipped one a run's.

    Args:
        checkpoint: a file, or the name of a shipped one, whose results are in `runs/NAME`, as the
            package's folder may be read-only.
    """
    return Path("runs") / checkpoint if is_shipped(checkpoint) else Path(checkpoint).parent
