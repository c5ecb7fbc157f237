"""The 27 forecasts of Fellner et al. (arXiv 2504.12416): the hybrid network, an LSTM and ridge.

Their protocol: 1,000 points, scaled to 0..1 over all of them; windows of 4, 8 or 16 points; the
point k steps ahead, all columns; windows by index, 60/20/20 per cent; Adam of rate 1e-3, batches of
64; training stops when the means of the last 200 and of the 200 validation losses before differ by
less than half the standard deviation of the last 200; test error at the best validation loss.

The hybrid network has six settings (theirs: nine); the one with the lowest validation loss of the
first seed is run with all seeds. The LSTM has the setting that they found for a task.
"""

from __future__ import annotations

import copy
import csv
import json
import time
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
from threadpoolctl import threadpool_limits

from qrnn.config import TrainConfig
from qrnn.data import Numbers, Split, TaskData
from qrnn.data.tables.generated import henon_series, lorenz_series, mackey_glass_series
from qrnn.evaluation.baselines import ridge
from qrnn.models.build import build_model
from qrnn.networks import NETWORKS, n_parameters
from qrnn.training.groups import param_groups
from qrnn.training.seeding import seed_all

Task = tuple[str, int, int]
SERIES = {
    "henon": lambda: henon_series(1000),
    "mackey": lambda: mackey_glass_series(1000, tau=17, seed=0),
    "lorenz": lambda: lorenz_series(1000),
}
AHEAD = {"henon": (1, 2, 4), "mackey": (1, 70, 140), "lorenz": (1, 13, 25)}
WINDOWS = (4, 8, 16)
TASKS: list[Task] = [(s, window, k) for s in SERIES for window in WINDOWS for k in AHEAD[s]]
MOST_EPOCHS, LEAST_EPOCHS, SPAN = 5000, 400, 200
LSTM = "LSTM"  # as a setting: the published one of the task


@dataclass(frozen=True)
class Setting:
    """A network and its keys of the config.

    Attributes:
        model: a registered network.
        keys: of its config.
    """

    model: str
    keys: dict[str, Any] = field(default_factory=dict)


HYBRID = {"n_qubits": 8, "width": 64, "bias_range": 1.0}
DEEP = {"depth": 2, "input_scale": 2.0}
HYBRIDS = {
    name: Setting("hybrid", {**HYBRID, **keys})
    for name, keys in {
        "deep, head": {**DEEP, "head_width": 32},
        "deep": DEEP,
        "deep, head, inputs x 4": {**DEEP, "head_width": 32, "input_scale": 4.0},
        "deep, head, residual": {**DEEP, "head_width": 32, "residual": "last"},
        "plain": {},
        "head": {"head_width": 32, "input_scale": 2.0},
    }.items()
}


@dataclass(frozen=True)
class Published:
    """A row of the published results.

    Attributes:
        series, window, ahead: the task.
        model: `lstm`, `le-qlstm`, `qrnn` or `rnn`.
        parameters: number of all parameters.
        size: hidden size (`h8`), or qubits and hidden size (`q6h16`).
        ansatz: number of layers (`layers_2`), or the ansatz.
        mse: mean test error.
    """

    series: str
    window: int
    ahead: int
    model: str
    parameters: int
    size: str
    ansatz: str
    mse: float


def published() -> list[Published]:
    """Return the published results, and their best setting for each task."""
    with open(Path(__file__).with_name("published.csv"), encoding="utf-8") as file:
        rows = csv.DictReader(line for line in file if not line.startswith("#"))
        return [
            Published(
                row["series"],
                int(row["window"]),
                int(row["ahead"]),
                row["model"],
                int(row["parameters"]),
                row["size"],
                row["ansatz"],
                float(row["mse"]),
            )
            for row in rows
        ]


def setting_of(task: Task, name: str) -> Setting:
    """Return a setting by its name: a hybrid network, or the published LSTM of a task."""
    if name in HYBRIDS:
        return HYBRIDS[name]
    row = next(row for row in published() if row.model == "lstm" and task_of(row) == task)
    return Setting(
        "lstm", {"hidden_size": int(row.size[1:]), "num_layers": int(row.ansatz.split("_")[1])}
    )


def task_of(row: Published) -> Task:
    """Return the task of a row."""
    return row.series, row.window, row.ahead


