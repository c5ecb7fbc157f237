"""Series made by an equation, to forecast: Mackey-Glass, NARMA-10, Lorenz and Henon.

With their defaults, Henon's and Lorenz's are the 1,000 points of the benchmark of Fellner et al.
(arXiv 2504.12416), which takes them from reservoirpy.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping

import numpy as np

from qrnn.config.tables import (
    HenonConfig,
    LorenzConfig,
    MackeyGlassConfig,
    Narma10Config,
    SeriesConfig,
)
from qrnn.data.base import TaskData
from qrnn.data.sources import at_least, at_most, check_seed
from qrnn.data.tables.files import Table
from qrnn.data.tables.forecast import load_forecast
from qrnn.data.tables.series import Columns

LONGEST = 1_000_000


def henon_series(n: int) -> np.ndarray:
    """Return n points (n, 2) of Henon's map (M. Henon, 1976)."""
    points = np.zeros((n, 2))
    for t in range(1, n):
        x, y = points[t - 1]
        points[t] = 1 - 1.4 * x**2 + y, 0.3 * x
    return points


def lorenz_series(n: int) -> np.ndarray:
    """Return n points (n, 3) of Lorenz's system (E. Lorenz, 1963), after 500 that are left out.

    Integrated by scipy's RK45 from (1, 1, 1). Its steps depend on where the points lie: they are
    those of 10,000 points, as in the benchmark, if no more are asked for.
    """
    from scipy.integrate import solve_ivp

    def slope(_: float, state: np.ndarray) -> list[float]:
        x, y, z = state
        return [10 * (y - x), x * (28 - z) - y, x * y - 8 / 3 * z]

    total = max(10_000, n + 500)
    end = total * 0.03
    times = np.linspace(0.0, end, total)
    return solve_ivp(slope, (0.0, end), [1.0, 1.0, 1.0], t_eval=times).y.T[500 : 500 + n]


def mackey_glass_series(n: int, tau: int, seed: int) -> np.ndarray:
    """Return n points (n, 1) of Mackey-Glass's equation (1977), by Runge-Kutta of step 1.

    Within a step the delayed value is held. The history is 1.2, plus uniform noise of +-0.1.
    """
    noise = np.random.default_rng(seed).random(tau)
    history = deque((1.2 + 0.2 * (noise - 0.5)).tolist())
    points, x = np.zeros((n, 1)), 1.2
    for t in range(n):
        points[t] = x
        history.append(x)
        delayed = history.popleft()
        feed = 0.2 * delayed / (1 + delayed**10)
        k1 = feed - 0.1 * x
        k2 = feed - 0.1 * (x + k1 / 2)
        k3 = feed - 0.1 * (x + k2 / 2)
        k4 = feed - 0.1 * (x + k3)
        x += (k1 + 2 * k2 + 2 * k3 + k4) / 6
    return points


def narma10_series(n: int, seed: int) -> np.ndarray:
    """Return n points u, y (n, 2) of NARMA-10 (Atiya and Parlos, 2000).

    Where y grows beyond all bounds, which happens for few u, the next seed is taken.
    """
    while True:
        u = np.random.default_rng(seed).uniform(0, 0.5, n)
        y = np.zeros(n)
        for t in range(9, n - 1):
            past = y[t - 9 : t + 1].sum()
            y[t + 1] = 0.3 * y[t] + 0.05 * y[t] * past + 1.5 * u[t - 9] * u[t] + 0.1
            if y[t + 1] > 10:
                break
        else:
            return np.stack([u, y], 1)
        seed += 1


def _load(
    config: SeriesConfig,
    values: Mapping[str, np.ndarray],
    targets: tuple[str, ...],
    inputs: tuple[str, ...] = (),
) -> TaskData:
    import pandas as pd

    table = Table(pd.DataFrame(dict(values)), config.name)
    return load_forecast(config, table, Columns(targets, inputs, past=not inputs))


def _check(config: SeriesConfig) -> None:
    at_least("task.length", config.length, 10)
    at_most("task.length", config.length, LONGEST)


def mackey_glass(config: MackeyGlassConfig) -> TaskData:
    """Return a Mackey-Glass series to forecast.

    Raises:
        ConfigError: a key out of range.
    """
    _check(config)
    at_least("task.tau", config.tau, 1)
    check_seed("task.seed", config.seed)
    points = mackey_glass_series(config.length, config.tau, config.seed)
    return _load(config, {"x": points[:, 0]}, ("x",))


def narma10(config: Narma10Config) -> TaskData:
    """Return NARMA-10: windows of u, and the y after each; y's past is no input.

    Raises:
        ConfigError: a key out of range.
    """
    _check(config)
    check_seed("task.seed", config.seed)
    u, y = narma10_series(config.length, config.seed).T
    return _load(config, {"u": u, "y": y}, ("y",), ("u",))


def lorenz(config: LorenzConfig) -> TaskData:
    """Return a Lorenz series to forecast, all three coordinates.

    Raises:
        ConfigError: a key out of range.
    """
    _check(config)
    points = lorenz_series(config.length)
    return _load(config, dict(zip("xyz", points.T, strict=True)), ("x", "y", "z"))


def henon(config: HenonConfig) -> TaskData:
    """Return a Henon series to forecast, both coordinates.

    Raises:
        ConfigError: a key out of range.
    """
    _check(config)
    points = henon_series(config.length)
    return _load(config, {"x": points[:, 0], "y": points[:, 1]}, ("x", "y"))
