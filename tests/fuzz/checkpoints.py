"""Damaged checkpoints: each command that reads one tells it in a line, and loses nothing."""

from __future__ import annotations

import hashlib
import io
import os
import random
import signal
import sys
import tempfile
import traceback
from contextlib import redirect_stderr, redirect_stdout
from functools import cache
from pathlib import Path
from typing import Any

import torch
from hydra.core.global_hydra import GlobalHydra

from fuzz.harness import Fuzz
from qrnn.cli import main
from qrnn.config import TrainConfig, TrainerConfig
from qrnn.data import TASKS
from qrnn.errors import QRNNError
from qrnn.networks import NETWORKS
from qrnn.training.checkpoint import load_model
from qrnn.training.trainer import train

SECRET = "QRNN_FUZZ_SECRET"
os.environ[SECRET] = "what-the-reader-keeps-to-himself"
SECONDS = 60  # for one command
SMALL = {
    "hybrid": {"n_qubits": 2, "layers": 1, "width": 4, "embedding": 4},
    "qlstm": {"n_qubits": 2, "depth": 1, "hidden_size": 2, "embedding": 4},
    "orthogonal": {"n_qubits": 2, "width": 4, "embedding": 4},
    "data_register": {"n_data": 1, "n_history": 1, "layers": 1, "embedding": 4},
    "quantum_neuron": {"workspace": 1},
}
CLASSICAL = {"hidden_size": 3, "embedding": 4}
ODD: list[Any] = [
    None,
    True,
    -1,
    0,
    7,
    10**12,
    10**30,
    0.5,
    1e308,
    float("nan"),
    float("-inf"),
    "",
    "x",
    "???",
    "${oc.env:" + SECRET + "}",
    "a${oc.env:" + SECRET + "}b",
    "${task.name}",
    "${",
    "../..",
    [],
    [1, [2, [3]]],
    {},
    {"name": "lstm"},
    {"a": {"b": [1]}},
    ["${oc.env:" + SECRET + "}"],
    (1, 2),
    torch.zeros(3),
    torch.tensor(float("nan")),
    torch.zeros(2, 2, dtype=torch.complex64),
    torch.zeros(0),
    torch.zeros(2, dtype=torch.int64),
    torch.zeros(1).expand(10**9),
]


@cache
def good(model: str) -> Path:
    """Return the folder of a small run of a model, trained for an epoch."""
    folder = Path(tempfile.mkdtemp(prefix="qrnn-fuzz-good-")) / "run"
    config = TrainConfig(
        task=TASKS["elman_xor"].schema(n_train=8, n_val=4, n_test=2),
        model=NETWORKS[model].schema(**SMALL.get(model, CLASSICAL)),
        trainer=TrainerConfig(epochs=1, batch_size=8, progress=False, schedule="constant"),
    )
    quietly(lambda: train(config, folder))
    return folder


def quietly(do: Any) -> tuple[int, str, str]:
    """Return status and output of a function; -1 with the traceback of an exception."""
    out, err, status = io.StringIO(), io.StringIO(), 0

    def too_long(*_: Any) -> None:
        raise TimeoutError

    before = signal.signal(signal.SIGALRM, too_long)
    signal.alarm(SECONDS)
    with redirect_stdout(out), redirect_stderr(err):
        try:
            do()
        except SystemExit as end:
            status = end.code if isinstance(end.code, int) else int(end.code is not None)
        except QRNNError as error:
            status = 2
            print(f"qrnn: {error}", file=sys.stderr)
        except BaseException:
            status = -1
            traceback.print_exc()
        finally:
            signal.alarm(0)
            signal.signal(signal.SIGALRM, before)
    return status, out.getvalue(), err.getvalue()


