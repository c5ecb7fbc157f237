"""Baselines: what they predict, and that they see no test rows."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.linear_model import LinearRegression

from helpers.tables import write_table
from qrnn.data import IGNORED, Split, TaskData
from qrnn.data.tables.forecast import ForecastConfig, forecast
from qrnn.evaluation.baselines import (
    baseline_scores,
    forecasts,
    majority,
    naive,
)
from qrnn.evaluation.metrics import judge


def load(folder, rows, **options):
    path = write_table(folder / "b.csv", "y", [(value,) for value in rows])
    return forecast(ForecastConfig(file=str(path), **{"window": 24, "horizon": 3} | options))


def test_the_last_value_and_the_last_season(tmp_path):
    values = np.tile([0.0, 1, 5, 2, 1, 0.5, 0.2], 40)
    data = load(tmp_path, values)
    x, y = (data.goal.truth(part).numpy() for part in (data.test.x, data.test.y))
    np.testing.assert_allclose(naive(data, "test"), np.repeat(x[:, -1:], 3, 1), atol=1e-6)
    assert data.season == 7
    found = {one.name: one.predictions for one in forecasts(data, "test")}
    assert list(found) == ["last value", "season of 7", "ridge 1", "ridge 2"]
    np.testing.assert_allclose(found["season of 7"], y, atol=1e-6)
    scored = baseline_scores(data, "test", 5)
    assert scored["season of 7"] == pytest.approx(0, abs=1e-6)
    first = np.sqrt(((x[:5, -1:] - y[:5]) ** 2).mean())
    assert scored["last value"] == pytest.approx(first, rel=1e-6)


def test_a_season_longer_than_the_window_is_told(tmp_path):
    values = np.tile([0.0, 1, 5, 2, 1, 0.5, 0.2], 40)
    data = load(tmp_path, values, window=5)
    assert "season of 7" not in {one.name for one in forecasts(data, "test")}
    assert data.missed_season.endswith("its period is 7 steps, and task.window=5 is shorter")
    assert load(tmp_path, values).missed_season == ""


def test_a_season_shorter_than_the_horizon_goes_on(tmp_path):
    data = load(tmp_path, np.tile([0.0, 2, 1, 1], 60), horizon=11)
    found = {one.name: one.predictions for one in forecasts(data, "test")}
    y = data.goal.truth(data.test.y).numpy()
    np.testing.assert_allclose(found["season of 4"], y, atol=1e-6)


def test_ridge_is_a_fit_of_the_training_windows(tmp_path):
    rng, values = np.random.default_rng(0), [0.0, 0.0]
    for _ in range(300):
        values.append(1.2 * values[-1] - 0.6 * values[-2] + rng.normal())
    data = load(tmp_path, values, window=4, horizon=1, scale="none")
    found = {one.name: one.predictions for one in forecasts(data, "test")}
    fit = LinearRegression().fit(data.train.x.flatten(1), data.train.y.flatten(1))
    wanted = fit.predict(data.test.x.flatten(1))[:, None]
    assert np.abs(found["ridge 1"] - wanted).max() < 0.3
    truth = data.test.y.numpy()
    errors = {name: np.sqrt(((p - truth) ** 2).mean()) for name, p in found.items()}
    assert errors["ridge 1"] < errors["last value"]


def test_the_test_part_changes_no_baselines_fit(tmp_path):
    values = np.sin(np.arange(200) / 3)
    data = load(tmp_path, values)
    other = load(tmp_path, np.r_[values[:175], 9 * values[175:]])
    for one, two in zip(forecasts(data, "val"), forecasts(other, "val"), strict=True):
        np.testing.assert_allclose(one.predictions, two.predictions)
    assert data.changes == other.changes


@pytest.mark.parametrize("options", [{}, {"window": 1}, {"window": 6, "horizon": 5, "stride": 4}])
def test_mase_is_over_the_changes_of_the_training_rows(tmp_path, options):
    values = np.cumsum(np.linspace(0.1, 2, 200))
    values[[20, 21, 150]] = np.nan  # to np.diff and pandas, no change
    rows = ["" if np.isnan(value) else value for value in values]
    data = load(tmp_path, rows, missing="mask", **options)
    usual = np.nanmean(np.abs(np.diff(values[:140])))
    assert data.changes == pytest.approx((usual,))
    last = naive(data, "test")
    truth = data.goal.truth(data.test.y).numpy()
    outcome = SimpleNamespace(
        objective=data.goal, predictions=torch.as_tensor(last), labels=torch.as_tensor(truth)
    )
    found = judge(data, "test").scores(outcome)
    assert found["mase"] == pytest.approx(np.nanmean(np.abs(last - truth)) / usual)


def test_changes_are_within_each_series_and_of_all_targets(tmp_path):
    rows = [(name, 1000 * (name == "b") + 2 * t, -t, t % 7) for name in "ab" for t in range(60)]
    path = write_table(tmp_path / "c.csv", "id,y,z,u", rows)
    options = {"target": ["y", "z"], "id": "id", "inputs": ["u"], "past": False, "window": 4}
    assert forecast(ForecastConfig(file=str(path), **options)).changes == (2, 1)


def test_a_large_offset_rounds_neither_truth_nor_baselines(tmp_path):
    steps = np.random.default_rng(0).uniform(0.1, 0.7, 300)
    meter = np.round(8412345.6 + np.cumsum(steps), 2)
    data = load(tmp_path, meter, window=8, horizon=1)
    np.testing.assert_allclose(data.goal.truth(data.test.y).flatten(), meter[263:], rtol=1e-11)
    found = baseline_scores(data, "test")
    errors = np.diff(meter)[262:]
    assert found["last value"] == pytest.approx(np.sqrt((errors**2).mean()), rel=1e-4)
    plain = baseline_scores(load(tmp_path, meter - 8412345.6, window=8, horizon=1), "test")
    assert found == pytest.approx(plain, rel=1e-4)


def test_the_last_known_value_is_the_last_that_is_known(tmp_path):
    values = np.tile([3.0, 5, 8, 6], 75) + np.random.default_rng(0).normal(1000, 0.3, 300)
    values[np.random.default_rng(1).choice(300, 90, replace=False)] = np.nan
    rows = ["" if np.isnan(value) else value for value in values]
    data = replace(load(tmp_path, rows, window=4, horizon=1, missing="mask"), season=4)
    held, asked = pd.Series(values).ffill().to_numpy(), np.arange(259, 300)
    asked = asked[~np.isnan(values[asked])]
    found = {one.name: one.predictions[:, 0, 0] for one in forecasts(data, "test")}
    np.testing.assert_allclose(found["last value"], held[asked - 1], rtol=1e-9)
    np.testing.assert_allclose(found["season of 4"], held[asked - 4], rtol=1e-9)


def test_gaps_do_not_stop_the_baselines(tmp_path):
    values = [f"{np.sin(t / 3):.4f}" if t % 3 else "" for t in range(200)]
    data = load(tmp_path, values, missing="mask")
    assert data.train.y.isnan().flatten(1).any(1).all()  # ridge has nothing to learn from
    names = [one.name for one in forecasts(data, "test")]
    assert "ridge 1" not in names
    assert all(np.isfinite(value) for value in baseline_scores(data, "test").values())


def test_the_most_frequent_label_is_that_of_the_training_part():
    def part(labels):
        return Split(torch.zeros(len(labels), 2, 1), torch.tensor(labels))

    data = TaskData(part([1, 1, 0]), part([0, 1]), part([0, 0, 1, 0]), ("a", "b"))
    assert majority(data, "test").predictions.tolist() == [1, 1, 1, 1]
    assert baseline_scores(data, "test") == {"majority": 0.25}
    assert baseline_scores(data, "test", 3) == {"majority": pytest.approx(1 / 3)}
    steps = Split(torch.zeros(2, 2, 1), torch.tensor([[1, IGNORED], [0, 1]]))
    data = TaskData(steps, steps, steps, ("a", "b"), kind="label")
    assert baseline_scores(data, "test") == {"majority": pytest.approx(2 / 3)}
