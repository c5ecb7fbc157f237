"""Tasks and their data: the interface to the rest of the framework."""

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
    """What a model must match; saved in checkpoints.

    Attributes:
        kind: a key of `qrnn.data.kinds.KINDS`: `classify`, `label` or `translate`.
        n_classes: number of classes C.
        input_size: number of input features D, or size of the vocabulary V.
        tokens: whether the inputs are tokens.
    """

    kind: str
    n_classes: int
    input_size: int
    tokens: bool = False


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
        metric: the task's metric: `accuracy`, `cross_entropy`, `perplexity`,
            `bits_per_character` or `bleu`.
        baseline: the metric of a guess that ignores the input, if the literature gives one.
        permutation: order of the original sequences' steps, or None.
        references: untokenised reference translations (N each) for `val` and `test`; None: the
            task is not a translation.
        curriculum: training sequences of the first epochs, in order, as many in each as in
            `train`; later epochs use `train`.

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
        """Return the training sequences of an epoch, counted from 0."""
        return self.curriculum[epoch] if epoch < len(self.curriculum) else self.train

    @property
    def shape(self) -> Shape:
        """Kind, and sizes of inputs and labels."""
        if self.vocabulary is not None:
            return Shape(self.kind, len(self.classes), len(self.vocabulary), tokens=True)
        features = self.train.sequences("a task of no tokens").x.shape[-1]
        return Shape(self.kind, len(self.classes), features)


@dataclass
class TaskConfig:
    """The `task` group of the config; each task adds its own keys.

    Attributes:
        name: name of a registered task.
    """

    name: str = MISSING


@dataclass(frozen=True)
class Task:
    """A registered task.

    Attributes:
        schema: dataclass of its config keys.
        load: function that takes such a config and returns the data.
    """

    schema: type[TaskConfig]
    load: Callable[[Any], TaskData]


TASKS: Registry[Task] = Registry("task")


def task(schema: type[TaskConfig]) -> Callable[[Callable[[Any], TaskData]], Any]:
    """Register the decorated function as a task of the same name, with the schema of its keys."""

    def decorate(load: Callable[[Any], TaskData]):
        TASKS.add(load.__name__, Task(schema, load))
        return load

    return decorate
