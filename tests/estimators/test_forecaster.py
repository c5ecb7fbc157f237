"""The sktime forecaster."""

import copy
import pickle

import numpy as np
import pandas as pd
import pytest

from qrnn import ConfigError, DataError, MissingExtraError, QRNNForecaster
from qrnn.config import compose
from qrnn.estimators import forecaster

SMALL = {"window": 6, "n_qubits": 2, "width": 4, "epochs": 12, "lr": 0.05, "residual": "last"}
MONTHS = pd.period_range("2000-01", periods=80, freq="M")
WAVE = pd.Series(100 + 30 * np.sin(np.arange(80) / 3), index=MONTHS, name="sales")


def test_without_sktime_it_says_what_to_install(monkeypatch):
    monkeypatch.setattr(forecaster, "BaseForecaster", object)
    with pytest.raises(MissingExtraError, match=r"pip install 'pennylane-qrnn\[sktime\]'"):
        QRNNForecaster()


@pytest.fixture(scope="module")
def fitted():
    pytest.importorskip("sktime")
    return QRNNForecaster(**SMALL).fit(WAVE[:-3], fh=[1, 3])


@pytest.mark.slow
def test_sktimes_own_checks_pass():
    pytest.importorskip("sktime")
    from sktime.utils.estimator_checks import check_estimator

    # An instance, not the class: with all its test parameters the checks take twice as long.
    instance = QRNNForecaster(**QRNNForecaster.get_test_params()[1])
    check_estimator(instance, raise_exceptions=True, verbose=0)


def test_it_forecasts_the_steps_of_the_horizon(fitted):
    found = fitted.predict()
    assert found.index.equals(WAVE.index[[-3, -1]])
    assert found.name == "sales"
    assert np.abs(found - WAVE[found.index]).max() < 10
    assert fitted.trained_.objective.horizon == 3


def test_copies_and_other_devices_predict_the_same(fitted):
    expected = fitted.predict()
    for other in (
        copy.deepcopy(fitted),
        pickle.loads(pickle.dumps(fitted)),
        fitted.on("default.qubit"),
    ):
        np.testing.assert_allclose(other.predict(), expected, rtol=1e-4)
    noisy = fitted.on("default.mixed", noise="depolarizing", strength=0.3).predict()
    assert np.abs(noisy - expected).max() > 1e-2


def test_new_rows_move_the_forecast_with_and_without_training(fitted):
    before = fitted.predict()
    moved = copy.deepcopy(fitted).update(WAVE[-3:], update_params=False)
    found = moved.predict()
    assert found.index.equals(before.index + 3)
    assert moved.trained_ is not fitted.trained_  # deepcopy's
    expected = pd.Series(100 + 30 * np.sin(np.array([80, 82]) / 3), index=found.index)
    assert np.abs(found - expected).max() < 10
    retrained = copy.deepcopy(fitted).update(WAVE[-3:], update_params=True)
    assert np.abs(retrained.predict() - found).max() > 1e-4


def test_known_inputs_and_several_targets():
    pytest.importorskip("sktime")
    rng = np.random.default_rng(0)
    ahead = pd.DataFrame({0: rng.normal(size=80), "b": rng.normal(size=80)}, index=MONTHS)
    y = pd.DataFrame({"now": 50 + 10 * ahead[0], "wave": WAVE})
    model = QRNNForecaster(**{**SMALL, "residual": None}, readout="XYZ").fit(
        y[:70], X=ahead[:70], fh=[1, 2]
    )
    found = model.predict(X=ahead[70:])
    assert list(found.columns) == ["now", "wave"]
    changed = model.predict(X=ahead[70:] + 3)
    assert np.abs(changed - found).to_numpy().max() > 0.1
    with pytest.raises(DataError, match="X must have rows for all 2 steps"):
        model.predict(X=ahead[70:71])


def test_validation_targets_are_in_no_training_window():
    task = compose("train", ["task=forecast", "task.window=4", "task.horizon=3"]).task
    task.scale = "none"
    data = forecaster.windows(pd.DataFrame({"y0": np.arange(40.0)}), task, 0.2)
    assert data.train.y.max() == data.val.y.min() - 1
    assert data.val.y.max() == 39
    assert data.train.y.min() == 4
    scaled = forecaster.windows(
        pd.DataFrame({"y0": np.arange(40.0)}),
        compose("train", ["task=forecast", "task.window=4", "task.horizon=3"]).task,
        0.2,
    )
    seen = np.arange(data.train.y.max().item() + 1)
    assert scaled.encoder.offset[0] == pytest.approx(seen.mean())


