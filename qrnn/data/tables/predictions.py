"""The columns of a file of predictions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch

from qrnn.data.objectives import Labels, Numbers
from qrnn.data.parts import IGNORED

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
    for k, target in enumerate(objective.targets):
        end = f"_{target}" if len(objective.targets) > 1 else ""
        found[f"prediction{end}"] = predicted[:, k].numpy()
        for q, level in enumerate(objective.quantiles):
            assert levels is not None
            found[f"q{level:g}{end}"] = levels[:, k, q].numpy()
        if not truth[:, k].isnan().all():
            found[f"truth{end}"] = truth[:, k].numpy()
    return found


def beside(keys: pd.DataFrame, columns: dict[str, Any]) -> pd.DataFrame:
    """Return columns of predictions beside the first of the rows that name them."""
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
