"""What a task's data looks like to the rest of the framework."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from omegaconf import MISSING

from qrnn.data.kinds import check_data
from qrnn.data.parts import Part, Split
from qrnn.utils.registry import Registry

SPLITS = ("test", "val", "train")  # the parts of a task's data, attributes of `TaskData`


@dataclass(frozen=True)
class Shape:
    """What a model must fit: kept in checkpoints.

    Attributes:
        kind: of `qrnn.data.kinds.KINDS`: `classify`, `label` or `translate`.
        n_classes: number of labels C.
        input_size: number of input features D, or of tokens V.
        tokens: whether the inputs are tokens.
    """

    kind: str
    n_classes: int
    input_size: int
    tokens: bool = False


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
            `bits_per_character` or `bleu`.
        baseline: the metric of a guess without looking at the input, where the field states one.
        permutation: order in which the steps of the original sequences are shown, or None.
        references: of `val` and `test`, the sentences to compare translations with (N each), as
            they were before they were cut into tokens; None: there is nothing to translate.
        curriculum: sequences of the first epochs, in order, as many in each as in `train`, which
            all later epochs have.

    Raises:
        ConfigError: an unknown kind.
        DataError: a part is empty or not of the kind; see `qrnn.data.kinds`.
    """

    train: Part
    val: Part
    test: Part
    classes: tuple[str, ...]
    kind: str = "classify"
    vocabulary: tuple[str, ...] | None = None
    vectors: torch.Tensor | None = None
    metric: str = "accuracy"
    baseline: float | None = None
    permutation: tuple[int, ...] | None = None
    references: dict[str, tuple[str, ...]] | None = None
    curriculum: tuple[Split, ...] = ()

    def __post_init__(self) -> None:
        parts = {"train": self.train, "val": self.val, "test": self.test}
        parts |= {f"curriculum[{epoch}]": part for epoch, part in enumerate(self.curriculum)}
        check_data(parts, self.kind, len(self.classes), self.vocabulary)

    def train_of(self, epoch: int) -> Part:
        """Return the sequences to learn from in an epoch, counted from 0."""
        return self.curriculum[epoch] if epoch < len(self.curriculum) else self.train

    @property
    def shape(self) -> Shape:
        """Sizes of inputs and labels."""
        if self.vocabulary is not None:
            return Shape(self.kind, len(self.classes), len(self.vocabulary), tokens=True)
        features = self.train.sequences("a task of no tokens").x.shape[-1]
        return Shape(self.kind, len(self.classes), features)


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
