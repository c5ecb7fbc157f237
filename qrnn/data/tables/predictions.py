"""The columns of a file of predictions."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from qrnn.data.objectives import Labels, Numbers
from qrnn.data.parts import IGNORED
from qrnn.errors import ConfigError

if TYPE_CHECKING:
    import pandas as pd


def number_columns(objective: Numbers, outputs: torch.Tensor, y: torch.Tensor) -> dict[str, Any]:
    """Return predictions, quantiles and truths as columns of M * H rows.

    Args:
        objective: of K targets, whose names follow those of the columns where K > 1.
        outputs: of the head (M, C).
        y: scaled targets (M, H, K), NaN where the truth is not known.
    """
    found: dict[str, Any] = {}
    predicted = objective.answers(outputs).flatten(0, 1)
    truth = objective.truth(y.reshape(-1, objective.horizon, len(objective.targets))).flatten(0, 1)
    levels = objective.levels(outputs).flatten(0, 1) if objective.quantiles else None
    scales, offsets = (one.tolist() for one in objective.scaling(outputs))
    for k, target in enumerate(objective.targets):
        end = f"_{target}" if len(objective.targets) > 1 else ""
        scaling = scales[k], offsets[k]
        found[f"prediction{end}"] = _written(predicted[:, k].numpy(), *scaling)
        for q, level in enumerate(objective.quantiles):
            assert levels is not None
            found[f"q{level}{end}"] = _written(levels[:, k, q].numpy(), *scaling)
        if not truth[:, k].isnan().all():
            found[f"truth{end}"] = _written(truth[:, k].numpy(), *scaling)
    return found


def _written(values: np.ndarray, scale: float, offset: float) -> np.ndarray:
    """Return float64 values (M,) with the decimals that their scaled ones hold in float32.

    Numbers of the file, which have fewer, are themselves again.
    """
    scaled = np.abs((values - offset) / scale).astype(np.float32)
    steps = np.spacing(scaled).astype(np.float64) * scale
    decimals = np.nan_to_num(np.floor(-np.log10(steps))).astype(int)  # NaN where it is not known
    return np.array([round(v, d) for v, d in zip(values.tolist(), decimals.tolist(), strict=True)])


def refuse_own(given: Mapping[str, str | None], own: Collection[str]) -> None:
    """Check that columns of the user's that files of predictions repeat are not named as our own.

    Args:
        given: names of columns by the keys that name them.
        own: names of the columns of predictions.

    Raises:
        ConfigError: one of the names is used twice.
    """
    for key, name in given.items():
        if name in own:
            raise ConfigError(
                f"{key} must not be a column named {name}, which files of predictions have for "
                f"themselves: rename it in the file"
            )


def beside(keys: pd.DataFrame, columns: dict[str, Any]) -> pd.DataFrame:
    """Return columns of predictions beside the first of the rows that name them.

    Raises:
        ConfigError: both have a column of the same name, such as that of a quantile.
    """
    for name in keys.columns:
        refuse_own({"task.time or task.id": str(name)}, columns)
    return keys.iloc[: len(next(iter(columns.values())))].assign(**columns)


def label_columns(
    classes: Sequence[str], outputs: torch.Tensor, y: torch.Tensor, objective: Labels
) -> dict[str, Any]:
    """Return predicted labels, probabilities (or scores) and truths as columns of M rows.

    Args:
        classes: names of the labels (C).
        outputs: of the head (M, C).
        y: labels (M,), `IGNORED` where the truth is not known.
        objective: of the labels.
    """
    shares, letter = (
        (outputs.softmax(-1), "p") if objective.has_probabilities else (outputs, "score")
    )
    found: dict[str, Any] = {
        "prediction": [classes[label] for label in objective.answers(outputs).tolist()]
    }
    found |= {f"{letter}_{name}": shares[:, c].numpy() for c, name in enumerate(classes)}
    if (y != IGNORED).any():
        found["truth"] = [None if label == IGNORED else classes[label] for label in y.tolist()]
    return found
