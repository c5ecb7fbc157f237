"""The kinds of tasks, and checks that a task's data matches its kind."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch

from qrnn.data.parts import IGNORED, Part, Split, Stream
from qrnn.errors import DataError
from qrnn.utils.registry import unknown_name


@dataclass(frozen=True)
class Kind:
    """The targets and inputs of a kind of task.

    Attributes:
        targets: text that describes the targets, for messages.
        axes: axes of the targets: `N` sequences, `T` input steps, `U` any number of steps, `H`
            predicted steps, `K` numbers each.
        labels: whether targets are integers of 0..C-1, or `IGNORED`; else float32 numbers, NaN
            where there is none.
        tokens: whether the inputs must be tokens.
    """

    targets: str
    axes: tuple[str, ...]
    labels: bool = True
    tokens: bool = False


KINDS = {
    "classify": Kind("one label per sequence", ("N",)),
    "label": Kind("one label per step", ("N", "T")),
    "regress": Kind("H x K numbers per sequence", ("N", "H", "K"), labels=False),
    "regress_steps": Kind("K numbers per step", ("N", "T", "K"), labels=False),
    "translate": Kind("a sequence of labels", ("N", "U"), tokens=True),
}


def check_data(
    parts: Mapping[str, Part], kind: str, n_classes: int, vocabulary: Sequence[str] | None
) -> None:
    """Raise an error if a task's data does not match its kind.

    Args:
        parts: the parts of the data, by name.
        kind: a key of `KINDS`.
        n_classes: number of classes C.
        vocabulary: the text of each token; None: x has features instead of tokens.

    Raises:
        ConfigError: the kind is unknown.
        DataError: a part is empty, or its inputs or targets have the wrong dtype or shape, or
            values out of range; the part and the first such sequence are named.
    """
    if kind not in KINDS:
        raise unknown_name("kind", kind, KINDS)
    if KINDS[kind].tokens and vocabulary is None:
        raise DataError(
            f"a task of kind {kind} must have tokens as inputs, got no vocabulary: pass one, or "
            f"choose kind='classify'"
        )
    n_tokens = None if vocabulary is None else len(vocabulary)
    checked: set[int] = set()  # a curriculum may repeat a part
    widths: set[int] = set()
    for name, part in parts.items():
        if id(part) in checked:
            continue
        checked.add(id(part))
        if len(part) < 1:
            raise DataError(f"{name} must have at least one sequence, got none")
        if isinstance(part, Stream):
            _check_text(name, part, kind, min(n_tokens or 0, n_classes))
        else:
            split = part.sequences("a task")
            _check_inputs(name, split, n_tokens)
            _check_targets(name, split, kind, n_classes)
            widths |= {split.x.shape[2]} if n_tokens is None else set()
    if len(widths) > 1:
        raise DataError(
            f"x must have the same number of features in all parts, got {sorted(widths)}"
        )


def _check_text(name: str, part: Stream, kind: str, n_tokens: int) -> None:
    tokens = part.tokens
    if kind != "label":
        raise DataError(f"{name} is a text, so kind must be label, got {kind}")
    if not _is_integer(tokens) or tokens.ndim != 1:
        raise DataError(f"{name}.tokens must be integers (N,), got {_shown(tokens)}")
    if tokens.min() < 0 or tokens.max() >= n_tokens:
        raise DataError(
            f"{name}.tokens must be in 0..{n_tokens - 1}, got {tokens.min()}..{tokens.max()}"
        )


def _check_inputs(name: str, part: Split, n_tokens: int | None) -> None:
    x = part.x
    if n_tokens is None:
        if x.dtype != torch.float32 or x.ndim != 3 or 0 in x.shape:
            raise DataError(
                f"{name}.x must be float32 (N, T, D), or tokens with a vocabulary, got {_shown(x)}"
            )
        wrong, allowed = ~torch.isfinite(x), "finite"
        if part.lengths is not None:  # padding is not read
            wrong &= (torch.arange(x.shape[1]) < part.lengths[:, None])[:, :, None]
    else:
        if not _is_integer(x) or x.ndim != 2 or 0 in x.shape:
            raise DataError(f"{name}.x must be tokens, integers (N, T), got {_shown(x)}")
        wrong, allowed = (x < 0) | (x >= n_tokens), f"in 0..{n_tokens - 1}"
    _refuse(f"{name}.x", x, wrong, allowed)


def _check_targets(name: str, part: Split, kind: str, n_classes: int) -> None:
    declared, y = KINDS[kind], part.y
    sizes = {"N": len(part.x), "T": part.x.shape[1]}
    sizes |= {"U": y.shape[1] if y.ndim > 1 else 0, "H": y.shape[1] if y.ndim > 1 else 0}
    sizes |= {"K": y.shape[2] if y.ndim > 2 else 0}
    fits = tuple(y.shape) == tuple(sizes[axis] for axis in declared.axes)
    right = _is_integer(y) if declared.labels else y.dtype == torch.float32
    if not right or not fits:
        wanted = "labels, integers" if declared.labels else "numbers, float32"
        raise DataError(
            f"{name}.y of kind {kind} must be {wanted} ({', '.join(declared.axes)}), "
            f"{declared.targets}, got {_shown(y)} for x {tuple(part.x.shape)}"
        )
    if not declared.labels:
        _refuse(f"{name}.y", y, torch.isinf(y), "finite, or NaN where there is none")
        if y.isnan().all():
            raise DataError(f"{name}.y must have at least one number, got only NaN")
        return
    asked = y != IGNORED
    allowed = f"in 0..{n_classes - 1}, or {IGNORED} where there is no label"
    _refuse(f"{name}.y", y, ((y < 0) | (y >= n_classes)) & asked, allowed)
    if not asked.any():
        raise DataError(f"{name}.y must have at least one label, got only {IGNORED}")


def _refuse(name: str, values: torch.Tensor, wrong: torch.Tensor, allowed: str) -> None:
    """Raise an error for the first wrong value, if there is any."""
    if wrong.any():
        place: Sequence[int] = wrong.nonzero()[0].tolist()
        step = f", step {place[1]}" if len(place) > 1 else ""
        raise DataError(
            f"{name} must be {allowed}, got {values[tuple(place)].item()} in sequence {place[0]}"
            f"{step}"
        )


def _is_integer(values: torch.Tensor) -> bool:
    return not (values.is_floating_point() or values.is_complex() or values.dtype == torch.bool)


def _shown(values: torch.Tensor) -> str:
    return f"{str(values.dtype).removeprefix('torch.')} {tuple(values.shape)}"
