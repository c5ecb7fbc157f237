"""The runs of the results page: tasks, the models compared on each, and their seeds."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from qrnn.errors import ConfigError
from qrnn.utils.registry import unknown_name

GRID = Path(__file__).with_name("grid.yaml")
SIZES = ("parameters", "all_parameters")


@dataclass
class Row:
    """One model on one task.

    Attributes:
        set: overrides of `qrnn train`, `model=NAME` first.
        seeds: random seeds, with one run each.
        minutes: expected duration of a run, until one has been timed.
        note: a remark for the page.
        ship: name of the checkpoint that the package ships; empty: none. `--ship` writes it.
    """

    set: list[str] = field(default_factory=list)
    seeds: list[int] = field(default_factory=lambda: [0])
    minutes: float = 1.0
    note: str = ""
    ship: str = ""


@dataclass
class Card:
    """What model cards of shipped rows say about a task.

    Attributes:
        source: the data, where to get them, and their licence.
        datasets: their names on Hugging Face's Hub.
        limits: what a network trained on them is not for.
    """

    source: str = ""
    datasets: list[str] = field(default_factory=list)
    limits: str = ""


@dataclass
class Section:
    """A task and the models compared on it.

    Attributes:
        title: its heading on the page.
        text: the paragraph below the heading.
        data: subfolder of the data folder with the task's files; None: the task needs none.
        set: overrides of `qrnn train` shared by all rows, `task=NAME` first.
        evaluate: overrides of `qrnn evaluate`.
        devices: overrides of further evaluations, by the headings of their columns.
        headline: the row compared with the best classical twin in the table at the top; empty: the
            task is not in it. Chosen by validation, never by the test set.
        paper: the papers' figure, for that table, with its source.
        size: the number of parameters that twins share within 5%: `parameters` (recurrent) or
            `all_parameters`.
        card: for the model cards of shipped rows.
        rows: models by the names shown on the page.
    """

    title: str = ""
    text: str = ""
    headline: str = ""
    paper: str = ""
    size: str = "parameters"
    data: str | None = None
    set: list[str] = field(default_factory=list)
    evaluate: list[str] = field(default_factory=list)
    devices: dict[str, list[str]] = field(default_factory=dict)
    card: Card = field(default_factory=Card)
    rows: dict[str, Row] = field(default_factory=dict)


@dataclass
class Grid:
    """All sections of the page, by short names.

    Attributes:
        title: of the page.
        text: above the table of all tasks.
        below: between its plot and the sections.
        sections: by short names.
    """

    title: str = "Results"
    text: str = ""
    below: str = ""
    sections: dict[str, Section] = field(default_factory=dict)


def read_grid(path: str | Path = GRID) -> Grid:
    """Read a grid file.

    Raises:
        ConfigError: the file is missing, is not YAML, or has an unknown key, headline or size.
    """
    try:
        plain = OmegaConf.create(Path(path).read_text(encoding="utf-8"))
        typed = OmegaConf.merge(OmegaConf.structured(Grid), plain)
        grid = cast("Grid", OmegaConf.to_object(typed))
    except (OSError, ValueError, YAMLError, OmegaConfBaseException) as error:
        reason = str(error).splitlines()[0]
        raise ConfigError(f"grid must be a YAML file of sections and rows: {reason}") from error
    for name, section in grid.sections.items():
        if section.headline and section.headline not in section.rows:
            raise unknown_name(f"headline of {name}", section.headline, section.rows)
        if section.size not in SIZES:
            raise unknown_name(f"size of {name}", section.size, SIZES)
    return grid
