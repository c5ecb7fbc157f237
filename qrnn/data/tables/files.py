"""Reading CSV and Parquet files; what is wrong in one is an error with its row and column."""

from __future__ import annotations

import csv
import io
import math
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from qrnn.errors import ConfigError, DataError, require_extra
from qrnn.utils.overrides import argument
from qrnn.utils.registry import unknown_name

if TYPE_CHECKING:
    import pandas as pd

STDIN = "-"
TAB = "\t"
EMPTY = ("", "na", "nan", "null", "none", "n/a", "#n/a", "<na>", "-nan")  # in lower case
FIRST_ROW = 2  # of a CSV file: the header is row 1


class Table:
    """A table whose columns are read as numbers, times or text, each with its own checks.

    Args:
        frame: the columns, by name.
        source: what messages call it: the file.
        first_row: number of the first row in messages.

    Raises:
        DataError: no columns, no rows, or a column name that occurs twice.
    """

    def __init__(self, frame: pd.DataFrame, source: str = "the table", first_row: int = 0):
        self.frame, self.source, self.first_row = frame, source, first_row
        names = [str(name) for name in frame.columns]
        if len(set(names)) < len(names):
            twice = next(name for name in names if names.count(name) > 1)
            raise DataError(f"{source} must name each column once, got {twice!r} twice")
        frame.columns = names
        if not names or not len(frame):
            raise DataError(f"{source} must have a header and at least one row, got {len(frame)}")

    def __len__(self) -> int:
        return len(self.frame)

    @property
    def columns(self) -> list[str]:
        """Names of the columns."""
        return list(self.frame.columns)

    def where(self, row: int, column: str) -> str:
        """Return the place of a cell, for a message."""
        return f"{self.source}, row {row + self.first_row}, column {column!r}"

    def check_columns(self, names: Sequence[str]) -> None:
        """Raise the error for a column that is not there.

        Raises:
            DataError: so named.
        """
        for name in names:
            if name not in self.frame.columns:
                raise DataError(f"{self.source}: {unknown_name('column', name, self.columns)}")

    def numbers(self, name: str, *, missing: bool = False, remedy: str = "fill it") -> np.ndarray:
        """Return a column as float64 numbers (N,).

        Args:
            name: of the column.
            missing: whether empty cells may be: they are NaN.
            remedy: what to do about an empty cell, for the message.

        Raises:
            DataError: a cell that is not a finite number.
        """
        import pandas as pd

        self.check_columns([name])
        column = self.frame[name]
        values = pd.to_numeric(column, errors="coerce").to_numpy(np.float64, na_value=math.nan)
        bad = ~np.isfinite(values)
        if bad.any():
            empty = np.array([_is_empty(cell) for cell in column[bad]])
            rows = np.flatnonzero(bad)
            if not empty.all():
                row = int(rows[~empty][0])
                raise DataError(
                    f"{self.where(row, name)} must be a finite number, got {_cell(column, row)}"
                )
            if not missing:
                raise DataError(f"{self.where(int(rows[0]), name)} is empty: {remedy}")
            return np.where(bad, math.nan, values)
        return values

    def text(self, name: str) -> list[str]:
        """Return a column as text (N,).

        Raises:
            DataError: an empty cell.
        """
        self.check_columns([name])
        cells = self.frame[name].tolist()
        for row, cell in enumerate(cells):
            if cell is None or cell != cell or not str(cell).strip():  # "none" is a text
                raise DataError(f"{self.where(row, name)} must not be empty")
        return [_as_text(cell) for cell in cells]

    def times(self, name: str) -> tuple[np.ndarray, bool]:
        """Return a column of times as numbers (N,), and whether they are dates (in seconds).

        Numbers are taken as they are; anything else must be dates, as pandas reads them.

        Raises:
            DataError: a cell that is neither.
        """
        import pandas as pd

        self.check_columns([name])
        column, finite = self.frame[name], np.zeros(len(self), bool)
        if pd.api.types.is_datetime64_any_dtype(column):
            found = column
        else:
            numbers = pd.to_numeric(column, errors="coerce").to_numpy(np.float64, na_value=math.nan)
            finite = np.isfinite(numbers)
            if finite.all():
                return numbers, False
            found = pd.to_datetime(column, errors="coerce", format="ISO8601", utc=True)
        # Of numbers and other cells, the fewer are wrong.
        bad = ~finite if finite.mean() > 0.5 else found.isna().to_numpy()
        if bad.any():
            row = int(np.flatnonzero(bad)[0])
            raise DataError(
                f"{self.where(row, name)} must be a number or an ISO date such as 2024-01-31, got "
                f"{_cell(column, row)}"
            )
        return found.dt.as_unit("s").astype("int64").to_numpy(np.float64), True


