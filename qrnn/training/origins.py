"""The modules that define what a checkpoint names: its task, network, ansatz and device."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from qrnn.circuit.ansatz import ANSAETZE
from qrnn.config import TrainConfig, from_plain
from qrnn.data import TASKS
from qrnn.devices import device_table
from qrnn.errors import ConfigError
from qrnn.networks import NETWORKS
from qrnn.utils.program import own_file
from qrnn.utils.registry import Registry


def _tables() -> dict[str, tuple[Registry[Any], str, str]]:
    """Return the registries, each with the group and the key that names an entry."""
    return {
        "task": (TASKS, "task", "name"),
        "model": (NETWORKS, "model", "name"),
        "ansatz": (ANSAETZE, "model", "ansatz"),
        "device": (device_table(), "device", "name"),
    }


def modules_of(config: TrainConfig) -> dict[str, str]:
    """Return the modules that define a configuration's task, model, ansatz and device."""
    found = {}
    for kind, (table, group, key) in _tables().items():
        name = str(getattr(getattr(config, group), key, ""))
        if name in table:  # not the name of IBM's own backends
            found[kind] = table.module(name)
    return found


def program_of(config: TrainConfig, run_dir: Path) -> dict[str, str]:
    """Return the file of the program that defines a part of the model, as `program`.

    It is relative to the run's folder; empty: no program does.
    """
    file = own_file()
    if file is None or file.name not in modules_of(config).values():
        return {}
    return {"program": os.path.relpath(file, run_dir.resolve())}


def config_of(content: dict[str, Any]) -> TrainConfig:
    """Return the typed configuration of a checkpoint's content.

    Raises:
        ConfigError: it does not fit this version, or has a name that is not known here; the message
            says which module had it.
    """
    ours = content["qrnn"]
    for kind, (table, group, key) in _tables().items():
        module, of_group = ours.get("modules", {}).get(kind), ours["config"].get(group)
        name = of_group.get(key) if isinstance(of_group, dict) else None
        if module is not None and isinstance(name, str) and name not in table:
            remedy = "install its package, or import it first"
            if module.endswith(".py"):
                remedy = f"run `python {module}` in place of `qrnn`"
            raise ConfigError(
                f"{kind} {name!r} of the checkpoint is not known here; it was defined in "
                f"{module}: {remedy}"
            )
    return from_plain(ours["config"])
