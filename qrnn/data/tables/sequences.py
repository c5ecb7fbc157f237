"""Labelled sequences of a table: a class or a number for each, or for each of their steps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import torch
from typing_extensions import override

from qrnn.config.tables import SequencesConfig
from qrnn.data.base import TaskData
from qrnn.data.objectives import Labels, Numbers, Objective
from qrnn.data.parts import IGNORED, Split
from qrnn.data.sources import check_seed
from qrnn.data.tables.base import ENCODERS, Encoder
from qrnn.data.tables.files import Table, read_table
from qrnn.data.tables.labels import classes_of, numbered, shares
from qrnn.data.tables.predictions import beside, label_columns, number_columns, refuse_own
from qrnn.data.tables.scaling import Scaling
from qrnn.errors import ConfigError, DataError
from qrnn.utils.registry import unknown_name

if TYPE_CHECKING:
    import pandas as pd

TARGETS = ("class", "number")
EACH = ("sequence", "step")


@dataclass(frozen=True)
class _Groups:
    """The sequences of a table: names, and the rows of each in order."""

    names: list[str]
    rows: list[np.ndarray]


@ENCODERS.register("sequences")
@dataclass(frozen=True)
class SequencesEncoder(Encoder):
    """Rows grouped to sequences.

    Attributes:
        id, order, label, each: see `SequencesConfig`.
        features: input columns (D).
        classes: names of the labels; empty: they are numbers.
        offset: of the features, and then of a number.
        scale: of the same.
    """

    name: ClassVar[str] = "sequences"

    id: str
    order: str | None
    label: str
    each: str
    features: tuple[str, ...]
    classes: tuple[str, ...]
    offset: tuple[float, ...]
    scale: tuple[float, ...]

    def __post_init__(self) -> None:
        own = {"prediction", "truth"}
        own |= {f"{start}_{name}" for start in ("p", "score") for name in self.classes}
        named: dict[str, str | None] = {"task.id": self.id}
        if self.each == "step":
            named["task.order"] = self.order
            own |= {"step"} if self.order is None else set()
        refuse_own(named, own)

    def groups(self, table: Table) -> _Groups:
        """Return the sequences of a table, in order of appearance.

        Raises:
            DataError: the order is not rising.
        """
        names = np.array(table.text(self.id))
        found, first, inverse = np.unique(names, return_index=True, return_inverse=True)
        order = np.argsort(first)
        rows = [np.flatnonzero(inverse == number) for number in order]
        if self.order is not None:
            times, _ = table.times(self.order)
            for at in rows:
                bad = np.flatnonzero(np.diff(times[at]) <= 0)
                if len(bad):
                    row = int(at[bad[0] + 1])
                    raise DataError(
                        f"{table.where(row, self.order)} must be greater than in the sequence's "
                        f"row before: sort the rows, and keep one of each"
                    )
        return _Groups([str(found[number]) for number in order], rows)

    def inputs(self, table: Table, groups: _Groups) -> tuple[torch.Tensor, torch.Tensor]:
        """Return x (N, T, D), 0 after each sequence's end, and the lengths (N,)."""
        scaling = Scaling(self.offset, self.scale).head(len(self.features))
        values = scaling(np.stack([table.numbers(name) for name in self.features], 1))
        return self._padded(values, groups, 0.0), torch.tensor([len(at) for at in groups.rows])

    def _padded(self, values: np.ndarray, groups: _Groups, fill: float) -> torch.Tensor:
        longest = max(len(at) for at in groups.rows)
        out = np.full((len(groups.rows), longest, *values.shape[1:]), fill, values.dtype)
        for n, at in enumerate(groups.rows):
            out[n, : len(at)] = values[at]
        is_real = np.issubdtype(values.dtype, np.floating)
        return torch.as_tensor(out, dtype=torch.float32 if is_real else torch.int64)

    def targets(self, table: Table, groups: _Groups) -> torch.Tensor:
        """Return labels or scaled numbers, of sequences or steps; not asked for where unknown.

        Raises:
            DataError: a label that the training file does not have, or that changes in a sequence.
        """
        n, steps = len(groups.rows), max(len(at) for at in groups.rows)
        if self.label not in table.columns:
            if self.classes:
                shape = (n,) if self.each == "sequence" else (n, steps)
                return torch.full(shape, IGNORED)
            return torch.full((n, 1 if self.each == "sequence" else steps, 1), torch.nan)
        if self.classes:
            labels = table.text(self.label)
            values = np.array(numbered(table, self.label, labels, range(len(table)), self.classes))
        else:
            y = Scaling(self.offset[-1:], self.scale[-1:])
            values = y(table.numbers(self.label)[:, None])
        if self.each == "step":
            return self._padded(values, groups, IGNORED if self.classes else np.nan)
        for at in groups.rows:
            changed = np.flatnonzero((values[at] != values[at[0]]).reshape(len(at), -1).any(1))
            if len(changed):
                raise DataError(
                    f"{table.where(int(at[changed[0]]), self.label)} must be the whole sequence's "
                    f"label, but differs from its first row's: set task.each=step"
                )
        first = values[[at[0] for at in groups.rows]]
        kind = torch.int64 if self.classes else torch.float32
        found = torch.as_tensor(first, dtype=kind)
        return found if self.classes else found[:, None]

    def sequences(self, table: Table) -> tuple[Split, _Groups]:
        """Return all sequences of a table."""
        groups = self.groups(table)
        x, lengths = self.inputs(table, groups)
        return Split(x, self.targets(table, groups), lengths), groups

    def keys(self, table: Table, groups: _Groups) -> pd.DataFrame:
        """Return the names of the predictions: sequences, and steps if each has a label."""
        import pandas as pd

        if self.each == "sequence":
            return pd.DataFrame({self.id: groups.names})
        names = [name for name, at in zip(groups.names, groups.rows, strict=True) for _ in at]
        rows = np.concatenate(groups.rows)
        if self.order is None:
            return pd.DataFrame(
                {self.id: names, "step": [i for at in groups.rows for i in range(len(at))]}
            )
        return pd.DataFrame(
            {self.id: names, self.order: table.frame[self.order].iloc[rows].tolist()}
        )

    @override
    def encode(self, table: Table) -> tuple[Split, pd.DataFrame]:
        split, groups = self.sequences(table)
        return split, self.keys(table, groups)

    @override
    def decode(
        self, keys: pd.DataFrame, split: Split, outputs: Any, objective: Objective
    ) -> pd.DataFrame:
        y = split.y
        if self.each == "step":
            assert split.lengths is not None
            real = torch.arange(outputs.shape[1]) < split.lengths[:, None]
            outputs, y = outputs[real], y[:, : outputs.shape[1]][real]
        if isinstance(objective, Labels):
            return beside(keys, label_columns(self.classes, outputs, y, objective))
        assert isinstance(objective, Numbers)
        return beside(keys, number_columns(objective, outputs, y))


