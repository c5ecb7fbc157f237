"""`make results`: perform the runs that are missing or stale, or resume them; write the page."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from qrnn.errors import QRNNError

from .grid import GRID, read_grid
from .page import write_page
from .records import add_records, read_records
from .runs import execute_all, listing, mark_data, runs_of
from .ship import ship


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command with these arguments, by default those of the process."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.results",
        description="Perform the runs of the results page that are missing or stale, or resume "
        "them, and write the page.",
    )
    parser.add_argument("--data", default="DATA", help="folder with mnist, imdb, ptb and multi30k")
    parser.add_argument(
        "--only", nargs="+", metavar="NAME", help="only these sections, or section/row"
    )
    parser.add_argument(
        "--dry-run", action="store_true", help="list the runs and their expected duration"
    )
    parser.add_argument("--page", action="store_true", help="only write the page")
    parser.add_argument(
        "--merge", nargs="+", default=[], metavar="FILE", help="add results.json of other machines"
    )
    parser.add_argument("--minutes", type=float, help="start no run that would end after this time")
    parser.add_argument(
        "--ship", nargs="+", metavar="ROW", help="only write the shipped checkpoints of section/row"
    )
    parser.add_argument("--runs", default="runs/results", help="folder of the runs (%(default)s)")
    parser.add_argument(
        "--grid", default=GRID, help="YAML file of the runs (default: the one next to this file)"
    )
    parser.add_argument(
        "--docs", default="docs", help="folder of results.md and results.json (%(default)s)"
    )
    options = parser.parse_args(arguments)
    page, path = Path(options.docs) / "results.md", Path(options.docs) / "results.json"
    try:
        grid = read_grid(options.grid)
        runs = runs_of(grid, options.runs, options.data, options.only)
        if options.dry_run:
            Console().print(listing(runs, read_records(path)))
            return
        if options.ship:
            own = runs_of(grid, options.runs)
            written = ship(grid, own, read_records(path), options.ship, page.name)
            print("\n".join(map(os.path.relpath, written)))
            return
        for other in options.merge:
            add_records(path, read_records(Path(other), required=True))
        mark_data(runs, path)
        failed = 0 if options.page else execute_all(runs, path, options.minutes)
        write_page(grid, runs_of(grid, options.runs), read_records(path), page)
    except QRNNError as error:
        parser.exit(2, f"{parser.prog}: {error}\n")
    except KeyboardInterrupt:
        parser.exit(130, "interrupted: the same command continues\n")
    print(f"written to {os.path.relpath(page)}, from {os.path.relpath(path)}")
    if failed:
        sys.exit(f"runs that failed: {failed}; their errors are above")


if __name__ == "__main__":
    main()
