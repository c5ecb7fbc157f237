"""Small tables, and untrained models that have read them, for random command lines."""

from __future__ import annotations

import io
import tempfile
from contextlib import chdir
from dataclasses import asdict
from functools import cache
from pathlib import Path

import torch

from helpers.tables import labelled_file, series_file, write_table
from qrnn.config import compose, to_plain
from qrnn.models.build import build_model
from qrnn.training.checkpoint import load_task

WORDS = ("a good film", "a bad film", "so dull, so long", "well made; well played")
LINES = {
    "forecast": ["task.file=series.csv", "task.target=y", "task.time=t", "task.window=4"],
    "sequences": ["task.file=labelled.csv", "task.order=step", "task.features=[f,g]"],
    "texts": ["task.file=texts.csv", "model=hybrid", "model.n_qubits=2", "model.width=4"],
}


def fill_with_tables(here: Path) -> None:
    """Write tables, right and wrong, and a checkpoint of each task that reads them."""
    _tables(here)
    for name, content in _checkpoints().items():
        (here / f"run/{name}.ckpt").write_bytes(content)


def _tables(here: Path) -> None:
    series_file(here, 40)
    labelled_file(here)
    write_table(here / "texts.csv", "text,label", [(f'"{WORDS[i % 4]}"', i % 2) for i in range(24)])
    write_table(here / "wrong.csv", "t,y,u,t", [(0, "x", "", 1), (1, 2)])
    (here / "empty.csv").write_bytes(b"\xef\xbb\xbf")


@cache
def _checkpoints() -> dict[str, bytes]:
    found = {}
    with tempfile.TemporaryDirectory() as folder, chdir(folder):
        _tables(Path(folder))
        for name, line in LINES.items():
            model = [] if "model=hybrid" in line else ["model=gru", "model.hidden_size=2"]
            config = compose("train", [f"task={name}", *line, *model])
            data = load_task(config.task)
            weights = build_model(config, data.shape, data.vectors, data.objective).state_dict()
            assert data.encoder is not None
            content = {
                "qrnn": {
                    "config": to_plain(config),
                    "shape": asdict(data.shape),
                    "objective": data.objective.plain(),
                    "table": data.encoder.plain(),
                },
                "state_dict": {f"model.{key}": value for key, value in weights.items()},
            }
            torch.save(content, file := io.BytesIO())
            found[name] = file.getvalue()
    return found
