"""What the model says, on the page: confusion, predictions, attention, text of its own."""

from __future__ import annotations

from collections.abc import Iterator

import torch

from qrnn.data import IGNORED, Batch, Split, Stream, TaskData
from qrnn.devices import Device
from qrnn.errors import QRNNError
from qrnn.evaluation.evaluation import Evaluation
from qrnn.models.base import Model
from qrnn.models.cells import device_of
from qrnn.models.next_token import NextToken
from qrnn.models.sequence import SequenceModel
from qrnn.models.translation import Translator
from qrnn.reporting import figures
from qrnn.reporting.dataset import PICTURED, WRITTEN, leading, picture
from qrnn.reporting.parts import Cell, Figures, Part, Table, Text
from qrnn.reporting.spelling import Spelling
from qrnn.reporting.words import percent, sequences

MOST_CLASSES = 50  # of a confusion matrix
TOKENS = 200  # of a text that is sampled
SEED = 0  # of that sampling


def results(one: Evaluation, data: TaskData, split: str | None, title: str) -> Iterator[Part]:
    """Yield what an evaluation says of single sequences.

    Args:
        one: the evaluation.
        data: the task's data.
        split: the part of it that was evaluated; None: it is not known.
        title: name of the task.
    """
    if data.kind == "classify" and len(data.classes) <= MOST_CLASSES:
        yield from confusion(one, data, f"{title}, {sequences(one, split)}, {one.device}")
    if split is None:
        yield Text("The evaluated sequences are not in this data: no single ones are shown.", True)
        return
    part, spelling = getattr(data, split), Spelling(data.classes)
    if isinstance(part, Stream):
        yield text_read(one, part, spelling)
    elif data.kind == "translate":
        yield translations(one, data, split)
    elif data.kind == "label" or data.vocabulary is not None:
        yield predictions(one, data, part)
    else:
        yield from mistakes(one, data, part)


def confusion(one: Evaluation, data: TaskData, where: str) -> Iterator[Part]:
    """Yield the confusion matrix, and the classes that were taken for others most often."""
    size = len(data.classes)
    if not one.labels or not all(0 <= k < size for k in (*one.labels, *one.predictions)):
        return
    counts = torch.zeros(size, size, dtype=torch.int64)
    for label, prediction in zip(one.labels, one.predictions, strict=True):
        counts[label, prediction] += 1
    yield Figures([figures.confusion(counts.numpy(), data.classes, where)])
    wrong = counts.clone().fill_diagonal_(0)
    worst = [divmod(int(k), size) for k in wrong.flatten().argsort(descending=True, stable=True)]
    rows = [
        [
            data.classes[label],
            data.classes[taken],
            str(int(wrong[label, taken])),
            percent(int(wrong[label, taken]) / int(counts[label].sum())),
        ]
        for label, taken in worst[:5]
        if wrong[label, taken]
    ]
    if rows and size > 2:
        yield Table(["class", "taken for", "times", "of the class"], rows, (2, 3))


def predictions(one: Evaluation, data: TaskData, part: Split) -> Table:
    """Return the first sequences with their labels and what the model said."""
    read = Spelling(data.vocabulary or ())
    write = Spelling(data.classes)
    rows: list[list[Cell]] = []
    at = 0
    for row in range(min(WRITTEN, one.sequences)):
        batch = part.batch(slice(row, row + 1))
        stop = at + int((batch.y != IGNORED).sum())
        wanted, said = one.labels[at:stop], one.predictions[at:stop]
        source = read.text(batch.x[0].tolist(), end=part.y.ndim == 1) if data.vocabulary else ""
        rows.append([source, write.text(wanted), write.spans(said, wanted)])
        at = stop
    label = "label" if part.y.ndim == 1 else "labels"
    return Table(
        ["sequence", label, f"said on {one.device}"],
        rows,
        caption="Marked: other than the label.",
    )


def mistakes(one: Evaluation, data: TaskData, part: Split) -> Iterator[Part]:
    """Yield the first sequences whose class was taken for another one, as pictures."""
    pairs = zip(one.labels, one.predictions, strict=True)
    rows = [row for row, (label, said) in enumerate(pairs) if label != said][:PICTURED]
    if rows:
        write = Spelling(data.classes)
        titles = [
            f"{write.name(one.labels[row])}, said {write.name(one.predictions[row])}"
            for row in rows
        ]
        pictures = [picture(part.x[row], data.permutation) for row in rows]
        yield Figures([figures.examples(pictures, titles, "The first that were taken for others")])


