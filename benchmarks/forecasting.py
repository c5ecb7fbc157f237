"""The 27 forecasts of Fellner et al. (arXiv 2504.12416): the hybrid network, an LSTM and ridge.

Their protocol: 1,000 points, scaled to 0..1 over all of them; windows of 4, 8 or 16 points; the
point k steps ahead, all columns; windows by index, 60/20/20 per cent; Adam of rate 1e-3, batches of
64; training stops when the means of the last 200 and of the 200 validation losses before differ by
less than half the standard deviation of the last 200; test error at the best validation loss.

    python benchmarks/forecasting.py --seeds 3 --settings hybrid-6,lstm-16

Every run is appended to a file as it ends; runs that are there are not made again.
"""

from __future__ import annotations

import argparse
import copy
import json
import time
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch

from qrnn.config import TrainConfig
from qrnn.data import Numbers, Split, TaskData
from qrnn.data.tables.generated import henon_series, lorenz_series, mackey_glass_series
from qrnn.models.build import build_model
from qrnn.networks import NETWORKS, n_parameters
from qrnn.training.groups import param_groups
from qrnn.training.seeding import seed_all

SERIES = {
    "henon": lambda: henon_series(1000),
    "mackey": lambda: mackey_glass_series(1000, tau=17, seed=0),
    "lorenz": lambda: lorenz_series(1000),
}
AHEAD = {"henon": (1, 2, 4), "mackey": (1, 70, 140), "lorenz": (1, 13, 25)}
WINDOWS = (4, 8, 16)
TASKS = [(s, window, k) for s in SERIES for window in WINDOWS for k in AHEAD[s]]
MOST_EPOCHS, LEAST_EPOCHS, SPAN = 5000, 400, 200
RESULTS = Path(__file__).parents[1] / "docs/benchmarks/forecasting.jsonl"


@dataclass(frozen=True)
class Setting:
    """A network and its keys of the config.

    Attributes:
        model: a registered network.
        keys: of its config.
    """

    model: str
    keys: dict[str, Any] = field(default_factory=dict)


HYBRID = {"bias_range": 1.0}
SETTINGS = {
    f"hybrid-{n}{name}": Setting("hybrid", {**HYBRID, "n_qubits": n, "width": 8 * n, **keys})
    for n in (4, 6, 8)
    for name, keys in {
        "": {"input_scale": 1.0},
        "-scaled": {"input_scale": 2.0},
        "-residual": {"input_scale": 1.0, "residual": "last"},
    }.items()
} | {f"lstm-{n}": Setting("lstm", {"hidden_size": n}) for n in (8, 16, 32)}


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


def run(series: str, window: int, ahead: int, name: str, seed: int) -> dict[str, Any]:
    """Train one network with one seed; return its errors."""
    setting, data = SETTINGS[name], task_data(series, window, ahead)
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
        "series": series,
        "window": window,
        "ahead": ahead,
        "setting": name,
        "seed": seed,
        "val": best,
        "test": error(data.test),
        "epochs": len(losses),
        "parameters": n_parameters(model),
        "seconds": round(time.process_time() - start, 1),
    }


def done(path: Path) -> list[dict[str, Any]]:
    """Return the runs of a file."""
    return [json.loads(line) for line in path.read_text().splitlines()] if path.is_file() else []


def main() -> None:
    """Make the runs that are missing."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--settings", default="hybrid-6,lstm-16", help="names, by commas, or all")
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--output", type=Path, default=RESULTS)
    asked = parser.parse_args()
    torch.set_num_threads(1)
    names = list(SETTINGS) if asked.settings == "all" else asked.settings.split(",")
    for seed in range(asked.seeds):
        for name in names:
            for series, window, ahead in TASKS:
                key = (series, window, ahead, name, seed)
                keys = ("series", "window", "ahead", "setting", "seed")
                if key in {tuple(one[k] for k in keys) for one in done(asked.output)}:
                    continue
                found = run(*key)
                with asked.output.open("a") as file:
                    file.write(json.dumps(found) + "\n")
                print(json.dumps(found), flush=True)


if __name__ == "__main__":
    main()
