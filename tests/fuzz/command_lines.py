"""Random command lines from the schema: each ends well, or in one line and no files.

A case is a process of its own, forked from this one, which has imported everything. What a right
line would do for long (train, evaluate, inspect) ends where it would begin.
"""

from __future__ import annotations

import importlib
import os
import random
import resource
import signal
import sys
import time
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import torch

from fuzz.harness import Fuzz
from fuzz.table_files import fill_with_tables
from helpers.random_lines import line_of
from qrnn.config import TrainConfig, to_plain
from qrnn.data import DigitsConfig, Shape
from qrnn.evaluation.predict import run
from qrnn.models.build import build_model
from qrnn.models.cells import cells_of
from qrnn.networks import HybridConfig

SECONDS = 60  # of the processor, for a line, to its end or to the training's begin
WAIT = 600  # seconds by the clock
MEMORY = 6 << 30  # bytes that it may have beside those of this process
BEGUN = 77  # status of a line that was right
HEAVY = [
    "lightning.pytorch:Trainer.fit",
    "qrnn.evaluation.costs:prices",
    "qrnn.evaluation.evaluation:run",
    "qrnn.evaluation.evaluation:run_open_loop",
    "qrnn.evaluation.evaluation:translate",
    "qrnn.inspection.run:inspect_model",
]
# All that the commands import when they are called.
MODULES = [
    "datasets",
    "hydra.main",
    "lightning.pytorch.loggers",
    "qiskit_aer",
    "qiskit_ibm_runtime",
    "qrnn.cli.errors",
    "qrnn.cli.commands",
    "qrnn.cli.completion",
    "qrnn.evaluation.costs",
    "qrnn.devices.ibm",
    "qrnn.evaluation.evaluation",
    "qrnn.cli.export",
    "qrnn.inspection",
    "qrnn.cli.help",
    "qrnn.reporting.plots",
    "qrnn.reporting",
    "qrnn.training.trainer",
    "tensorboard",
    "torch._dynamo",
    "torch.utils.tensorboard",
]


def case(
    seed: int, folder: Path, line_of: Callable[[random.Random], list[str]] = line_of
) -> str | None:
    """Run the line of a seed in a folder; return what is wrong."""
    rng = random.Random(seed)
    _fill(folder / "here", rng)
    line = line_of(rng)
    problem = problem_of(line, folder)
    return problem and f"{problem}\n    qrnn {' '.join(map(_shown, line))}"


def problem_of(line: list[str], folder: Path) -> str | None:
    """Run a line in the folder `here` of a folder; return what is wrong with how it ended."""
    here = folder / "here"
    here.mkdir(exist_ok=True)
    before = _files(here)
    status, seconds = _run(line, here, folder)
    told = [(folder / name).read_text("utf-8", "replace") for name in ("out", "err")]
    last = told[1].strip().splitlines()[-1][:300] if told[1].strip() else "nothing on stderr"
    if status in (None, -signal.SIGXCPU, -signal.SIGKILL):
        return f"no end within {seconds:.0f} s: {last}"
    if status < 0:
        return f"killed by signal {-status}: {last}"
    if "Traceback (most recent" in "".join(told) or "qrnn: unexpected" in told[1]:
        return f"traceback: {last}"
    if status not in (0, 1, 2, BEGUN):
        return f"status {status}: {last}"
    if status == 2 and told[1].count("\n") != 1:
        return f"{told[1].count(chr(10))} lines on stderr: {told[1][:300]!r}"
    if status == 2 and not told[1].startswith("qrnn: "):
        return f"not qrnn's own line: {last}"
    if status == 2 and (left := _files(here) ^ before):
        return f"refused, and files changed: {sorted(left)[:5]}; {last}"
    return None


def _shown(argument: str) -> str:
    return repr(argument)[:200]


def _files(folder: Path) -> set[str]:
    """Return what is in a folder, but for the records of jobs on hardware, which stay."""
    found = {str(path.relative_to(folder)) for path in folder.rglob("*")}
    return {name for name in found if not name.startswith("run/jobs")}


def _fill(here: Path, rng: random.Random) -> None:
    """Make what lines name: a checkpoint, an empty folder, folders of configurations."""
    (here / "conf/model").mkdir(parents=True)
    (here / "run").mkdir()
    (here / "empty").mkdir()
    (here / "a_file").write_text("text\n")
    (here / "run/best.ckpt").write_bytes(_checkpoint())
    fill_with_tables(here)
    (here / "conf/model/mine.yaml").write_text(rng.choice(YAML))
    (here / "conf/train.yaml").write_text(rng.choice(YAML))
    (here / "conf/grid.yaml").write_text(rng.choice(YAML))


