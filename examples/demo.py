"""Train a QRNN on the handwritten digits, evaluate it on three devices and with noise; a picture.

    make demo        (or: python examples/demo.py)

All output is saved to runs/demo, replacing that of an earlier demo.
"""

import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from rich.console import Console

from qrnn.config import TrainConfig
from qrnn.data import DigitsConfig, TaskData, digits
from qrnn.devices import DeviceOptions
from qrnn.evaluation.evaluation import Evaluation, describe, evaluate, table
from qrnn.evaluation.files import save
from qrnn.evaluation.metrics import judge
from qrnn.reporting import plots
from qrnn.training.checkpoint import load_model
from qrnn.training.history import history
from qrnn.training.trainer import train
from qrnn.utils.figure_style import AMOUNTS, BLACK, BLUE, VERMILLION, styled, write
from qrnn.utils.program import installed

RUN = Path("runs/demo")
# The fake backend, which samples, gets a part of the test set.
DEVICES = [
    (DeviceOptions("fused"), None),
    (DeviceOptions("default.qubit"), None),
    (DeviceOptions("fused", noise="depolarizing", strength=0.002), None),
    (DeviceOptions("fake_fez", shots=1024, seed=7), 64),
]
SHOWN = 12  # images in the picture


@styled()
def picture(data: TaskData, evaluations: Sequence[Evaluation]) -> Figure:
    """Draw the training, the accuracy on each device, and what each predicts for some images."""
    figure = Figure(figsize=(7.2, 4.6))
    left, right = (
        figure.add_axes((0.08, 0.55, 0.35, 0.38)),
        figure.add_axes((0.69, 0.55, 0.3, 0.38)),
    )
    plots.curve(left, history(RUN), "accuracy", "accuracy")
    left.set(title="training", ylim=(0, 1.03))
    names = [f"{one.device}, {one.sequences} images:\n{describe(one)}" for one in evaluations]
    bars = right.barh(names, [100 * one.value for one in evaluations], color=BLUE, height=0.6)
    right.bar_label(bars, [f"{100 * one.value:.1f}%" for one in evaluations], padding=2)
    right.set(title="test accuracy", xlim=(0, 130), xticks=range(0, 101, 50), xlabel="%")
    right.invert_yaxis()

    figure.text(0.38, 0.38, f"The first {SHOWN} test images, and what they are read as")
    images, heights = data.test.sequences("the picture").x, np.linspace(0.2, 0.02, len(evaluations))
    for height, one in zip(heights, evaluations, strict=True):
        figure.text(0.36, height, f"{one.device}, {describe(one)}", ha="right", fontsize=8)
    for k, x in enumerate(np.linspace(0.38, 0.94, SHOWN)):
        axes = figure.add_axes((x, 0.26, 0.045, 0.09))
        axes.imshow(images[k], cmap=AMOUNTS, vmin=0, vmax=1)
        axes.set_axis_off()
        for height, one in zip(heights, evaluations, strict=True):
            wrong = one.predictions[k] != one.labels[k]
            style = {"color": VERMILLION, "weight": "bold"} if wrong else {"color": BLACK}
            name = data.classes[one.predictions[k]]
            figure.text(x + 0.0225, height, name, ha="center", **style)
    return figure


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
    following = f"evaluate checkpoint={RUN}/best.ckpt device=lightning.qubit"
    console.print(f"Next: {installed()} {following}", soft_wrap=True)
    console.print(f"A picture of it all: {write(picture(data, evaluations), RUN / 'demo.png')}")


if __name__ == "__main__":
    main()
