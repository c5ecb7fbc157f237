"""Times of predictions: they go on in a file's steps, zone and form; and seasons of series."""

import numpy as np
import pandas as pd
import pytest

from qrnn import ConfigError
from qrnn.data.tables.files import Table
from qrnn.data.tables.series import Columns, future_times, irregular_step, read_series, season_of
from qrnn.data.tables.windows import ForecastEncoder


def following(cells, count):
    """Return the times after those of a table."""
    table = Table(pd.DataFrame({"t": cells, "y": range(len(cells))}))
    columns = Columns(("y",), time="t")
    (one,) = read_series(table, columns)
    times = future_times(table, columns, one, count)
    assert times[: len(cells)] == table.frame["t"].tolist()
    return times[len(cells) :]


BERLIN = pd.date_range("2024-03-28 09:00", periods=80, freq="h", tz="Europe/Berlin")  # a summer's
DAILY = pd.date_range("2024-10-20", periods=12, tz="Europe/Berlin")  # 27 October has 25 hours


def test_a_zone_or_offset_is_kept():
    text = [one.isoformat() for one in BERLIN]
    assert {one[-6:] for one in text} == {"+01:00", "+02:00"}
    assert following(text[:-5], 5) == text[-5:]
    assert following(BERLIN[:-5], 5) == list(BERLIN[-5:])
    assert following(list(BERLIN[:-5].astype(object)), 5) == list(BERLIN[-5:])
    assert following(DAILY[:5], 7) == list(DAILY[5:])
    assert following([one.isoformat() for one in DAILY[:10]], 2) == [
        "2024-10-30T00:00:00+01:00",
        "2024-10-31T00:00:00+01:00",
    ]
    assert following(["2024-01-01T10:00Z", "2024-01-01T11:00Z"], 1) == ["2024-01-01T12:00:00Z"]


@pytest.mark.parametrize(
    ("dates", "form"),
    [
        (pd.date_range("2010", periods=60, freq="MS"), "%Y-%m-%d"),
        (pd.date_range("2010", periods=60, freq="MS"), "%Y-%m"),
        (pd.date_range("2010", periods=60, freq="MS") + pd.Timedelta("14D"), "%Y-%m-%d"),
        (pd.date_range("2010", periods=61, freq="ME"), "%Y-%m-%d"),
        (pd.date_range("2010", periods=60, freq="BME"), "%Y-%m-%d"),
        (pd.date_range("2010", periods=60, freq="QS"), "%Y-%m-%d"),
        (pd.date_range("2010", periods=60, freq="W-WED"), "%Y-%m-%d"),
        (pd.bdate_range("2010", periods=60), "%Y-%m-%d"),
        (pd.bdate_range("2010", periods=60), "%Y%m%d"),
        (pd.bdate_range("2010", periods=80, freq="C", weekmask="1111110"), "%Y-%m-%d"),
        (pd.date_range("2010", periods=60, freq="15min"), "%Y-%m-%d %H:%M"),
        (pd.date_range("2010", periods=60, freq="h"), "%Y-%m-%dT%H:%M:%S"),
    ],
)
@pytest.mark.parametrize("gaps", [[], [3], [7, 20, 49]])
def test_gaps_do_not_change_the_steps(dates, form, gaps):
    shown = dates.strftime(form)
    assert following(shown[:53].delete(gaps), 6) == list(shown[53:59])


def test_other_times_go_on_by_the_median_step():
    assert following(["2024-01-01", "2024-01-03", "2024-01-08", "2024-01-09", "2024-01-12"], 2) == [
        "2024-01-14",
        "2024-01-16",
    ]
    assert following([0, 1, 2, 3, 8], 2) == [9, 10]
    assert following(["2024-01-01 00:00:00.5", "2024-01-01 00:00:01"], 2) == [
        "2024-01-01 00:00:01.500",
        "2024-01-01 00:00:02.000",
    ]
    compact = [20240829, 20240830, 20240831]
    assert following(compact, 2) == [20240901, 20240902]


def test_the_first_irregular_step_is_named():
    hours = pd.date_range("2024-03-30", periods=60, freq="h", tz="Europe/Berlin")
    table = Table(pd.DataFrame({"t": hours.tz_localize(None), "y": 0.0}), "a.csv", 2)
    columns = Columns(("y",), time="t")
    where = irregular_step(table, columns, read_series(table, columns))
    row = 2 + int(np.flatnonzero(np.diff(hours.hour) == 2)[0]) + 1
    assert where.startswith(f"a.csv, row {row}, column 't': '2024-03-31 03:00:00' comes 7200 s ")
    table.frame["t"] = hours
    assert irregular_step(table, columns, read_series(table, columns)) == ""


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"inputs": ("u", "v")}, "but u, v is read and not predicted: train without task.inputs"),
        ({"past": False, "known": ("w",)}, "but the targets' past is not read: train with"),
        ({"lead": 3}, "but it predicts from 3 steps ahead: train with task.lead=1"),
        ({"delta": True, "irregular": "a.csv, row 5"}, "irregular (a.csv, row 5): train without"),
    ],
)
def test_why_a_model_is_not_recursive(changed, reason):
    base = {"targets": ("y",), "inputs": (), "known": (), "time": "t", "series": None}
    base |= {"missing": "refuse", "delta": False, "past": True, "window": 3, "horizon": 1}
    base |= {"lead": 1, "offset": (0.0,), "scale": (1.0,)}
    ForecastEncoder(**base).check_recursive()
    with pytest.raises(ConfigError) as error:
        ForecastEncoder(**base | changed).check_recursive()
    assert reason in str(error.value)
    assert "; " not in str(error.value)


@pytest.mark.parametrize(("period", "n"), [(7, 140), (7, 500), (12, 144), (24, 140), (24, 500)])
def test_the_season_is_the_period_and_no_multiple(period, n):
    rng = np.random.default_rng(period * n)
    found = []
    for _ in range(20):
        pattern = rng.normal(size=period)
        found.append(season_of([(np.resize(pattern, n) + 0.3 * rng.normal(size=n))[:, None]]))
    assert found.count(period) >= 19


def test_a_smooth_season_is_found_in_noise_and_a_walk_has_none():
    rng = np.random.default_rng(0)
    wave = np.sin(np.arange(500) * 2 * np.pi / 50)
    found = [season_of([(wave + 0.5 * rng.normal(size=500))[:, None]]) for _ in range(20)]
    assert np.abs(np.array(found, float) - 50).max() <= 2
    noise = rng.normal(size=(40, 300, 1))
    assert [season_of([one]) for one in noise] == [None] * 40
    assert [season_of([one.cumsum(0)]) for one in noise].count(None) >= 38
    # Series count together.
    parts = [np.resize([0.0, 3, 1, 1, 2], n)[:, None] for n in (20, 33, 60)]
    assert season_of(parts) == 5
    assert season_of([np.arange(90.0)[:, None], np.full((9, 1), 0.1)]) is None
