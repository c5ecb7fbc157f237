"""The checkpoints that the package ships, with a model card each: of rows that have a name."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

import qrnn
from qrnn.errors import DataError
from qrnn.evaluation.trained import TrainedModel
from qrnn.models.identity import model_identity
from qrnn.training.history import best_of, history
from qrnn.utils.checkpoints import CARD, MODEL, PRETRAINED
from qrnn.utils.files import write_text
from qrnn.utils.hub import model_card
from qrnn.utils.registry import unknown_name

from .grid import Grid, Section
from .page import SETTINGS, settings
from .records import Record
from .rows import Row, mean_text, metric_name, rows_of
from .runs import Run, read_json
from .tables import table

PAGES = "https://github.com/pennylane-qrnn/qrnn/blob/main/docs"


def ship(
    grid: Grid,
    runs: Sequence[Run],
    records: Mapping[str, Record],
    only: Collection[str],
    page: str,
    folder: Path = PRETRAINED,
) -> list[Path]:
    """Write the checkpoint and the card of some rows; return their folders.

    Of the seeds whose runs are here, the one with the lowest validation loss is shipped.

    Args:
        grid: the sections.
        runs: all runs.
        records: the records by the names of their runs.
        only: the rows, `section/row`; each must have a name to be shipped by.
        page: name of the page with the rows, for the cards.
        folder: of all shipped checkpoints.

    Raises:
        ConfigError: a row is unknown, or the grid has no name for it.
        DataError: a row has no record, or no finished run with an evaluation.
    """
    names = {
        f"{section}/{row}": (section, row)
        for section in grid.sections
        for row, config in grid.sections[section].rows.items()
        if config.ship
    }
    found = []
    for key in only:
        if key not in names:
            raise unknown_name("--ship", key, names)
        section, name = names[key]
        row = next(one for one in rows_of(section, runs, records) if one.name == name)
        if not row.records or row.stale:
            what = "is stale" if row.stale else "has none"
            raise DataError(f"{key} must have a record to be shipped, but {what}: perform it")
        mine = [run for run in runs if (run.section, run.row) == (section, name)]
        losses = {run: loss for run in mine if (loss := _validation_loss(run)) is not None}
        if not losses:
            raise DataError(
                f"{key} must have a finished run to be shipped, but {mine[0].folder.parent} has "
                f"none: perform it"
            )
        run = min(losses, key=lambda one: losses[one])
        into = folder / grid.sections[section].rows[name].ship
        loaded = qrnn.load(run.attempts()[-1] / "best.ckpt")
        if hasattr(loaded.config.task, "data_dir"):  # of this machine
            loaded.config.task.data_dir = None
        evaluation = _evaluation(run, loaded, row.one["sequences"])
        text = card(into.name, grid.sections[section], row, run, evaluation, page)
        loaded.save(into / MODEL)
        write_text(into / CARD, text)
        found.append(into)
    return found


def _validation_loss(run: Run) -> float | None:
    """Return the lowest validation loss of a finished run; None: there is none."""
    folder = run.attempts()[-1] if run.attempts() else run.folder
    best = best_of(history(folder)) if (folder / "summary.json").is_file() else None
    return None if best is None else best.loss


def _evaluation(run: Run, loaded: TrainedModel, sequences: int) -> Record:
    """Return the evaluation of a run's best checkpoint on its test set, on its own device.

    Args:
        run: the run.
        loaded: its best checkpoint.
        sequences: number of sequences that the records are of.

    Raises:
        DataError: it has none.
    """
    identity = model_identity(loaded.model)
    for path in sorted(run.attempts()[-1].glob("evaluation-*.json")):
        one = read_json(path, ["value", "sequences", "device", "reference", "split", "checkpoint"])
        same = one["checkpoint"] == identity and one["device"] == one["reference"]
        if same and one["split"] == "test" and one["sequences"] == sequences:
            return one
    raise DataError(f"{run.attempts()[-1]} must hold an evaluation of its best.ckpt: evaluate it")


def card(name: str, section: Section, row: Row, run: Run, evaluation: Record, page: str) -> str:
    """Return the model card of a shipped checkpoint.

    Args:
        name: of the checkpoint.
        section: its task.
        row: its network.
        run: its run.
        evaluation: its own evaluation; that of the row's record is of a run with the same settings,
            not always of this one.
        page: name of the page with the row.
    """
    metric = row.one["metric"]
    values = [record["value"] for record in row.records.values()]
    several = f"mean of {len(values)} seeds" if len(values) > 1 else "one seed"
    own = _digits(metric, evaluation["value"])
    then = _digits(metric, row.records[run.seed]["value"]) if run.seed in row.records else own
    results = [
        [f"this checkpoint, seed {run.seed}", own],
        [f"its settings, {several}", mean_text(metric, values)],
    ]
    for device, _ in run.devices:
        on = [one["devices"][device] for one in row.records.values() if "devices" in one]
        results += [[f"its settings, on {device}", mean_text(metric, on)]] if on else []
    what = "tokens" if metric in ("perplexity", "bits_per_character") else "sequences"
    facts = {"recurrent parameters": f"{row.one['parameters']:,}"}
    known = dict(zip(SETTINGS, settings(row), strict=True))
    facts |= {name: known[name] for name in SHOWN}
    needs = [] if run.finds_data else [f"data_dir={run.data}"]
    evaluate = ["qrnn evaluate", f"checkpoint={name}", *needs, *run.evaluate]
    details = f"""## Test result

{table([f"{evaluation['sequences']:,} {what}", metric_name(metric)], results)}

Of the seeds, the one with the lowest validation loss is shipped. The results of all are on
[a page]({PAGES}/{page}).{AGAIN.format(then) if then != own else ""}

## Network and training

{table(["", ""], [[k, v] for k, v in facts.items()])}

    qrnn train {" ".join(run.command)}

## Task and data

{section.card.source}

## Evaluate it

    {" ".join(evaluate)}

Any device, noise and backend can be set: see [Shipped checkpoints]({PAGES}/pretrained.md).

## Limits

{section.card.limits} It is meant for comparisons, for experiments with noise and on
hardware, and for fine-tuning."""
    data = {"license": "apache-2.0", "metrics": [metric]}
    data |= {"datasets": section.card.datasets} if section.card.datasets else {}
    about = f": {row.name}. Task: {section.title}. The package ships it as `{name}`"
    load = f'load("{name}")'
    return model_card(data, about=about, load=load, install="pennylane-qrnn", details=details)


AGAIN = " The mean is of earlier runs, in which this seed had {}."
SHOWN = ("all parameters", "optimiser", "learning rate", "batch", "epochs", "layers", "dropout")


def _digits(metric: str, value: float) -> str:
    return f"{value:.2%}" if metric == "accuracy" else f"{value:.4g}"
