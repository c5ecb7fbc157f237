"""What costs nothing: forecasts and labels that any model should beat."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch

from qrnn.data import IGNORED, TaskData
from qrnn.data.objectives import Numbers
from qrnn.evaluation.scores import scores

MOST_FEATURES = 2_000  # of ridge of degree 2, beyond which it is left out
STRENGTHS = (1e-6, 1e-4, 1e-2, 1.0, 100.0)  # of ridge; the best on the validation part is taken


class Baseline(NamedTuple):
    """A baseline's predictions.

    Attributes:
        name: of the baseline.
        predictions: of a part, in the targets' units (N, H, K); or labels.
    """

    name: str
    predictions: np.ndarray


def naive(data: TaskData, part: str) -> np.ndarray | None:
    """Return the last known value as the forecast of all steps (N, H, K); None: it is not read."""
    objective = data.objective
    split = getattr(data, part)
    if not isinstance(objective, Numbers) or not data.n_past or split.lengths is not None:
        return None
    last = objective.truth(split.x[:, -1:, : data.n_past]).numpy()
    return np.repeat(last, objective.horizon, 1)


def forecasts(data: TaskData, part: str) -> list[Baseline]:
    """Return the baselines of a forecast: last value, last season, ridge of degree 1 and 2.

    Args:
        data: the task's.
        part: `train`, `val` or `test`.
    """
    objective = data.objective
    split = getattr(data, part)
    if not isinstance(objective, Numbers) or split.x.ndim != 3 or split.lengths is not None:
        return []
    if data.kind != "regress":
        return []
    found = []
    last = naive(data, part)
    if last is not None:
        found.append(Baseline("last value", last))
        if (period := data.season) is not None and period <= split.x.shape[1]:
            steps = [split.x.shape[1] - period + h % period for h in range(objective.horizon)]
            values = objective.truth(split.x[:, steps, : data.n_past]).numpy()
            found.append(Baseline(f"season of {period}", values))
    for degree in (1, 2):
        made = ridge(data, part, degree)
        if made is not None:
            found.append(Baseline(f"ridge {degree}", made))
    return found


def ridge(data: TaskData, part: str, degree: int) -> np.ndarray | None:
    """Return the predictions (N, H, K) of ridge regression on the window; None: it is too wide.

    Args:
        data: the task's.
        part: `train`, `val` or `test`.
        degree: of the polynomial of the window's values.
    """
    from sklearn.linear_model import Ridge
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import PolynomialFeatures, StandardScaler

    objective = data.objective
    assert isinstance(objective, Numbers)

    def arrays(name: str) -> tuple[np.ndarray, np.ndarray]:
        split = getattr(data, name)
        x, y = split.x.flatten(1).double().numpy(), split.y.flatten(1).double().numpy()
        return x, y

    x, y = arrays("train")
    size = x.shape[1]
    if degree == 2 and size * (size + 3) // 2 > MOST_FEATURES:
        return None
    known = ~np.isnan(y).any(1)
    x_val, y_val = arrays("val")
    asked = ~np.isnan(y_val).any(1)
    if not (known.any() and asked.any()):
        return None
    best, least = None, np.inf
    for strength in STRENGTHS:
        steps = [PolynomialFeatures(degree, include_bias=False)] if degree > 1 else []
        made = make_pipeline(StandardScaler(), *steps, Ridge(strength)).fit(x[known], y[known])
        errors = made.predict(x_val[asked]).reshape(int(asked.sum()), -1) - y_val[asked]
        if (error := float((errors**2).mean())) < least:
            best, least = made, error
    if best is None:
        return None
    split = getattr(data, part)
    values = best.predict(split.x.flatten(1).double().numpy())
    shaped = torch.as_tensor(values.reshape(len(split), objective.horizon, -1))
    return objective.truth(shaped).numpy()


def baseline_scores(data: TaskData, part: str, limit: int | None = None) -> dict[str, float]:
    """Return the task's metric of each baseline on a split, or on its first sequences.

    Args:
        data: the task's.
        part: `train`, `val` or `test`.
        limit: number of sequences; None: all.
    """
    if isinstance(data.objective, Numbers):
        truth = data.objective.truth(getattr(data, part).y).numpy()[:limit]
        each = {one.name: scores(one.predictions[:limit], truth) for one in forecasts(data, part)}
        return {name: found[data.metric] for name, found in each.items() if data.metric in found}
    one = majority(data, part) if data.metric == "accuracy" else None
    if one is None:
        return {}
    y = getattr(data, part).head(limit).y
    truth = y[y != IGNORED].numpy()
    return {one.name: float((truth == one.predictions[: len(truth)]).mean())}


def majority(data: TaskData, part: str) -> Baseline | None:
    """Return the majority of the training part, for all that is asked for."""
    train, split = data.train, getattr(data, part)
    if train.is_text or data.kind not in ("classify", "label"):
        return None
    y = train.sequences("labels").y
    counts = y[y != IGNORED].bincount()
    asked = int((split.y != IGNORED).sum())
    return Baseline("majority", np.full(asked, int(counts.argmax())))
