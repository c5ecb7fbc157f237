"""`--help` of the commands under Hydra: Hydra's text with a description of each key.

The descriptions come from the schemas' docstrings.
"""

from __future__ import annotations

import re
from textwrap import wrap
from typing import Any

import yaml

from qrnn.config.commands import COMMAND_SCHEMAS, TABLES, TrainerConfig
from qrnn.config.device_table import device_spec
from qrnn.config.devices import DeviceOptions, option_info
from qrnn.errors import QRNNError
from qrnn.utils.checkpoints import shipped

MARK = "set with key=value:\n"  # ends each command's text; the keys follow
GROUPS = "GROUPS"  # stands for their table in the text of `train`
SHIPPED = "SHIPPED"  # for the names of the shipped checkpoints in that of `evaluate`
COLUMN, WIDTH = 30, 79


def meanings(schema: type) -> dict[str, str]:
    """Return each key's description as one line, from the schema's docstring and its parents'."""
    descriptions: dict[str, str] = {}
    for one in reversed(schema.__mro__):
        text = (one.__doc__ or "").partition("Attributes:")[2]
        found = re.findall(r"^        (\w+): (.*(?:\n {12}.*)*)", text, re.MULTILINE)
        descriptions |= {name: " ".join(text.split()) for name, text in found}
    return descriptions


def add_descriptions(text: str, command: str) -> str:
    """Return Hydra's help of a command, with the first sentence of each key's description.

    Of the options of devices, it has those that the chosen one reads.

    Args:
        text: Hydra's output: the command's text up to `MARK`, then the configuration.
        command: name of the command.
    """
    head, mark, config = text.rstrip().partition(MARK)
    head = head.replace(GROUPS, "\n".join(_groups())).replace(SHIPPED, ", ".join(shipped()))
    config = config.lstrip("\n")
    values: dict[str, Any] = yaml.safe_load(config) or {}
    descriptions, lines = meanings(COMMAND_SCHEMAS[command]), []
    inner, group = dict[str, str](), ""
    unread = _unread(values.get("device"))
    for line in config.splitlines():
        name = line.strip().partition(":")[0]
        if outer := not line.startswith(" "):
            inner = _of_group(name, values.get(name))
            group = name
        elif group == "device" and name in unread:
            continue
        lines += _columns(line, _sentence((descriptions if outer else inner).get(name, "")))
        if unread and outer and name == "device":
            lines.append(f"  # those of another device: qrnn {command} device=NAME --help")
    return "\n".join([head + mark, *lines])


def _groups() -> list[str]:
    """Return the table of groups and their names, with those of plug-ins; none is imported."""
    lines = []
    for group, table in TABLES.items():
        names = wrap(", ".join(sorted(table)), WIDTH - 8)
        lines += [f"{group:<8}{names[0]}", *(" " * 8 + row for row in names[1:])]
    return [*lines, "device  fused; `qrnn devices` lists all", "trainer default, lbfgs, spsa"]


def _unread(device: Any) -> set[str]:
    """Return the options that a device ignores; none of a device that is not known."""
    try:
        spec = device_spec(device["name"])
    except (TypeError, KeyError, QRNNError):  # the command has no device, or no such one
        return set()
    return {*option_info()} - {*spec.options}


def _of_group(group: str, chosen: Any) -> dict[str, str]:
    """Return the descriptions of a group's keys; empty if it is not a group."""
    if group in TABLES:
        return meanings(TABLES[group][chosen["name"]].schema)
    schemas = {"device": DeviceOptions, "trainer": TrainerConfig}
    return meanings(schemas[group]) if group in schemas else {}


def _sentence(description: str) -> str:
    """Return the first sentence of a description, with YAML's null for None."""
    first = re.split(r"\. (?=[A-Z`])", description, maxsplit=1)[0].removesuffix(".")
    return re.sub(r"\bNone\b", "null", first)


def _columns(line: str, description: str) -> list[str]:
    rows = wrap(description, WIDTH - COLUMN)
    if rows and len(line) < COLUMN - 1:
        line = f"{line:<{COLUMN}}{rows.pop(0)}"
    return [line, *(" " * COLUMN + row for row in rows)]