def _is_empty(cell: object) -> bool:
    if isinstance(cell, str):
        return cell.strip().lower() in EMPTY
    return cell is None or cell != cell


def _cell(column: pd.Series, row: int) -> str:
    return f"{str(column.iloc[row])[:60]!r}"


def _as_text(cell: object) -> str:
    """Return a whole number without the .0 that a float column adds."""
    if isinstance(cell, float) and cell.is_integer():
        return str(int(cell))
    return str(cell)


def read_table(file: str | Path, separator: str = ",") -> Table:
    r"""Return the table of a CSV or Parquet file; `-` reads CSV from standard input.

    Cells of a CSV file stay text until a column is read as what it must be.

    Args:
        file: its path; it ends in `.parquet` if it is one. A CSV file is UTF-8, with or without a
            byte order mark, and may be compressed (`.gz`, `.bz2`, `.zip`, `.xz`).
        separator: the character between the columns of a CSV file; `\t` is a tab.

    Raises:
        ConfigError: the separator is not one character.
        DataError: there is no such file, it is empty or damaged, or has another separator.
    """
    import pandas as pd

    separator = TAB if separator == r"\t" else separator
    if len(separator) != 1:  # pandas would take several for a regular expression
        given = repr(separator) if separator else "none"
        raise ConfigError(f"task.separator must be a character, such as ';', got {given}")
    path, source = Path(file), str(file)
    content: Any = path
    if source == STDIN:
        source, content = "standard input", io.BytesIO(sys.stdin.buffer.read())
    elif not path.is_file():
        what = "is a folder" if path.is_dir() else "does not exist"
        raise DataError(f"{source} must be a CSV or Parquet file, but {what}")
    elif path.suffix in (".parquet", ".pq"):
        return Table(_parquet(path), source, first_row=1)
    try:
        frame = pd.read_csv(
            content,
            sep=separator,
            header=None,  # pandas would rename a column that occurs twice
            dtype=str,
            keep_default_na=False,
            encoding="utf-8-sig",
            quoting=csv.QUOTE_MINIMAL,
            skip_blank_lines=False,
            index_col=False,
            on_bad_lines="error",
        )
    except pd.errors.EmptyDataError as error:
        message = f"{source} must have a header and at least one row, but is empty"
        raise DataError(message) from error
    except UnicodeDecodeError as error:
        byte = error.object[error.start]
        message = f"{source} must be UTF-8 text, got byte {byte:#x}: save it as UTF-8"
        raise DataError(message) from error
    except (OSError, ValueError, EOFError, pd.errors.ParserError) as error:
        reason = " ".join(str(error).split()).removeprefix("Error tokenizing data. C error: ")
        raise DataError(f"{source} cannot be read as CSV: {reason[:200]}") from error
    names = frame.iloc[0].fillna("").tolist()
    frame = frame.iloc[1:].reset_index(drop=True)
    frame.columns = [name or f"column {number}" for number, name in enumerate(names, 1)]
    if len(frame.columns) == 1:
        header = str(frame.columns[0])
        inside = [s for s in (";", TAB, "|", ",") if s in header and s != separator]
        rows = frame.iloc[:, 0]
        other = next((s for s in inside if rows.str.contains(s, regex=False).any()), None)
        if other is not None:
            given = "commas" if separator == "," else repr(separator)
            remedy = argument("task.separator", r"\t" if other == TAB else other)
            raise DataError(
                f"{source} must be separated by {given}, but its header is {header[:60]!r}: set "
                f"{remedy}"
            )
    while len(frame) and (frame.iloc[-1] == "").all():  # blank lines at the end
        frame = frame.iloc[:-1]
    return Table(frame, source, FIRST_ROW)


def _parquet(path: Path) -> pd.DataFrame:
    import pandas as pd

    try:
        return pd.read_parquet(path)
    except ImportError as error:
        raise require_extra("pyarrow", "data", "a Parquet file") from error
    except (OSError, ValueError) as error:
        reason = " ".join(str(error).split())[:200]
        raise DataError(f"{path} cannot be read as Parquet: {reason}") from error