def task_data(series: str, window: int, ahead: int) -> TaskData:
    """Return a task of the benchmark: windows (N, L, K), centred at 0, and targets (N, 1, K)."""
    points = SERIES[series]()
    low, high = points.min(0), points.max(0)
    points = (points - low) / (high - low) - 0.5  # their 0..1, centred: errors are the same
    n = len(points) - window - ahead
    x = torch.as_tensor(np.stack([points[i : i + window] for i in range(n)]), dtype=torch.float32)
    y = np.stack([points[i + window + ahead - 1][None] for i in range(n)])
    y = torch.as_tensor(y, dtype=torch.float32)
    ends = (0, int(n * 0.6), int(n * 0.8), n)
    parts = [Split(x[a:b], y[a:b]) for a, b in pairwise(ends)]
    names = tuple(f"x{k}" for k in range(x.shape[2]))
    return TaskData(*parts, classes=(), kind="regress", objective=Numbers(names), n_past=len(names))


def stops(losses: list[float]) -> bool:
    """Return whether the benchmark's rule ends a training, by its validation losses."""
    if len(losses) < LEAST_EPOCHS:
        return False
    last, before = np.array(losses[-SPAN:]), np.array(losses[-2 * SPAN : -SPAN])
    return bool(abs(last.mean() - before.mean()) < last.std() / 2)


def run(task: Task, name: str, seed: int) -> dict[str, Any]:
    """Train one network with one seed; return its errors."""
    setting, data = setting_of(task, name), task_data(*task)
    model_config = NETWORKS[setting.model].schema(**setting.keys)
    torch.manual_seed(seed)
    config = TrainConfig(model=model_config)
    model = build_model(config, data.shape, objective=data.objective)
    seed_all(seed, model)
    optimizer = torch.optim.Adam(param_groups(model, 1e-3))
    generator = torch.Generator().manual_seed(seed)
    losses: list[float] = []
    best, weights, start = float("inf"), None, time.process_time()

    def error(part: Split) -> float:
        with torch.no_grad():
            return (model(part.x) - part.y[:, 0]).square().mean().item()

    while len(losses) < MOST_EPOCHS and not stops(losses):
        model.train()
        for rows in torch.randperm(len(data.train), generator=generator).split(64):
            optimizer.zero_grad()
            loss = (model(data.train.x[rows]) - data.train.y[rows, 0]).square().mean()
            loss.backward()
            optimizer.step()
        model.eval()
        losses.append(error(data.val))
        if losses[-1] < best:
            best, weights = losses[-1], copy.deepcopy(model.state_dict())
    assert weights is not None
    model.load_state_dict(weights)
    return {
        "task": list(task),
        "setting": name,
        "seed": seed,
        "val": best,
        "test": error(data.test),
        "epochs": len(losses),
        "parameters": n_parameters(model),
        "seconds": round(time.process_time() - start, 1),
    }


def ridges(task: Task) -> dict[str, float]:
    """Return the test errors of ridge regression of degree 1 and 2 on the window."""
    data, found = task_data(*task), {}
    for degree in (1, 2):
        with threadpool_limits(1):  # on a busy machine, threads would wait for each other
            predicted = ridge(data, "test", degree)
        if predicted is not None:
            found[f"ridge {degree}"] = float(((predicted - data.test.y.numpy()) ** 2).mean())
    return found


def read(path: Path) -> list[dict[str, Any]]:
    """Return the runs of a file."""
    return [json.loads(line) for line in path.read_text().splitlines()] if path.is_file() else []


def validation(runs: list[dict[str, Any]], task: Task) -> dict[str, float]:
    """Return the validation loss of each hybrid setting whose first seed has been run."""
    return {
        one["setting"]: one["val"]
        for one in runs
        if one["task"] == list(task) and one["seed"] == 0 and one["setting"] in HYBRIDS
    }


def best_setting(runs: list[dict[str, Any]], task: Task) -> str | None:
    """Return the hybrid setting of the lowest validation loss; None: none has been run."""
    losses = validation(runs, task)
    return min(losses, key=lambda name: losses[name]) if losses else None


def next_run(path: Path, seeds: int) -> tuple[Task, str, int] | None:
    """Return a run that is not in the file: the search first, then the seeds; None: all are."""
    runs = read(path)
    made = {(tuple(one["task"]), one["setting"], one["seed"]) for one in runs}
    wanted = [(task, name, 0) for name in HYBRIDS for task in TASKS]
    if made.issuperset(wanted):
        chosen = [(task, best_setting(runs, task)) for task in TASKS]
        wanted = [
            (task, name, seed)
            for seed in range(seeds)
            for task, best in chosen
            for name in (best, LSTM)
            if name is not None
        ]
    return next((one for one in wanted if one not in made), None)


def run_all(path: Path, seeds: int) -> None:
    """Make the runs that a file does not have, each appended as it ends."""
    while (asked := next_run(path, seeds)) is not None:
        found = run(*asked)
        with path.open("a") as file:
            file.write(json.dumps(found) + "\n")
        print(json.dumps(found), flush=True)
