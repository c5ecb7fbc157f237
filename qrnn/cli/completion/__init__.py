"""Shell completion: `qrnn completion bash` prints a script with all commands and keys.

zsh can load the same script through bashcompinit. Hydra's own completion would start Python
at every TAB, and does not know our commands.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import fields, is_dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any, get_type_hints

from qrnn.config.commands import (
    COMMAND_SCHEMAS,
    FEEDBACKS,
    OPTIMIZERS,
    SPLITS,
    TABLES,
    TrainConfig,
)
from qrnn.config.device_table import device_table
from qrnn.config.devices import STRATEGIES
from qrnn.config.models import ANSAETZE
from qrnn.utils.registry import unknown_name

SHELLS = ("bash",)
FLAGS = (
    "--help",
    "--multirun",
    "--cfg",
    "--config-dir",
    "--config-name",
)  # Hydra's flags; `devices` and `completion` have none


@cache
def values() -> dict[str, tuple[str, ...]]:
    """Return the possible values of each key that takes one of several names."""

    def shipped(group: str) -> tuple[str, ...]:
        names = (one.name for one in (files("qrnn.configs") / group).iterdir())
        return tuple(sorted(Path(name).stem for name in names if name.endswith(".yaml")))

    found: dict[str, tuple[str, ...]] = {
        **{group: tuple(table) for group, table in TABLES.items()},
        "device": tuple(device_table()),
        "device.strategy": STRATEGIES,
        "model.ansatz": tuple(ANSAETZE),
        "trainer.optimizer": tuple(OPTIMIZERS),
        "feedback": FEEDBACKS,
        "split": SPLITS,
        "trainer": shipped("trainer"),
        "+experiment": shipped("experiment"),
    }
    for key, kind in _leaves(TrainConfig):
        if kind is bool:
            found[key] = ("true", "false")
    return found


def _leaves(schema: type, prefix: str = "") -> Iterable[tuple[str, Any]]:
    """Yield every key of a schema that takes a value, with its type.

    `task` and `model` yield the keys of all tasks and models, because none is chosen yet.
    """
    hints = get_type_hints(schema)
    for field in fields(schema):
        key, kind = f"{prefix}{field.name}", hints[field.name]
        if not is_dataclass(kind):
            yield key, kind
        elif key in TABLES:
            seen: dict[str, Any] = {}
            for _, entry in TABLES[key].loaded():
                seen.update(dict(_leaves(entry.schema, f"{key}.")))
            yield from seen.items()
        else:
            yield from _leaves(kind, f"{key}.")  # type: ignore[arg-type]


def command_keys() -> dict[str, list[str]]:
    """Return the sorted keys of each command as they are typed: `device=`, `device.shots=`."""
    found = {}
    for command, schema in COMMAND_SCHEMAS.items():
        keys = [f"{key}=" for key, _ in _leaves(schema) if not key.endswith(".name")]
        groups = {key.partition(".")[0] for key in keys if "." in key}
        chosen = [f"{group}=" for group in groups if group in values()]
        found[command] = sorted(keys + chosen)
    found["train"].append("+experiment=")
    return found


def script(shell: str, commands: Iterable[str]) -> str:
    """Return the completion script of a shell.

    Args:
        shell: `bash`; zsh can load the same script.
        commands: the names of all commands.

    Raises:
        ConfigError: the shell is not supported.
    """
    if shell not in SHELLS:
        raise unknown_name("shell", shell, SHELLS)
    cases = [f"    commands:*) echo '{_lines(commands)}' ;;"]
    for command, keys in command_keys().items():
        top = {key if "." not in key else key.partition(".")[0] + "." for key in keys}
        deep = [key for key in keys if "." in key]
        cases.append(f"    {command}:*.*) echo '{_lines(deep)}' ;;")
        cases.append(f"    {command}:*) echo '{_lines(sorted(top | set(FLAGS)))}' ;;")
    cases.append(f"    devices:*) echo '{_lines(['--help', *values()['device']])}' ;;")
    cases.append(f"    completion:*) echo '{_lines(SHELLS)}' ;;")
    known = [f"    {key}) echo '{_lines(names)}' ;;" for key, names in values().items()]
    lines = [
        "_qrnn_words() {",
        '  case "$1:$2" in',
        *cases,
        "  esac",
        "}",
        "_qrnn_values() {",
        '  case "$1" in',
        *known,
        "    *) return 1 ;;",
        "  esac",
        "}",
    ]
    return "\n".join(lines) + "\n" + (files(__name__) / "qrnn.bash").read_text()


def _lines(names: Iterable[str]) -> str:
    return "\n".join(names)
