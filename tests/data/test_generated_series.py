"""Generated series follow their equations, and equal the shared files."""

import numpy as np
import pandas as pd
import pytest

from helpers.task_files import REAL, needs_data
from qrnn import ConfigError
from qrnn.data import TASKS
from qrnn.data.tables.generated import (
    henon_series,
    lorenz_series,
    mackey_glass_series,
    narma10_series,
)


@needs_data
@pytest.mark.parametrize(
    ("name", "made", "same", "tolerance"),
    [("henon", henon_series, 1000, 1e-12), ("lorenz", lorenz_series, 200, 1e-6)],
)
def test_the_benchmarks_points(name, made, same, tolerance):
    """Lorenz's later points differ between processors, as roundings grow by e in a time of 1.1."""
    wanted, points = pd.read_csv(REAL / f"forecasting/{name}_1000.csv").to_numpy(), made(1000)
    np.testing.assert_allclose(points[:same], wanted[:same], rtol=0, atol=tolerance)
    np.testing.assert_allclose(points.std(0), wanted.std(0), rtol=0.1)


def test_henon_begins_as_it_must():
    np.testing.assert_allclose(henon_series(4), [[0, 0], [1, 0], [-0.4, 0.3], [1.076, -0.12]])


def test_lorenz_is_a_solution():
    points, step = lorenz_series(400), 0.03
    x, y, z = points.T
    slope = np.stack([10 * (y - x), x * (28 - z) - y, x * y - 8 / 3 * z], 1)
    # A difference over two steps is the slope, up to third derivatives.
    error = (points[2:] - points[:-2]) / (2 * step) - slope[1:-1]
    assert np.median(np.abs(error) / (1 + np.abs(slope[1:-1]))) < 0.05


def test_mackey_glass_is_a_solution():
    x = mackey_glass_series(500, 17, 0)[:, 0]
    delayed, now = x[:-18], x[17:-1]
    feed = 0.2 * delayed / (1 + delayed**10)
    # With the delayed value held, the step is an exponential.
    wanted = now * np.exp(-0.1) + 10 * feed * (1 - np.exp(-0.1))
    np.testing.assert_allclose(x[18:], wanted, atol=1e-6)
    assert 0.2 < x[100:].min() < x[100:].max() < 1.5
    assert not np.array_equal(x, mackey_glass_series(500, 17, 1)[:, 0])


def test_narma_is_its_recurrence():
    u, y = narma10_series(300, 0).T
    for t in range(9, 299):
        wanted = 0.3 * y[t] + 0.05 * y[t] * sum(y[t - i] for i in range(10))
        wanted += 1.5 * u[t - 9] * u[t] + 0.1
        assert y[t + 1] == pytest.approx(wanted, rel=1e-12)
    assert (u.min() >= 0, u.max() <= 0.5, y.max() < 10) == (True, True, True)


@needs_data
def test_the_shared_narma_file_follows_the_same_recurrence():
    u, y = pd.read_csv(REAL / "tables/narma10.csv").to_numpy().T
    t = np.arange(9, len(u) - 1)
    past = sum(y[t - i] for i in range(10))
    wanted = 0.3 * y[t] + 0.05 * y[t] * past + 1.5 * u[t - 9] * u[t] + 0.1
    np.testing.assert_allclose(y[t + 1], wanted, rtol=1e-9)


@pytest.mark.parametrize(
    ("name", "features", "outputs", "past"),
    [("henon", 2, 2, 2), ("lorenz", 3, 3, 3), ("mackey_glass", 1, 1, 1), ("narma10", 1, 1, 0)],
)
def test_the_tasks(name, features, outputs, past):
    task = TASKS[name]
    data = task.load(task.schema(length=300, window=8))
    shape = data.shape
    assert (shape.input_size, shape.n_classes, shape.n_past) == (features, outputs, past)
    for options in ({"length": 9}, {"length": 2_000_000}):
        with pytest.raises(ConfigError, match=r"task.length"):
            task.load(task.schema(**options))


def test_narma_predicts_the_value_after_the_last_input():
    task = TASKS["narma10"]
    data = task.load(task.schema(length=300, window=12, scale="none"))
    u, y = narma10_series(300, 0).T
    np.testing.assert_allclose(data.train.x[5, :, 0], u[5:17], rtol=1e-6)
    assert data.train.y[5].item() == pytest.approx(y[17], rel=1e-6)
