"""Reading CSV and Parquet files; what is wrong in one is an error with its row and column."""

from __future__ import annotations

import csv
import io
import math
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from qrnn.data.tables.times import compact_dates, dates_of, seconds
from qrnn.errors import ConfigError, DataError, require_extra
from qrnn.utils.overrides import argument
from qrnn.utils.registry import unknown_name

if TYPE_CHECKING:
    import pandas as pd

STDIN = "-"
TAB = "\t"
NEVER = "\x1f"  # a separator that no file has
FIRST_LINES = 100  # of a file that is not read, to tell its separator
POINT = "."
DECIMALS = (POINT, ",")
OTHERS = "cmM"  # kinds of columns: complex numbers, durations, dates
EMPTY = ("", "na", "nan", "null", "none", "n/a", "#n/a", "<na>", "-nan")  # in lower case
FIRST_ROW = 2  # of a CSV file: the header is row 1


class Table:
    """A table whose columns are read as numbers, times or text, each with its own checks.

    Args:
        frame: the columns, by name.
        source: what messages call it: the file.
        first_row: number of the first row in messages.
        decimal: the decimal mark of numbers that are text, `.` or `,`.

    Raises:
        DataError: no columns, no rows, or a column name that occurs twice.
    """

    def __init__(
        self,
        frame: pd.DataFrame,
        source: str = "the table",
        first_row: int = 0,
        decimal: str = POINT,
    ):
        if decimal not in DECIMALS:
            raise unknown_name("task.decimal", decimal, DECIMALS)
        self.frame, self.source, self.first_row = frame, source, first_row
        self.decimal = decimal
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
        self.check_columns([name])
        column, values = self.frame[name], self._floats(name)
        bad = ~np.isfinite(values)
        if bad.any():
            empty = np.array([_is_empty(cell) for cell in column[bad]])
            rows = np.flatnonzero(bad)
            if not empty.all():
                row = int(rows[~empty][0])
                raise DataError(
                    f"{self.where(row, name)} must be a finite number, got {_cell(column, row)}"
                    f"{self._remedy(column.iloc[row])}"
                )
            if not missing:
                raise DataError(f"{self.where(int(rows[0]), name)} is empty: {remedy}")
            return np.where(bad, math.nan, values)
        return values

    def _floats(self, name: str) -> np.ndarray:
        """Return a column as float64 numbers (N,), NaN where a cell is none.

        Raises:
            DataError: a column of dates, durations or complex numbers, which pandas makes numbers
                that no one means.
        """
        import pandas as pd

        column = self.frame[name]
        if self.decimal != POINT:
            column = column.map(_with_point)
        values = pd.to_numeric(column, errors="coerce")
        for kind in (column.dtype, values.dtype):  # the second of cells of all kinds
            if kind.kind in OTHERS or isinstance(kind, pd.PeriodDtype):
                raise DataError(
                    f"{self.source}: column {name!r} must hold numbers, got {kind}: turn it into "
                    f"numbers"
                )
        return values.to_numpy(np.float64, na_value=math.nan)

    def _remedy(self, cell: object) -> str:
        """Return what to set for a cell that is a number with the other decimal mark."""
        (other,) = set(DECIMALS) - {self.decimal}
        if not re.fullmatch(rf"\s*[+-]?\d*\{other}\d+([eE][+-]?\d+)?\s*", str(cell)):
            return ""
        return f": if {other!r} is the decimal mark, set {argument('task.decimal', other)}"

    def text(self, name: str) -> list[str]:
        """Return a column as text (N,).

        Raises:
            DataError: an empty cell.
        """
        import pandas as pd

        self.check_columns([name])
        cells = self.frame[name].tolist()
        for row, cell in enumerate(cells):
            if pd.isna(cell) is True or not str(cell).strip():  # "none" is a text
                raise DataError(f"{self.where(row, name)} must not be empty")
        return [_as_text(cell) for cell in cells]

    def times(self, name: str) -> tuple[np.ndarray, bool]:
        """Return a column of times as numbers (N,), and whether they are dates (in seconds).

        Numbers are taken as they are, unless they are dates such as 20240131; anything else must be
        dates, as pandas reads them.

        Raises:
            DataError: a cell that is neither.
        """
        import pandas as pd

        self.check_columns([name])
        column, finite = self.frame[name], np.zeros(len(self), bool)
        found, kinds = None, "a number or an ISO date such as 2024-01-31"
        if not pd.api.types.is_datetime64_any_dtype(column):
            numbers = self._floats(name)
            finite = np.isfinite(numbers)
            if finite.all():
                found, finite = compact_dates(numbers), np.zeros(len(self), bool)
                if found is None:
                    return numbers, False
                kinds = "a date such as 20240131, as most are"
        found = dates_of(column) if found is None else found
        # Of numbers and other cells, the fewer are wrong.
        bad = ~finite if finite.mean() > 0.5 else found.isna().to_numpy()
        if bad.any():
            row = int(np.flatnonzero(bad)[0])
            raise DataError(f"{self.where(row, name)} must be {kinds}, got {_cell(column, row)}")
        return seconds(found), True


