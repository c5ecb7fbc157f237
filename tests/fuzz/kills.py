"""Trainings killed at random moments: resumed, they end as if nothing had happened.

A case trains a small model twice with the command line: once to its end, and once killed with
SIGKILL, one to three times, and resumed each time. Metrics and weights must be equal, bit by bit.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import random
import signal
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import torch

from fuzz.harness import Fuzz
from qrnn.training.history import history

TASKS = {
    "digits": ["trainer.steps_per_epoch=6"],
    "elman_xor": ["task.length=12", "task.n_train=128", "task.n_val=16", "task.n_test=4"],
    "copying": [
        "task.delay=3",
        "task.n_train=96",
        "task.n_val=16",
        "task.n_test=4",
        "task.curriculum=[1,2]",
    ],
}
HYBRID = ["model=hybrid", "model.n_qubits=2", "model.width=4"]
MODELS = {
    "hybrid": HYBRID,
    "hybrid, dropout": [*HYBRID, "model.dropout=0.3", "model.head_dropout=0.2"],
    "hybrid, readout noise": [*HYBRID, "model.readout_shots=50"],
    "hybrid, shots": [
        "model=hybrid",
        "model.n_qubits=1",
        "model.width=2",
        "model.readout=Z",
        "device=default.qubit",
        "device.shots=20",
        "trainer.batch_size=2",
    ],
    "lstm": ["model=lstm", "model.hidden_size=6"],
    "gru, dropout": ["model=gru", "model.hidden_size=6", "model.head_dropout=0.4"],
    "qlstm": ["model=qlstm", "model.n_qubits=2"],
    "scornn, dropout": ["model=scornn", "model.hidden_size=6", "model.head_dropout=0.3"],
}
STOPPED = ["trainer.patience=1", "trainer.lr=0.1"]
MOMENTS = ("any time", "writing a file", "behind a write")
LONGEST = 120.0  # seconds of a training, at most


def command(seed: int) -> list[str]:
    """Return the arguments of a training, but for its folder."""
    draw = random.Random(seed)
    name = list(MODELS)[seed % len(MODELS)]
    task = "elman_xor" if name == "hybrid, shots" else draw.choice(list(TASKS))
    given = dict(item.split("=", 1) for item in (*TASKS[task], *MODELS[name]))
    if "device.shots" in given:  # slow
        given |= {"task.n_train": "4", "task.n_val": "2", "task.length": "3"}
    given |= {"trainer.epochs": str(draw.randint(2, 4)), "trainer.seed": str(seed)}
    given["trainer.schedule"] = draw.choice(["cosine", "constant"])
    if draw.random() < 0.3:
        given |= dict(item.split("=") for item in STOPPED)
    return [
        "train",
        f"task={task}",
        "trainer.progress=false",
        *(f"{key}={value}" for key, value in given.items()),
    ]


def case(seed: int, folder: Path) -> str | None:
    """See `harness.Case`."""
    draw = random.Random(f"{seed} kills")
    arguments = command(seed)
    # Numba's machine code rounds otherwise in the process that compiles it than from its cache.
    if status := run([*arguments, "trainer.epochs=1", f"hydra.run.dir={folder / 'warm'}"], folder):
        return f"{' '.join(arguments)} has status {status}: {said(folder)}"
    whole = folder / "whole"
    start = time.monotonic()
    if status := run([*arguments, f"hydra.run.dir={whole}"], folder):
        return f"{' '.join(arguments)} has status {status}: {said(folder)}"
    seconds = time.monotonic() - start
    now, told = folder / "run-0", [*arguments, f"hydra.run.dir={folder / 'run-0'}"]
    moments = [draw.choice(MOMENTS) for _ in range(draw.randint(1, 3))]
    for number, moment in enumerate([*moments, None], 1):
        status = run(told, folder, moment, draw, seconds)
        if status == 0:  # it had ended before
            break
        if status != -signal.SIGKILL or moment is None:
            return f"{' '.join(told)} has status {status}, {moments}: {said(folder)}"
        last = now / "last.ckpt"
        if last.is_file():
            if draw.random() < 0.5:
                now = folder / f"run-{number}"
            told = ["train", f"resume={last}", "trainer.progress=false", f"hydra.run.dir={now}"]
    if other := difference(whole, now):
        return f"{' '.join(arguments)}, killed {', '.join(moments)}: {other}"
    return None


def difference(whole: Path, now: Path) -> str | None:
    """Return in which file two runs differ, or None."""
    if history(whole) != history(now):
        return f"metrics {history(now)} are not {history(whole)}"
    for name in ("last.ckpt", "best.ckpt"):
        first, second = (
            torch.load(run / name, weights_only=True)["state_dict"] for run in (whole, now)
        )
        unlike = [key for key in first if not torch.equal(first[key], second[key])]
        if unlike or first.keys() != second.keys():
            return f"{name} differs in {', '.join(unlike)}"
    return None if (now / "summary.json").is_file() else "there is no summary.json"


def said(folder: Path) -> str:
    """Return the last line of the last command."""
    lines = (folder / "log.txt").read_text(errors="replace").strip().splitlines()
    return lines[-1] if lines else "nothing was said"


def run(
    arguments: list[str],
    folder: Path,
    moment: str | None = None,
    draw: random.Random | None = None,
    seconds: float = LONGEST,
) -> int:
    """Run a command, killed at a moment; return its status, negative if a signal ended it."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["qrnn.training.trainer", "qrnn.cli.commands", "fuzz.kills"])
    place = draw.random() if draw else 0.0
    process = context.Process(target=child, args=(arguments, folder, moment, place, seconds, FAULT))
    process.start()
    process.join(LONGEST)
    if process.is_alive():
        process.kill()
        process.join()
        return -signal.SIGALRM
    assert process.exitcode is not None
    return process.exitcode


def child(
    arguments: list[str],
    folder: Path,
    moment: str | None,
    place: float,
    seconds: float,
    fault: Callable[[], None] | None,
) -> None:
    """Be the command; `place` in 0..1 says when it is killed."""
    log = os.open(folder / "log.txt", os.O_CREAT | os.O_TRUNC | os.O_WRONLY)
    for stream in (1, 2):
        os.dup2(log, stream)
    torch.set_num_threads(1)
    if moment == "any time":
        kill = threading.Timer(place * seconds, os.kill, (os.getpid(), signal.SIGKILL))
        kill.daemon = True
        kill.start()
    elif moment is not None:
        killed_at_write(moment, place)
    if fault is not None:
        fault()
    sys.argv = ["qrnn", *arguments]
    from qrnn.cli import main

    main()


def killed_at_write(moment: str, place: float) -> None:
    """Let this process be killed at one of its first writes: amid it, or when it is done."""
    left = 1 + int(14 * place)
    replace, save = os.replace, torch.save

    def die() -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    def replaced(*paths, **options) -> None:
        nonlocal left
        left -= 1
        if not left and moment == "writing a file":
            die()
        replace(*paths, **options)
        if not left:
            die()

    def saved(content, file, *rest, **options) -> None:
        if left == 1 and moment == "writing a file":  # half of it gets there
            with contextlib.suppress(TypeError, OSError), open(file, "wb") as half:
                half.write(b"PK half of a checkpoint")
                half.flush()
                die()
        save(content, file, *rest, **options)

    os.replace, torch.save = replaced, saved  # type: ignore[assignment]


# Called in each process before its command: a fault to find, in a test of this very test.
FAULT: Callable[[], None] | None = None

FUZZ = Fuzz("kills", 20, case)