def sequences(config: SequencesConfig) -> TaskData:
    """Return the sequences of a file, of one length or of many.

    Raises:
        ConfigError: a key out of range.
        DataError: the file or one of its cells is wrong.
    """
    check_seed("task.seed", config.seed)
    for key, allowed in (("target", TARGETS), ("each", EACH)):
        if getattr(config, key) not in allowed:
            raise unknown_name(f"task.{key}", getattr(config, key), allowed)
    if config.file is None:
        raise ConfigError("task.file must name a CSV or Parquet file with a row for each step")
    table = read_table(config.file, config.separator, config.decimal)
    others = (config.id, config.order, config.label)
    features = tuple(config.features) or tuple(n for n in table.columns if n not in others)
    if not features:
        raise ConfigError("task.features must name at least one column, got none")
    encoder = SequencesEncoder(
        config.id, config.order, config.label, config.each, features, (), (), ()
    )
    table.check_columns([*features, *(name for name in others if name is not None)])
    groups = encoder.groups(table)
    labels: list[str] | None = None
    classes: tuple[str, ...] = ()
    if config.target == "class":
        column = table.text(config.label)
        rows = [int(at[0]) for at in groups.rows]
        labels = [column[row] for row in rows]
        if config.each == "sequence":
            classes = tuple(classes_of(table, config.label, labels, rows))
        else:
            classes, labels = (
                tuple(classes_of(table, config.label, column, range(len(table)))),
                None,
            )
    test = 0.0 if config.test_file is not None else config.test
    parts = shares(len(groups.rows), config.val, test, config.seed, labels)
    seen = np.concatenate([groups.rows[n] for n in parts[0]])
    numbers = features if classes else (*features, config.label)
    columns = np.stack([table.numbers(name) for name in numbers], 1)
    names = [f"{table.source}, column {name!r}" for name in numbers]
    scaling = Scaling.fit(columns[seen], config.scale, names)
    encoder = replace(encoder, classes=classes, offset=scaling.offset, scale=scaling.scale)
    whole, _ = encoder.sequences(table)
    keys = encoder.keys(table, groups)
    splits = [_chosen(whole, part) for part in parts]
    rows_of = [_keys_of(keys, groups, part, config.each) for part in parts]
    if config.test_file is not None:
        other = read_table(config.test_file, config.separator, config.decimal)
        other.check_columns([config.label])
        splits[2], rows_of[2] = encoder.encode(other)
    objective: Objective = Labels(len(classes))
    if not classes:
        y = Scaling(scaling.offset[-1:], scaling.scale[-1:])
        objective = Numbers(
            (config.label,), 1, config.loss, tuple(config.quantiles), y.offset, y.scale
        )
    kinds = {
        ("class", "sequence"): "classify",
        ("class", "step"): "label",
        ("number", "sequence"): "regress",
        ("number", "step"): "regress_steps",
    }
    return TaskData(
        train=splits[0],
        val=splits[1],
        test=splits[2],
        classes=classes,
        kind=kinds[config.target, config.each],
        objective=objective,
        encoder=encoder,
        rows=dict(zip(("train", "val", "test"), rows_of, strict=True)),
    )


def _chosen(split: Split, rows: Sequence[int]) -> Split:
    at = torch.as_tensor(rows, dtype=torch.int64)
    assert split.lengths is not None
    return Split(split.x[at], split.y[at], split.lengths[at])


def _keys_of(keys: pd.DataFrame, groups: _Groups, part: Sequence[int], each: str) -> pd.DataFrame:
    """Return the keys of some sequences."""
    if each == "sequence":
        return keys.iloc[part].reset_index(drop=True)
    ends = np.cumsum([len(at) for at in groups.rows])
    rows = [row for n in part for row in range(ends[n] - len(groups.rows[n]), ends[n])]
    return keys.iloc[rows].reset_index(drop=True)
