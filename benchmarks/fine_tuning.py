"""Fine-tuning on a device by SPSA, beside training with the noise of its backend.

    python benchmarks/fine_tuning.py [--backend fake_torino]

Trains forecasts of the yearly sunspots (one year ahead from eight) with 6 qubits and three seeds:
without noise ("none") and with `device.noise` of the backend ("noise"). Each of them is fine-tuned
by SPSA on the backend, with 256 shots ("tuned", "noise, tuned"), and all are evaluated there: the
validation and the test windows, 1,024 shots, closed loop.

The learning rate is the one with the lowest validation loss, mean over the six models, of
fine-tuning on the fused device with the backend's noise, which costs nothing.

If stopped, it resumes when run again. Writes docs/benchmarks/fine_tuning.json.
"""

import argparse
import json
import time
from itertools import product
from pathlib import Path
from statistics import mean, stdev
from typing import Any

import torch
from environment import environment

from qrnn.devices import DeviceOptions
from qrnn.evaluation.trained import load
from qrnn.training.history import best_of, history
from qrnn.training.run import train
from qrnn.utils.files import write_text

RUNS, OUT = Path("runs/fine_tuning"), Path("docs/benchmarks/fine_tuning.json")
TASK = ["task=forecast", "task.window=8", "task.horizon=1", "task.split=[0.6,0.15,0.25]"]
TASK += ["model.residual=last"]
SEEDS, EPOCHS, SHOTS, TUNING_SHOTS = (0, 1, 2), 60, 1024, 256
TRAININGS = {"none": [], "noise": ["device.noise={backend}"]}
RATES = (3e-4, 1e-3, 3e-3)
QUIET = ["trainer.progress=false", "trainer.loggers=[]"]


def trained(folder: Path, keys: list[str]) -> dict[str, Any]:
    """Train, or resume; return the summary."""
    if not (folder / "summary.json").exists():
        last = folder / "last.ckpt"
        train([f"resume={last}"] if last.exists() else [*keys, *QUIET], folder)
    return json.loads((folder / "summary.json").read_text())


def base(backend: str, training: str, seed: int) -> Path:
    """Return the folder of a model before fine-tuning."""
    noise = [key.format(backend=backend) for key in TRAININGS[training]]
    folder = RUNS / "-".join([training, str(seed), *(key.split("=")[1] for key in noise)])
    own = ["model.n_qubits=6", f"trainer.seed={seed}", f"trainer.epochs={EPOCHS}"]
    trained(folder, [*TASK, *own, *noise])
    return folder


def tuning(start: Path, seed: int, rate: float) -> list[str]:
    """Return the keys of fine-tuning, without the device."""
    return [
        f"finetune={start / 'best.ckpt'}",
        "trainer=spsa",
        f"trainer.seed={seed}",
        f"trainer.lr={rate}",
    ]


def select(backend: str) -> list[dict[str, Any]]:
    """Return the validation loss for each learning rate on the fused device."""
    rows = []
    for rate in RATES:
        losses = []
        for training, seed in product(TRAININGS, SEEDS):
            start = base(backend, training, seed)
            folder = RUNS / f"{start.name}-{backend}-fused-{rate}"
            trained(folder, [*tuning(start, seed, rate), f"device.noise={backend}"])
            found = best_of(history(folder))
            assert found is not None
            losses.append(found.loss)
        rows.append({"lr": rate, "loss": mean(losses)})
    return rows


def errors(folder: Path, backend: str) -> dict[str, float]:
    """Return the RMSE of a model on the backend, and exactly."""
    model, options = load(folder / "best.ckpt"), DeviceOptions(backend, shots=SHOTS, seed=1)
    found = {"exact": model.evaluate("fused").scores["rmse"]}
    for split in ("val", "test"):
        found[split] = model.evaluate(options, split=split, folder=None).scores["rmse"]
    return found


def measure(backend: str) -> dict[str, Any]:
    """Return the results; those that are not in the file yet are computed."""
    saved = json.loads(OUT.read_text()) if OUT.exists() else {}
    mine = saved.setdefault(backend, {"selection": [], "rows": []})
    mine["selection"] = mine["selection"] or select(backend)
    best = min(mine["selection"], key=lambda row: row["loss"])
    there = {(row["training"], row["tuned"], row["seed"]) for row in mine["rows"]}
    for seed, training, tuned in product(SEEDS, TRAININGS, (False, True)):
        if (training, tuned, seed) in there:
            continue
        folder = start = base(backend, training, seed)
        row: dict[str, Any] = {"training": training, "tuned": tuned, "seed": seed}
        if tuned:
            folder = RUNS / f"{start.name}-{backend}"
            keys = tuning(start, seed, best["lr"])
            device = [f"device={backend}", f"device.shots={TUNING_SHOTS}", "device.seed=1"]
            begun = time.process_time()
            row["cost"] = trained(folder, [*keys, *device])["cost"]
            row["seconds"] = time.process_time() - begun
        mine["rows"].append(row | errors(folder, backend))
        saved |= {"epochs": EPOCHS, **environment()}
        write_text(OUT, json.dumps(saved, indent=1) + "\n")
    return mine


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--backend", default="fake_torino")
    backend = parser.parse_args().backend
    torch.set_num_threads(1)
    found = measure(backend)
    for row in found["selection"]:
        print(f"lr {row['lr']:g}: validation loss {row['loss']:.4f} on fused")
    for training, tuned in product(TRAININGS, (False, True)):
        rows = [
            row for row in found["rows"] if (row["training"], row["tuned"]) == (training, tuned)
        ]
        print(f"{training}{', tuned' * tuned}:", end="")
        for name in ("exact", "val", "test"):
            values = [row[name] for row in rows]
            print(f"  {name} {mean(values):.2f} +- {stdev(values):.2f}", end="")
        if tuned:
            cost = rows[0]["cost"]
            print(f"  {cost['jobs']} jobs, {cost['estimated_seconds']:,.0f} QPU s", end="")
        print()


if __name__ == "__main__":
    main()
