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
