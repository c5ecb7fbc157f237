"""Tasks and their data: the interface to the rest of the framework."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from qrnn.data.kinds import KINDS, check_data
from qrnn.data.objectives import Labels, Numbers, Objective
from qrnn.data.parts import Part, Split

if TYPE_CHECKING:
    import pandas as pd

    from qrnn.data.tables.base import Encoder


@dataclass(frozen=True)
class Shape:
    """What a model must match; saved in checkpoints.

    Attributes:
        kind: a key of `qrnn.data.kinds.KINDS`, such as `classify` or `regress`.
        n_classes: number of classes, or of numbers predicted at once: the size of the output C.
        input_size: number of input features D, or size of the vocabulary V.
        tokens: whether the inputs are tokens.
        n_past: number of inputs that are the targets' own past and come first, which
            `model.residual` reads; 0: none are.
    """

    kind: str
    n_classes: int
    input_size: int
    tokens: bool = False
    n_past: int = 0


@dataclass(frozen=True)
class TaskData:
    """A task's training, validation and test data.

    Attributes:
        train: training sequences.
        val: validation sequences, to select the best epoch.
        test: test sequences, for the final evaluation only.
        classes: names of the classes.
        kind: see `Shape`.
        vocabulary: the text of each token; None: x has features instead of tokens.
        vectors: pretrained embeddings of the tokens (V, E); None: the model learns its own.
        metric: the task's metric, a key of `qrnn.evaluation.metrics.METRICS`; empty: `accuracy`
            for labels, `rmse` for numbers, `nrmse` for those of several targets.
        baseline: the metric of a guess that ignores the input, if the literature gives one.
        permutation: order of the original sequences' steps, or None.
        references: untokenised reference translations (N each) for `val` and `test`; None: the
            task is not a translation.
        curriculum: training sequences of the first epochs, in order, as many in each as in
            `train`; later epochs use `train`.
        objective: the loss, and the scaling of the targets; None: the cross entropy of labels, or
            the mean squared error of the numbers as they are.
        encoder: turns rows of a table into such sequences; None: the data is not from a table.
        rows: for each part, the columns that name its predictions, one row per prediction; None:
            they have no names.
        n_past: see `Shape`.
        season: period of the targets, steps; None: they have none, or it is not known.
        changes: mean absolute change of each target from row to row of the training part (K), in
            its units, NaN where no two rows in a row are known; empty: they are not known.
        warnings: what one should know of the rows before training.
        images: whether each sequence is an image, a row of pixels per step, the uppermost first.

    Raises:
        ConfigError: the kind is unknown.
        DataError: a part is empty or does not match the kind; see `qrnn.data.kinds`.
    """

    train: Part
    val: Part
    test: Part
    classes: tuple[str, ...]
    kind: str = "classify"
    vocabulary: tuple[str, ...] | None = None
    vectors: torch.Tensor | None = None
    metric: str = ""
    baseline: float | None = None
    permutation: tuple[int, ...] | None = None
    references: dict[str, tuple[str, ...]] | None = None
    curriculum: tuple[Split, ...] = ()
    objective: Objective | None = None
    encoder: Encoder | None = None
    rows: dict[str, pd.DataFrame] | None = None
    n_past: int = 0
    season: int | None = None
    changes: tuple[float, ...] = ()
    warnings: tuple[str, ...] = ()
    images: bool = False

    def __post_init__(self) -> None:
        parts = {"train": self.train, "val": self.val, "test": self.test}
        parts |= {f"curriculum[{epoch}]": part for epoch, part in enumerate(self.curriculum)}
        check_data(parts, self.kind, len(self.classes), self.vocabulary)
        if self.objective is None:
            object.__setattr__(self, "objective", self._default_objective())
        if not self.metric:
            object.__setattr__(self, "metric", self.goal.shown)

    def _default_objective(self) -> Objective:
        if KINDS[self.kind].labels:
            return Labels(len(self.classes))
        horizon, n = self.train.sequences("numbers").y.shape[1:]
        horizon = horizon if "H" in KINDS[self.kind].axes else 1
        return Numbers(tuple(f"y{k}" for k in range(n)) if n > 1 else ("y",), horizon)

    @property
    def goal(self) -> Objective:
        """The objective."""
        assert self.objective is not None  # __post_init__ sets it
        return self.objective

    @property
    def missed_season(self) -> str:
        """Why a known period gives no baseline of the last season; empty: it does, or is not."""
        window = self.train.sequences("the season").x.shape[1] if self.season is not None else 0
        if self.season is None or self.season <= window or not self.n_past:
            return ""
        return (
            f"no baseline of the last season: its period is {self.season} steps, and "
            f"task.window={window} is shorter"
        )

    def train_of(self, epoch: int) -> Part:
        """Return the training sequences of an epoch, counted from 0."""
        return self.curriculum[epoch] if epoch < len(self.curriculum) else self.train

    @property
    def shape(self) -> Shape:
        """Sizes of inputs and labels."""
        outputs = self.goal.n_outputs
        if self.vocabulary is not None:
            return Shape(self.kind, outputs, len(self.vocabulary), tokens=True)
        features = self.train.sequences("a task of no tokens").x.shape[-1]
        return Shape(self.kind, outputs, features, n_past=self.n_past)
