"""Metrics of numbers, against scikit-learn and by hand."""

import math

import numpy as np
import pytest
from sklearn import metrics

from qrnn.evaluation.metrics import shown
from qrnn.evaluation.scores import by_step, rms_distance, scores

RNG = np.random.default_rng(0)
TRUTH, FOUND = RNG.normal(size=(30, 4, 2)) * [1, 10], RNG.normal(size=(30, 4, 2))


def test_scores_are_scikit_learns():
    got = scores(FOUND, TRUTH, changes=np.array([2.0, 5.0]))
    y, p = TRUTH.reshape(-1, 2), FOUND.reshape(-1, 2)

    def mean(function):
        return np.mean([function(y[:, k], p[:, k]) for k in range(2)])

    wanted = {
        "rmse": mean(metrics.root_mean_squared_error),
        "mae": mean(metrics.mean_absolute_error),
        "r2": mean(metrics.r2_score),
        "nrmse": mean(lambda a, b: metrics.root_mean_squared_error(a, b) / a.std()),
        "mase": np.mean(np.abs(y - p).mean(0) / [2, 5]),
    }
    assert got == pytest.approx(wanted)


def test_quantiles_have_a_pinball_loss_and_a_coverage():
    levels = np.sort(RNG.normal(size=(30, 4, 1, 3)), -1)
    y = TRUTH[..., :1]
    got = scores(levels[..., 1], y, levels=levels, quantiles=(0.1, 0.5, 0.9))
    flat = levels.reshape(-1, 3)
    each = [
        metrics.mean_pinball_loss(y.ravel(), flat[:, i], alpha=a)
        for i, a in enumerate((0.1, 0.5, 0.9))
    ]
    assert got["pinball"] == pytest.approx(np.mean(each))
    inside = (flat[:, 0] <= y.ravel()) & (y.ravel() <= flat[:, 2])
    assert got["coverage"] == pytest.approx(inside.mean())


def test_what_is_not_known_does_not_count():
    holes = TRUTH.copy()
    holes[::3, 1] = np.nan
    got = scores(FOUND, holes)
    known = ~np.isnan(holes[..., 0])
    each = [
        metrics.root_mean_squared_error(holes[..., k][known], FOUND[..., k][known])
        for k in range(2)
    ]
    assert got["rmse"] == pytest.approx(np.mean(each))
    nothing = holes.copy()
    nothing[..., 1] = np.nan
    assert scores(FOUND, nothing) == pytest.approx(scores(FOUND[..., :1], nothing[..., :1]))
    assert scores(FOUND, np.full_like(TRUTH, np.nan)) == {}


def test_a_truth_that_never_changes_has_no_relative_scores():
    got = scores(FOUND[:, :, :1], np.ones((30, 4, 1)), changes=np.array([0.0]))
    assert got.keys() == {"rmse", "mae"}


def test_the_error_of_each_step():
    got = by_step(FOUND[..., :1], TRUTH[..., :1])
    wanted = np.sqrt(((FOUND - TRUTH)[..., 0] ** 2).mean(0))
    np.testing.assert_allclose(got, wanted)
    assert math.isnan(by_step(FOUND, np.full_like(TRUTH, np.nan))[0])


def test_a_target_of_a_large_unit_does_not_hide_another():
    units = np.array([1.0, 1e6])[: TRUTH.shape[-1]]
    assert by_step(FOUND * units, TRUTH * units) == pytest.approx(by_step(FOUND, TRUTH))
    moved = FOUND + np.array([0.5, 0.0])
    wanted = 0.5 / TRUTH[..., 0].std() / 2
    assert rms_distance(moved, FOUND, TRUTH) == pytest.approx(wanted)
    assert rms_distance(moved * units, FOUND * units, TRUTH * units) == pytest.approx(wanted)
    one = rms_distance(moved[..., :1], FOUND[..., :1], TRUTH[..., :1])
    assert one == pytest.approx(0.5)  # in its own units


def test_values_are_shown_short():
    told = [shown("rmse", value) for value in (57.654, 0.5, 1e-5, 0.0)]
    assert told == ["57.65", "0.5000", "1.0e-05", "0.0000"]
    assert (shown("r2", -0.35), shown("r2", -12.0)) == ("-0.3500", "-12.00")
    assert shown("coverage", 0.8) == "80.0%"
