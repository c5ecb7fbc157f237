"""What turns rows of a table into sequences, when training and again when predicting."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import MISSING, asdict, dataclass, fields
from typing import TYPE_CHECKING, Any, ClassVar, Self

from qrnn.data.objectives import Objective
from qrnn.data.parts import Split
from qrnn.data.tables.files import Table
from qrnn.errors import ConfigError
from qrnn.utils.registry import Registry

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Encoder(ABC):
    """Turns rows of a table into sequences as its training did; saved in checkpoints.

    A dataclass of plain values: names of columns, scalings, classes, the vocabulary.
    """

    name: ClassVar[str]

    @abstractmethod
    def encode(self, table: Table) -> tuple[Split, pd.DataFrame]:
        """Return the sequences of a table to predict for, and the rows that name the predictions.

        Targets that the table does not have are not asked for (NaN, or `IGNORED`).

        Args:
            table: new rows.

        Returns:
            N sequences, and a frame with a row for each prediction, in order.

        Raises:
            DataError: a column is missing, or a cell is wrong.
        """

    @abstractmethod
    def decode(
        self, keys: pd.DataFrame, split: Split, outputs: Any, objective: Objective
    ) -> pd.DataFrame:
        """Return the predictions beside their names, and beside the truth where it is known.

        Args:
            keys: of `encode`.
            split: its sequences.
            outputs: of the head, (N, C) or (N, T, C).
            objective: what the model was trained for.
        """

    def plain(self) -> dict[str, Any]:
        """Return it as plain values, for a checkpoint."""
        return {"name": self.name, **_as_lists(asdict(self))}

    @classmethod
    def from_plain(cls, plain: Mapping[str, Any]) -> Self:
        """Return the encoder of plain values.

        Raises:
            ConfigError: keys are missing, or too many.
        """
        names = {one.name for one in fields(cls)}
        needed = {one.name for one in fields(cls) if one.default is MISSING}
        if not needed <= plain.keys() <= names:  # older checkpoints have not all of them
            wrong = sorted((needed - plain.keys()) | (plain.keys() - names))
            raise ConfigError(
                f"a table of kind {cls.name} must have the keys {names}, wrong: {wrong}"
            )
        return cls(**{name: _as_tuples(value) for name, value in plain.items()})


def _as_lists(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _as_lists(one) for key, one in value.items()}
    return [_as_lists(one) for one in value] if isinstance(value, list | tuple) else value


def _as_tuples(value: Any) -> Any:
    return tuple(_as_tuples(one) for one in value) if isinstance(value, list | tuple) else value


ENCODERS: Registry[type[Encoder]] = Registry("table")


def encoder_from(plain: Mapping[str, Any]) -> Encoder:
    """Return the encoder of plain values, as a checkpoint holds them.

    Raises:
        ConfigError: they are not such values.
    """
    given = dict(plain)
    return ENCODERS[str(given.pop("name", ""))].from_plain(given)
