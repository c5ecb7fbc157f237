"""The grid of `qrnn table`: tasks, the models that are compared on each, and their seeds."""

from __future__ import annotations

from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path

from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from qrnn.errors import ConfigError
from qrnn.plain import check_plain, parse_yaml, read_yaml


@dataclass
class RowConfig:
    """A model on a task.

    Attributes:
        set: overrides of `qrnn train`, `model=NAME` first.
        seeds: each is a run.
        minutes: what one run is expected to take, until one has been timed.
        note: a remark for the page.
    """

    set: list[str] = field(default_factory=list)
    seeds: list[int] = field(default_factory=lambda: [0])
    minutes: float = 1.0
    note: str = ""


@dataclass
class SectionConfig:
    """A task and the models that are compared on it.

    Attributes:
        title: its heading on the page.
        text: what is told below it.
        data: folder of the task's files below the one that holds all data; None: it has none.
        set: overrides of `qrnn train` that all rows share, `task=NAME` first.
        evaluate: overrides of `qrnn evaluate`.
        rows: models by the names that the table shows.
    """

    title: str = ""
    text: str = ""
    data: str | None = None
    set: list[str] = field(default_factory=list)
    evaluate: list[str] = field(default_factory=list)
    rows: dict[str, RowConfig] = field(default_factory=dict)


@dataclass
class TableConfig:
    """`configs/table.yaml`.

    Attributes:
        text: what is told at the top of the page.
        sections: tasks by short names.
    """

    text: str = ""
    sections: dict[str, SectionConfig] = field(default_factory=dict)


def read_grid(path: str | Path | None = None) -> TableConfig:
    """Return the runs of the results page, or of another file like it.

    Raises:
        ConfigError: no such file, or a key that it cannot have.
    """
    try:
        if path is None:
            text = (files("qrnn.configs") / "table.yaml").read_text(encoding="utf-8")
            plain = parse_yaml(text, "table.yaml")
        else:
            plain = read_yaml(path)
        check_plain(plain, "grid")
        typed = OmegaConf.merge(OmegaConf.structured(TableConfig), plain)
        return OmegaConf.to_object(typed)  # type: ignore[return-value]
    except (OSError, ValueError, TypeError, OmegaConfBaseException) as error:
        reason = str(error).splitlines()[0]
        raise ConfigError(f"grid must be a YAML file of sections and rows: {reason}") from error
