"""Warnings of a training that goes wrong: one line each, with the key to change."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Any

import lightning.pytorch as pl
import torch
from typing_extensions import override

from qrnn.config import TrainConfig
from qrnn.data import TaskData

LARGE_GRADIENT = 100.0  # times the norm that gradients are clipped to
GROWN_LOSS = 1.5  # times the first epoch's
LARGE_INPUT = 10.0  # root mean square of a feature
REMEDY = "lower trainer.lr or model.output_lr"


class Alarms(pl.Callback):
    """Warns, once each, of gradients that explode and of a loss that grows.

    Args:
        clip: largest norm of the gradient.
    """

    def __init__(self, clip: float):
        self.clip = clip
        self.first: float | None = None  # training loss of the first epoch
        self.said: set[str] = set()

    @override
    def on_train_epoch_end(self, trainer: pl.Trainer, *_: Any) -> None:
        metrics = {name: float(value) for name, value in trainer.callback_metrics.items()}
        epoch = trainer.current_epoch + 1
        norm, loss = metrics.get("train/gradient", 0.0), metrics["train/loss"]
        if self.first is None:
            self.first = loss
        if norm > LARGE_GRADIENT * self.clip:
            self._warn(
                "gradient",
                f"the gradient's norm is {norm:.1e} in epoch {epoch}, {norm / self.clip:.0e} times "
                f"trainer.clip: {REMEDY}",
            )
        if loss > GROWN_LOSS * self.first > 0:
            self._warn(
                "loss",
                f"the training loss has grown from {self.first:.3g} to {loss:.3g} in epoch "
                f"{epoch}: {REMEDY}",
            )

    def _warn(self, kind: str, text: str) -> None:
        if kind not in self.said:
            self.said.add(kind)
            warn(text)


def warn(text: str) -> None:
    """Log a warning; without a handler of the user's, Python prints it on standard error."""
    logging.getLogger("qrnn").warning("warning: %s", text)


def data_warnings(data: TaskData, config: TrainConfig) -> Iterator[str]:
    """Yield a warning for each part that lacks a label, and for each input far from order 1.

    Between them come those of the table that the data are read from.

    Args:
        data: the task's.
        config: the full configuration.
    """
    if data.kind == "classify":
        parts = {"training": data.train, "validation": data.val}
        if data.test is not data.val:  # of an estimator, which has none
            parts["test"] = data.test
        for name, part in parts.items():
            there = set(part.sequences("labels").y.tolist())
            if lacks := [one for n, one in enumerate(data.classes) if n not in there]:
                more = f" and {len(lacks) - 5} more" if len(lacks) > 5 else ""
                yield f"the {name} part has no sequence of label {', '.join(lacks[:5])}{more}"
    yield from data.warnings
    if data.vocabulary is not None:
        return
    part = data.train.sequences("inputs")
    x = part.x
    if part.lengths is not None:  # without the padding
        x = x[torch.arange(x.shape[1]) < part.lengths[:, None]]
    sizes = x.flatten(0, -2).double().square().mean(0).sqrt() * abs(config.model.input_scale)
    for feature in (sizes > LARGE_INPUT).nonzero().flatten().tolist():
        yield (
            f"input feature {feature} has a root mean square of {sizes[feature]:.3g}, and should "
            f"be of order 1: scale the data (task.scale=standard) or set model.input_scale"
        )
