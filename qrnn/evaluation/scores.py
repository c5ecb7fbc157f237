"""How good predicted numbers are: over all of them, by target and by step ahead."""

from __future__ import annotations

import math
import warnings
from typing import Any

import numpy as np


def scores(
    predicted: np.ndarray,
    truth: np.ndarray,
    *,
    changes: np.ndarray | None = None,
    levels: np.ndarray | None = None,
    quantiles: tuple[float, ...] = (),
) -> dict[str, float]:
    """Return the metrics of predictions; where several targets are given, means over the targets.

    - `rmse`, `mae`: root mean squared and mean absolute error, in the target's units.
    - `nrmse`: RMSE over the standard deviation of the truth.
    - `r2`: 1 - NRMSE^2, the coefficient of determination.
    - `mase`: MAE over the mean absolute change from one row to the next of the training part
      (Hyndman and Koehler, 2006).
    - `pinball`: mean quantile loss; `coverage`: share of the truth between the outermost quantiles.

    Args:
        predicted: (N, H, K).
        truth: (N, H, K), NaN where it is not known.
        changes: see `qrnn.data.TaskData` (K); None: not known.
        levels: predicted quantiles (N, H, K, Q).
        quantiles: their levels, ascending (Q).
    """
    found: dict[str, list[float]] = {}
    for k in range(truth.shape[-1]):
        known = ~np.isnan(truth[..., k])
        if not known.any():
            continue
        y, p = truth[..., k][known], predicted[..., k][known]
        error, spread = p - y, float(y.std())
        rmse = math.sqrt((error**2).mean())
        one = {"rmse": rmse, "mae": float(np.abs(error).mean())}
        if spread > 0:
            one |= {"nrmse": rmse / spread, "r2": 1 - (rmse / spread) ** 2}
        if changes is not None and changes[k] > 0:
            one["mase"] = one["mae"] / float(changes[k])
        if levels is not None and quantiles:
            from sklearn.metrics import mean_pinball_loss

            q = levels[..., k, :][known]
            each = [mean_pinball_loss(y, q[:, i], alpha=a) for i, a in enumerate(quantiles)]
            one["pinball"] = float(np.mean(each))
            one["coverage"] = float(((q[:, 0] <= y) & (y <= q[:, -1])).mean())
        for name, value in one.items():
            found.setdefault(name, []).append(value)
    return {name: float(np.mean(values)) for name, values in found.items()}


def by_step(predicted: np.ndarray, truth: np.ndarray) -> list[float]:
    """Return the RMSE of each step ahead (H), NaN where nothing is known.

    Of several targets, that of each is divided by the standard deviation of its truth, and the mean
    is returned.
    """
    return _rms(predicted - truth, truth, 0)


def rms_distance(one: np.ndarray, other: np.ndarray, truth: np.ndarray) -> float:
    """Return the root mean square difference of predictions (N, H, K); see `by_step`."""
    return _rms(one - other, truth, (0, 1))


def _rms(differences: np.ndarray, truth: np.ndarray, axes: int | tuple[int, ...]) -> Any:
    with warnings.catch_warnings(category=RuntimeWarning, action="ignore"):  # of what is all NaN
        if truth.shape[-1] > 1:
            spread = np.nanstd(truth, (0, 1))
            differences = differences / np.where(spread > 0, spread, np.nan)
        return np.nanmean(np.sqrt(np.nanmean(np.square(differences), axes)), -1).tolist()
