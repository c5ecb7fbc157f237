"""Run a trained model over a split of the data, on any device."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from rich.progress import Progress

from qrnn.cell.cell import QRNNCell
from qrnn.data import Batch, Labels, Objective, Part, Split
from qrnn.models.base import Model
from qrnn.models.cells import cells_of
from qrnn.utils.progress import progress_bar

# Called with the step and the sequences that a device is about to run, for the ledger.
Note = Callable[[str, str], None]


def _no_note(step: str, sequences: str) -> None:
    pass


@dataclass(frozen=True)
class Outcome:
    """A model's predictions for a split of the data.

    Attributes:
        objective: what the model was trained for.
        outputs: of the head, for all sequences or all steps that are asked for, (M, C).
        targets: the true ones, (M,) labels or (M, H, K) scaled numbers.
        loss: mean loss, see `Objective.losses`; NaN where nothing is asked for.
        each: outputs of the head for all sequences, one tensor per batch.
        z: the network's outputs, one tensor (B, T, R) per batch; or (B, K, R), see `steps`.
        kept: mean of `Answer.kept` over all steps; None where it is None.
        seconds: wall-clock time.
        steps: the K steps that were read, where these are not all; None: all.
    """

    objective: Objective
    outputs: torch.Tensor
    targets: torch.Tensor
    loss: float
    each: list[torch.Tensor]
    z: list[torch.Tensor]
    seconds: float
    kept: float | None = None
    steps: list[int] | None = None

    @property
    def predictions(self) -> torch.Tensor:
        """Predicted labels (M,), or numbers (M, H, K) in their own units, float64."""
        return self.objective.answers(self.outputs)

    @property
    def labels(self) -> torch.Tensor:
        """The true labels (M,), or numbers (M, H, K) in their own units."""
        return self.objective.truth(self.targets)

    @property
    def accuracy(self) -> float | None:
        """Fraction of labels predicted correctly; None: numbers are predicted."""
        if not isinstance(self.objective, Labels):
            return None
        return (self.predictions == self.labels).double().mean().item()


def collect(
    objective: Objective,
    answers: Iterable[tuple[Batch, torch.Tensor, torch.Tensor, torch.Tensor | None]],
    start: float,
) -> Outcome:
    """Return the outcome of all batches.

    Args:
        objective: what the model was trained for.
        answers: each batch with its logits, z and kept.
        start: `time.perf_counter()` when the first batch began.
    """
    found, targets, losses, each, outputs, shares = [], [], [], [], [], []
    for batch, logits, z, kept in answers:
        each.append(logits)
        logits, y = objective.asked(logits, batch.y)
        found.append(logits)
        targets.append(y)
        losses.append(objective.losses(logits, y))
        outputs.append(z)
        if kept is not None:
            shares.append(kept[~kept.isnan()])
    seconds = time.perf_counter() - start
    loss = torch.cat(losses).double().mean().item()
    share = torch.cat(shares).mean().item() if shares else None
    return Outcome(
        objective, torch.cat(found), torch.cat(targets), loss, each, outputs, seconds, share
    )


def run(
    model: Model,
    part: Part,
    batch_size: int | None,
    title: str | None = None,
    note: Note = _no_note,
) -> Outcome:
    """Run a model over a split of the data.

    Args:
        model: the model.
        part: the data.
        batch_size: number of sequences that run together; None: all.
        title: title of a progress bar, which counts time steps (a round of circuits each, on a
            device that replays), or batches where whole sequences run at once; None: no bar.
        note: called before each step of a hybrid cell, or each batch of another; of cells at
            different steps, all are given, as "3+2".
    """
    todo = part.all_batches(batch_size)
    # A hook on the cell would make the fused kernels run step by step.
    cells = [cell for cell in cells_of(model) if cell.device.name != "fused"]
    unit = "steps" if cells else "batches"
    total = sum(model.cell_steps(batch) for batch in todo) if cells else len(todo)
    size = batch_size or len(part)
    batch_now = 0
    steps = dict.fromkeys(cells, -1)  # of each cell, the last one begun

    def announce(cell: QRNNCell, *_: Any) -> None:
        steps[cell] += 1
        begun = dict.fromkeys(str(step) for step in steps.values() if step >= 0)
        note("+".join(begun), span(batch_now * size, size, len(part)))

    def answers() -> Iterator[tuple[Batch, torch.Tensor, torch.Tensor, torch.Tensor | None]]:
        nonlocal batch_now, steps
        state = None
        for i, batch in enumerate(todo):
            batch_now = i
            if not part.continues(todo, i):
                steps = dict.fromkeys(cells, -1)
            if not cells:
                note(f"0-{batch.x.shape[1] - 1}", span(i * size, size, len(part)))
            answer = model.answer(batch, state if part.continues(todo, i) else None)
            state = answer.state
            if not cells:
                progress.advance(bar)
            yield batch, answer.logits, answer.z, answer.kept

    start = time.perf_counter()
    hooks = []
    with torch.no_grad(), progress_bar(unit, title is not None) as progress:
        bar = progress.add_task(title or "", total=total)
        for cell in cells:
            hooks.append(cell.register_forward_pre_hook(announce))
            hooks.append(cell.register_forward_hook(lambda *_: progress.advance(bar)))
        try:
            return collect(model.objective, answers(), start)
        finally:
            for hook in hooks:
                hook.remove()


def translate(
    model: Model,
    part: Part,
    vocabulary: Sequence[str],
    batch_size: int | None = None,
    title: str | None = None,
    note: Note = _no_note,
) -> list[str]:
    """Return the translation of each sequence as text; nothing if the model does not translate.

    See `run`.
    """
    if not model.translates:
        return []
    sentences = []
    with progress_bar("batches", title is not None) as progress:
        todo = part.all_batches(batch_size)
        size = batch_size or len(part)
        for i, batch in enumerate(progress.track(todo, description=f"{title}: BLEU")):
            note("translation", span(i * size, size, len(part)))
            sentences += model.sentences(batch, vocabulary)
    return sentences


def span(first: int, size: int, most: int) -> str:
    """Return a range of indices as text: "0-31"."""
    return f"{first}-{min(first + size, most) - 1}"


def record_controls(model: Any, x: torch.Tensor) -> torch.Tensor:
    """Return the controller's outputs (B, T, P) of all steps, in radians, without the bias."""
    controls: list[torch.Tensor] = []
    hook = model.rnn.cell.controller.register_forward_hook(
        lambda module, inputs, output: controls.append(output)
    )
    try:
        with torch.no_grad():
            model(x)
    finally:
        hook.remove()
    return torch.stack(controls, 1)


