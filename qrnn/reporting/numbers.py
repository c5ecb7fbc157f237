"""The part of a page about predicted numbers: metrics, baselines, and figures."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from qrnn.data import Numbers, TaskData
from qrnn.data.tables.base import Encoder
from qrnn.data.tables.windows import ForecastEncoder
from qrnn.evaluation.evaluation import Evaluation, describe
from qrnn.evaluation.metrics import METRICS, shown
from qrnn.reporting import forecast_plot as pictures
from qrnn.reporting.formats import PARTS, count, small
from qrnn.reporting.parts import Figure, Part, Table
from qrnn.reporting.plots import data_url


def baselines(one: Evaluation, model: str) -> Iterator[Part]:
    """Yield a table of the model's metric and those of the baselines, if there are any."""
    if one.baselines:
        values = {model: one.value, **one.baselines}
        yield Table(
            ["prediction by", METRICS[one.metric][0]],
            [[name, shown(one.metric, value)] for name, value in values.items()],
            (1,),
            f"{METRICS[one.metric][1]} is better",
        )


def scores(one: Evaluation, objective: Numbers | None) -> list[tuple[str, str]]:
    """Return the names and values of all metrics; means, if there are several targets."""
    found = {METRICS[one.metric][0]: shown(one.metric, one.value)}
    found |= {METRICS[name][0]: shown(name, v) for name, v in one.scores.items() if name in METRICS}
    loss = small(one.loss)
    if objective is not None:
        loss += f" ({objective.loss} of scaled numbers)"
    return [*found.items(), ("loss", loss)]


def targets(objective: Numbers, per_step: bool) -> list[tuple[str, str]]:
    """Return what is predicted, and how it is learned."""
    names, steps = ", ".join(objective.targets), count(objective.horizon, "step")
    unit = "one number per step" if per_step else f"{steps} of each sequence"
    loss = objective.loss
    if objective.quantiles:
        loss += f": {', '.join(f'{q:g}' for q in objective.quantiles)}"
    return [("targets", f"{names}; {unit}"), ("loss", loss)]


def figures(
    every: Sequence[Evaluation],
    objective: Numbers,
    encoder: Encoder | None,
    data: TaskData | None,
) -> Iterator[Part]:
    """Yield the figures of the first evaluation: forecasts or a scatter plot, errors, residuals.

    Args:
        every: evaluations of the same model, the main one first.
        objective: what the model was trained for.
        encoder: what reads its tables; None: it reads none.
        data: the task's, whose rows name the predictions; None: it could not be loaded.
    """
    one = every[0]
    predicted, truth = np.array(one.predictions, float), np.array(one.labels, float)
    if predicted.shape[1:] != (objective.horizon, len(objective.targets)) or not len(predicted):
        return
    part, names = PARTS.get(one.split or "", "evaluated"), list(objective.targets)
    if np.isnan(truth).all():
        return
    spans = []
    for name, errors in zip(names, np.moveaxis(predicted - truth, -1, 0), strict=True):
        if not np.isnan(errors).all():
            low, high = np.nanquantile(errors, (0.05, 0.95))
            spans.append(f"{low:.3g} to {high:.3g} ({name})")
    summary = f"90% of the residuals are in {', '.join(spans[: pictures.MOST_PANELS])}"
    if isinstance(encoder, ForecastEncoder):
        yield from _forecasts(one, objective, encoder, data, predicted, truth)
    else:
        drawn = pictures.scatter(names, predicted, truth)
        caption = f"Predictions against the truth, {part} part, device {one.device}; on the line "
        caption += "they are equal"
        yield Figure(data_url(drawn), caption, f"Scatter plot: {summary}")
    if objective.horizon > 1:
        lead = encoder.lead if isinstance(encoder, ForecastEncoder) else 1
        errors = {f"{e.device}, {describe(e)}": e.rmse_steps for e in every if e.rmse_steps}
        if errors:
            text = "; ".join(
                f"{name}: {', '.join(map(small, values))}" for name, values in errors.items()
            )
            name = METRICS["nrmse" if one.metric == "nrmse" else "rmse"][0]
            caption = f"{name} of each step ahead"
            alt = f"{caption}, {text}"
            yield Figure(data_url(pictures.errors_ahead(errors, lead, name)), caption, alt)
    drawn = pictures.residuals(names, predicted, truth)
    caption = f"Residuals of the {part} part: {summary}"
    yield Figure(data_url(drawn), caption, f"Histogram. {caption}")


def _forecasts(
    one: Evaluation,
    objective: Numbers,
    encoder: ForecastEncoder,
    data: TaskData | None,
    predicted: np.ndarray,
    truth: np.ndarray,
) -> Iterator[Part]:
    n, horizon = len(predicted), objective.horizon
    rows = None if data is None or data.rows is None else data.rows.get(one.split or "")
    if rows is not None and len(rows) >= n * horizon:
        rows = rows.iloc[: n * horizon]
        time = encoder.time or "row"
        times = pictures.moments(rows[time].tolist()).reshape(n, horizon)
        series = [""] * n
        if encoder.series is not None:
            series = rows[encoder.series].tolist()[::horizon]
    elif encoder.series is None:  # the file is gone: windows follow each other by one step
        times, time = np.arange(n)[:, None] + np.arange(horizon), "step"
        series = [""] * n
    else:
        return
    levels = np.array(one.levels, float) if one.levels else None
    drawn = pictures.forecasts(objective, predicted, truth, levels, times, series, time)
    caption = "Forecasts one after the other, and the truth"
    if horizon > 1:
        caption = f"Forecasts of {horizon} steps each, one after the other, and the truth"
    if levels is not None:
        caption += "; the band is between the outermost quantiles"
    names = ", ".join(objective.targets[: pictures.MOST_PANELS])
    alt = f"Forecasts of {names}, {PARTS.get(one.split or '', 'evaluated')} part, {one.device}"
    yield Figure(data_url(drawn), caption, alt, wide=True)
