"""What a task's data looks like to the rest of the framework."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import torch
from omegaconf import MISSING
from torch.utils.data import DataLoader, Dataset, DistributedSampler

from qrnn.data.kinds import IGNORED, check_data
from qrnn.errors import DataError
from qrnn.utils.checks import checked_lengths, shown, whole
from qrnn.utils.registry import Registry

SPLITS = ("test", "val", "train")  # the parts of a task's data, attributes of `TaskData`


class Batch(NamedTuple):
    """Sequences of one step of training.

    Attributes:
        x: inputs (B, T, D) float32, or tokens (B, T) int64.
        y: labels (B,) of whole sequences, or (B, U) of steps; int64, `IGNORED` where none is asked.
        lengths: (B,) number of steps of each sequence; None: all T.
    """

    x: torch.Tensor
    y: torch.Tensor
    lengths: torch.Tensor | None = None


@dataclass(frozen=True)
class Split:
    """Sequences with their labels.

    Attributes:
        x: inputs (N, T, D) float32, or tokens (N, T) of any integer type.
        y: labels of whole sequences (N,), of each step (N, T), or target sequences (N, U) padded
            with `IGNORED`; any integer type that holds them.
        lengths: (N,) number of steps of each sequence, integers; None: all T.

    Raises:
        ConfigError: lengths that are no whole numbers of 1..T.
        DataError: x or y is no tensor, or one has more sequences than the other.
    """

    x: torch.Tensor
    y: torch.Tensor
    lengths: torch.Tensor | None = None

    def __post_init__(self) -> None:
        for name, values in (("x", self.x), ("y", self.y)):
            if not isinstance(values, torch.Tensor) or not values.ndim:
                raise DataError(f"{name} must be a tensor of sequences, got {shown(values)}")
        if len(self.x) != len(self.y):
            raise DataError(
                f"y must have a target for each of {len(self.x)} sequences, got {len(self.y)}"
            )
        if self.lengths is not None and len(self.x):
            object.__setattr__(self, "lengths", checked_lengths(self.lengths, *self.x.shape[:2]))

    def __len__(self) -> int:
        return len(self.y)

    def describe(self) -> dict[str, str]:
        """Return the sizes by their names, for a table."""
        steps = str(self.x.shape[1])
        if self.lengths is not None and len(self):
            low, high = int(self.lengths.min()), int(self.lengths.max())
            steps = f"{low} to {high}, median {int(self.lengths.median())}"
        labels = int((self.y != IGNORED).sum())
        return {"sequences": f"{len(self):,}", "steps": steps, "labels": f"{labels:,}"}

    def head(self, limit: int | None) -> Split:
        """Return the first `limit` sequences, or all."""
        if limit is None:
            return self
        limit = whole("limit", limit, 0)
        lengths = None if self.lengths is None else self.lengths[:limit]
        return Split(self.x[:limit], self.y[:limit], lengths)

    def batch(self, rows: Sequence[int] | slice) -> Batch:
        """Return some sequences, without the steps that only pad, integers as int64."""
        x, y, lengths = self.x[rows], self.y[rows], None
        if self.lengths is not None:
            lengths = self.lengths[rows]
            x = x[:, : int(lengths.max())]
            if y.ndim == 2:
                y = y[:, : int((y != IGNORED).sum(1).max())]
        return Batch(x if x.is_floating_point() else x.long(), y.long(), lengths)


@dataclass(frozen=True)
class Stream:
    """One long text, cut into parallel rows whose state is carried from batch to batch.

    Attributes:
        tokens: the text (N,), int64; each token is the label of the one before it.
        steps: tokens that one batch takes of each row: of truncated backpropagation.
        carry: batches in a row over which the state is carried, before the next begins anew; None:
            all of them.
    """

    tokens: torch.Tensor
    steps: int
    carry: int | None = None

    def __post_init__(self) -> None:
        whole("steps", self.steps, 1)
        if self.carry is not None:
            whole("carry", self.carry, 1)

    def __len__(self) -> int:
        return len(self.tokens) - 1

    def describe(self) -> dict[str, str]:
        """Return the sizes by their names, for a table."""
        return {"tokens": f"{len(self):,}", "steps per batch": str(self.steps)}

    def head(self, limit: int | None) -> Stream:
        """Return the first `limit` predicted tokens, or all."""
        return self if limit is None else replace(self, tokens=self.tokens[: limit + 1])

    def begins_anew(self, batch: int) -> bool:
        """Return whether a batch, counted from 0, starts without the state of the last one."""
        return batch == 0 or (self.carry is not None and batch % self.carry == 0)

    def batches(self, rows: int, *, rank: int = 0, world: int = 1) -> list[Batch]:
        """Return consecutive batches (rows, steps); the last is shorter, a remainder is left out.

        A text too short to fill the rows is cut into fewer ones of at least `steps` tokens, or into
        one: a row of few tokens would hardly be read before it ends.

        Args:
            rows: number of parallel parts of the text at most, over all processes.
            rank: which of the processes' shares of the rows.
            world: number of processes; each has a row at least.

        Raises:
            DataError: there are fewer tokens to predict than processes.
        """
        if len(self) < world:
            raise DataError(
                f"a text must have at least {world + 1} tokens, to predict one in each process, "
                f"got {len(self.tokens)}: give a longer one"
            )
        rows = max(world, min(rows, len(self) // self.steps))
        length = len(self) // rows
        x, y = (
            part[: rows * length].view(rows, length)[rank::world]
            for part in (self.tokens[:-1], self.tokens[1:])
        )
        return [
            Batch(x[:, t : t + self.steps], y[:, t : t + self.steps])
            for t in range(0, length, self.steps)
        ]

    def all_batches(self, rows: int) -> list[Batch]:
        """Return `batches`, and behind them their remainder as one row, which begins anew."""
        batches = self.batches(rows)
        read = sum(batch.y.numel() for batch in batches)
        rest = replace(self, tokens=self.tokens[read:])
        return batches + (rest.batches(1) if len(rest) else [])


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

    train: Split | Stream
    val: Split | Stream
    test: Split | Stream
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
        check_data(self)

    def train_of(self, epoch: int) -> Split | Stream:
        """Return the sequences to learn from in an epoch, counted from 0."""
        return self.curriculum[epoch] if epoch < len(self.curriculum) else self.train

    @property
    def shape(self) -> Shape:
        """Sizes of inputs and labels."""
        if self.vocabulary is not None:
            return Shape(self.kind, len(self.classes), len(self.vocabulary), tokens=True)
        assert isinstance(self.train, Split)
        return Shape(self.kind, len(self.classes), self.train.x.shape[-1])


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

    def __getitem__(self, rows: list[int]) -> Batch:
        return self.split.batch(rows)


POOL = 50  # batches whose sequences are sorted by length, so that little of a batch is padding


class Batches(DistributedSampler):
    """Batches of rows in an order that depends on the seed and the epoch alone.

    So a resumed run sees what an uninterrupted one sees. Lightning calls `set_epoch`. Sequences
    of several lengths are sorted within pools of `POOL` batches, and the batches shuffled.
    """

    def __init__(self, dataset: _Rows, batch_size: int, **options):
        super().__init__(dataset, **options)
        self.lengths = dataset.split.lengths
        self.batch_size = batch_size

    def __iter__(self) -> Iterator[list[int]]:
        rows, size = list(super().__iter__()), self.batch_size
        if self.lengths is None or not self.shuffle:
            for first in range(0, len(rows), size):
                yield rows[first : first + size]
            return
        lengths = self.lengths.tolist()
        batches = []
        for first in range(0, len(rows), size * POOL):
            pool = sorted(rows[first : first + size * POOL], key=lengths.__getitem__)
            batches += [pool[at : at + size] for at in range(0, len(pool), size)]
        order = torch.randperm(
            len(batches), generator=torch.Generator().manual_seed(self.seed + self.epoch)
        )
        for index in order.tolist():
            yield batches[index]

    def __len__(self) -> int:
        return -(-self.num_samples // self.batch_size)


def loader(
    part: Split | Stream,
    batch_size: int,
    *,
    shuffle: bool,
    seed: int = 0,
    rank: int = 0,
    world: int = 1,
) -> DataLoader:
    """Return a loader of `Batch`.

    Args:
        part: the sequences, or a text, which is never shuffled.
        batch_size: sequences in a batch B, at least 1; the last one may be smaller.
        shuffle: whether the order changes with each epoch.
        seed: of that order.
        rank: which part of the data this process takes.
        world: number of processes that share the data.
    """
    batch_size = whole("batch_size", batch_size, 1)
    if isinstance(part, Stream):
        batches = part.batches(batch_size * world, rank=rank, world=world)
        return DataLoader(batches, batch_size=None)  # type: ignore[arg-type]
    rows = _Rows(part)
    order = Batches(rows, batch_size, num_replicas=world, rank=rank, shuffle=shuffle, seed=seed)
    return DataLoader(rows, sampler=order, batch_size=None)
