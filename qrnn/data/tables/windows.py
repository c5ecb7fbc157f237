"""Windows of series: what a forecast reads, and the values that follow."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np
import torch
from typing_extensions import override

from qrnn.data.objectives import Numbers, Objective
from qrnn.data.parts import Split
from qrnn.data.tables.base import ENCODERS, Encoder
from qrnn.data.tables.files import Table
from qrnn.data.tables.predictions import beside, number_columns
from qrnn.data.tables.scaling import Scaling
from qrnn.data.tables.series import (
    Columns,
    Series,
    check_filled,
    check_steps,
    future_times,
    read_series,
)
from qrnn.errors import ConfigError, DataError

if TYPE_CHECKING:
    import pandas as pd


HELD = "held"  # in checkpoints: that masked cells have the last known value; once it was 0


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
        irregular: where the training's times are irregular, see `irregular_step`; empty: nowhere,
            or an older checkpoint does not say.
        step: the training's median step, in seconds if times are dates; None: rows have no times,
            or an older checkpoint does not say.
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
    irregular: str = ""
    step: float | None = None

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
        parts = [_held(past)]
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
        """The window before the first row to predict of each series, or every window.

        Times must be as regular as the training's, and follow by its step.
        """
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
            if not self.delta:  # else the time since the step before is an input
                last = min(len(one), firsts[-1] + self.reach)
                check_steps(table, self.columns, one, firsts[0], last, self.step)
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

    @override
    def plain(self) -> dict[str, Any]:
        return super().plain() | ({HELD: True} if self.missing == "mask" else {})

    @classmethod
    @override
    def from_plain(cls, plain: Mapping[str, Any]) -> Self:
        values = dict(plain)
        if not values.pop(HELD, False) and values.get("missing") == "mask":
            raise ConfigError(
                "its network learned task.missing=mask when empty cells were 0, and they now have "
                "the last known value: train it again"
            )
        return super().from_plain(values)

    def check_recursive(self) -> None:
        """Raise the error for a forecast whose predictions cannot be its next inputs.

        Raises:
            ConfigError: it reads columns that it does not predict, or skips steps.
        """
        place = f" ({self.irregular})" if self.irregular else ""
        reasons = {
            f"{', '.join(self.inputs)} is read and not predicted: train without task.inputs": bool(
                self.inputs
            ),
            "the targets' past is not read: train with task.past=true": not self.past,
            f"it predicts from {self.lead} steps ahead: train with task.lead=1": self.lead > 1,
            "the time since the step before is an input, as the times of its training are "
            f"irregular{place}: train without task.time, or fill the gaps": self.delta,
        }
        if any(reasons.values()):
            given = "; ".join(reason for reason, holds in reasons.items() if holds)
            raise ConfigError(
                f"recursive=true must have a model that predicts all the inputs that are not known "
                f"ahead, step by step, but {given}"
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
        return Table(frame, table.source, table.first_row, table.decimal)

    @override
    def decode(
        self, keys: pd.DataFrame, split: Split, outputs: Any, objective: Objective
    ) -> pd.DataFrame:
        assert isinstance(objective, Numbers)
        return beside(keys, number_columns(objective, outputs, split.y))


def _held(values: np.ndarray) -> np.ndarray:
    """Return scaled values (N, D) in which empty cells have the last known value of their column.

    Before the first one they are 0.
    """
    rows = np.where(np.isnan(values), -1, np.arange(len(values))[:, None])
    last = np.maximum.accumulate(rows, 0)
    return np.where(last < 0, 0.0, np.take_along_axis(values, np.maximum(last, 0), 0))
