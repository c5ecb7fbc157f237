"""Forecasting the columns of a table: windows of the past to the values that follow."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from importlib import resources
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from qrnn.config.tables import ForecastConfig, WindowsConfig
from qrnn.data.base import TaskData
from qrnn.data.objectives import Numbers
from qrnn.data.parts import Split
from qrnn.data.sources import at_least
from qrnn.data.tables.files import Table, read_table
from qrnn.data.tables.scaling import Scaling
from qrnn.data.tables.series import (
    Columns,
    Series,
    check_filled,
    irregular_step,
    read_series,
    season_of,
    usual_step,
)
from qrnn.data.tables.windows import ForecastEncoder
from qrnn.errors import ConfigError, DataError
from qrnn.utils.overrides import argument

if TYPE_CHECKING:
    import pandas as pd

SHIPPED = "sunspots.csv"
PARTS = ("train", "val", "test")


def load_forecast(config: WindowsConfig, table: Table, columns: Columns) -> TaskData:
    """Return the data of a forecast of a table's columns.

    Args:
        config: how it is cut.
        table: the rows.
        columns: what is read and predicted.

    Raises:
        ConfigError: a value out of range.
        DataError: a cell is wrong, or a part is too short for one window.
    """
    for key in ("window", "horizon", "lead", "stride"):
        at_least(f"task.{key}", getattr(config, key), 1)
    series = read_series(table, columns)
    for one in series:
        check_filled(table, columns, one, len(one))
    irregular = irregular_step(table, columns, series)
    targets = columns.targets
    bounds = [_bounds(table, columns, one, config.split) for one in series]
    seen = [
        np.concatenate([one.past, one.ahead, one.delta[:, None]], 1)[: ends[0]]
        for one, ends in zip(series, bounds, strict=True)
    ]
    reads = [*targets, *columns.inputs, *columns.known, columns.time]
    names = [f"{table.source}, column {name!r}" for name in reads]
    scaling = Scaling.fit(np.concatenate(seen), config.scale, names)
    encoder = ForecastEncoder(
        targets,
        columns.inputs,
        columns.known,
        columns.time,
        columns.series,
        columns.missing,
        bool(irregular),
        columns.past,
        config.window,
        config.horizon,
        config.lead,
        scaling.offset,
        scaling.scale,
        irregular,
        usual_step(columns, series),
    )
    parts, rows = {}, {}
    for part in range(3):
        parts[PARTS[part]], rows[PARTS[part]] = _part(table, encoder, series, bounds, part, config)
    k = len(targets)
    objective = Numbers(
        targets,
        config.horizon,
        config.loss,
        tuple(config.quantiles),
        scaling.offset[:k],
        scaling.scale[:k],
    )
    return TaskData(
        train=parts["train"],
        val=parts["val"],
        test=parts["test"],
        classes=(),
        kind="regress",
        objective=objective,
        encoder=encoder,
        rows=rows,
        n_past=k if columns.past else 0,
        season=season_of([part[:, :k] for part in seen]),
        changes=changes_of([part[:, :k] for part in seen]),
        warnings=tuple(_warnings(table, columns, irregular)),
    )


def _warnings(table: Table, columns: Columns, irregular: str) -> Iterator[str]:
    """Yield what one should know of a table before training; see `irregular_step`."""
    if irregular:
        yield (
            "the times are irregular, so that the time since the step before is an input, and "
            f"recursive=true cannot be: {irregular}"
        )
    read = {*columns.targets, *columns.inputs, *columns.known, columns.series}
    for name in table.columns if columns.time is None else []:
        if name not in read and _has_dates(table, name):
            yield (
                f"{table.source}, column {name!r} holds dates, which predictions will lack: set "
                f"{argument('task.time', name)}"
            )


def _has_dates(table: Table, name: str) -> bool:
    try:
        return table.times(name)[1]
    except DataError:  # neither dates nor numbers
        return False


def changes_of(parts: list[np.ndarray]) -> tuple[float, ...]:
    """Return the mean absolute change of each column from row to row (K); see `TaskData`.

    Args:
        parts: values of each series (N, K), NaN where a cell is empty.
    """
    steps = np.abs(np.concatenate([np.diff(part, axis=0) for part in parts]))
    with np.errstate(invalid="ignore"):  # 0 / 0
        return tuple((np.nansum(steps, 0) / (~np.isnan(steps)).sum(0)).tolist())


def _part(
    table: Table,
    encoder: ForecastEncoder,
    series: list[Series],
    bounds: list[tuple[int, int]],
    part: int,
    config: WindowsConfig,
) -> tuple[Split, pd.DataFrame]:
    """Return the windows of a part: none reaches into another part, or another series."""
    import pandas as pd

    splits, keys, longest = [], [], 0
    for one, ends in zip(series, bounds, strict=True):
        first, last = (0, *ends)[part], (*ends, len(one))[part]
        longest = max(longest, last - first)
        firsts = list(range(first, last - encoder.reach + 1, config.stride if part == 0 else 1))
        if not firsts:
            continue
        split = encoder.split(one, firsts)
        asked = ~split.y.isnan().flatten(1).all(1)
        kept = [i for i, wanted in zip(firsts, asked.tolist(), strict=True) if wanted]
        if kept:
            splits.append(Split(split.x[asked], split.y[asked]))
            keys.append(encoder.keys(table, one, kept))
    if not splits and longest >= encoder.reach:
        raise DataError(
            f"{table.source}: the {PARTS[part]} part must have a value to predict, but all are "
            f"empty: fill some, or change task.split"
        )
    if not splits:
        raise DataError(
            f"{table.source}: the {PARTS[part]} part must have at least "
            f"{encoder.reach} rows in a row (task.window + task.horizon), got {longest}: lower "
            f"task.window or task.horizon, or change task.split"
        )
    x, y = (torch.cat([getattr(s, n) for s in splits]) for n in ("x", "y"))
    return Split(x, y), pd.concat(keys, ignore_index=True)


def _bounds(table: Table, columns: Columns, one: Series, split: list[Any]) -> tuple[int, int]:
    """Return the rows at which validation and test part of a series begin.

    Raises:
        ConfigError: neither three shares nor two times.
    """
    if len(split) == 3 and all(
        isinstance(s, int | float) and not isinstance(s, bool) for s in split
    ):
        if min(split) <= 0 or abs(sum(split) - 1) > 1e-6:
            raise ConfigError(f"task.split must be three positive shares of sum 1, got {split}")
        n = len(one)
        return round(n * split[0]), round(n * (split[0] + split[1]))
    if len(split) == 2 and columns.time is not None:
        import pandas as pd

        asked = Table(pd.DataFrame({"task.split": [str(s) for s in split]}), "task.split")
        begins, dates = asked.times("task.split")
        if dates != table.times(columns.time)[1] or begins[0] >= begins[1]:
            raise ConfigError(
                f"task.split must be two rising times as in column {columns.time!r}, got {split}"
            )
        first, second = (int(np.searchsorted(one.times, t)) for t in begins)
        return first, second
    raise ConfigError(
        f"task.split must be three shares, such as [0.7,0.15,0.15], or with task.time the two "
        f"times at which validation and test part begin, got {split}"
    )


def target_names(table: Table, given: Any, others: Sequence[str | None]) -> tuple[str, ...]:
    """Return the target columns: those given, or the only one that is nothing else.

    Raises:
        ConfigError: none is given, and several could be meant.
    """
    if given is None:
        left = [name for name in table.columns if name not in others]
        if len(left) != 1:
            raise ConfigError(
                f"task.target must name the column to predict, out of {', '.join(left)}"
            )
        return (left[0],)
    names = given if isinstance(given, list) else [given]
    if not names or not all(isinstance(name, str) for name in names):
        raise ConfigError(f"task.target must be a column or a list of columns, got {given!r}")
    return tuple(names)


def forecast(config: ForecastConfig) -> TaskData:
    """Return windows of one or many series, split by time.

    The shipped series is the yearly mean of sunspot numbers, 1700-2008 (SIDC, as statsmodels ships
    it; public domain).

    Raises:
        ConfigError: a key out of range.
        DataError: the file or one of its cells is wrong.
    """
    if config.file is None:
        for key in ("target", "time", "id"):
            if getattr(config, key) is not None:
                raise ConfigError(f"task.{key} must be left out without task.file: give a file")
        with resources.as_file(resources.files("qrnn.data.tables.shipped") / SHIPPED) as path:
            table = read_table(path)
        config = ForecastConfig(**{**vars(config), "target": "SUNACTIVITY", "time": "YEAR"})
    else:
        table = read_table(config.file, config.separator, config.decimal)
    others = [config.time, config.id, *config.inputs, *config.known]
    columns = Columns(
        target_names(table, config.target, others),
        tuple(config.inputs),
        tuple(config.known),
        config.time,
        config.id,
        config.missing,
        past=config.past,
    )
    return load_forecast(config, table, columns)