def _is_empty(cell: object) -> bool:
    import pandas as pd

    if isinstance(cell, str):
        return cell.strip().lower() in EMPTY
    return pd.isna(cell) is True  # of a list, it is an array


def _with_point(cell: object) -> object:
    """Return a number with a decimal comma as pandas reads it; a point is then none."""
    if not isinstance(cell, str):
        return cell
    return "" if "." in cell else cell.replace(",", ".")


def _cell(column: pd.Series, row: int) -> str:
    return f"{str(column.iloc[row])[:60]!r}"


def _as_text(cell: object) -> str:
    """Return a whole number without the .0 that a float column adds."""
    if isinstance(cell, float) and cell.is_integer():
        return str(int(cell))
    return str(cell)


def read_table(file: str | Path, separator: str = ",", decimal: str = POINT) -> Table:
    r"""Return the table of a CSV or Parquet file; `-` reads CSV from standard input.

    Cells of a CSV file stay text until a column is read as what it must be.

    Args:
        file: its path; it ends in `.parquet` if it is one. A CSV file is UTF-8, with or without a
            byte order mark, and may be compressed (`.gz`, `.bz2`, `.zip`, `.xz`).
        separator: the character between the columns of a CSV file; `\t` is a tab.
        decimal: the decimal mark of numbers that are text, `.` or `,`.

    Raises:
        ConfigError: the separator is not one character, or the decimal mark is another.
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
        return Table(_parquet(path), source, first_row=1, decimal=decimal)
    try:
        frame = _cells(content, separator)
    except pd.errors.EmptyDataError as error:
        message = f"{source} must have a header and at least one row, but is empty"
        raise DataError(message) from error
    except UnicodeDecodeError as error:
        byte = error.object[error.start]
        message = f"{source} must be UTF-8 text, got byte {byte:#x}: save it as UTF-8"
        raise DataError(message) from error
    except (OSError, ValueError, EOFError, pd.errors.ParserError) as error:
        _check_separator(source, _first_lines(content), separator)
        reason = " ".join(str(error).split()).removeprefix("Error tokenizing data. C error: ")
        raise DataError(f"{source} cannot be read as CSV: {reason[:200]}") from error
    if len(frame.columns) == 1:
        _check_separator(source, frame.iloc[:, 0], separator)
    names = frame.iloc[0].fillna("").tolist()
    frame = frame.iloc[1:].reset_index(drop=True)
    frame.columns = [name or f"column {number}" for number, name in enumerate(names, 1)]
    while len(frame) and (frame.iloc[-1] == "").all():  # blank lines at the end
        frame = frame.iloc[:-1]
    return Table(frame, source, FIRST_ROW, decimal)


def _cells(content: Any, separator: str, **options: Any) -> pd.DataFrame:
    """Return the cells of a CSV file as text, its header as the first row."""
    import pandas as pd

    how = {"quoting": csv.QUOTE_MINIMAL, **options}
    return pd.read_csv(
        content,
        sep=separator,
        header=None,  # pandas would rename a column that occurs twice
        dtype=str,
        keep_default_na=False,
        encoding="utf-8-sig",
        skip_blank_lines=False,
        index_col=False,
        on_bad_lines="error",
        **how,
    )


def _first_lines(content: Any) -> pd.Series:
    """Return the first lines of a CSV file that is wrong, as far as they can be read."""
    import pandas as pd

    if isinstance(content, io.BytesIO):
        content.seek(0)
    try:
        return _cells(content, NEVER, quoting=csv.QUOTE_NONE, nrows=FIRST_LINES).iloc[:, 0]
    except (OSError, ValueError, EOFError):
        return pd.Series([""])


def _check_separator(source: str, lines: pd.Series, separator: str) -> None:
    """Raise the error for a header that is one column, but has another separator as its rows have.

    Args:
        source: what messages call the file.
        lines: of the file, the header first.
        separator: the one that is set.
    """
    header, rows = str(lines.iloc[0]), lines.iloc[1:]
    inside = [s for s in (";", TAB, "|", ",") if s in header]
    other = next((s for s in inside if rows.str.contains(s, regex=False).any()), None)
    if other is not None and separator not in header:
        given = "commas" if separator == "," else repr(separator)
        remedy = argument("task.separator", r"\t" if other == TAB else other)
        raise DataError(
            f"{source} must be separated by {given}, but its header is {header[:60]!r}: set "
            f"{remedy}"
        )


def _parquet(path: Path) -> pd.DataFrame:
    import pandas as pd

    try:
        return pd.read_parquet(path)
    except ImportError as error:
        raise require_extra("pyarrow", "data", "a Parquet file") from error
    except (OSError, ValueError) as error:
        reason = " ".join(str(error).split())[:200]
        raise DataError(f"{path} cannot be read as Parquet: {reason}") from error
