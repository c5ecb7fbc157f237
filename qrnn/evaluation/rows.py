"""Rows to predict for: a data frame or a file as a table."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from qrnn.config import TrainConfig
from qrnn.data.tables.base import Encoder
from qrnn.data.tables.files import Table, read_table
from qrnn.errors import DataError

if TYPE_CHECKING:
    import pandas as pd

INDEXED = ("time", "series", "id", "order")  # of encoders: columns that name rows


def rows_of(
    rows: str | Path | pd.DataFrame | Table, config: TrainConfig, encoder: Encoder | None = None
) -> Table:
    """Return a table of rows, read with the training's separator and decimal mark.

    Args:
        rows: see `TrainedModel.predict`.
        config: of the training.
        encoder: levels of the index that are columns it reads are kept; None: none is.

    Raises:
        DataError: it is no table.
    """
    import pandas as pd

    if isinstance(rows, Table):
        return rows
    decimal = getattr(config.task, "decimal", ".")
    if isinstance(rows, str | Path):
        return read_table(rows, getattr(config.task, "separator", ","), decimal)
    if not isinstance(rows, pd.DataFrame):
        remedy = ".to_frame()" if isinstance(rows, pd.Series) else "pandas.DataFrame"
        raise DataError(
            f"rows must be a data frame or a file, with the columns of the training's, got "
            f"{type(rows).__name__}: use {remedy}"
        )
    reads = {getattr(encoder, name, None) for name in INDEXED} - {None}
    kept = [name for name in rows.index.names if name in reads and name not in rows.columns]
    frame = rows.reset_index(level=kept) if kept else rows
    return Table(frame.reset_index(drop=True).copy(), decimal=decimal)
