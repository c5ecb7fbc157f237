"""Forecasting the columns of a table: windows of the past to the values that follow."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib import resources
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import torch
from typing_extensions import override

from qrnn.data.base import TaskConfig, TaskData, task
from qrnn.data.objectives import Numbers, Objective
from qrnn.data.parts import Split
from qrnn.data.sources import at_least
from qrnn.data.tables.base import ENCODERS, Encoder
from qrnn.data.tables.files import Table, read_table
from qrnn.data.tables.predictions import beside, number_columns
from qrnn.data.tables.scaling import Scaling
from qrnn.data.tables.series import (
    Columns,
    Series,
    are_regular,
    check_filled,
    future_times,
    read_series,
)
from qrnn.errors import ConfigError, DataError

if TYPE_CHECKING:
    import pandas as pd

SHIPPED = "sunspots.csv"
PARTS = ("train", "val", "test")


@dataclass
class WindowsConfig(TaskConfig):
    """How a series is cut into windows, and what is learned of them.

    Attributes:
        window: steps that are read, L.
        horizon: steps that are predicted, H.
        lead: steps from the last one read to the first one predicted.
        stride: steps from one training window to the next.
        split: shares of training, validation and test part, by time; or the two times at which
            validation and test part begin.
        scale: of all columns, fitted on the training part: `standard`, `minmax` or `none`.
        loss: `mse`, `mae`, `huber` or `quantile`.
        quantiles: to predict, with 0.5, of `loss=quantile`.
    """

    window: int = 24
    horizon: int = 1
    lead: int = 1
    stride: int = 1
    split: list[Any] = field(default_factory=lambda: [0.7, 0.15, 0.15])
    scale: str = "standard"
    loss: str = "mse"
    quantiles: list[float] = field(default_factory=list)


@dataclass
class ForecastConfig(WindowsConfig):
    """Forecast the columns of a table: without a file, the yearly sunspot numbers.

    Attributes:
        name: `forecast`.
        file: a CSV or Parquet file; null: the yearly numbers of sunspots since 1700.
        target: column to predict, or a list of several; their past is an input, too.
        inputs: further columns, known up to the present.
        known: further columns, known ahead over the whole horizon, such as a price or a holiday.
        time: column of the times, dates or numbers; null: rows follow each other by one step.
        past: whether the targets' own past is an input; else only the other columns are.
        id: column that names the series, of a file with many; null: it is one series.
        missing: empty cells are an error (`refuse`), are filled between their neighbours
            (`interpolate`), or become 0 with an input that says so (`mask`).
        separator: between the columns of a CSV file.
    """

    name: str = "forecast"
    file: str | None = None
    target: Any = None
    inputs: list[str] = field(default_factory=list)
    known: list[str] = field(default_factory=list)
    past: bool = True
    time: str | None = None
    id: str | None = None
    missing: str = "refuse"
    separator: str = ","


@ENCODERS.register("forecast")
@dataclass(frozen=True)
class ForecastEncoder(Encoder):
    """Windows of series.

    Attributes:
        targets, inputs, known, time, series, missing, delta, past: see `Columns`.
        window: steps that are read, L.
        horizon: steps that are predicted, H.
        lead: steps from the last one read to the first one predicted.
        offset: of targets, inputs, known inputs and the time since the step before.
        scale: of the same.
    """

    name: ClassVar[str] = "forecast"

    targets: tuple[str, ...]
    inputs: tuple[str, ...]
    known: tuple[str, ...]
    time: str | None
    series: str | None
    missing: str
    delta: bool
    past: bool
    window: int
    horizon: int
    lead: int
    offset: tuple[float, ...]
    scale: tuple[float, ...]

    @property
    def columns(self) -> Columns:
        """The columns that are read."""
        return Columns(
            self.targets,
            self.inputs,
            self.known,
            self.time,
            self.series,
            self.missing,
            self.delta,
            self.past,
        )

    @property
    def reach(self) -> int:
        """Steps from the first one read to the last one predicted."""
        return self.window + self.lead - 1 + self.horizon

    def features(self, one: Series) -> np.ndarray:
        """Return the inputs of each step of a series, (N, D): the targets come first."""
        scaling = Scaling(self.offset, self.scale)
        scaled = scaling(np.concatenate([one.past, one.ahead, one.delta[:, None]], 1))
        first = 0 if self.past else len(self.targets)
        past, rest = scaled[:, first : one.past.shape[1]], scaled[:, one.past.shape[1] :]
        empty = np.isnan(past)
        parts = [np.where(empty, 0.0, past)]
        if self.missing == "mask":
            parts.append(empty.astype(np.float64))
        if self.delta:
            parts.append(rest[:, -1:])
        ahead = rest[:, :-1]
        for step in range(self.lead, self.lead + self.horizon) if self.known else ():
            shifted = np.full_like(ahead, np.nan)
            shifted[: max(0, len(ahead) - step)] = ahead[step:]
            parts.append(shifted)
        return np.concatenate(parts, 1)

    def split(self, one: Series, firsts: Sequence[int]) -> Split:
        """Return windows of a series by their first rows; what lies behind its end is NaN."""
        features, k = self.features(one), len(self.targets)
        beyond = np.full((self.reach, k), np.nan)
        y = Scaling(self.offset, self.scale).head(k)(np.concatenate([one.past[:, :k], beyond]))
        ahead = self.window + self.lead - 1
        x = [features[i : i + self.window] for i in firsts]
        targets = [y[i + ahead : i + ahead + self.horizon] for i in firsts]
        return Split(
            torch.as_tensor(np.array(x), dtype=torch.float32),
            torch.as_tensor(np.array(targets), dtype=torch.float32),
        )

    def keys(self, table: Table, one: Series, firsts: Sequence[int]) -> pd.DataFrame:
        """Return the names of the predictions of windows: series, time and step ahead."""
        import pandas as pd

        times = future_times(table, self.columns, one, self.reach)
        ahead = range(1, self.horizon + 1)
        rows = [i + self.reach - self.horizon + step - 1 for i in firsts for step in ahead]
        found: dict[str, Any] = {}
        if self.series is not None:
            found[self.series] = [one.name] * len(rows)
        found[self.time or "row"] = [times[row] for row in rows]
        found["step"] = [step + self.lead - 1 for _ in firsts for step in ahead]
        return pd.DataFrame(found)

    @override
    def encode(self, table: Table, every: bool = False) -> tuple[Split, pd.DataFrame]:
        """The window before the first row to predict of each series, or every window."""
        import pandas as pd

        splits, keys = [], []
        for one in read_series(table, self.columns, future=True):
            present = self.present(one)
            if present < self.window:
                where = f" of series {one.name!r}" if one.name else ""
                raise DataError(
                    f"{table.source} must have at least {self.window} rows{where} to predict from "
                    f"(task.window), got {present}"
                )
            check_filled(table, self.columns, one, present)
            first = present - self.window
            firsts = list(range(first + 1)) if every else [first]
            if self.known:
                self._check_ahead(table, one, firsts[-1])
            splits.append(self.split(one, firsts))
            keys.append(self.keys(table, one, firsts))
        x, y = (torch.cat([getattr(s, n) for s in splits]) for n in ("x", "y"))
        return Split(x, y), pd.concat(keys, ignore_index=True)

    def present(self, one: Series) -> int:
        """Return the number of rows up to the last one in which a target is known."""
        known = np.flatnonzero(~np.isnan(one.past[:, : len(self.targets)]).all(1))
        return int(known[-1]) + 1 if len(known) else 0

    def _check_ahead(self, table: Table, one: Series, first: int) -> None:
        needed = first + self.reach
        if len(one) < needed or np.isnan(one.ahead[:needed]).any():
            raise DataError(
                f"{table.source} must go on for {self.horizon + self.lead - 1} rows after the last "
                f"known {self.targets[0]!r}, with values of {', '.join(self.known)} (task.known)"
            )

    def check_recursive(self) -> None:
        """Raise the error for a forecast whose predictions cannot be its next inputs.

        Raises:
            ConfigError: it reads columns that it does not predict, or skips steps.
        """
        if self.inputs or self.delta or self.lead > 1 or not self.past:
            raise ConfigError(
                "recursive=true must have a model that predicts all the inputs that are not known "
                "ahead, step by step: train without task.inputs and task.lead, at regular times"
            )

    def extended(self, table: Table, predicted: pd.DataFrame) -> Table:
        """Return a table in which the predictions of `decode` are the targets of their rows.

        Rows that are there, with known inputs and empty targets, are filled; others are added.
        """
        import pandas as pd

        frame = table.frame.astype(object).copy()
        several = len(self.targets) > 1
        added = []
        for one in read_series(table, self.columns, future=True):
            mine = predicted
            if self.series is not None:
                mine = predicted[predicted[self.series] == one.name]
            there = iter(one.rows[self.present(one) :])
            for _, row in mine.iterrows():
                values = {
                    name: row[f"prediction_{name}" if several else "prediction"]
                    for name in self.targets
                }
                at = next(there, None)
                if at is not None:
                    for name, value in values.items():
                        frame.loc[frame.index[at], name] = value
                    continue
                new: dict[str, Any] = {**values}
                for column in (self.series, self.time):
                    if column is not None:
                        new[column] = row[column]
                added.append(new)
        if added:
            more = pd.DataFrame(added, columns=frame.columns).astype(object)
            frame = pd.concat([frame, more.fillna("")], ignore_index=True)
        return Table(frame, table.source, table.first_row)

    @override
    def decode(
        self, keys: pd.DataFrame, split: Split, outputs: Any, objective: Objective
    ) -> pd.DataFrame:
        assert isinstance(objective, Numbers)
        return beside(keys, number_columns(objective, outputs, split.y))


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
    dates = columns.time is not None and table.times(columns.time)[1]
    delta = not are_regular(series, dates)
    targets = columns.targets
    bounds = [_bounds(table, columns, one, config.split) for one in series]
    seen = [
        np.concatenate([one.past, one.ahead, one.delta[:, None]], 1)[: ends[0]]
        for one, ends in zip(series, bounds, strict=True)
    ]
    scaling = Scaling.fit(np.concatenate(seen), config.scale)
    encoder = ForecastEncoder(
        targets,
        columns.inputs,
        columns.known,
        columns.time,
        columns.series,
        columns.missing,
        delta,
        columns.past,
        config.window,
        config.horizon,
        config.lead,
        scaling.offset,
        scaling.scale,
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
    )


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


@task(ForecastConfig)
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
        table = read_table(config.file, config.separator)
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
