"""The parts of a task's data: sequences with their labels, or one long text."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar, NamedTuple, Self

import torch
from typing_extensions import override

from qrnn.errors import ConfigError, DataError
from qrnn.utils.checks import shown, whole
from qrnn.utils.tensors import checked_lengths

IGNORED = -100  # label of positions without a target; torch's default `ignore_index`
ROWS = 32  # parallel rows of a text if no batch size is given


class Batch(NamedTuple):
    """A batch of sequences.

    Attributes:
        x: inputs (B, T, D) float32, or tokens (B, T) int64.
        y: labels (B,) of whole sequences, or (B, U) of steps, int64, `IGNORED` where none is asked;
            or numbers (B, H, K) of whole sequences, or (B, T, K) of steps, NaN where none is asked.
        lengths: (B,) number of steps of each sequence; None: all T.
    """

    x: torch.Tensor
    y: torch.Tensor
    lengths: torch.Tensor | None = None


class Part(ABC):
    """A part of a task's data: sequences, or one long text.

    Attributes:
        is_text: whether it is one text; the state is then carried from batch to batch.
    """

    is_text: ClassVar[bool] = False

    @abstractmethod
    def __len__(self) -> int:
        """Return the number of sequences, or of a text's predicted tokens."""

    @abstractmethod
    def describe(self) -> dict[str, str]:
        """Return names and values of the sizes, for a table."""

    @abstractmethod
    def head(self, limit: int | None) -> Self:
        """Return the first `limit` sequences or predicted tokens; None: all."""

    @abstractmethod
    def all_batches(self, size: int | None) -> list[Batch]:
        """Return all sequences, or the whole text, in batches, in order.

        Args:
            size: sequences per batch, or parallel rows of a text; None: all sequences, or 32 rows.
        """

    @abstractmethod
    def sequences(self, needed_by: str) -> Split:
        """Return the sequences.

        Args:
            needed_by: what needs sequences, for the message.

        Raises:
            ConfigError: the part is a text.
        """

    @property
    @abstractmethod
    def n_steps(self) -> int | None:
        """Number of steps T; None for a text, or sequences of different lengths."""

    @property
    @abstractmethod
    def tensors(self) -> tuple[torch.Tensor, ...]:
        """What the part consists of: inputs and labels, or the tokens of a text."""

    @abstractmethod
    def windows(self) -> Split:
        """Return sequences unchanged, or a text cut into windows with a fresh state each."""

    def resets_state(self, batch: int) -> bool:
        """Return whether a batch, counted from 0, starts from a fresh state."""
        return True

    def continues(self, todo: Sequence[Batch], index: int) -> bool:
        """Return whether batch `index` of `all_batches` continues from the state of the one before.

        The remainder of a text does not: it is a separate row at the end.
        """
        return not self.resets_state(index) and len(todo[index].x) == len(todo[index - 1].x)


