"""`--help` of the commands under Hydra: its text, with what each key means beside it.

The meanings are those of the schemas' docstrings, so that they are written once.
"""

from __future__ import annotations

import re
from textwrap import wrap
from typing import Any

import yaml

from qrnn.config import COMMAND_SCHEMAS, TrainerConfig
from qrnn.data import TASKS
from qrnn.devices import DeviceOptions
from qrnn.networks import NETWORKS

MARK = "set with key=value:\n"  # the last line of each command's text, before its keys
COLUMN, WIDTH = 30, 79


def meanings(schema: type) -> dict[str, str]:
    """Return what each key of a schema is, in a line, from its docstring and its parents'."""
    told: dict[str, str] = {}
    for one in reversed(schema.__mro__):
        text = (one.__doc__ or "").partition("Attributes:")[2]
        found = re.findall(r"^        (\w+): (.*(?:\n {12}.*)*)", text, re.MULTILINE)
        told |= {name: " ".join(what.split()) for name, what in found}
    return told


def explained(text: str, command: str) -> str:
    """Return Hydra's help of a command with the first sentence on each key beside it.

    Args:
        text: as Hydra prints it, up to `MARK` and the configuration behind it.
        command: its name.
    """
    head, mark, config = text.rstrip().partition(MARK)
    config = config.lstrip("\n")
    values: dict[str, Any] = yaml.safe_load(config) or {}
    told, lines = meanings(COMMAND_SCHEMAS[command]), []
    inner: dict[str, str] = {}
    for line in config.splitlines():
        name = line.strip().partition(":")[0]
        if outer := not line.startswith(" "):
            inner = _of_group(name, values.get(name))
        lines += _beside(line, _sentence((told if outer else inner).get(name, "")))
    return "\n".join([head + mark, *lines])


def _of_group(group: str, chosen: Any) -> dict[str, str]:
    """Return the meanings of the keys of a group; of a key that is none, nothing."""
    if group in ("task", "model"):
        return meanings((TASKS if group == "task" else NETWORKS)[chosen["name"]].schema)
    schemas = {"device": DeviceOptions, "trainer": TrainerConfig}
    return meanings(schemas[group]) if group in schemas else {}


def _sentence(meaning: str) -> str:
    """Return the first sentence of a meaning, in YAML's words."""
    first = re.split(r"\. (?=[A-Z`])", meaning, maxsplit=1)[0].removesuffix(".")
    return re.sub(r"\bNone\b", "null", first)


def _beside(line: str, meaning: str) -> list[str]:
    rows = wrap(meaning, WIDTH - COLUMN)
    if rows and len(line) < COLUMN - 1:
        line = f"{line:<{COLUMN}}{rows.pop(0)}"
    return [line, *(" " * COLUMN + row for row in rows)]
