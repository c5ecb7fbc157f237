"""Forecasts of a table: windows, parts, scaling, gaps and times, and the errors of a file."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch

from helpers.tables import series_file, wave, write_table
from qrnn import ConfigError, DataError
from qrnn.data.tables.files import Table, read_table
from qrnn.data.tables.forecast import ForecastConfig, forecast
from qrnn.data.tables.predictions import beside


def load(path, **options):
    base = {"target": "y", "time": "t", "window": 5, "horizon": 2, "scale": "none"}
    return forecast(ForecastConfig(file=str(path), **base | options))


def test_a_window_is_followed_by_its_targets(tmp_path):
    data = load(series_file(tmp_path), inputs=["u"], lead=3, stride=4)
    y, u = np.array(wave())[:, 1:].T
    first = data.train
    np.testing.assert_allclose(first.x[1, :, 0], y[4:9], rtol=1e-6)
    np.testing.assert_allclose(first.x[1, :, 1], u[4:9])
    # The first predicted step is the third after the last one that is read.
    np.testing.assert_allclose(first.y[1, :, 0], y[11:13], rtol=1e-6)
    assert data.rows["train"]["t"].tolist()[2:4] == [11, 12]
    assert data.rows["train"]["step"].tolist()[:2] == [3, 4]
    assert len(data.val) == 12 - (5 + 2 + 2) + 1  # every one, not every fourth
    assert data.shape.n_past == 1


def test_windows_never_cross_a_part_or_a_series(tmp_path):
    rows = [(name, t, 1000 * (name == "b") + t) for t in range(60) for name in "ab"]
    data = load(write_table(tmp_path / "s.csv", "id,t,y", rows), id="id")
    for part, (low, high) in {"train": (0, 42), "val": (42, 51), "test": (51, 60)}.items():
        split = getattr(data, part)
        seen = torch.cat([split.x[..., 0], split.y[..., 0]], 1)
        assert ((seen >= 1000).all(1) | (seen < 1000).all(1)).all()
        assert len(seen) == 2 * (high - low - 7 + 1)
        assert (low, high - 1) == ((seen % 1000).min(), (seen % 1000).max())
        names = data.rows[part]["id"].tolist()[::2]
        assert names == ["b" if row.min() >= 1000 else "a" for row in seen]


def test_parts_by_share_and_by_time_do_not_overlap(tmp_path):
    path = series_file(tmp_path)
    for split, ends in (([0.5, 0.25, 0.25], (40, 60)), ([30, 62], (30, 62))):
        data = load(path, split=split)
        y = np.array(wave())[:, 1]
        for part, (low, high) in zip(
            ("train", "val", "test"), ((0, ends[0]), ends, (ends[1], 80)), strict=True
        ):
            got = getattr(data, part)
            assert len(got) == high - low - 7 + 1
            np.testing.assert_allclose(got.x[0, :, 0], y[low : low + 5], rtol=1e-6)
            np.testing.assert_allclose(got.y[-1, :, 0], y[high - 2 : high], rtol=1e-6)


def test_parts_begin_at_dates(tmp_path):
    rows = [(f"2024-{1 + d // 28:02d}-{1 + d % 28:02d}", d) for d in range(84)]
    path = write_table(tmp_path / "d.csv", "day,y", rows)
    data = load(path, time="day", split=["2024-02-01", "2024-03-01"])
    assert [data.rows[part]["day"].iloc[0] for part in ("val", "test")] == [
        "2024-02-06",
        "2024-03-06",
    ]
    with pytest.raises(ConfigError, match="two rising times as in column 'day'"):
        load(path, time="day", split=["2024-03-01", "2024-02-01"])


@pytest.mark.parametrize("scale", ["standard", "minmax"])
def test_scaling_knows_the_training_rows_alone(tmp_path, scale):
    rows = wave()
    before = load(write_table(tmp_path / "a.csv", "t,y,u", rows), inputs=["u"], scale=scale)
    later = [(t, y if t < 56 else 50 * y, u if t < 56 else -u) for t, y, u in rows]
    after = load(write_table(tmp_path / "b.csv", "t,y,u", later), inputs=["u"], scale=scale)
    for data in (before, after):
        assert data.encoder.offset == before.encoder.offset
        assert data.encoder.scale == before.encoder.scale
    sooner = [(t, 50 * y, u) if t < 56 else (t, y, u) for t, y, u in rows]
    changed = load(write_table(tmp_path / "c.csv", "t,y,u", sooner), inputs=["u"], scale=scale)
    assert changed.encoder.scale[0] == pytest.approx(50 * before.encoder.scale[0])
    # Targets in their own units are those of the file.
    truth = before.goal.truth(before.train.y)[0, :, 0]
    np.testing.assert_allclose(truth, [y for _, y, _ in rows[5:7]], rtol=1e-5, atol=1e-6)


def test_known_inputs_are_those_of_the_predicted_steps(tmp_path):
    data = load(series_file(tmp_path), known=["u"], lead=2)
    u = np.array(wave())[:, 2]
    for t in range(5):  # at step t, u of the steps t + lead, t + lead + 1
        np.testing.assert_allclose(data.train.x[3, t, 1:], u[3 + t + 2 : 3 + t + 4])
    assert data.train.x.shape[2] == 3


def test_gaps_are_filled_or_masked(tmp_path):
    rows = [(t, "" if t in (4, 5) else 2 * t) for t in range(60)]
    path = write_table(tmp_path / "g.csv", "t,y", rows)
    filled = load(path, missing="interpolate")
    assert filled.train.x[0, :, 0].tolist() == [0, 2, 4, 6, 8]
    masked = load(path, missing="mask")
    assert masked.train.x[1, :, 0].tolist() == [2, 4, 6, 6, 6]
    assert masked.train.x[1, :, 1].tolist() == [0, 0, 0, 1, 1]
    # Targets that are not known are not asked for; a window of which none is, is left out.
    assert masked.train.y[0, :, 0].isnan().tolist() == [True, False]
    lonely = load(path, missing="mask", horizon=1, window=4)
    assert (
        len(lonely.train) == len(load(path, missing="interpolate", horizon=1, window=4).train) - 2
    )


def test_masked_cells_hold_the_last_known_value_of_their_own_series(tmp_path):
    values = np.random.default_rng(0).normal(5, 1, (2, 120, 2))
    holes = np.random.default_rng(1).uniform(size=values.shape) < 0.4
    holes[:, :3] = holes[:, 82:86] = True  # the beginning, and the border of two parts
    values[holes] = np.nan
    frames = [pd.DataFrame(one, columns=["y", "u"]).assign(id=i) for i, one in enumerate(values)]
    pd.concat(frames).to_csv(tmp_path / "m.csv", index=False)
    options = {"id": "id", "inputs": ["u"], "missing": "mask", "time": None, "horizon": 1}
    data = load(tmp_path / "m.csv", **options)
    held = [frame[["y", "u"]].ffill().fillna(0.0).to_numpy() for frame in frames]
    for part in ("train", "val", "test"):
        split, keys = getattr(data, part), data.rows[part]
        assert len(split) == len(keys) > 5
        for x, name, row in zip(split.x.numpy(), keys["id"], keys["row"], strict=True):
            at = slice(row - 5, row)
            np.testing.assert_allclose(x[:, :2], held[int(name)][at], rtol=1e-6)
            np.testing.assert_array_equal(x[:, 2:], holes[int(name), at])
    # What follows a row changes nothing before it.
    later = frames[0].copy()
    later.loc[50:, ["y", "u"]] = 9.0
    before, after = (data.encoder.encode(Table(one), every=True)[0].x for one in (frames[0], later))
    assert torch.equal(before[:46], after[:46])
    assert not torch.equal(before[46], after[46])


def test_irregular_times_become_an_input(tmp_path):
    times = np.cumsum(np.r_[0, np.tile([1, 3], 40)])
    path = write_table(tmp_path / "i.csv", "t,y", [(t, t % 7) for t in times])
    data = load(path)
    assert data.train.x.shape[2] == 2
    assert data.train.x[1, :, 1].tolist() == [1, 3, 1, 3, 1]
    assert load(series_file(tmp_path)).train.x.shape[2] == 1
    months = [(f"{2000 + m // 12}-{1 + m % 12:02d}-01", m) for m in range(60)]
    assert load(write_table(tmp_path / "m.csv", "t,y", months)).train.x.shape[2] == 1


def test_the_past_of_the_targets_may_be_left_out(tmp_path):
    data = load(series_file(tmp_path), inputs=["u"], past=False)
    assert data.train.x[0, :, 0].tolist() == [0, 1, 2, 3, 4]
    assert data.shape.n_past == 0


def change(row, cells):
    rows = [list(one) for one in wave()]
    rows[row][: len(cells)] = cells
    return rows


def sized(factor, offset=0.0):
    return [(t, offset + factor * y, u) for t, y, u in wave()]


def test_numbers_that_float32_holds_are_not_refused(tmp_path):
    noise = np.random.default_rng(0).uniform(0.3, 0.3 + 1e-16, 80).tolist()
    counts = [(t, 2**23 + t, noise[t]) for t in range(80)]
    for rows in (
        counts,
        sized(1e30),
        sized(1e-30),
        sized(0),
        [(t, int(t % 40 == 0), 1) for t in range(80)],
    ):
        path = write_table(tmp_path / "f.csv", "t,y,u", rows)
        for scale in ("none", "standard"):
            assert load(path, inputs=["u"], scale=scale).train.x.isfinite().all()


@pytest.mark.parametrize(
    ("rows", "options", "message"),
    [
        (change(3, (3, "x")), {}, "row 5, column 'y' must be a finite number, got 'x'"),
        (change(3, (3, "")), {}, "row 5, column 'y' is empty: fill it, or train with task.missing"),
        (change(3, (3, "inf")), {}, "row 5, column 'y' must be a finite number, got 'inf'"),
        (
            change(3, (2,)),
            {},
            "row 5, column 't': the time occurs twice: keep one of them, or name",
        ),
        (change(3, (1.5,)), {}, "row 5, column 't': the time comes before an earlier row's: sort"),
        (change(3, ("",)), {}, "row 5, column 't' must be a number or an ISO date"),
        (change(0, (0, "")), {"missing": "interpolate"}, "row 2, column 'y' is empty: nothing is"),
        (change(3, (3, 1, "")), {"known": ["u"]}, "row 5, column 'u' is empty: fill it"),
        (
            change(3, (3, 1, "")),
            {"known": ["u"], "missing": "mask"},
            "row 5, column 'u' is empty: fill it",
        ),
        (wave(), {"target": "z"}, "column 'z' is not known"),
        (sized(1e38), {"scale": "standard"}, "column 'y' must have numbers of at most 1e+37, got"),
        (sized(1e200), {}, "column 'y' must have numbers of at most 1e+37, got 1e+200: change"),
        (sized(1e-42), {}, "column 'y' must have numbers that differ by at least 1e-37, got 2e-42"),
        (sized(1e-200), {"scale": "standard"}, "column 'y' must have numbers that differ by at"),
        (sized(1, 1e9), {}, "from row to row of numbers up to 1e+09: set task.scale=standard"),
        (wave(), {"window": 50}, "val part must have at least 52 rows in a row"),
        ([(t, "", 1) for t in range(80)], {"missing": "mask"}, "must have a value to predict, but"),
        (wave(), {"id": "u"}, "the val part must have at least 7 rows in a row"),
    ],
)
def test_what_is_wrong_in_a_file_is_one_line(tmp_path, rows, options, message):
    path = write_table(tmp_path / "w.csv", "t,y,u", rows)
    with pytest.raises(DataError) as error:
        load(path, **options)
    assert message in str(error.value)
    assert str(path) in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"window": 0}, "task.window must be at least 1"),
        ({"horizon": 0}, "task.horizon must be at least 1"),
        ({"lead": 0}, "task.lead must be at least 1"),
        ({"stride": 0}, "task.stride must be at least 1"),
        ({"split": [0.5, 0.5]}, "task.split must be two rising times"),
        ({"split": [0.7, 0.2, 0.2]}, "three positive shares of sum 1"),
        ({"split": ["a"]}, "task.split must be three shares"),
        ({"scale": "log"}, "task.scale"),
        ({"missing": "drop"}, "task.missing"),
        ({"loss": "hinge"}, "task.loss"),
        ({"loss": "quantile"}, "task.quantiles must be given with task.loss=quantile"),
        ({"quantiles": [0.5]}, "task.quantiles must be given with task.loss=quantile"),
        ({"loss": "quantile", "quantiles": [0.9, 0.5]}, "must ascend within"),
        ({"loss": "quantile", "quantiles": [0.1, 0.9]}, "must hold 0.5"),
        ({"target": None}, "task.target must name the column to predict, out of y, u"),
        ({"target": []}, "task.target must be a column or a list of columns"),
        ({"inputs": ["y"]}, "'y' is named twice"),
        ({"time": "step"}, "task.time must not be a column named step"),
        ({"id": "truth"}, "task.id must not be a column named truth"),
        ({"id": "row", "time": None}, "task.id must not be a column named row"),
        ({"past": False}, "task.inputs or task.known must name a column with task.past=false"),
    ],
)
def test_keys_out_of_range_are_one_line(tmp_path, options, message):
    with pytest.raises((ConfigError, DataError)) as error:
        load(series_file(tmp_path), **options)
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_the_shipped_series_needs_no_file():
    data = forecast(ForecastConfig())
    assert [len(part) for part in (data.train, data.val, data.test)] == [192, 23, 22]
    assert data.goal.targets == ("SUNACTIVITY",)
    assert data.season == 11
    with pytest.raises(ConfigError, match=r"task.target must be left out without task.file"):
        forecast(ForecastConfig(target="y"))


def test_an_encoder_is_plain_and_comes_back(tmp_path):
    from qrnn.data.tables.base import encoder_from

    encoder = load(series_file(tmp_path), known=["u"]).encoder
    assert encoder_from(encoder.plain()) == encoder
    with pytest.raises(ConfigError, match="must have the keys"):
        encoder_from({**encoder.plain(), "more": 1})


def test_what_learned_zeros_for_masked_cells_is_refused(tmp_path):
    from qrnn.data.tables.base import encoder_from

    plain = load(series_file(tmp_path), missing="mask").encoder.plain()
    assert encoder_from(plain).plain() == plain
    older = {name: value for name, value in plain.items() if name != "held"}
    with pytest.raises(ConfigError, match=r"learned task\.missing=mask when empty cells were 0"):
        encoder_from(older)
    others = load(series_file(tmp_path), missing="interpolate").encoder.plain()
    assert others.keys() == older.keys()  # those of older checkpoints


def test_a_table_to_predict_from_needs_its_known_inputs(tmp_path):
    encoder = load(series_file(tmp_path), known=["u"]).encoder
    rows = [*wave(), (80, "", 0), (81, "", 1)]
    split, keys = encoder.encode(read_table(write_table(tmp_path / "n.csv", "t,y,u", rows)))
    assert keys["t"].tolist() == [80, 81]
    assert split.x[0, -1, 1:].tolist() == [0, 1]
    for end, told in ((rows[:-1], "must go on for 2 rows"), (wave(3), "at least 5 rows")):
        with pytest.raises(DataError, match=told):
            encoder.encode(read_table(write_table(tmp_path / "n.csv", "t,y,u", end)))


REGULAR = {
    "days": pd.date_range("2024-01-01", periods=80, freq="D"),
    "months": pd.date_range("2010-01-31", periods=80, freq="ME"),
    "hours": pd.date_range("2024-01-01", periods=80, freq="h"),
}


@pytest.mark.parametrize("freq", REGULAR)
@pytest.mark.parametrize("every", [False, True])
def test_a_model_of_regular_times_refuses_a_window_with_a_gap(tmp_path, freq, every):
    dates = REGULAR[freq]
    rows = [(str(date), k % 7) for k, date in enumerate(dates)]
    encoder = load(write_table(tmp_path / "a.csv", "t,y", rows)).encoder

    def encode(encoder, dates):
        frame = pd.DataFrame({"t": dates.astype(str), "y": 1.0})
        return encoder.encode(Table(frame, "new.csv", 2), every)[0]

    assert len(encode(encoder, dates)) == (76 if every else 1)
    older = replace(encoder, step=None)  # of a checkpoint that does not say
    assert torch.equal(encode(older, dates).x, encode(encoder, dates).x)
    said = r"new\.csv, row 79, column 't': '.*' comes .* s after the time before, but the "
    for one, whose in ((encoder, "training's"), (older, "median")):
        with pytest.raises(DataError, match=f"{said}{whose} step is .* s: fill the gap"):
            encode(one, dates.delete(77))
    early = dates.delete(3)  # before the last window
    if every:
        with pytest.raises(DataError, match=r"new\.csv, row 5, column 't'"):
            encode(encoder, early)
    else:
        assert len(encode(encoder, early)) == 1
    with pytest.raises(DataError, match=r"the training's step is .*the training's interval"):
        encode(encoder, dates[::2])


def test_a_model_of_irregular_times_reads_a_window_with_a_gap(tmp_path):
    dates = pd.bdate_range("2024-01-01", periods=80)
    rows = [(str(date), k % 7) for k, date in enumerate(dates)]
    encoder = load(write_table(tmp_path / "a.csv", "t,y", rows)).encoder
    frame = pd.DataFrame({"t": dates.delete(77).astype(str), "y": 1.0})
    days = encoder.encode(Table(frame))[0].x[0, :, -1] / 86400
    assert sorted(set(days.tolist())) == [1, 2, 3]


def test_a_name_that_only_the_quantiles_have_is_refused_where_it_would_be_overwritten():
    keys = pd.DataFrame({"q0.5": ["a", "b"], "step": [1, 1]})
    with pytest.raises(ConfigError, match=r"task.time or task.id must not be a column named q0\.5"):
        beside(keys, {"prediction": [1.0, 2.0], "q0.5": [1.0, 2.0]})


def test_dates_that_are_not_read_are_told(tmp_path):
    days = pd.date_range("2024-01-01", periods=80).strftime("%Y-%m-%d")
    rows = [(day, n % 7, n, "a") for n, day in enumerate(days)]
    path = write_table(tmp_path / "d.csv", "day,y,count,word", rows)
    (told,) = load(path, time=None).warnings
    assert (
        told == f"{path}, column 'day' holds dates, which predictions will lack: set task.time=day"
    )
    assert load(path, time="day").warnings == ()