@dataclass(frozen=True)
class Split(Part):
    """Sequences with their labels.

    Attributes:
        x: inputs (N, T, D) float32, or tokens (N, T) of any integer type.
        y: labels of whole sequences (N,), of each step (N, T), or target sequences (N, U) padded
            with `IGNORED`, any integer type that holds them; or numbers of whole sequences
            (N, H, K) or of each step (N, T, K), float32, NaN where none is asked for.
        lengths: (N,) number of steps of each sequence, integers; None: all T.

    Raises:
        ConfigError: lengths are not whole numbers of 1..T.
        DataError: x or y is not a tensor, or they have different numbers of sequences.
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

    @override
    def describe(self) -> dict[str, str]:
        steps = str(self.x.shape[1])
        if self.lengths is not None and len(self):
            low, high = int(self.lengths.min()), int(self.lengths.max())
            steps = f"{low} to {high}, median {int(self.lengths.median())}"
        kind = "numbers" if self.y.is_floating_point() else "labels"
        return {"sequences": f"{len(self):,}", "steps": steps, kind: f"{self.asked:,}"}

    @property
    def asked(self) -> int:
        """Number of labels or numbers that are asked for."""
        wanted = ~self.y.isnan() if self.y.is_floating_point() else self.y != IGNORED
        return int(wanted.sum())

    @override
    def head(self, limit: int | None) -> Split:
        if limit is None:
            return self
        limit = whole("limit", limit, 0)
        lengths = None if self.lengths is None else self.lengths[:limit]
        return Split(self.x[:limit], self.y[:limit], lengths)

    def batch(self, rows: Sequence[int] | slice) -> Batch:
        """Return a batch of some sequences, without steps of mere padding; integers as int64."""
        order = rows if isinstance(rows, slice) else torch.tensor(rows, dtype=torch.long)

        def chosen(values: torch.Tensor) -> torch.Tensor:
            if isinstance(order, slice):
                return values[order]
            return values.index_select(0, order)  # several times faster than to index

        x, y, lengths = chosen(self.x), chosen(self.y), None
        if self.lengths is not None:
            lengths = chosen(self.lengths)
            x = x[:, : int(lengths.max())]
            if y.ndim == 2:
                asked = (y != IGNORED).any(0).nonzero()
                y = y[:, : int(asked.max()) + 1 if len(asked) else 0]
        x, y = (one if one.is_floating_point() else one.long() for one in (x, y))
        return Batch(x, y, lengths)

    @override
    def all_batches(self, size: int | None) -> list[Batch]:
        size = size or len(self)
        return [self.batch(slice(first, first + size)) for first in range(0, len(self), size)]

    @override
    def sequences(self, needed_by: str) -> Split:
        return self

    @override
    def windows(self) -> Split:
        return self

    @property
    @override
    def tensors(self) -> tuple[torch.Tensor, ...]:
        return self.x, self.y

    @property
    @override
    def n_steps(self) -> int | None:
        return self.x.shape[1] if self.lengths is None else None


@dataclass(frozen=True)
class Stream(Part):
    """One long text, cut into parallel rows whose state is carried from batch to batch.

    Attributes:
        tokens: the text (N,), int64; each token is the label of the one before it.
        steps: tokens of each row per batch, for truncated backpropagation through time.
        carry: number of consecutive batches over which the state is carried before it is reset;
            None: all batches.
    """

    is_text: ClassVar[bool] = True

    tokens: torch.Tensor
    steps: int
    carry: int | None = None

    def __post_init__(self) -> None:
        whole("steps", self.steps, 1)
        if self.carry is not None:
            whole("carry", self.carry, 1)

    def __len__(self) -> int:
        return len(self.tokens) - 1

    @override
    def describe(self) -> dict[str, str]:
        return {"tokens": f"{len(self):,}", "steps per batch": str(self.steps)}

    @override
    def head(self, limit: int | None) -> Stream:
        return self if limit is None else replace(self, tokens=self.tokens[: limit + 1])

    @override
    def resets_state(self, batch: int) -> bool:
        return batch == 0 or (self.carry is not None and batch % self.carry == 0)

    def batches(self, rows: int, *, rank: int = 0, world: int = 1) -> list[Batch]:
        """Return consecutive batches (rows, steps), the last maybe shorter; a remainder is dropped.

        A short text is cut into fewer rows, so that each has at least `steps` tokens.

        Args:
            rows: largest number of parallel rows, over all processes.
            rank: index of this process, which gets every `world`-th row.
            world: number of processes; each gets at least one row.

        Raises:
            DataError: the text has fewer tokens to predict than there are processes.
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

    @override
    def all_batches(self, size: int | None) -> list[Batch]:
        """The remainder comes last, as one row with a fresh state."""
        batches = self.batches(size or ROWS)
        read = sum(batch.y.numel() for batch in batches)
        rest = replace(self, tokens=self.tokens[read:])
        return batches + (rest.batches(1) if len(rest) else [])

    @override
    def sequences(self, needed_by: str) -> Split:
        raise ConfigError(f"{needed_by} must have sequences, got a text")

    @property
    @override
    def tensors(self) -> tuple[torch.Tensor, ...]:
        return (self.tokens,)

    @property
    @override
    def n_steps(self) -> int | None:
        return None

    @override
    def windows(self) -> Split:
        steps = min(self.steps, len(self))
        count = len(self) // steps
        x, y = self.tokens[:-1], self.tokens[1:]
        return Split(*(values[: count * steps].view(count, steps) for values in (x, y)))
