"""A task's data on the page: sizes, and the first sequences."""

from __future__ import annotations

import math
from collections import Counter

import numpy as np
import torch

from qrnn.data import IGNORED, SPLITS, Split, Stream, TaskData
from qrnn.evaluation.evaluation import Evaluation
from qrnn.evaluation.metrics import METRICS, shown
from qrnn.reporting import figures
from qrnn.reporting.parts import Facts, Figures, Part, Table
from qrnn.reporting.spelling import Spelling
from qrnn.reporting.words import PARTS, percent

PICTURED = 8
WRITTEN = 3
CERTAIN = 5  # tokens, after which two texts are hardly the same
MANY = 30  # classes, of which only the first ones are named


def describe(data: TaskData) -> list[Part]:
    """Return what there is to say of a task's data."""
    rows = [[shown_name, *_sizes(getattr(data, part))] for part, shown_name in PARTS.items()]
    sizes = Table(["part", "sequences", "steps", "labels"], rows, numbers=(1, 2, 3))
    if isinstance(data.train, Stream):
        sizes = Table(["part", "tokens", "steps at once"], [row[:3] for row in rows], (1, 2))
    return [sizes, *examples(data), Facts(_facts(data))]


def _sizes(part: Split | Stream) -> list[str]:
    if isinstance(part, Stream):
        return [f"{len(part):,}", str(part.steps), f"{len(part):,}"]
    steps = str(part.x.shape[1])
    if part.lengths is not None and len(part):
        low, high = int(part.lengths.min()), int(part.lengths.max())
        steps = f"{low} to {high}, median {int(part.lengths.median())}"
    return [f"{len(part):,}", steps, f"{int((part.y != IGNORED).sum()):,}"]


def _facts(data: TaskData) -> list[tuple[str, str]]:
    shape = data.shape
    inputs = f"{shape.input_size} numbers a step" if shape.input_size > 1 else "1 number a step"
    if shape.tokens:
        inputs = f"tokens out of {shape.input_size:,}"
    labels = {"classify": "a sequence", "label": "a step", "translate": "a target token"}
    facts = [("inputs", inputs), ("labels", f"one {labels[shape.kind]}, {_classes(data.classes)}")]
    if isinstance(data.test, Split) and shape.kind == "classify" and len(data.test):
        label, times = Counter(data.test.y.tolist()).most_common(1)[0]
        share = percent(times / len(data.test))
        facts.append(("largest class", f"{data.classes[label]}: {share} of the test part"))
    if data.baseline is not None:
        name = METRICS[data.metric][0]
        facts.append(("without memory", f"{shown(data.metric, data.baseline)} {name}"))
    return facts


def _classes(names: tuple[str, ...]) -> str:
    shown_names = [name if name.strip() else "(blank)" for name in names]
    if len(names) > MANY:
        shown_names = [*shown_names[:10], "…"]
    return f"{len(names):,} classes: {', '.join(shown_names)}"


def examples(data: TaskData) -> list[Part]:
    """Return the first training sequences: as pictures where they are images, else as text."""
    if isinstance(data.train, Stream):
        text = Spelling(data.vocabulary or data.classes).text(data.train.tokens[:200].tolist())
        return [Table(["the training text begins"], [[text]])]
    part = data.train.sequences("a report")
    if data.vocabulary is None:
        pictures = [picture(x, data.permutation) for x in part.x[:PICTURED]]
        titles = ["" if part.y.ndim > 1 else data.classes[int(y)] for y in part.y[:PICTURED]]
        caption = "The first training sequences, each under its label"
        return [Figures([figures.examples(pictures, titles, caption)])]
    read, write = Spelling(data.vocabulary), Spelling(data.classes)
    rows = []
    for row in range(min(WRITTEN, len(part))):
        batch = part.batch(slice(row, row + 1))
        labels = batch.y.flatten()
        # The verdict of a text is at its end.
        source = read.text(batch.x[0].tolist(), end=part.y.ndim == 1)
        rows.append([source, write.text(labels[labels != IGNORED].tolist())])
    return [Table(["training sequence", "label" if part.y.ndim == 1 else "labels"], rows)]


def picture(x: torch.Tensor, permutation: tuple[int, ...] | None) -> np.ndarray:
    """Return a sequence (T, D) as an image: the original one, where that was cut into pixels."""
    values = x.float().numpy()
    side = math.isqrt(len(values))
    if values.shape[1] > 1 or side * side != len(values):
        return values
    flat = values[:, 0]
    if permutation is not None:
        flat = np.empty_like(flat)
        flat[list(permutation)] = values[:, 0]
    return flat.reshape(side, side)


def split_of(one: Evaluation, data: TaskData) -> str | None:
    """Return which part of the data was evaluated; None: no such part has these labels now."""
    for name in SPLITS if one.split is None else (one.split,):
        part = getattr(data, name)
        if isinstance(part, Stream):
            if leading(one, part) >= min(CERTAIN, len(one.labels)):
                return name
            continue
        labels = part.head(one.sequences).y.flatten()
        if labels[labels != IGNORED].tolist() == one.labels:
            return name
    return None


def leading(one: Evaluation, text: Stream) -> int:
    """Return how many labels, from the first one on, follow each other in the text.

    A text is read in parallel rows, a batch of steps at a time: the first row comes first.
    """
    most = min(text.steps, len(one.labels), len(text))
    same = text.tokens[1 : most + 1].numpy() == np.array(one.labels[:most])
    return most if same.all() else int(same.argmin())