def run_open_loop(
    reference: Any,
    target: Any,
    part: Split,
    batch_size: int | None,
    title: str | None = None,
    note: Note = _no_note,
) -> Outcome:
    """Return the outcome of a model that is given the reference's angles; see `run`.

    Each batch is one execution. Both models are a `SequenceModel` with one hybrid cell. Where each
    step is a circuit, only those run that the head reads.
    """
    size = batch_size or len(part)
    start = time.perf_counter()
    memory, steps = target.rnn.cell.memory, part.x.shape[1]
    read = target.steps_read(steps) if memory.charges_steps else range(steps)

    def answers(progress: Progress) -> Iterator[tuple[Batch, torch.Tensor, torch.Tensor, None]]:
        todo = part.all_batches(batch_size)
        for i, batch in enumerate(progress.track(todo, description=title or "")):
            controls = record_controls(reference, batch.x)
            note(span(read[0], steps, steps), span(i * size, size, len(part)))
            z = memory.run(controls, read)
            outputs = target.outputs(target.at_last(z), target.embed(batch.x), batch.x)
            yield batch, outputs, z, None

    with torch.no_grad(), progress_bar("batches", title is not None) as progress:
        found = collect(target.objective, answers(progress), start)
    return found if len(read) == steps else replace(found, steps=list(read))


def rms_difference(
    found: list[torch.Tensor],
    expected: list[torch.Tensor],
    real: Sequence[torch.Tensor | None],
) -> tuple[float, list[float]]:
    """Return the root mean square difference of outputs, over all steps and at each.

    Args:
        found: outputs (B, T, R), one tensor per batch.
        expected: the same of a reference.
        real: which steps (B, T) are not padding, for each batch; None: all of its steps are.
    """
    steps = max(z.shape[1] for z in found)
    total = torch.zeros(steps, dtype=torch.float64)
    count = torch.zeros(steps, dtype=torch.float64)
    for one, other, mask in zip(found, expected, real, strict=True):
        square = (one - other).double().square().mean(2)
        if mask is not None:
            square = square.masked_fill(~mask, 0)
        total[: square.shape[1]] += square.sum(0)
        count[: square.shape[1]] += len(square) if mask is None else mask.sum(0)
    total, count = total[count > 0], count[count > 0]
    return (total.sum() / count.sum()).sqrt().item(), (total / count).sqrt().tolist()
