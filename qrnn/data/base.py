"""What a task's data looks like to the rest of the framework."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from omegaconf import MISSING

from qrnn.data.kinds import KINDS, check_data
from qrnn.data.objectives import Labels, Numbers, Objective
from qrnn.data.parts import Part, Split
from qrnn.utils.registry import Registry

if TYPE_CHECKING:
    import pandas as pd

    from qrnn.data.tables.base import Encoder

SPLITS = ("test", "val", "train")  # the parts of a task's data, attributes of `TaskData`


@dataclass(frozen=True)
class Shape:
    """What a model must fit: kept in checkpoints.

    Attributes:
        kind: of `qrnn.data.kinds.KINDS`: `classify`, say, or `regress`.
        n_classes: number of labels, or of numbers that are predicted at once: outputs of the head.
        input_size: number of input features D, or of tokens V.
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
    """A task's data in three parts.

    Attributes:
        train: sequences to learn from.
        val: sequences to choose an epoch with.
        test: sequences to report on, and for nothing else.
        classes: names of the labels.
        kind: see `Shape`.
        vocabulary: the tokens of x in words; None: x is no tokens.
        vectors: pretrained embedding of those tokens (V, E); None: the model learns its own.
        metric: what the task is judged by: `accuracy`, `cross_entropy`, `perplexity`,
            `bits_per_character`, `bleu`, `rmse` or `mae`; empty: `accuracy` of labels, `rmse` of
            numbers.
        baseline: the metric of a guess without looking at the input, where the field states one.
        permutation: order in which the steps of the original sequences are shown, or None.
        references: of `val` and `test`, the sentences to compare translations with (N each), as
            they were before they were cut into tokens; None: there is nothing to translate.
        curriculum: sequences of the first epochs, in order, as many in each as in `train`, which
            all later epochs have.
        objective: the loss, and the scaling of targets; None: the cross entropy of labels, or the
            mean squared error of numbers as they are.
        encoder: what turns rows of a table into such sequences; None: they come from no table.
        rows: of each part, the names of its predictions, one a row; None: they have none.
        n_past: see `Shape`.

    Raises:
        ConfigError: an unknown kind, or an objective that does not fit the targets.
        DataError: a part is empty or not of the kind; see `qrnn.data.kinds`.
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

    def train_of(self, epoch: int) -> Part:
        """Return the sequences to learn from in an epoch, counted from 0."""
        return self.curriculum[epoch] if epoch < len(self.curriculum) else self.train

    @property
    def shape(self) -> Shape:
        """Sizes of inputs and labels."""
        outputs = self.goal.n_outputs
        if self.vocabulary is not None:
            return Shape(self.kind, outputs, len(self.vocabulary), tokens=True)
        features = self.train.sequences("a task of no tokens").x.shape[-1]
        return Shape(self.kind, outputs, features, n_past=self.n_past)


@dataclass
class TaskConfig:
    """The `task` group of the config; each task adds its own keys.

    Attributes:
        name: a registered task.
    """

    name: str = MISSING


@dataclass(frozen=True)
class Task:
    """A registered task.

    Attributes:
        schema: dataclass of its keys in the config.
        load: from such a config to the data.
    """

    schema: type[TaskConfig]
    load: Callable[[Any], TaskData]


TASKS: Registry[Task] = Registry("task")


def task(schema: type[TaskConfig]) -> Callable[[Callable[[Any], TaskData]], Any]:
    """Register the decorated loader under its own name, with the schema of its keys."""

    def decorate(load: Callable[[Any], TaskData]):
        TASKS.add(load.__name__, Task(schema, load))
        return load

    return decorate
