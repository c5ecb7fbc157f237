"""Times of a table: which cells are dates, and what dates follow, in their steps and their form."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import pandas as pd

COMPACT = "%Y%m%d"  # dates that are whole numbers
COMPACT_RANGE = (1900_01_01, 2100_12_31)
MOSTLY = 0.9  # of such numbers: they are dates, and the others are wrong
SAME_DATES = 0.2  # relative difference of steps: months have 28 to 31 days, and are regular
FORMS = {7: "%Y-%m", 8: COMPACT, 10: "%Y-%m-%d", 16: "%Y-%m-%d %H:%M", 19: "%Y-%m-%d %H:%M:%S"}
PRECISIONS = {"seconds": "s", "milliseconds": "ms", "microseconds": "us", "nanoseconds": "ns"}
DAY = np.timedelta64(1, "D")


def compact_dates(numbers: np.ndarray) -> pd.Series | None:
    """Return numbers such as 20240131 as dates, NaT where one is none; None: they are no dates.

    Args:
        numbers: (N,), finite.
    """
    import pandas as pd

    low, high = COMPACT_RANGE
    if not ((numbers >= low) & (numbers <= high) & (numbers == np.round(numbers))).all():
        return None
    text = pd.Series(numbers.astype(np.int64).astype(str))
    found = pd.to_datetime(text, format=COMPACT, errors="coerce")
    return found if found.notna().mean() > MOSTLY else None


def dates_of(column: pd.Series) -> pd.Series:
    """Return cells as dates, NaT where one is none; those with an offset are in UTC."""
    import pandas as pd

    if pd.api.types.is_datetime64_any_dtype(column):
        return pd.to_datetime(column)
    return pd.to_datetime(column, errors="coerce", format="ISO8601", utc=True)


def seconds(dates: pd.Series) -> np.ndarray:
    """Return dates as seconds since 1970 (N,), with their fractions."""
    per_second = np.timedelta64(1, "s") / np.timedelta64(1, dates.dt.unit)
    return dates.astype("int64").to_numpy(np.float64) / per_second


def usual(steps: np.ndarray) -> Any:
    """Return the median of some steps, which is one of them."""
    return np.sort(steps)[(len(steps) - 1) // 2]


def dates_after(cells: pd.Series, count: int) -> list[object]:
    """Return the dates that follow those of a column, in the form of its last cell.

    Steps of whole days are those of local time. What has another offset at times, but no time zone,
    goes on in the last one's.

    Args:
        cells: rising dates (N,), N > 0.
        count: how many follow.
    """
    import pandas as pd

    last = cells.iloc[-1]
    if not isinstance(last, str | datetime):  # a compact number or a `datetime.date`
        cells = cells.map(lambda cell: str(cell).removesuffix(".0"))
    zone = pd.Timestamp(last).tz if isinstance(last, str | datetime) else None
    known = pd.DatetimeIndex(dates_of(cells))
    known = known if known.tz is None else known.tz_convert("UTC").tz_localize(None)
    local = known
    if zone is not None and pd.api.types.is_datetime64_any_dtype(cells):
        local = pd.DatetimeIndex(cells).tz_localize(None)
    elif zone is not None:
        local = pd.DatetimeIndex([pd.Timestamp(cell).tz_localize(None) for cell in cells])
    by_days = len(local) > 1 and bool((np.diff(local.to_numpy()) % DAY == np.timedelta64(0)).all())
    known = local if by_days else known
    later = pd.date_range(known[-1], periods=count + 1, freq=step_of(known))
    later = later[later > known[-1]][:count]
    if zone is not None and by_days:  # an hour that a change of clocks skips is the next one
        first = np.ones(count, bool)  # of an hour that occurs twice
        later = later.tz_localize(zone, ambiguous=first, nonexistent="shift_forward")
    elif zone is not None:
        later = later.tz_localize("UTC").tz_convert(zone)
    return _written(later, last)


def step_of(known: pd.DatetimeIndex) -> Any:
    """Return the step of rising dates, as `pandas.date_range` takes it; gaps do not count.

    Weekdays that never occur are left out, months are as long as they are; what is irregular goes
    on by the median step.
    """
    import pandas as pd

    if len(known) < 2:
        return pd.Timedelta(seconds=1)
    if len(known) > 2 and (whole := pd.infer_freq(known)) is not None:
        return whole
    steps = np.diff(known.to_numpy())
    step = usual(steps)
    if (steps % DAY == np.timedelta64(0)).all():
        days = set(known.weekday)
        weeks = (known[-1] - known[0]).days // 7
        if step == DAY and len(days) < 7 and weeks > 1:
            mask = "".join("1" if day in days else "0" for day in range(7))
            return pd.offsets.CustomBusinessDay(weekmask=mask)
        anchor = known.day.max()
        if step >= 28 * DAY and (known.day == np.minimum(known.days_in_month, anchor)).all():
            months = usual(np.diff(known.year * 12 + known.month))
            return pd.DateOffset(months=int(months), day=int(anchor))
    run = known[_longest(np.abs(steps - step) <= SAME_DATES * step)]
    found = pd.infer_freq(run) if len(run) > 2 else None
    return pd.Timedelta(step) if found is None else found


def _longest(same: np.ndarray) -> slice:
    """Return the rows of the longest run of steps that are alike, the last of them.

    Args:
        same: whether each step is the usual one (N - 1,).
    """
    ends = np.flatnonzero(~np.concatenate([[False], same, [False]]))
    lengths = np.diff(ends)
    at = len(lengths) - 1 - int(lengths[::-1].argmax())
    return slice(int(ends[at]), int(ends[at + 1]))


def _written(later: pd.DatetimeIndex, last: object) -> list[object]:
    """Return dates in the form of another."""
    import pandas as pd

    if isinstance(last, datetime):
        return list(later)
    if not isinstance(last, str) and not hasattr(last, "year"):
        return [int(one) for one in later.strftime(COMPACT)]
    text = str(last).strip()
    form = FORMS.get(len(text))
    between = text[10:11] or " "
    if form is not None and later.tz is None:
        form = form.replace(" ", between)
        shown = later.strftime(form)
        if (pd.to_datetime(shown, format=form) == later).all():
            return list(shown)
    precision = next(one for one, unit in PRECISIONS.items() if (later == later.floor(unit)).all())
    found = [one.isoformat(sep=between, timespec=precision) for one in later]
    return [one.replace("+00:00", "Z") if text.endswith("Z") else one for one in found]
