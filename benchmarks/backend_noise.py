"""The noise of a backend on the fused device: how well it agrees, and what it brings in training.

    python benchmarks/backend_noise.py [--backend fake_torino]

Trains forecasts of the yearly sunspots (one year ahead from eight) with 4 and 6 qubits: without
noise ("plain"), with `device.noise` of a fake backend ("noise"), and with `model.readout_shots` in
addition ("noise, shots"). Then

- the readouts of the plain models on the fake backend are compared with those of the fused device,
  with and without its noise: 16,384 shots, 16 sequences;
- all models are evaluated on the fake backend: the test windows, 1,024 shots, closed loop.

If stopped, it resumes when run again. Writes docs/benchmarks/backend_noise.json.
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

from qrnn.data import Split
from qrnn.data.tables.forecast import ForecastConfig, forecast
from qrnn.devices import DeviceOptions
from qrnn.evaluation.evaluation import evaluate
from qrnn.evaluation.predict import record_controls
from qrnn.training.checkpoint import load_model
from qrnn.training.run import train
from qrnn.utils.files import write_text

RUNS, OUT = Path("runs/backend_noise"), Path("docs/benchmarks/backend_noise.json")
WINDOW, SPLIT = 8, [0.6, 0.15, 0.25]
TASK = ["task=forecast", f"task.window={WINDOW}", "task.horizon=1", f"task.split={SPLIT}"]
TASK += ["model.residual=last"]
QUBITS, SEEDS, EPOCHS, SHOTS = (4, 6), (0, 1, 2), 60, 1024
COMPARED, MANY_SHOTS = 16, 16384
TRAININGS = {
    "plain": [],
    "noise": ["device.noise={backend}"],
    "noise, shots": ["device.noise={backend}", f"model.readout_shots={SHOTS}"],
}


def model_of(backend: str, n: int, training: str, seed: int) -> Any:
    """Return the trained model, from its checkpoint if there is one."""
    keys = [key.format(backend=backend) for key in TRAININGS[training]]
    folder = RUNS / "-".join([str(n), str(seed), *(key.split("=")[1] for key in keys)])
    if not (folder / "done").exists():
        own = [f"model.n_qubits={n}", f"trainer.seed={seed}", f"trainer.epochs={EPOCHS}"]
        train([*TASK, *own, *keys, "trainer.progress=false"], folder)
        write_text(folder / "done", "")
    return load_model(folder / "best.ckpt")[0]


def rms(a: torch.Tensor, b: torch.Tensor) -> list[float]:
    """Return the root mean square difference of readouts (B, T, R) over all steps, then at each."""
    square = (a - b).double().square()
    return [square.mean().sqrt().item(), *square.mean((0, 2)).sqrt().tolist()]


def agreement(backend: str, n: int, part: Split) -> dict[str, Any]:
    """Compare the readouts of a plain model on the fake backend with those of the fused device."""
    model, part = model_of(backend, n, "plain", 0), part.head(COMPARED)
    sampled = DeviceOptions(backend, shots=MANY_SHOTS, seed=1)
    row: dict[str, Any] = {"backend": backend, "n": n, "shots": MANY_SHOTS}
    with torch.no_grad():
        controls = record_controls(model, part.x)
        exact, noisy, fake = (
            on.rnn.cell.memory.run(controls)
            for on in (model, model.on("fused", noise=backend), model.on(sampled))
        )
    row["open"] = {"without noise": rms(exact, fake), "with noise": rms(noisy, fake)}
    row["shot noise"] = ((1 - fake.square()).clamp(min=0) / MANY_SHOTS).mean().sqrt().item()
    row["closed"] = {
        name: evaluate(model.on("fused", noise=noise), part, sampled, progress=False).rms_z
        for name, noise in (("without noise", None), ("with noise", backend))
    }
    return row


def evaluated(backend: str, n: int, training: str, seed: int, part: Split) -> dict[str, Any]:
    """Evaluate a model on the fused device, with and without the noise, and on the backend."""
    model = model_of(backend, n, training, seed)
    row: dict[str, Any] = {"backend": backend, "n": n, "training": training, "seed": seed}
    for name, device in {
        "exact": DeviceOptions("fused"),
        "noise": DeviceOptions("fused", noise=backend),
        "backend": DeviceOptions(backend, shots=SHOTS, seed=1),
    }.items():
        start = time.process_time()
        one = evaluate(model, part, device, progress=False)
        row[name] = {"rmse": one.scores["rmse"], "seconds": time.process_time() - start}
    return row


def measure(backend: str) -> dict[str, Any]:
    """Return the results; those that are not in the file yet are computed."""
    saved = json.loads(OUT.read_text()) if OUT.exists() else {"agreement": [], "training": []}
    part = forecast(ForecastConfig(window=WINDOW, horizon=1, split=SPLIT)).test
    todo = [("agreement", (backend, n), agreement) for n in QUBITS]
    todo += [
        ("training", (backend, *keys), evaluated) for keys in product(QUBITS, TRAININGS, SEEDS)
    ]
    for kind, keys, function in todo:
        names = ("backend", "n", "training", "seed")[: len(keys)]
        if keys not in [tuple(row[name] for name in names) for row in saved[kind]]:
            saved[kind].append(function(*keys, part))
            saved = {**saved, "sequences": len(part), "epochs": EPOCHS, **environment()}
            write_text(OUT, json.dumps(saved, indent=1) + "\n")
    return saved


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--backend", default="fake_torino")
    backend = parser.parse_args().backend
    torch.set_num_threads(1)
    saved = measure(backend)
    for row in saved["agreement"]:
        if row["backend"] == backend:
            print(f"{row['n']} qubits, {backend}: shot noise {row['shot noise']:.4f}")
            for loop, one in row.items():
                if loop in ("open", "closed"):
                    print(f"  {loop}", {k: v if loop == "closed" else v[0] for k, v in one.items()})
    for n, training in product(QUBITS, TRAININGS):
        rows = [
            row
            for row in saved["training"]
            if (row["backend"], row["n"], row["training"]) == (backend, n, training)
        ]
        print(f"{n} qubits, {training}:", end="")
        for name in ("exact", "noise", "backend"):
            values = [row[name]["rmse"] for row in rows]
            print(f"  {name} {mean(values):.2f} +- {stdev(values):.2f}", end="")
        print()


if __name__ == "__main__":
    main()
