"""Train a QRNN on the handwritten digits, then evaluate it on three devices and with noise.

    make demo        (or: python examples/demo.py)

All output is saved to runs/demo, replacing that of an earlier demo.
"""

import shutil
from pathlib import Path

from rich.console import Console

from qrnn.config import TrainConfig
from qrnn.data import DigitsConfig, digits
from qrnn.devices import DeviceOptions
from qrnn.evaluation.evaluation import evaluate, save, table
from qrnn.evaluation.metrics import judge
from qrnn.reporting import plots
from qrnn.training.checkpoint import load_model
from qrnn.training.history import history
from qrnn.training.trainer import train
from qrnn.utils.figure_style import write
from qrnn.utils.program import installed

RUN = Path("runs/demo")
# The fake backend, which samples, gets a part of the test set.
DEVICES = [
    (DeviceOptions("fused"), None),
    (DeviceOptions("default.qubit"), None),
    (DeviceOptions("fused", noise="depolarizing", strength=0.002), None),
    (DeviceOptions("fake_fez", shots=1024, seed=7), 64),
]


def main() -> None:
    console = Console()
    data = digits(DigitsConfig())
    console.print(
        f"Training on {len(data.train)} digits: 6 qubits, one image row per step, device fused"
    )
    shutil.rmtree(RUN, ignore_errors=True)  # train refuses a folder that contains a run
    result = train(TrainConfig(task=DigitsConfig()), RUN, data=data)
    model, _ = load_model(result.best)

    evaluations = []
    for options, limit in DEVICES:
        evaluations.append(
            evaluate(model, data.test.head(limit), options, judge=judge(data, "test", limit))
        )
        save(evaluations[-1], RUN)
    console.print(table(evaluations))
    console.print(
        "[dim]agree: same prediction as on the training device. RMS z: error of the readouts.\n"
        "fake_fez is evaluated on the first 64 test images.[/dim]"
    )

    exact = evaluations[0]
    plots_by_name = {
        "training": plots.curves(history(RUN)),
        "circuit": plots.circuit(model.rnn.cell.circuit),
        "confusion": plots.confusion(exact.labels, exact.predictions, data.classes),
    }
    paths = [write(figure, RUN / f"{name}.png") for name, figure in plots_by_name.items()]
    console.print("Plots saved to " + ", ".join(str(path) for path in paths))
    following = f"evaluate checkpoint={RUN}/best.ckpt device=lightning.qubit"
    console.print(f"Next: {installed()} {following}", soft_wrap=True)


if __name__ == "__main__":
    main()