def command(*arguments: str) -> tuple[int, str, str]:
    """Run `qrnn ARGUMENTS` in this process."""

    def run() -> None:
        GlobalHydra.instance().clear()
        sys.argv = ["qrnn", *arguments]
        main()

    before = sys.argv
    try:
        return quietly(run)
    finally:
        sys.argv = before


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Return the paths of all values in nested dicts and lists."""
    found = [path] if path else []
    if isinstance(value, dict | list):
        pairs = value.items() if isinstance(value, dict) else enumerate(value)
        for key, one in pairs:
            found += places(one, (*path, key))
    return found


def damaged(content: Any, rng: random.Random) -> str:
    """Damage a value in a checkpoint's content; return what was done."""
    top = rng.choice([*content, "qrnn", "qrnn", "qrnn", "state_dict"])
    path = (top, *rng.choice([(), *places(content[top])]))
    parent = content
    for key in path[:-1]:
        parent = parent[key]
    key, value = path[-1], parent[path[-1]]
    where = ".".join(map(str, path))[-80:]
    how = rng.choice(["replace", "replace", "replace", "remove", "rename", "extra", "tensor"])
    if how == "remove":
        del parent[key]
    elif how == "rename" and isinstance(parent, dict):
        parent[rng.choice(["renamed", 3, "${oc.env:" + SECRET + "}"])] = parent.pop(key)
    elif how == "extra" and isinstance(value, dict):
        value[rng.choice(["extra", "name", 7])] = rng.choice(ODD)
    elif isinstance(value, torch.Tensor) and how == "tensor":
        parent[key] = rng.choice(
            [
                value.double(),
                value.long(),
                value[None],
                value.flatten()[:-1],
                value * float("nan"),
                value.to_sparse() if value.ndim else value,
                value.t() if value.ndim == 2 else value,
            ]
        )
    else:
        how, parent[key] = "replace", rng.choice(ODD)
        where += f" by {parent[key]!r:.60}"
    return f"{how} {where}"


def damage(path: Path, rng: random.Random) -> str:
    """Damage a checkpoint; return what was done."""
    if rng.random() < 0.2:
        content = bytearray(path.read_bytes())
        how = rng.choice(["cut", "flip", "zero", "append"])
        if how == "cut":
            del content[rng.randrange(len(content)) :]
        elif how == "flip":
            for _ in range(rng.choice([1, 10, 1000])):
                content[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
        elif how == "zero":
            first = rng.randrange(len(content))
            content[first : first + 500] = bytes(len(content[first : first + 500]))
        else:
            content += rng.randbytes(100)
        path.write_bytes(content)
        return how
    whole = torch.load(path, weights_only=True)
    done = [damaged(whole, rng) for _ in range(rng.choice([1, 1, 1, 2, 3]))]
    torch.save(whole, path)
    return ", ".join(done)


def digests(folder: Path) -> dict[Path, str]:
    """Return a digest of each file."""
    files = (path for path in folder.rglob("*") if path.is_file())
    return {path: hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def case(seed: int, folder: Path) -> str | None:
    """Damage a checkpoint, and let some commands read it."""
    rng = random.Random(seed)
    model = rng.choice(list(NETWORKS))
    run = folder / "run"
    run.mkdir()
    best = run / "best.ckpt"
    best.write_bytes((good(model) / "best.ckpt").read_bytes())
    (run / "last.ckpt").write_bytes(best.read_bytes())
    torch.manual_seed(seed)
    done = f"{model}: {damage(best, rng)}"
    read = f"checkpoint={best}"
    commands = {
        "evaluate": ("evaluate", read),
        "inspect": ("inspect", read, f"folder={folder}/inspection", "formats=[svg]"),
        "export": ("export", read, f"output={folder}/out.qasm"),
        "report": ("report", f"run={run}", f"output={folder}/report.html"),
        "estimate": ("estimate", read, "device=fake_manila", "device.shots=10", "limit=1"),
        "train": (
            "train",
            f"resume={best}",
            "trainer.epochs=2",
            "trainer.processes=1",
            "trainer.progress=false",
            f"hydra.run.dir={folder}/resumed",
        ),
    }
    before = digests(run)
    outcomes = {"load_model": quietly(lambda: load_model(best))}
    for name in rng.sample(list(commands), 2):
        outcomes[name] = command(*commands[name])
    for name, (status, out, err) in outcomes.items():
        told = [line for line in err.splitlines() if line.startswith("qrnn: ")]
        if status not in (0, 1, 2) or "Traceback" in err:
            return f"{done}; {name}: status {status}, {err[-700:]}"
        if status and (status != 2 or len(told) != 1 or not err.endswith(told[0] + "\n")):
            return f"{done}; {name}: not one line of status 2 but {status}, {err[-500:]!r}"
        if os.environ[SECRET] in out + err:
            return f"{done}; {name} tells an environment variable: {(out + err)[-300:]!r}"
    after = digests(folder)
    if lost := [path.name for path in before if after.get(path) != before[path]]:
        return f"{done}; lost or changed: {', '.join(lost)}"
    leaks = [path.name for path in after if os.environ[SECRET].encode() in path.read_bytes()]
    return f"{done}; an environment variable is in {', '.join(leaks)}" if leaks else None


FUZZ = Fuzz("checkpoints", 200, case)
