"""The measured results, docs/results.json: one line per run; what runs share is stored once."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from filelock import FileLock

from qrnn.errors import DataError
from qrnn.utils.files import write_text

Record = dict[str, Any]
"""A run's measurements, and the settings shown on the page; `train` has all its overrides.

Fields without a value are omitted: `accuracy` (of numbers), `signature`, `steps`, `reached`,
`stop_below`, `dropout`, `bidirectional`, `peak_memory_mb`, `environment`, `baselines`, `devices`;
`defaults` and `data` (see `stale.py`) of old runs; `data_changed`, unless the data files are known
to have changed since.
"""

EVALUATION = ("metric", "value", "loss", "accuracy", "sequences", "signature")
SIZES = ("parameters", "all_parameters", "epochs", "steps", "reached")
COSTS = ("seconds_per_epoch", "minutes", "threads", "peak_memory_mb")
MEASURED = (*EVALUATION, *SIZES, *COSTS)
SHARED = {"environment": "environments", "defaults": "defaults"}  # field: its list in the file
SUMMARY = (*SIZES, *COSTS, "best", "config")
REQUIRED = {*MEASURED, "layers", "optimizer", "lr", "batch_size", "max_epochs", "train"}
REQUIRED -= {"accuracy", "signature", "steps", "reached", "peak_memory_mb"}


def make_record(
    train: Sequence[str],
    summary: dict[str, Any],
    evaluation: dict[str, Any],
    environment: dict[str, str] | None,
) -> Record:
    """Return the record of a run, without any path of this machine.

    Args:
        train: its overrides of `qrnn train`, without folders.
        summary: its summary.json.
        evaluation: its evaluation-*.json.
        environment: its environment.json, if it has one.
    """
    model, trainer = summary["config"]["model"], summary["config"]["trainer"]
    measured = summary | {name: evaluation[name] for name in EVALUATION}
    dropout = [model.get("dropout", 0), model["embedding_dropout"], model["head_dropout"]]
    record = {name: measured[name] for name in MEASURED} | {
        "layers": model["num_layers"],
        "bidirectional": model["bidirectional"] or None,
        "dropout": dropout if any(dropout) else None,
        "optimizer": trainer["optimizer"],
        "lr": trainer["lr"],
        "batch_size": trainer["batch_size"],
        "max_epochs": trainer["epochs"],
        "stop_below": trainer.get("stop_below"),
        "environment": environment,
        "train": " ".join(train),
        "baselines": {k: _short(v) for k, v in evaluation.get("baselines", {}).items()} or None,
    }
    return {name: _short(value) for name, value in record.items() if value is not None}


def _short(value: Any) -> Any:
    return float(f"{value:.6g}") if isinstance(value, float) else value


def read_records(path: Path, *, required: bool = False) -> dict[str, Record]:
    """Return all records by the names of their runs.

    Args:
        path: the file.
        required: whether a missing file is an error; else it has no records.

    Raises:
        DataError: the file is corrupt, or is missing and required.
    """
    if not path.is_file():
        if required:
            raise DataError(f"{path} must be a results.json, but there is no such file")
        return {}
    try:
        stored = json.loads(path.read_text(encoding="utf-8"))
        records = {name: dict(record) for name, record in stored["runs"].items()}
        for record in records.values():
            if missing := REQUIRED - record.keys():
                raise ValueError(f"a run has no {min(missing)}")
            for field in SHARED.keys() & record.keys():
                record[field] = stored[SHARED[field]][record[field]]
    except (OSError, ValueError, TypeError, LookupError, AttributeError) as error:
        reason = str(error).splitlines()[0]
        raise DataError(
            f"{path} must hold the results of earlier runs, but is corrupt ({reason}): remove it"
        ) from error
    return records


def add_records(path: Path, records: dict[str, Record]) -> None:
    """Add records to the file, or replace them; several processes may do so at once."""
    with FileLock(path.with_name(f".{path.name}.lock")):
        write_records(path, read_records(path) | records)


def write_records(path: Path, records: dict[str, Record]) -> None:
    """Write the file, sorted by name."""
    lists: dict[str, list[Any]] = {name: [] for name in SHARED.values()}
    lines = []
    for name, record in sorted(records.items()):
        record = dict(record)
        for field in SHARED.keys() & record.keys():
            shared = lists[SHARED[field]]
            if record[field] not in shared:
                shared.append(record[field])
            record[field] = shared.index(record[field])
        lines.append(f"{json.dumps(name)}: {json.dumps(record)}")
    heads = [f"{json.dumps(name)}: {json.dumps(one)}" for name, one in lists.items() if one]
    text = ",\n".join([*heads, '"runs": {\n' + ",\n".join(lines) + "\n}"])
    write_text(path, "{" + text + "}\n")
