"""Time series of a table: regular steps, gaps, and the features of each step."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from qrnn.data.tables.files import Table
from qrnn.data.tables.predictions import refuse_own
from qrnn.data.tables.times import SAME_DATES, dates_after, usual
from qrnn.errors import ConfigError, DataError
from qrnn.utils.registry import unknown_name

MISSING = ("refuse", "interpolate", "mask")
REMEDY = "fill it, or train with task.missing=interpolate or task.missing=mask"
LEAST_PEAK = 0.3  # autocorrelation of a season
NEARLY = 0.9  # of the highest peak: a multiple of the period may be higher by chance
SAME_STEP = 0.01  # relative difference of steps that are the same but for rounding


@dataclass(frozen=True)
class Columns:
    """Which columns of a table a forecast reads.

    Attributes:
        targets: what is predicted; also inputs.
        inputs: known up to the present.
        known: known ahead, over the whole horizon.
        time: of the times; None: rows follow each other by one step.
        series: names the series a row belongs to; None: there is one.
        missing: what to do about empty cells: `refuse`, `interpolate` (linearly, within a series)
            or `mask` (the last known value and a feature that says so; as a target it is not asked
            for).
        delta: whether the time since the step before is an input, as steps are irregular.
        past: whether the targets' own past is an input.
    """

    targets: tuple[str, ...]
    inputs: tuple[str, ...] = ()
    known: tuple[str, ...] = ()
    time: str | None = None
    series: str | None = None
    missing: str = "refuse"
    delta: bool = False
    past: bool = True

    def __post_init__(self) -> None:
        if self.missing not in MISSING:
            raise unknown_name("task.missing", self.missing, MISSING)
        names = [*self.targets, *self.inputs, *self.known, self.time, self.series]
        given = [name for name in names if name is not None]
        for name in given:
            if given.count(name) > 1:
                raise ConfigError(
                    f"a column must be one of task.target, inputs, known, time and id, but "
                    f"{name!r} is named twice"
                )
        ends = [f"_{name}" for name in self.targets] if len(self.targets) > 1 else [""]
        own = {f"{kind}{end}" for kind in ("prediction", "truth") for end in ends} | {"step"}
        if self.time is None:
            own.add("row")
        refuse_own({"task.time": self.time, "task.id": self.series}, own)
        if not self.past and not (self.inputs or self.known):
            raise ConfigError("task.inputs or task.known must name a column with task.past=false")


@dataclass(frozen=True)
class Series:
    """One series, in order of time.

    Attributes:
        name: of the series, or empty.
        rows: of the table (N,).
        times: (N,), the row numbers where there is no column of times.
        past: targets, then inputs, (N, K + D), NaN where a cell is empty.
        ahead: known inputs (N, A).
        delta: time since the step before (N,), 0 at the first.
        dates: whether times are dates, in seconds.
    """

    name: str
    rows: np.ndarray
    times: np.ndarray
    past: np.ndarray
    ahead: np.ndarray
    delta: np.ndarray
    dates: bool = False

    def __len__(self) -> int:
        return len(self.rows)


def read_series(table: Table, columns: Columns, *, future: bool = False) -> list[Series]:
    """Return the series of a table, by name in order of appearance.

    Args:
        table: the rows.
        columns: which columns to read.
        future: whether rows at the end may lack targets and inputs, as they are to be predicted.

    Raises:
        DataError: a cell is wrong or empty, or a time occurs twice in a series or before an
            earlier one.
    """
    reads = [*columns.targets, *columns.inputs, *columns.known]
    table.check_columns([*reads, *(n for n in (columns.time, columns.series) if n is not None)])
    blank = future or columns.missing != "refuse"
    of_past = [*columns.targets, *columns.inputs]
    past = np.stack([table.numbers(name, missing=blank, remedy=REMEDY) for name in of_past], 1)
    known = [table.numbers(name, missing=future) for name in columns.known]
    ahead = np.stack(known, 1) if known else np.zeros((len(table), 0))
    times, dates = np.arange(len(table), dtype=np.float64), False
    if columns.time is not None:
        times, dates = table.times(columns.time)
    names = [""] * len(table) if columns.series is None else table.text(columns.series)
    found = []
    for name in dict.fromkeys(names):
        rows = np.flatnonzero(np.array([one == name for one in names]))
        _check_order(table, columns, times[rows], rows)
        delta = np.diff(times[rows], prepend=times[rows][0])
        one = Series(name, rows, times[rows], past[rows], ahead[rows], delta, dates)
        found.append(_filled(one) if columns.missing == "interpolate" else one)
    return found


def _check_order(table: Table, columns: Columns, times: np.ndarray, rows: np.ndarray) -> None:
    steps = np.diff(times)
    if (steps <= 0).any():
        at = int(np.flatnonzero(steps <= 0)[0]) + 1
        assert columns.time is not None  # row numbers rise
        what = "occurs twice" if steps[at - 1] == 0 else "comes before an earlier row's"
        remedy = "keep one of them" if steps[at - 1] == 0 else "sort the rows by time"
        if steps[at - 1] == 0 and columns.series is None:
            remedy = "keep one of them, or name the column of the series as task.id"
        raise DataError(f"{table.where(int(rows[at]), columns.time)}: the time {what}: {remedy}")


def check_filled(table: Table, columns: Columns, one: Series, rows: int) -> None:
    """Refuse empty targets and inputs in the first rows of a series, unless they are masked.

    Raises:
        DataError: with the row and column of the first one.
    """
    if columns.missing == "mask":
        return
    empty = np.argwhere(np.isnan(one.past[:rows]))
    if len(empty):
        row, column = empty[0]
        name = [*columns.targets, *columns.inputs][column]
        remedy = REMEDY
        if columns.missing == "interpolate":
            remedy = "nothing is interpolated before the first or after the last value of a series"
        raise DataError(f"{table.where(int(one.rows[row]), name)} is empty: {remedy}")


def _filled(one: Series) -> Series:
    """Return a series with inner gaps filled linearly over time; none is filled at its ends."""
    past = one.past.copy()
    for column in past.T:
        known = np.flatnonzero(~np.isnan(column))
        if len(known) > 1:
            inner = slice(known[0], known[-1] + 1)
            column[inner] = np.interp(one.times[inner], one.times[known], column[known])
    return replace(one, past=past)


def usual_step(columns: Columns, series: list[Series]) -> float | None:
    """Return the median step of some series, in seconds if times are dates; None: there is none."""
    steps = np.concatenate([one.delta[1:] for one in series])
    return None if columns.time is None or not len(steps) else float(np.median(steps))


def irregular_step(table: Table, columns: Columns, series: list[Series]) -> str:
    """Return where the first step of another length is; empty: all are alike.

    Steps may differ by rounding or the calendar.
    """
    if (middle := usual_step(columns, series)) is None:
        return ""
    for one in series:
        if found := other_step(table, columns, one, middle):
            return f"{found}, but the median step is {_length(middle, one)}"
    return ""


def check_steps(
    table: Table, columns: Columns, one: Series, first: int, last: int, step: float | None
) -> None:
    """Refuse rows that do not follow each other by the step of a training with regular times.

    Args:
        table: the rows.
        columns: of which `time` is read.
        one: the series.
        first: the first row that is read.
        last: the row behind the last one.
        step: of the training, see `usual_step`; None: it is not known, and rows must be regular.

    Raises:
        DataError: with the first row after a step of another length.
    """
    if columns.time is None or last - first < 2:
        return
    known = step is not None
    usual_one = step if step is not None else float(np.median(one.delta[first + 1 : last]))
    if found := other_step(table, columns, one, usual_one, first, last):
        theirs = "the training's step" if known else "the median step"
        raise DataError(
            f"{found}, but {theirs} is {_length(usual_one, one)}: fill the gap, or give rows with "
            f"the training's interval, whose times were regular"
        )


def other_step(
    table: Table,
    columns: Columns,
    one: Series,
    usual_one: float,
    first: int = 0,
    last: int | None = None,
) -> str:
    """Return which row comes after the first step that differs from the usual one; empty: none.

    Only steps between rows from `first` to the one before `last` are read.
    """
    same = SAME_DATES if one.dates else SAME_STEP
    steps = one.delta[first + 1 : last]
    other = np.flatnonzero(np.abs(steps - usual_one) > same * usual_one)
    if not len(other):
        return ""
    at = first + 1 + int(other[0])
    row = int(one.rows[at])
    assert columns.time is not None  # row numbers are regular
    cell = table.frame[columns.time].iloc[row]
    return (
        f"{table.where(row, columns.time)}: {str(cell)!r} comes {_length(one.delta[at], one)} "
        f"after the time before"
    )


def _length(step: float, one: Series) -> str:
    """Return a step of a series with its unit."""
    return f"{step:.6g}{' s' if one.dates else ''}"


def _without_trend(values: np.ndarray) -> np.ndarray:
    """Return values (N, K) without their quadratic trend, 0 where a cell is empty."""
    times, out = np.linspace(-1, 1, len(values)), np.zeros_like(values)
    for k, column in enumerate(values.T):
        known = ~np.isnan(column)
        if known.sum() > 3:
            trend = np.polynomial.Polynomial.fit(times[known], column[known], 2)
            out[known, k] = column[known] - trend(times[known])
    return out


def season_of(parts: list[np.ndarray]) -> int | None:
    """Return the period of some series, steps: where their autocorrelation has its first high peak.

    A peak is 0.3 above 0 and above an earlier lag, as values that only change slowly have no lower
    one, and at twice the lag still half of that. Its height is that of the products' sum over
    the whole power, so that a multiple of the period, of which fewer are seen, is lower.

    Args:
        parts: values of each series (N, K), NaN where a cell is empty.

    Returns:
        The period, at most a third of the longest series; None: there is no such peak.
    """
    longest = max(len(part) for part in parts)
    lags = np.arange(2 * (longest // 3) + 2)
    sums, powers = np.zeros(len(lags)), np.zeros(len(lags))
    for part in parts:
        x = _without_trend(part)
        size = len(x) + len(lags)  # so that the ends do not meet
        spectrum = (np.abs(np.fft.rfft(x, size, axis=0)) ** 2).sum(1)
        sums += np.fft.irfft(spectrum, size)[: len(lags)]
        powers += (x**2).sum() * np.clip(1 - lags / len(x), 0, None)
    if powers[0] <= 0:
        return None
    heights = sums / powers[0]
    shares = sums / np.where(powers > 0, powers, np.inf)  # of the pairs that there are
    lowest = np.minimum.accumulate(shares)
    peaks = [
        lag
        for lag in range(2, longest // 3 + 1)
        if min(heights[lag], shares[lag] - lowest[lag], 2 * shares[2 * lag]) > LEAST_PEAK
        and shares[lag - 1] < shares[lag] > shares[lag + 1]
    ]
    if not peaks:
        return None
    highest = max(heights[lag] for lag in peaks)
    first = next(lag for lag in peaks if heights[lag] >= NEARLY * highest)
    # Noise makes small peaks on the slope of a wide one.
    return max((lag for lag in peaks if first <= lag < 1.5 * first), key=lambda lag: shares[lag])


def future_times(table: Table, columns: Columns, one: Series, count: int) -> list[object]:
    """Return the times of a series as its table has them, and of some steps beyond its end.

    Args:
        table: the rows.
        columns: of which `time` is read.
        one: the series.
        count: number of steps beyond the end.
    """
    if columns.time is None:
        return list(range(len(one) + count))
    if one.dates:
        cells = table.frame[columns.time].iloc[one.rows]
        return [*cells.tolist(), *dates_after(cells, count)]
    step = float(usual(one.delta[1:])) if len(one) > 1 else 1.0
    times = np.concatenate([one.times, one.times[-1] + step * np.arange(1, count + 1)])
    whole = (times == np.round(times)).all() and np.abs(times).max() < 2**53
    return times.astype(np.int64 if whole else np.float64).tolist()
