"""`make forecasting`: perform the runs of the forecasting page, or resume them; write the page."""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from pathlib import Path

import torch

from benchmarks.results.grid import read_grid
from benchmarks.results.page import write_page
from benchmarks.results.records import read_records
from benchmarks.results.runs import execute_all, mark_data, runs_of
from benchmarks.results.ship import ship
from qrnn.errors import QRNNError

from .fellner import read, run_all
from .table import section


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command with these arguments, by default those of the process."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.forecasting", description=__doc__)
    parser.add_argument("--data", default="DATA", help="folder with tables/vowels_train.csv")
    parser.add_argument("--only", nargs="+", metavar="NAME", help="only these sections of the grid")
    parser.add_argument("--seeds", type=int, default=3, help="of the 27 forecasts (%(default)s)")
    parser.add_argument("--page", action="store_true", help="only write the page")
    parser.add_argument(
        "--ship", nargs="+", metavar="ROW", help="only write the shipped checkpoints of section/row"
    )
    parser.add_argument("--runs", default="runs/forecasting", help="folder of the runs")
    parser.add_argument("--docs", type=Path, default=Path("docs"), help="folder of forecasting.md")
    options = parser.parse_args(arguments)
    records, chaotic = (options.docs / f"benchmarks/{name}" for name in FILES)
    grid = read_grid(Path(__file__).with_name("grid.yaml"))
    page, failed = options.docs / "forecasting.md", 0
    try:
        if options.ship:
            own = runs_of(grid, options.runs)
            written = ship(grid, own, read_records(records), options.ship, page.name)
            print("\n".join(map(os.path.relpath, written)))
            return
        runs = runs_of(grid, options.runs, options.data, options.only)
        mark_data(runs, records)
        if not options.page:
            failed = execute_all(runs, records)
            if not options.only:
                torch.set_num_threads(1)
                run_all(chaotic, options.seeds)
        grid.text += "\n\n" + section(read(chaotic))
        write_page(grid, runs_of(grid, options.runs), read_records(records), page)
    except QRNNError as error:
        parser.exit(2, f"{parser.prog}: {error}\n")
    except KeyboardInterrupt:
        parser.exit(130, "interrupted: the same command continues\n")
    if failed:
        parser.exit(1, f"runs that failed: {failed}; their errors are above\n")


FILES = ("forecasting.json", "forecasting_chaotic.jsonl")

if __name__ == "__main__":
    main()
