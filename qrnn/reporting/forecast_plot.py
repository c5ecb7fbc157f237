"""Pictures of predicted numbers: forecasts, the error by step ahead, residuals, scatter plots."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from qrnn.data.objectives import Numbers
from qrnn.data.tables.files import Table
from qrnn.data.tables.series import read_series
from qrnn.data.tables.windows import ForecastEncoder
from qrnn.errors import ConfigError
from qrnn.evaluation.trained import TrainedModel
from qrnn.reporting.plots import drawing, printable
from qrnn.utils.figure_style import BLACK, BLUE, GREEN, GREY, ORANGE, VERMILLION, write

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MOST_PANELS = 4  # targets and series in a picture
SHOWN = 3  # windows of the past that a picture shows
MOST_STEPS = 400  # steps of the test part that a picture shows
BINS = 30  # of a histogram


def check_plot(model: TrainedModel, path: str | Path) -> None:
    """Raise the error for a picture that cannot be made, before anything is predicted.

    Raises:
        ConfigError: the model makes no forecasts, or the format is unknown.
    """
    from matplotlib.figure import Figure

    if not isinstance(model.encoder, ForecastEncoder):
        raise ConfigError("plot must be left out: the task is no forecast")
    formats = Figure().canvas.get_supported_filetypes()
    if (ending := Path(path).suffix.removeprefix(".")) not in formats:
        raise ConfigError(
            f"plot must end in a format that matplotlib writes, such as .png, .svg or .pdf, got "
            f"{ending or 'none'}"
        )


@drawing()
def plot(model: TrainedModel, rows: Table, predicted: pd.DataFrame, path: str | Path) -> None:
    """Write a picture of a forecast: the past, the prediction and its outermost quantiles.

    Args:
        model: which made it.
        rows: the table that it was made from.
        predicted: of `TrainedModel.predict`.
        path: file to write; its ending says the format.

    Raises:
        ConfigError: the model makes no forecasts, or the format is unknown.
    """
    check_plot(model, path)
    encoder = model.encoder
    assert isinstance(encoder, ForecastEncoder)
    series = read_series(rows, encoder.columns, future=True)
    panels = [(one, k) for one in series for k in range(len(encoder.targets))]
    dates = encoder.time is not None and rows.times(encoder.time)[1]
    figure, shown = _column(len(panels))
    for axes, (one, k) in zip(shown, panels, strict=False):
        mine = predicted
        if encoder.series is not None:
            mine = predicted[predicted[encoder.series] == one.name]
        every = bool((np.diff(mine["step"]) <= 0).any())
        if every:  # of each window the first step
            mine = mine[mine["step"] == encoder.lead]
        present, known = encoder.present(one), one.past[:, k]
        first = 0 if every else max(0, present - SHOWN * encoder.window)
        times = np.arange(len(one)) if encoder.time is None else one.times
        if dates:
            times = _as_dates(times)
        axes.plot(times[first:present], known[first:present], color=GREY, label="known")
        lines = Lines.of_frame(mine, encoder.time or "row", encoder.targets, k)
        draw(axes, lines if every else lines.after(times[present - 1], known[present - 1]))
        _name(axes, one.name, encoder.targets[k])
    _label_times(figure, encoder.time or "row", dates, len(panels))
    write(figure, path)


@dataclass(frozen=True)
class Lines:
    """Predictions of one target over time.

    Attributes:
        times: (N,) numbers or dates.
        predicted: (N,).
        truth: (N,), NaN where it is not known; None: nowhere.
        band: outermost quantiles (N, 2); None: none are predicted.
        levels: what the legend calls them.
    """

    times: np.ndarray
    predicted: np.ndarray
    truth: np.ndarray | None = None
    band: np.ndarray | None = None
    levels: str = ""

    @classmethod
    def of_frame(cls, frame: pd.DataFrame, time: str, targets: Sequence[str], k: int) -> Lines:
        """Return the lines of a target in a file of predictions.

        Args:
            frame: columns `prediction`, `q...` and `truth`, followed by `_TARGET` if K > 1.
            time: name of the column of times.
            targets: all K targets.
            k: which of them.
        """
        end = f"_{targets[k]}" if len(targets) > 1 else ""
        found = {name.removesuffix(end): name for name in frame if name.endswith(end)}
        levels = [name for name in found if name[:1] == "q" and _is_number(name[1:])]
        band = None
        if levels:
            outermost = [found[levels[0]], found[levels[-1]]]
            band = frame[outermost].to_numpy(np.float64)
        truth = frame[found["truth"]].to_numpy(np.float64) if "truth" in found else None
        return cls(
            moments(frame[time].tolist()),
            frame[found["prediction"]].to_numpy(np.float64),
            truth,
            band,
            _levels([float(name[1:]) for name in levels]),
        )

    def after(self, time: Any, value: float) -> Lines:
        """Return the same lines, joined to the last known value."""
        band, truth = self.band, self.truth
        return Lines(
            np.concatenate([np.array([time]), self.times]),
            np.concatenate([[value], self.predicted]),
            None if truth is None else np.concatenate([[value], truth]),
            None if band is None else np.concatenate([[[value, value]], band]),
            self.levels,
        )


def draw(axes: Axes, lines: Lines, named: bool = True) -> None:
    """Draw predictions, their outermost quantiles and the truth.

    Args:
        axes: where.
        lines: what.
        named: whether the legend names them.
    """
    if lines.band is not None:
        low, high = lines.band.T
        name = lines.levels if named else None
        axes.fill_between(lines.times, low, high, color=BLUE, alpha=0.2, lw=0, label=name)
    if lines.truth is not None:
        axes.plot(lines.times, lines.truth, color=ORANGE, label="truth" if named else None)
    # A single prediction is no line.
    mark = "." if len(lines.times) == 1 else None
    name = "prediction" if named else None
    axes.plot(lines.times, lines.predicted, color=BLUE, marker=mark, label=name)


@drawing()
def forecasts(
    objective: Numbers,
    predicted: np.ndarray,
    truth: np.ndarray,
    levels: np.ndarray | None,
    times: np.ndarray,
    series: Sequence[str],
    time: str,
) -> Figure:
    """Plot forecasts one after the other, against the truth.

    Args:
        objective: of K targets and H steps.
        predicted: (N, H, K).
        truth: (N, H, K), NaN where it is not known.
        levels: quantiles (N, H, K, Q); None: none are predicted.
        times: numbers or dates (N, H).
        series: name of the series of each forecast (N); empty if there is one.
        time: name of the horizontal axis.
    """
    names = list(dict.fromkeys(series))
    panels = [(name, k) for name in names for k in range(len(objective.targets))]
    figure, shown = _column(len(panels))
    called = _levels(objective.quantiles)
    for axes, (name, k) in zip(shown, panels, strict=False):
        mine = np.flatnonzero([one == name for one in series])
        chosen = list(_in_a_row(times, mine))
        true = truth[chosen, :, k].ravel()
        axes.plot(times[chosen].ravel(), true, color=GREY, label="truth")
        # Of one step each, they are joined.
        parts = [np.array([i]) for i in chosen] if objective.horizon > 1 else [np.array(chosen)]
        for number, at in enumerate(parts):
            band = None if levels is None else levels[at][..., k, [0, -1]].reshape(-1, 2)
            one = Lines(times[at].ravel(), predicted[at, :, k].ravel(), None, band, called)
            draw(axes, one, named=not number)
        _name(axes, name, objective.targets[k])
    _label_times(figure, time, times.dtype.kind == "M", len(panels))
    return figure


def _in_a_row(times: np.ndarray, windows: np.ndarray) -> Iterator[int]:
    """Yield windows of which each begins after the one before ends, up to `MOST_STEPS` in all."""
    end, steps = None, 0
    for window in windows.tolist():
        if end is None or times[window, 0] > end:
            steps += times.shape[1]
            if steps > MOST_STEPS and end is not None:
                return
            yield window
            end = times[window, -1]


@drawing()
def errors_ahead(
    errors: Mapping[str, Sequence[float]], lead: int = 1, label: str = "RMSE"
) -> Figure:
    """Plot the error of each step ahead.

    Args:
        errors: of each device, (H).
        lead: the first step.
        label: name of the error.
    """
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    figure = Figure(figsize=(3.6, 2.4), layout="constrained")
    axes = figure.subplots()
    axes.set_prop_cycle(color=[BLUE, ORANGE, GREEN, VERMILLION], linestyle=["-", "--", ":", "-."])
    for name, values in zip(printable(list(errors)), errors.values(), strict=True):
        axes.plot(range(lead, lead + len(values)), values, marker=".", label=name)
    axes.set_ylim(bottom=0)
    axes.xaxis.set_major_locator(MaxNLocator("auto", integer=True))
    axes.set(xlabel="step ahead", ylabel=label)
    axes.grid(True)
    if len(errors) > 1:
        figure.legend(loc="outside upper left")
    return figure


@drawing()
def residuals(targets: Sequence[str], predicted: np.ndarray, truth: np.ndarray) -> Figure:
    """Plot a histogram of prediction minus truth for each target.

    Args:
        targets: their names (K).
        predicted: (N, H, K).
        truth: (N, H, K), NaN where it is not known.
    """
    figure, row = _row(len(targets))
    for k, axes in enumerate(row):
        errors = (predicted - truth)[..., k].ravel()
        errors = errors[np.isfinite(errors)]
        if len(errors):
            pad = 1e-6 * np.abs(errors).max() + 1e-12  # where all are alike
            ends = (errors.min() - pad, errors.max() + pad)
            bins = min(BINS, max(5, len(errors) // 4))
            axes.hist(errors, bins=bins, range=ends, color=BLUE)
        axes.axvline(0, color=BLACK, lw=0.7)
        axes.set_xlabel(f"{printable([targets[k]])[0]}: prediction - truth")
    row[0].set_ylabel("count")
    return figure


@drawing()
def scatter(targets: Sequence[str], predicted: np.ndarray, truth: np.ndarray) -> Figure:
    """Plot predictions against the truth for each target; see `residuals`."""
    figure, row = _row(len(targets), 2.6)
    for k, axes in enumerate(row):
        both = np.stack([truth[..., k].ravel(), predicted[..., k].ravel()])
        both = both[:, np.isfinite(both).all(0)]
        axes.scatter(both[0], both[1], s=6, color=BLUE, alpha=0.5, linewidths=0)
        if both.size:
            axes.plot([both.min(), both.max()], [both.min(), both.max()], color=GREY, lw=0.7)
        axes.set(xlabel=f"{printable([targets[k]])[0]}: truth", aspect="equal")
    row[0].set_ylabel("prediction")
    return figure


def moments(cells: Sequence[Any]) -> np.ndarray:
    """Return cells of a column of times as numbers or dates (N,)."""
    import pandas as pd

    values, dates = Table(pd.DataFrame({"time": list(cells)})).times("time")
    return _as_dates(values) if dates else values


def _as_dates(seconds: np.ndarray) -> np.ndarray:
    return (seconds * 1e6).round().astype("datetime64[us]")


def _levels(quantiles: Sequence[float]) -> str:
    return f"quantiles {quantiles[0]:g} to {quantiles[-1]:g}" if quantiles else ""


def _is_number(text: str) -> bool:
    return text.replace(".", "", 1).isdigit()


def _column(count: int) -> tuple[Figure, list[Axes]]:
    """Return a figure and its panels, one below the other, `MOST_PANELS` at most."""
    from matplotlib.figure import Figure

    count = min(count, MOST_PANELS)
    figure = Figure(figsize=(7, 0.3 + 2 * count), layout="constrained")
    return figure, list(figure.subplots(count, 1, squeeze=False)[:, 0])


def _row(count: int, side: float = 2.2) -> tuple[Figure, list[Axes]]:
    """Return a figure and its panels, side by side, `MOST_PANELS` at most."""
    from matplotlib.figure import Figure

    count = min(count, MOST_PANELS)
    figure = Figure(figsize=(max(3.6, (side + 0.2) * count), side), layout="constrained")
    return figure, list(figure.subplots(1, count, squeeze=False)[0])


def _name(axes: Axes, series: str, target: str) -> None:
    axes.set_ylabel(printable([f"{series}: {target}" if series else target])[0])


def _label_times(figure: Figure, time: str, dates: bool, wanted: int) -> None:
    """Label the lowest axis, format dates, and put the legend above the panels."""
    from matplotlib.dates import AutoDateLocator, ConciseDateFormatter
    from matplotlib.ticker import MaxNLocator

    for axes in figure.axes:
        if dates:
            places = AutoDateLocator(maxticks=8)
            axes.xaxis.set_major_locator(places)
            axes.xaxis.set_major_formatter(ConciseDateFormatter(places))
        else:
            axes.ticklabel_format(axis="x", useOffset=False, style="plain")
            times = np.concatenate([np.asarray(line.get_xdata(), float) for line in axes.lines])
            if (times == times.round()).all():
                axes.xaxis.set_major_locator(MaxNLocator("auto", integer=True))
    shown, more = len(figure.axes), ""
    if wanted > shown:
        more = f" (the first {shown} of {wanted} panels)"
    figure.axes[-1].set_xlabel(f"{printable([time])[0]}{more}")
    handles, labels = figure.axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper left", ncols=4)