def text_read(one: Evaluation, text: Stream, spelling: Spelling) -> Table:
    """Return the beginning of a text beside what the model took each next token for."""
    most = leading(one, text)
    wanted, said = one.labels[:most], one.predictions[:most]
    rows: list[list[Cell]] = [
        ["text", spelling.text(wanted)],
        ["said", spelling.spans(said, wanted)],
    ]
    return Table(
        ["", f"the next token, on {one.device}"],
        rows,
        caption="Each token is told from the text before it. Marked: other than the text's.",
    )


def translations(one: Evaluation, data: TaskData, split: str) -> Table:
    """Return the first translations beside their sources and references."""
    part = getattr(data, split)
    assert data.vocabulary is not None  # as any task of translation has one
    read = Spelling(data.vocabulary)
    references = (data.references or {}).get(split, ())
    rows = []
    for row, said in enumerate(one.translations[: 2 * WRITTEN]):
        batch = part.batch(slice(row, row + 1))
        reference = references[row] if row < len(references) else ""
        rows.append([read.text(batch.x[0].tolist()), reference, said])
    return Table(["source", "reference", f"translation on {one.device}"], rows)


def attention(model: Model, data: TaskData) -> list[Part]:
    """Return where a translator looked while it translated the first test sentences."""
    if not isinstance(model, Translator) or not isinstance(data.test, Split):
        return []
    assert data.vocabulary is not None  # as any task of translation has one
    batch = data.test.batch(slice(0, WRITTEN))
    targets, maps = model.translate(batch.x, batch.lengths)
    drawn = [
        figures.attention(
            weights.numpy(),
            [data.vocabulary[token] for token in source[: weights.shape[1]]],
            [data.classes[token] for token in target],
        )
        for source, target, weights in zip(batch.x.tolist(), targets, maps, strict=True)
        if target  # a translation can be empty
    ]
    return [Figures(drawn)] if drawn else []


def samples(model: Model, data: TaskData) -> list[Part]:
    """Return text that a model of next tokens makes up, if it is one.

    Raises:
        QRNNError: the model cannot run where it was trained.
    """
    generator = torch.Generator().manual_seed(SEED)
    spelling = Spelling(data.classes)
    if isinstance(model, NextToken) and isinstance(data.test, Split):
        batch = data.test.batch(slice(0, WRITTEN))
        if (batch.y == IGNORED).any():  # of what is not scored, it has learned nothing
            return []
        start = batch.x[:, :1]
        with torch.no_grad():
            made = model.generate(start, min(TOKENS, data.test.x.shape[1]), generator)
        rows = [
            [spelling.name(first), spelling.text(rest)]
            for first, rest in zip(start[:, 0].tolist(), made.tolist(), strict=True)
        ]
        return [Table(["begins with", "sampled by the model"], rows)]
    if isinstance(model, SequenceModel) and isinstance(data.test, Stream):
        begun = data.test.tokens[: data.test.steps]
        behind = continued(model, begun, generator)
        rows = [[spelling.text(begun.tolist(), end=True), spelling.text(behind)]]
        return [Table(["after the text", "sampled by the model"], rows)]
    return []


@torch.no_grad()
def continued(model: SequenceModel, start: torch.Tensor, generator: torch.Generator) -> list[int]:
    """Return tokens that a language model samples behind a text.

    Args:
        model: it reads tokens, and gives the logits of the next.
        start: the text (S,), int64.
        generator: chooses the samples.
    """
    x, state, made = start[None], None, []
    for _ in range(TOKENS):
        answer = model.answer(Batch(x, x), state)
        state = answer.state
        x = torch.multinomial(answer.logits[:, -1].softmax(1), 1, generator=generator)
        made.append(int(x))
    return made


def can_sample(model: Model) -> bool:
    """Return whether a model runs exactly where it was trained: no shots are spent on a page."""
    device: Device | None = device_of(model)
    return device is None or (device.spec.shots != "required" and device.options.shots is None)


def said_by(model: Model, data: TaskData) -> list[Part]:
    """Return what the model itself is asked for the page: attention, samples; or why it is not."""
    if not can_sample(model):
        return []
    try:
        return [*attention(model, data), *samples(model, data)]
    except QRNNError as error:
        return [Text(f"The model could not be run: {error}", True)]
