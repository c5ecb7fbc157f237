"""Run the random tests: `make fuzz`, or here `python -m fuzz [NAME ...] [--seed N] [--count N]`."""

from __future__ import annotations

import argparse
import importlib
import os
import pkgutil
import subprocess
import sys

os.environ.setdefault("OMP_PROC_BIND", "false")
os.environ.setdefault("OMP_WAIT_POLICY", "passive")
os.environ.setdefault("KOKKOS_NUM_THREADS", "1")

import fuzz
from fuzz.harness import run


def main() -> int:
    """Print the counts and any failing seed; return 1 if there is one."""
    sorts = [m.name for m in pkgutil.iter_modules(fuzz.__path__) if m.name not in NOT_SORTS]
    parser = argparse.ArgumentParser(prog="fuzz", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(sorts)}")
    parser.add_argument("--seed", type=int, default=0, help="the first seed")
    parser.add_argument("--count", type=int, help="number of cases of each, for its own")
    parser.add_argument("--minutes", type=float, default=15, help="limit for each")
    given = parser.parse_args()
    if unknown := set(given.names) - set(sorts):
        parser.error(f"names must be of {', '.join(sorts)}, got {', '.join(sorted(unknown))}")
    if len(names := given.names or sorts) > 1:
        # Each in its own process: some fork, after which threads of Qiskit that another one has
        # started would be waited for.
        options = [f"--{k}={v}" for k, v in vars(given).items() if k != "names" and v is not None]
        codes = [
            subprocess.run([sys.executable, "-m", "fuzz", name, *options]).returncode
            for name in names
        ]
        return int(any(codes))
    sort = importlib.import_module(f"fuzz.{names[0]}").FUZZ
    outcome = run(sort, given.count or sort.count, given.seed, 60 * given.minutes)
    print(outcome, flush=True)
    return int(bool(outcome.problems))


NOT_SORTS = ("__main__", "harness", "table_files")

if __name__ == "__main__":
    sys.exit(main())
