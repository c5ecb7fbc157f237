"""Batches for training, in an order that depends only on seed and epoch."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch.utils.data import DataLoader, Dataset, DistributedSampler

from qrnn.data.parts import Batch, Part, Split, Stream
from qrnn.utils.checks import whole


class _Rows(Dataset):
    """Indexed by a list of rows: a batch is a single indexing operation instead of B."""

    def __init__(self, split: Split):
        self.split = split

    def __len__(self) -> int:
        return len(self.split)

    def __getitem__(self, rows: list[int]) -> Batch:
        return self.split.batch(rows)


POOL = 50  # number of batches whose sequences are sorted by length, to reduce padding


class Batches(DistributedSampler):
    """Batches of rows, in an order that depends only on seed and epoch.

    So a resumed run sees the same batches as an uninterrupted one. Lightning calls `set_epoch`.
    Sequences of different lengths are sorted within pools of `POOL` batches, and the batches are
    then shuffled.
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
    part: Part,
    batch_size: int,
    *,
    shuffle: bool,
    seed: int = 0,
    rank: int = 0,
    world: int = 1,
) -> DataLoader:
    """Return a loader that yields `Batch`.

    Args:
        part: the sequences, or a text, which is never shuffled.
        batch_size: sequences per batch B, at least 1; the last batch may be smaller.
        shuffle: whether the order changes with each epoch.
        seed: random seed of that order.
        rank: index of this process.
        world: number of processes that share the data.
    """
    batch_size = whole("batch_size", batch_size, 1)
    if isinstance(part, Stream):
        batches = part.batches(batch_size * world, rank=rank, world=world)
        return DataLoader(batches, batch_size=None)  # type: ignore[arg-type]
    rows = _Rows(part.sequences("a loader"))
    order = Batches(rows, batch_size, num_replicas=world, rank=rank, shuffle=shuffle, seed=seed)
    return DataLoader(rows, sampler=order, batch_size=None)
