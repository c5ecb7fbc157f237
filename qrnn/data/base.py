"""What a task's data looks like to the rest of the framework."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from omegaconf import MISSING
from torch.utils.data import DataLoader, Dataset, DistributedSampler

from qrnn.registry import Registry


@dataclass(frozen=True)
class Split:
    """Sequences with one label each.

    Attributes:
        x: inputs (N, T, D), float32.
        y: labels (N,), int64.
    """

    x: torch.Tensor
    y: torch.Tensor

    def __len__(self) -> int:
        return len(self.y)

    def head(self, limit: int | None) -> Split:
        """Return the first `limit` sequences, or all."""
        return self if limit is None else Split(self.x[:limit], self.y[:limit])


@dataclass(frozen=True)
class TaskData:
    """A task's data in three parts.

    Attributes:
        train: sequences to learn from.
        val: sequences to choose an epoch with.
        test: sequences to report on, and for nothing else.
        classes: names of the classes.
        permutation: order in which the steps of the original sequences are shown, or None.
    """

    train: Split
    val: Split
    test: Split
    classes: tuple[str, ...]
    permutation: tuple[int, ...] | None = None

    @property
    def input_size(self) -> int:
        """Number of input features D."""
        return self.train.x.shape[-1]


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


class _Rows(Dataset):
    """Indexed by a list of rows at once, so that a batch is one indexing and not B."""

    def __init__(self, split: Split):
        self.split = split

    def __len__(self) -> int:
        return len(self.split)

    def __getitem__(self, rows: list[int]) -> tuple[torch.Tensor, torch.Tensor]:
        return self.split.x[rows], self.split.y[rows]


class Batches(DistributedSampler):
    """Batches of rows in an order that depends on the seed and the epoch alone.

    So a resumed run sees what an uninterrupted one sees. Lightning calls `set_epoch`.
    """

    def __init__(self, dataset: Dataset, batch_size: int, **options):
        super().__init__(dataset, **options)
        self.batch_size = batch_size

    def __iter__(self) -> Iterator[list[int]]:
        rows = list(super().__iter__())
        for first in range(0, len(rows), self.batch_size):
            yield rows[first : first + self.batch_size]

    def __len__(self) -> int:
        return -(-self.num_samples // self.batch_size)


def loader(
    split: Split, batch_size: int, *, shuffle: bool, seed: int = 0, rank: int = 0, world: int = 1
) -> DataLoader:
    """Return a loader of batches (x (B, T, D), y (B,)).

    Args:
        split: the sequences.
        batch_size: sequences in a batch B; the last one may be smaller.
        shuffle: whether the order changes with each epoch.
        seed: of that order.
        rank: which part of the data this process takes.
        world: number of processes that share the data.
    """
    rows = _Rows(split)
    batches = Batches(rows, batch_size, num_replicas=world, rank=rank, shuffle=shuffle, seed=seed)
    return DataLoader(rows, sampler=batches, batch_size=None)