YAML = (
    "defaults:\n  - hybrid_schema\nn_qubits: 2\n",
    "defaults:\n  - train_schema\n  - task: digits\n  - model: gru\n",
    "defaults: 3\n",
    "defaults:\n  - nothing\n",
    "a: [1, 2\n",
    "a: !!python/object:os.system 1\n",
    "? [a, b]\n: 1\n",
    "\t- x\n",
    "- 1\n- 2\n",
    "text",
    "",
    "n_qubits: ${oc.env:NOTHING}\n",
    "1: 2\nnull: 3\n",
    "x: &a [*a]\n",
    "x: 2026-11-29\n",
    "hydra: 3\n",
    "_target_: os.system\nx: \x07\n",
)

_checkpoints: list[bytes] = []


def _checkpoint() -> bytes:
    """Return a checkpoint of an untrained model of two qubits."""
    if not _checkpoints:
        import io

        config = TrainConfig(task=DigitsConfig(), model=HybridConfig(n_qubits=2, width=4))
        weights = build_model(config, Shape("classify", 10, 8)).state_dict()
        shape = {"kind": "classify", "n_classes": 10, "input_size": 8}
        torch.save(
            {
                "qrnn": {"config": to_plain(config), "shape": shape},
                "state_dict": {f"model.{name}": value for name, value in weights.items()},
            },
            content := io.BytesIO(),
        )
        _checkpoints.append(content.getvalue())
    return _checkpoints[0]


def _run(line: list[str], here: Path, folder: Path) -> tuple[int | None, float]:
    """Return the status of a line, negative for a signal, None if it had to be ended."""
    _import_all()
    torch.set_num_threads(1)  # whose pool a fork would lack
    start = time.monotonic()
    if (child := os.fork()) == 0:
        _child(line, here, folder)
    while time.monotonic() - start < WAIT:
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            code = os.waitstatus_to_exitcode(status)
            return code, time.monotonic() - start
        time.sleep(0.01)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return None, time.monotonic() - start


@cache
def _import_all() -> None:
    from hydra.core.plugins import Plugins

    for name in MODULES:
        try:
            importlib.import_module(name)
        except ImportError:  # an extra that is not installed
            continue
    from qrnn.config import register_schemas

    Plugins.instance()  # it looks for them once
    register_schemas()


class _Begun(BaseException):
    """A right line has come to its work."""


def _begin(*_: object, **__: object) -> None:
    raise _Begun


def _run_without_cells(model: Any, *arguments: Any) -> Any:
    """Predict with what needs no kernels."""
    if cells_of(model):
        raise _Begun
    return run(model, *arguments)


def _replace(name: str, value: Callable[..., Any]) -> None:
    module, _, path = name.partition(":")
    *owners, last = path.split(".")
    owner: Any = importlib.import_module(module)
    for one in owners:
        owner = getattr(owner, one)
    setattr(owner, last, value)


def _child(line: list[str], here: Path, folder: Path) -> None:
    """Be the process of a line; never return."""
    status = 70
    try:
        for name, descriptor in (("out", 1), ("err", 2)):
            os.dup2(os.open(folder / name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), descriptor)
        sys.stdout, sys.stderr = (os.fdopen(n, "w", encoding="utf-8") for n in (1, 2))
        size = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (size + MEMORY, size + MEMORY))
        resource.setrlimit(resource.RLIMIT_CPU, (SECONDS, SECONDS))
        os.chdir(here)
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("QISKIT_", "HYDRA_"))}
        os.environ.clear()
        os.environ.update(kept, HOME=str(folder), HF_HUB_OFFLINE="1", HF_HOME=str(folder))
        os.dup2(os.open("series.csv", os.O_RDONLY), 0)  # for input=-
        for name in HEAVY:
            _replace(name, _begin)
        _replace("qrnn.evaluation.trained:run", _run_without_cells)
        # It compiles kernels; what comes after it is quick.
        _replace(
            "qrnn.export:angles",
            lambda _, x, cell: torch.zeros(len(x), x.shape[1], cell.circuit.n_angles),
        )
        # Half of the time, twice: the second composition that only finds hydra.mode, the schemas.
        if not any("mode" in argument for argument in line):
            _replace("hydra._internal.hydra:Hydra.get_mode", lambda *_, **__: None)
        if not any("ibm_" in argument for argument in line):
            _replace("qrnn.config:register_schemas", lambda *_: None)
        status = _status(line)
    except BaseException:
        import traceback

        traceback.print_exc()
    finally:
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
        os._exit(status)


def _status(line: list[str]) -> int:
    from qrnn.cli import dispatch as cli

    sys.argv = ["qrnn", *line]
    try:
        cli.main()
    except _Begun:
        return BEGUN
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    return 0


FUZZ = Fuzz("command_lines", 2000, case)
