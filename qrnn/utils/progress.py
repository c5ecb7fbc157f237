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


def drawable() -> bool:
    """Return whether stderr can show a bar: it is a terminal or a notebook, no file or pipe."""
    console = Console(stderr=True)
    return console.is_terminal or console.is_jupyter


def progress_bar(unit: str, shown: bool = True) -> Progress:
    """Return a progress bar on stderr with a count of `unit` and the remaining time.

    Args:
        unit: what is counted, in the plural.
        shown: whether to draw it; it disappears when the work is done.
    """
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(12),
        MofNCompleteColumn(),
        TextColumn(unit),
        TimeRemainingColumn(),
        console=Console(stderr=True),
        transient=True,
        disable=not shown,
    )
