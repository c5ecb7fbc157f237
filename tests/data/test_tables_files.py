"""Tables: what is wrong in a file is one line, with its row and column."""

import gzip
import io
import shlex
import sys
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser

from qrnn import ConfigError, DataError
from qrnn.data.tables.files import Table, read_table
from qrnn.data.tables.scaling import Scaling


def put(path, content):
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def refused(message, call, *arguments, **options):
    """The call is refused in one line with this message."""
    with pytest.raises(DataError) as error:
        call(*arguments, **options)
    assert message in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "must have a header and at least one row, but is empty"),
        (b"a,b\n", "must have a header and at least one row, got 0"),
        (b"a,b\n\n\n", "must have a header and at least one row, got 0"),
        (b"a,a\n1,2\n", "must name each column once, got 'a' twice"),
        (b"a;b\n1;2\n", "but its header is 'a;b': set \"task.separator=';'\""),
        (b"a;y\n1;3,5\n2;4,5\n", "but its header is 'a;y': set \"task.separator=';'\""),
        (b"a|y\n1|3\n2|4,5\n", "but its header is 'a|y': set \"task.separator='|'\""),
        (b"a\tb\n1\t2\n", r"""set 'task.separator='"'"'\t'"'"''"""),
        ("a,b\ncafé,1\n".encode("latin-1"), "must be UTF-8 text, got byte 0xe9: save it as"),
        (b"a,b\n1,2\n1,2,3\n", "cannot be read as CSV: Expected 2 fields in line 3, saw 3"),
        (b'a,b\n"1,2\n', "cannot be read as CSV: EOF inside string starting at row 1"),
    ],
)
def test_a_file_that_is_no_table_is_one_line(tmp_path, content, message):
    refused(message, read_table, put(tmp_path / "a.csv", content))


def test_a_file_that_is_not_there_or_damaged_is_one_line(tmp_path):
    refused("but does not exist", read_table, tmp_path / "a.csv")
    refused("but is a folder", read_table, tmp_path)
    refused("cannot be read as Parquet", read_table, put(tmp_path / "a.parquet", b"PAR1 no"))
    refused("cannot be read as CSV", read_table, put(tmp_path / "a.csv.gz", b"\x1f\x8bno"))


@pytest.mark.parametrize("content", ["\ufeffa,b\n1,2\n\n\n", "a,b\r\n1,2\r\n", "a,b\n1,2"])
def test_byte_order_marks_line_ends_and_blank_lines_are_accepted(tmp_path, monkeypatch, content):
    table = read_table(put(tmp_path / "a.csv", content))
    assert (table.columns, len(table)) == (["a", "b"], 1)
    assert (table.numbers("a").tolist(), table.text("b")) == ([1.0], ["2"])
    assert read_table(put(tmp_path / "a.csv.gz", gzip.compress(content.encode()))).columns == [
        "a",
        "b",
    ]
    stdin = SimpleNamespace(buffer=io.BytesIO(content.encode()))
    monkeypatch.setattr(sys, "stdin", stdin)
    table = read_table("-")
    assert (table.columns, table.source, len(table)) == (["a", "b"], "standard input", 1)


def test_another_separator_and_a_column_without_a_name(tmp_path):
    table = read_table(put(tmp_path / "a.csv", ";x\n0;1\n"), ";")
    assert table.columns == ["column 1", "x"]
    wrong = put(tmp_path / "a.csv", "x,y\n0,1\n")
    refused("by ';', but its header is 'x,y': set \"task.separator=','\"", read_table, wrong, ";")
    with pytest.raises(ConfigError, match=r"task\.separator must be a character, such as ';', got"):
        read_table(wrong, "")
    with pytest.raises(ConfigError, match=r"must be a character, such as ';', got '\(\('"):
        read_table(wrong, "((")
    assert read_table(put(tmp_path / "a.csv", "x\ty\n0\t1\n"), r"\t").columns == ["x", "y"]
    one = read_table(put(tmp_path / "a.csv", "price, EUR\n1\n2\n"), ";")
    assert one.columns == ["price, EUR"]


@pytest.mark.parametrize("separator", [";", "\t", "|", ","])
def test_the_separator_to_set_can_be_pasted(tmp_path, separator):
    other = ";" if separator == "," else ","
    file = put(tmp_path / "a.csv", f"a{separator}b\n1{separator}2\n")
    with pytest.raises(DataError) as error:
        read_table(file, other)
    (pasted,) = shlex.split(str(error.value).rpartition(": set ")[2])
    (parsed,) = OverridesParser.create().parse_overrides([pasted])
    assert read_table(file, parsed.value()).columns == ["a", "b"]


def test_parquet_and_frames_are_read_as_csv_is(tmp_path):
    frame = pd.DataFrame(
        {"n": [1.5, None], "name": ["x", "y"], "at": pd.date_range("2024", None, 2)}
    )
    frame.to_parquet(tmp_path / "a.parquet")
    table = read_table(tmp_path / "a.parquet")
    assert np.isnan(table.numbers("n", missing=True)).tolist() == [False, True]
    seconds, dates = table.times("at")
    assert dates
    assert np.diff(seconds).tolist() == [86400]
    refused("a.parquet, row 2, column 'n' is empty: fill it", table.numbers, "n")
    refused("the table, row 1, column 'n' is empty", Table(frame).numbers, "n")


