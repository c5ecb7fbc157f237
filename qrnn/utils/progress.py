"""The progress bar of long computations."""

from __future__ import annotations

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeRemainingColumn,
)


def progress_bar(unit: str, shown: bool = True) -> Progress:
    """Return a progress bar on stderr with a count of `unit` and the remaining time.

    Args:
        unit: what is counted, in the plural.
        shown: whether to draw it; it disappears when the work is done.
    """
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(20),
        MofNCompleteColumn(),
        TextColumn(unit),
        TimeRemainingColumn(),
        console=Console(stderr=True),
        transient=True,
        disable=not shown,
    )