def test_what_is_wrong_is_one_line():
    pytest.importorskip("sktime")
    with pytest.raises(DataError, match=r"y must have at least 10 steps.* got 9"):
        QRNNForecaster(**SMALL).fit(WAVE[:9], fh=[1, 2])
    QRNNForecaster(**{**SMALL, "epochs": 1}).fit(WAVE[:10], fh=[1, 2])
    with pytest.raises(ConfigError, match="val must be"):
        QRNNForecaster(**SMALL, val=0.0).fit(WAVE, fh=[1])
    with pytest.raises(ConfigError, match=r"task\.stride must be left out"):
        QRNNForecaster(**SMALL, overrides=("task.stride=2",)).fit(WAVE, fh=[1])


@pytest.fixture(scope="module")
def quick():
    """Return a fitted forecaster with X, and one of several targets, for a few steps."""
    pytest.importorskip("sktime")
    options = {**SMALL, "window": 4, "epochs": 1}
    known = pd.DataFrame({"a": np.arange(80.0), "b": 10 * np.cos(np.arange(80))}, MONTHS)
    both = pd.DataFrame({"u": WAVE, "v": 1000 + 5 * WAVE[::-1].to_numpy()})
    return (
        known,
        both,
        QRNNForecaster(**options).fit(WAVE[:30], X=known[:30], fh=[1, 2]),
        QRNNForecaster(**options).fit(both[:30], fh=[1, 2]),
    )


def test_columns_are_found_by_name(quick):
    known, both, of_x, of_y = quick
    swapped = known[["b", "a"]]
    expected = of_x.predict(X=known)
    pd.testing.assert_series_equal(of_x.predict(X=swapped), expected)
    found = [
        copy.deepcopy(of_x).update(WAVE[30:33], X=one, update_params=False).predict(X=one)
        for one in (known, swapped)
    ]
    pd.testing.assert_series_equal(*found)
    found = [
        copy.deepcopy(of_y).update(one, update_params=False).predict()
        for one in (both[30:33], both[30:33][["v", "u"]])
    ]
    pd.testing.assert_frame_equal(*found)
    with pytest.raises(DataError, match=r"X must have the columns of fit, \['a', 'b'\], got"):
        of_x.predict(X=known[["b"]])
    with pytest.raises(DataError, match="X must be given as in fit, with columns"):
        copy.deepcopy(of_x).update(WAVE[30:33], update_params=False)


@pytest.mark.parametrize(
    "index",
    [MONTHS, pd.date_range("2000-01-01", periods=80, freq="D"), pd.RangeIndex(80)],
    ids=["periods", "dates", "numbers"],
)
def test_a_gap_between_rows_is_refused(index):
    pytest.importorskip("sktime")
    wave = WAVE.set_axis(index)
    model = QRNNForecaster(**{**SMALL, "epochs": 1}).fit(wave[:40], fh=[1])
    copy.deepcopy(model).update(wave[40:42], update_params=False)
    with pytest.raises(DataError, match=r"y must have a row for each step from .* is missing"):
        model.update(wave[43:45], update_params=False)


@pytest.mark.parametrize("freq", ["D", "h", "MS", "B"])
def test_a_gap_between_dates_without_freq_is_refused(freq):
    pytest.importorskip("sktime")
    dates = pd.DatetimeIndex(pd.date_range("2000-01-01", periods=80, freq=freq).to_numpy())
    assert dates.freq is None
    wave = WAVE.set_axis(dates)
    model = QRNNForecaster(**{**SMALL, "epochs": 1}).fit(wave[:40], fh=[1])
    model.update(wave[40:42], update_params=False)
    said = rf"regular step, got an index without freq: use y\.asfreq\('{freq}'\) and fill the gaps"
    with pytest.raises(DataError, match=said):
        model.update(wave[43:45], update_params=False)
    with pytest.raises(DataError, match=said):
        QRNNForecaster(**{**SMALL, "epochs": 1}).fit(wave.drop(dates[20:23]), fh=[1])


def test_several_series_predict_on_another_device():
    pytest.importorskip("sktime")
    index = pd.MultiIndex.from_product([["x", "y"], MONTHS[:30]])
    panel = pd.DataFrame({"sales": np.tile(WAVE[:30], 2)}, index)
    model = QRNNForecaster(**{**SMALL, "epochs": 1}).fit(panel, fh=[1, 2])
    noisy = model.on("default.mixed", noise="depolarizing", strength=0.3).predict()
    assert (noisy - model.predict()).abs().to_numpy().max() > 1e-2
