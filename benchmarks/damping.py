"""Calibrated damping beside other mitigation, on fake backends.

    python benchmarks/damping.py [--backends fake_torino fake_fez] [--steps 8] [--shots 1024]

Trains forecasts of the yearly sunspots with 6 qubits for each number of steps T (one year ahead
from T; three seeds), and evaluates them on each fake backend with each number of shots, in the open
and in the closed loop: without mitigation, with readout mitigation (8,192 shots), zero-noise
extrapolation (factors 1 and 3), both, the calibrated damping of 8 training sequences
(`device.calibrate=8`), and this with readout mitigation. In the open loop, only the last step runs,
which the head reads; in the closed loop, the RMS error of z is over all steps.

If stopped, it resumes when run again. Writes docs/benchmarks/damping.json.
"""

import argparse
import json
import time
from dataclasses import asdict
from itertools import product
from pathlib import Path
from statistics import mean
from typing import Any

import torch
from environment import environment

from qrnn.devices import DeviceOptions
from qrnn.evaluation.trained import TrainedModel, load
from qrnn.training.run import train
from qrnn.utils.files import write_text

RUNS, OUT = Path("runs/damping"), Path("docs/benchmarks/damping.json")
QUBITS, EPOCHS, SEQUENCES, SAMPLING = 6, 60, 64, 1
OPTIONS: dict[str, dict[str, Any]] = {
    "none": {},
    "readout": {"readout_mitigation": 8192},
    "zne": {"zne": [1, 3]},
    "readout, zne": {"readout_mitigation": 8192, "zne": [1, 3]},
    "calibrated": {"calibrate": 8},
    "calibrated, readout": {"calibrate": 8, "readout_mitigation": 8192},
}
KEYS = ("backend", "T", "shots", "seed", "feedback", "mitigation")


def model_of(steps: int, seed: int) -> TrainedModel:
    """Return the trained model, from its checkpoint if there is one."""
    folder = RUNS / f"sunspots-{QUBITS}-{steps}-{seed}"
    if not (folder / "done").exists():
        task = ["task=forecast", f"task.window={steps}", "task.horizon=1"]
        task += ["task.split=[0.6,0.15,0.25]", f"model.n_qubits={QUBITS}", "model.residual=last"]
        own = [f"trainer.seed={seed}", f"trainer.epochs={EPOCHS}", "trainer.progress=false"]
        train([*task, *own], folder)
        write_text(folder / "done", "")
    return load(folder / "best.ckpt")


def evaluated(
    backend: str, steps: int, shots: int, seed: int, feedback: str, mitigation: str
) -> dict:
    """Return the results of one evaluation, without its predictions."""
    options = DeviceOptions(backend, shots=shots, seed=SAMPLING, **OPTIONS[mitigation])
    model = model_of(steps, seed)
    start = time.process_time()
    one = model.evaluate(options, limit=SEQUENCES, feedback=feedback, folder=None)
    assert one.cost is not None
    return {
        "rms_z": one.rms_z,
        "rms_z_steps": one.rms_z_steps,
        "rmse": one.scores["rmse"],
        "difference": one.difference,
        "jobs": one.cost.jobs,
        "qpu_seconds": one.cost.estimated_seconds,
        "damping": None if one.damping is None else asdict(one.damping),
        "seconds": time.process_time() - start,
    }


def measure(todo: list[tuple]) -> dict[str, Any]:
    """Return the results; those that are not in the file yet are computed."""
    saved = json.loads(OUT.read_text()) if OUT.exists() else {"exact": {}, "rows": []}
    for keys in todo:
        name = f"T={keys[1]}, seed={keys[3]}"
        if name not in saved["exact"]:
            exact = model_of(keys[1], keys[3]).evaluate(limit=SEQUENCES)
            saved["exact"][name] = exact.scores["rmse"]
        if keys not in [tuple(row[name] for name in KEYS) for row in saved["rows"]]:
            saved["rows"].append(dict(zip(KEYS, keys, strict=True)) | evaluated(*keys))
            saved |= {"sequences": SEQUENCES, "qubits": QUBITS, **environment()}
            write_text(OUT, json.dumps(saved, indent=1) + "\n")
    return saved


def main() -> None:
    """Measure, and print the tables in Markdown."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    backends = ["fake_torino", "fake_fez", "fake_boston"]
    parser.add_argument("--backends", nargs="+", default=backends)
    parser.add_argument("--steps", nargs="+", type=int, default=[8])
    parser.add_argument("--shots", nargs="+", type=int, default=[1024])
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    given = parser.parse_args()
    torch.set_num_threads(1)
    loops = ("open", "closed")
    cases = list(product(given.backends, given.steps, given.shots))
    saved = measure(
        [(*case, *rest) for case in cases for rest in product(given.seeds, loops, OPTIONS)]
    )
    rows = {tuple(row[name] for name in KEYS): row for row in saved["rows"]}
    for backend, steps, shots in cases:
        exact = mean(saved["exact"][f"T={steps}, seed={seed}"] for seed in given.seeds)
        print(f"\n{backend}, T = {steps}, {shots} shots, exact {exact:.2f}\n")
        print("| | open: RMS z | RMSE | QPU s | closed: RMS z | RMSE | QPU s |")
        print("|---|---|---|---|---|---|---|")
        for mitigation in OPTIONS:
            cells = [mitigation]
            for loop in loops:
                every = [rows[backend, steps, shots, s, loop, mitigation] for s in given.seeds]
                for name, digits in (("rms_z", 3), ("rmse", 2), ("qpu_seconds", 0)):
                    cells.append(f"{mean(row[name] for row in every):.{digits}f}")
            print(f"| {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
