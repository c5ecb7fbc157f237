"""Does noise-aware training help? The digits on a fake backend.

    python benchmarks/hardware_training.py [--sequences 100]

Trains a digits classifier with 4 and 6 qubits, each without noise and with `readout_shots=256` and
`readout_depolarizing=0.1`, then evaluates it on fake_torino with 256, 1,024 and 4,096 shots, in
closed and open loop. If stopped, it resumes when run again. Writes
docs/benchmarks/hardware_training.json and docs/images/hardware_training.svg.
"""

import argparse
import json
from itertools import product
from pathlib import Path

from environment import environment
from matplotlib.figure import Figure
from rich.console import Console
from rich.table import Table

from qrnn.config import TrainConfig, TrainerConfig
from qrnn.data import DigitsConfig, digits
from qrnn.devices import DeviceOptions
from qrnn.evaluation.evaluation import evaluate
from qrnn.networks import HybridConfig
from qrnn.training.checkpoint import load_model
from qrnn.training.trainer import train
from qrnn.utils.figure_style import styled, write
from qrnn.utils.files import write_text

RUNS, DOCS = Path("runs/hardware_training"), Path("docs")
OUT, PLOT = DOCS / "benchmarks/hardware_training.json", DOCS / "images/hardware_training.svg"
BACKEND = "fake_torino"
QUBITS, SHOTS, FEEDBACKS = (4, 6), (256, 1024, 4096), ("closed", "open")
TRAININGS = {"plain": {}, "noisy": {"readout_shots": 256, "readout_depolarizing": 0.1}}


def model_of(n_qubits: int, training: str):
    """Return the trained model, from its checkpoint if there is one."""
    folder = RUNS / f"{training}-{n_qubits}"
    if not (folder / "done").exists():
        model = HybridConfig(n_qubits=n_qubits, **TRAININGS[training])
        train(TrainConfig(DigitsConfig(), model, trainer=TrainerConfig(progress=False)), folder)
        write_text(folder / "done", "")
    return load_model(folder / "best.ckpt")[0]


def measure(sequences: int) -> list[dict]:
    """Run the evaluations that are not in the file yet; return all rows."""
    split = digits(DigitsConfig()).test.head(sequences)
    saved = json.loads(OUT.read_text()) if OUT.exists() else {}
    rows = saved["rows"] if saved.get("sequences") == sequences else []
    done = {(r["n_qubits"], r["training"], r["shots"], r["feedback"]) for r in rows}
    for n, training, shots, feedback in product(QUBITS, TRAININGS, (None, *SHOTS), FEEDBACKS):
        if (n, training, shots, feedback) in done or (shots is None and feedback == "open"):
            continue
        device = DeviceOptions(BACKEND, shots=shots, seed=7) if shots else DeviceOptions("fused")
        one = evaluate(model_of(n, training), split, device, feedback=feedback)
        rows.append(
            {
                "n_qubits": n,
                "training": training,
                "shots": shots,
                "feedback": feedback,
                "accuracy": one.accuracy,
                "rms_z": one.rms_z,
                "rms_z_steps": one.rms_z_steps,
                "rounds": one.cost.jobs if one.cost else 0,
                "qpu_seconds": one.cost.estimated_seconds if one.cost else 0.0,
                "seconds": one.seconds,
            }
        )
        saved = {"sequences": sequences, "backend": BACKEND, **environment(), "rows": rows}
        write_text(OUT, json.dumps(saved, indent=1) + "\n")
    return rows


@styled()
def plot(rows: list[dict]) -> None:
    """Plot the RMS error of z at each time step, with one panel per n and feedback."""
    figure = Figure(figsize=(5, 5), layout="constrained")
    axes = figure.subplots(2, 2, sharex=True, sharey=True)
    colours = dict(zip(SHOTS, ("#D55E00", "#0072B2", "#009E73"), strict=True))
    for row in rows:
        if row["shots"] is None:
            continue
        axis = axes[QUBITS.index(row["n_qubits"]), FEEDBACKS.index(row["feedback"])]
        style = "-" if row["training"] == "plain" else "--"
        steps = range(1, len(row["rms_z_steps"]) + 1)
        label = f"{row['shots']:,} shots, {row['training']} training"
        axis.plot(steps, row["rms_z_steps"], style, color=colours[row["shots"]], label=label)
        axis.set_title(f"{row['n_qubits']} qubits, {row['feedback']} loop")
    for axis in axes[1]:
        axis.set_xlabel("time step")
    for axis in axes[:, 0]:
        axis.set_ylabel("RMS error of z")
    handles, labels = axes[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=2)
    write(figure, PLOT)


def main() -> None:
    """Measure, plot and print."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--sequences", type=int, default=100)
    rows = measure(parser.parse_args().sequences)
    plot(rows)
    table = Table(title=f"Digits on {BACKEND}")
    for heading in ("qubits", "training", "shots", "loop", "accuracy", "RMS z", "rounds", "QPU s"):
        table.add_column(heading, justify="right", no_wrap=True)
    for row in rows:
        exact = row["shots"] is None
        table.add_row(
            str(row["n_qubits"]),
            row["training"],
            "exact" if exact else f"{row['shots']:,}",
            "" if exact else row["feedback"],
            f"{100 * row['accuracy']:.0f}%",
            f"{row['rms_z']:.3f}",
            str(row["rounds"]),
            f"{row['qpu_seconds']:,.0f}",
        )
    Console().print(table)


if __name__ == "__main__":
    main()
