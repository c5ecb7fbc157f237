"""What runs random cases: a seed to a problem or none, so many of them, in so much time."""

from __future__ import annotations

import tempfile
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

# A case takes its seed and an empty folder, and returns what is wrong in a line, or None.
Case = Callable[[int, Path], str | None]


@dataclass(frozen=True)
class Fuzz:
    """One sort of random tests.

    Attributes:
        name: as the command line names it.
        count: number of cases of a whole run.
        case: one case.
    """

    name: str
    count: int
    case: Case


@dataclass
class Outcome:
    """What came of it.

    Attributes:
        name: of the sort.
        asked: number of cases that were asked for.
        done: number that ran.
        seconds: they took.
        problems: seed to what is wrong.
    """

    name: str
    asked: int
    done: int = 0
    seconds: float = 0.0
    problems: dict[int, str] = field(default_factory=dict)

    def __str__(self) -> str:
        short = "" if self.done == self.asked else f" of {self.asked}, stopped by the time limit"
        line = f"{self.name}: {self.done} cases{short}, {len(self.problems)} problems, "
        return line + f"{self.seconds:.0f} s"


def run(fuzz: Fuzz, count: int, first_seed: int = 0, seconds: float = float("inf")) -> Outcome:
    """Run cases until all are done or the time is over; an exception of a case is a problem."""
    outcome = Outcome(fuzz.name, count)
    start = time.monotonic()
    for seed in range(first_seed, first_seed + count):
        if time.monotonic() - start > seconds:
            break
        with tempfile.TemporaryDirectory(prefix="qrnn-fuzz-") as folder:
            try:
                problem = fuzz.case(seed, Path(folder))
            except Exception:
                problem = traceback.format_exc(limit=-3)
        outcome.done += 1
        if problem:
            outcome.problems[seed] = problem
            print(f"{fuzz.name} seed {seed}: {problem}", flush=True)
    outcome.seconds = time.monotonic() - start
    return outcome
