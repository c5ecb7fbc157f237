"""Pictures of forecasts: against the truth, the error by step ahead, and the residuals."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from qrnn.data.tables.files import Table
from qrnn.data.tables.forecast import ForecastEncoder
from qrnn.data.tables.series import read_series
from qrnn.errors import ConfigError
from qrnn.evaluation.trained import TrainedModel
from qrnn.utils.figure_style import BLUE, GREY, ORANGE, styled, write

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MOST_PANELS = 4  # targets and series in a picture
SHOWN = 3  # windows of the past that a picture shows


def plot(model: TrainedModel, rows: Table, predicted: pd.DataFrame, path: Path) -> None:
    """Write a picture of a forecast: the past, the prediction and its outermost quantiles.

    Args:
        model: which made it.
        rows: the table that it was made from.
        predicted: of `TrainedModel.predict`.
        path: file to write; its ending says the format.

    Raises:
        ConfigError: the model makes no forecasts, or the format is unknown.
    """
    encoder = model.encoder
    if not isinstance(encoder, ForecastEncoder):
        raise ConfigError("plot must be left out: the task is no forecast")
    with styled():
        write(_figure(model, encoder, rows, predicted), path)


def _figure(
    model: TrainedModel, encoder: ForecastEncoder, rows: Table, predicted: pd.DataFrame
) -> Figure:
    from matplotlib.figure import Figure

    series = read_series(rows, encoder.columns, future=True)
    pairs = [(one, k) for one in series for k in range(len(encoder.targets))][:MOST_PANELS]
    figure = Figure(figsize=(7, 2.2 * len(pairs)), layout="constrained")
    for axes, (one, k) in zip(
        np.atleast_1d(figure.subplots(len(pairs), 1)).flat, pairs, strict=True
    ):
        target = encoder.targets[k]
        end = f"_{target}" if len(encoder.targets) > 1 else ""
        mine = predicted
        if encoder.series is not None:
            mine = predicted[predicted[encoder.series] == one.name]
        present = encoder.present(one)
        first = max(0, present - SHOWN * encoder.window)
        axes.plot(range(first, present), one.past[first:present, k], color=GREY, label="known")
        at = np.arange(present, present + len(mine)) + encoder.lead - 1
        if "step" in mine and (np.diff(mine["step"]) <= 0).any():  # of every window: the first step
            mine = mine[mine["step"] == encoder.lead]
            at = np.arange(len(mine)) + encoder.window + encoder.lead - 1
        draw(axes, at, mine, end)
        axes.set_ylabel(target if not one.name else f"{one.name}: {target}")
    axes.set_xlabel("row" if encoder.time is None else f"row, in order of {encoder.time}")
    figure.axes[0].legend(loc="upper left", ncols=3)
    return figure


def draw(axes: Axes, at: np.ndarray, predicted: pd.DataFrame, end: str = "") -> None:
    """Draw predictions, their outermost quantiles and the truth.

    Args:
        axes: where.
        at: places on the horizontal axis (N,).
        predicted: columns `prediction`, `q...` and `truth`.
        end: of the columns' names, where there are several targets.
    """
    bands = [name for name in predicted if name.startswith("q") and name.endswith(end)]
    bands = [name for name in bands if name[1 : len(name) - len(end)].replace(".", "").isdigit()]
    if bands:
        low, high = predicted[bands[0]], predicted[bands[-1]]
        levels = (
            f"{bands[0][: len(bands[0]) - len(end)]} to {bands[-1][: len(bands[-1]) - len(end)]}"
        )
        axes.fill_between(at, low, high, color=BLUE, alpha=0.2, lw=0, label=levels)
    if f"truth{end}" in predicted:
        axes.plot(at, predicted[f"truth{end}"].astype(float), color=ORANGE, label="truth")
    axes.plot(at, predicted[f"prediction{end}"], color=BLUE, label="prediction")