@pytest.mark.parametrize(
    ("cell", "message"),
    [
        ("abc", "row 3, column 'a' must be a finite number, got 'abc'"),
        ("inf", "row 3, column 'a' must be a finite number, got 'inf'"),
        ("1,5", "row 3, column 'a' must be a finite number, got '1,5'"),
        ("", "row 3, column 'a' is empty: fill it"),
        ("NaN", "row 3, column 'a' is empty: fill it"),
        (" n/a ", "row 3, column 'a' is empty: fill it"),
    ],
)
def test_a_cell_that_is_no_number_is_named(tmp_path, cell, message):
    table = read_table(put(tmp_path / "a.csv", f'a,b\n1,x\n"{cell}",y\n'))
    refused(message, table.numbers, "a")
    if "empty" in message:
        assert np.isnan(table.numbers("a", missing=True)).tolist() == [False, True]


def test_other_cells_are_named(tmp_path):
    table = read_table(put(tmp_path / "a.csv", "a,t\nx,2024-01-31\n,2024-02-30\n"))
    refused("row 3, column 'a' must not be empty", table.text, "a")
    refused("row 3, column 't' must be a number or an ISO date", table.times, "t")
    refused("a.csv: column 'b' is not known: Allowed: a, t", table.numbers, "b")
    assert Table(pd.DataFrame({"label": ["None", "NA"]})).text("label") == ["None", "NA"]
    assert Table(pd.DataFrame({"label": [1.0, 2.5]})).text("label") == ["1", "2.5"]


@pytest.mark.parametrize("how", ["standard", "minmax", "none"])
def test_scaling_is_what_its_name_says(how):
    values = np.array([[1.0, 5.0, 0.1], [3.0, 5.0, np.nan], [5.0, 5.0, 0.3]])
    scaled = Scaling.fit(values, how, "abc")(values)
    first = {
        "standard": (values[:, 0] - 3) / np.sqrt(8 / 3),
        "minmax": [0, 0.5, 1],
        "none": values[:, 0],
    }[how]
    np.testing.assert_allclose(scaled[:, 0], first)
    # What never changes is only shifted.
    np.testing.assert_allclose(scaled[:, 1], 5.0 if how == "none" else 0.0)
    assert np.isnan(scaled[1, 2])


def test_empty_cells_of_nullable_columns_are_empty():
    for column in (pd.array([1, None], "Int64"), pd.array([True, None], "boolean")):
        table = Table(pd.DataFrame({"y": column}))
        assert np.isnan(table.numbers("y", missing=True)).tolist() == [False, True]
        refused("row 1, column 'y' is empty: fill it", table.numbers, "y")
        refused("row 1, column 'y' must not be empty", table.text, "y")


@pytest.mark.parametrize(
    "column",
    [
        pd.date_range("2024", periods=2),
        pd.date_range("2024", periods=2, tz="UTC"),
        pd.to_timedelta([1, 2], unit="h"),
        pd.period_range("2024", periods=2, freq="M"),
        np.array([1 + 2j, 3]),
        np.array([1 + 2j, 3], object),
    ],
)
def test_columns_that_are_no_numbers_are_refused(column):
    refused("column 'y' must hold numbers, got", Table(pd.DataFrame({"y": column})).numbers, "y")


def test_a_decimal_comma_is_an_option(tmp_path):
    file = put(tmp_path / "a.csv", "a;y;text\n1;3,5;x,y\n2,25;-4,5;1.5\n")
    table = read_table(file, ";")
    refused("got '3,5': if ',' is the decimal mark, set \"task.decimal=','\"", table.numbers, "y")
    table = read_table(file, ";", ",")
    assert table.numbers("y").tolist() == [3.5, -4.5]
    assert table.times("a")[0].tolist() == [1, 2.25]
    assert table.text("text") == ["x,y", "1.5"]
    # Of 1.500, no one knows whether it is 1.5 or 1500.
    file = put(tmp_path / "b.csv", "y\n3,5\n1.500\n")
    refused("got '1.500': if '.' is", read_table(file, ";", ",").numbers, "y")
    with pytest.raises(ConfigError, match=r"task\.decimal"):
        read_table(file, ";", "x")


def test_fractions_of_seconds_are_read():
    times = pd.date_range("2024-01-01", periods=4, freq="1500ms")
    for column in (times, times.astype(str), times.as_unit("ns").tz_localize("Europe/Berlin")):
        found, dates = Table(pd.DataFrame({"t": column})).times("t")
        assert dates
        np.testing.assert_allclose(np.diff(found), 1.5, atol=1e-6)


def test_compact_dates_are_dates():
    days = pd.date_range("2024-02-20", periods=20)
    for column in (days.strftime("%Y%m%d"), days.strftime("%Y%m%d").astype(int)):
        found, dates = Table(pd.DataFrame({"t": column})).times("t")
        assert (dates, found[0]) == (True, days[0].timestamp())
        assert (np.diff(found) == 86400).all()
    wrong = days.strftime("%Y%m%d").str.replace("20240301", "20240230")
    refused(
        "row 10, column 't' must be a date such as 20240131",
        Table(pd.DataFrame({"t": wrong})).times,
        "t",
    )
    for numbers in ([20240199, 20240299], [18991231, 19000101], [20240101.5, 20240102]):
        assert not Table(pd.DataFrame({"t": numbers})).times("t")[1]
