"""The schemas in Hydra's config store, and configurations composed of them.

Hydra checks keys and types against the dataclasses; ranges are checked where the values are used.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from importlib import resources
from typing import Any

from hydra.core.config_store import ConfigNode, ConfigStore
from omegaconf import MISSING, OmegaConf

from qrnn.config.commands import COMMAND_SCHEMAS, TABLES
from qrnn.config.convert import to_typed
from qrnn.config.device_table import IBM_NAME, device_names
from qrnn.config.errors import config_error_line
from qrnn.errors import ConfigError, QRNNError
from qrnn.utils.files import own_folder
from qrnn.utils.locks import holding


class LazyNode(ConfigNode):
    """A node of Hydra's store that is made when it is read; no plug-in is imported before.

    Hydra copies the store for each of many questions about it. These nodes are not copied: what is
    read from them is.

    Args:
        name: name in the store.
        group: its group; None: it is a command's schema.
        make: returns what is stored, a dataclass or a dict.
    """

    _node: Any

    def __init__(self, name: str, group: str | None, make: Callable[[], Any]):
        not_made: Any = None
        super().__init__(f"{name}.yaml", not_made, group, package=None, provider=None)
        self.make = make

    @property
    def node(self) -> Any:
        """The configuration, as Hydra composes it."""
        if self._node is None:
            self._node = OmegaConf.structured(self.make())
        return self._node

    @node.setter
    def node(self, value: Any) -> None:
        self._node = value

    def __deepcopy__(self, memo: dict[int, Any]) -> LazyNode:
        return self


def _schema(group: str, name: str) -> type:
    """Return the schema of a task or model."""
    return TABLES[group][name].schema


def register_schemas(overrides: Sequence[str] = ()) -> None:
    """Register the schemas, and every device by its name, in Hydra's config store.

    Args:
        overrides: the command line. The IBM backends that it names are registered too, because
            their names cannot be listed.
    """
    OmegaConf.register_new_resolver("own_folder", own_folder, replace=True)
    repo = ConfigStore.instance().repo

    def store(name: str, group: str | None, make: Callable[[], Any]) -> None:
        nodes = repo if group is None else repo.setdefault(group, {})
        nodes[f"{name}.yaml"] = LazyNode(name, group, make)

    for command, schema in COMMAND_SCHEMAS.items():
        chosen_later = {"model": MISSING} if command in ("train", "draw") else {}
        store(f"{command}_schema", None, partial(schema, **chosen_later))
    for group, table in TABLES.items():
        shipped = resources.files("qrnn.configs") / group
        for name in table:
            store(f"{name}_schema", group, partial(_schema, group, name))
            if not (shipped / f"{name}.yaml").is_file():  # a plug-in's, or of the user's program
                store(name, group, partial(_schema, group, name))
    chosen = (item.partition("=")[2].split(",") for item in overrides if item[:7] == "device=")
    named = (name for names in chosen for name in names if IBM_NAME.fullmatch(name))
    for name in (*device_names(), *named):
        store(name, "device", partial(dict, name=name))  # the schema has the defaults


def primary_config(command: str, groups: Mapping[str, str]) -> str:
    """Return the name of the config from which Hydra composes a command.

    Args:
        command: a key of `COMMAND_SCHEMAS`.
        groups: options of a checkpoint, which replace those of its defaults list, such as
            `{"task": "ptb"}`. Where the task is the checkpoint's, there is no recipe.
    """
    if not groups:
        return command
    text = (resources.files("qrnn.configs") / f"{command}.yaml").read_text(encoding="utf-8")
    config: Any = OmegaConf.to_container(OmegaConf.create(text))
    config["defaults"] = [
        {key: groups.get(key, name) for key, name in one.items()} if isinstance(one, dict) else one
        for one in config["defaults"]
        if "optional recipe" not in one or "task" not in groups
    ]
    name = f"{command}_from_checkpoint"
    ConfigStore.instance().store(name, config)
    return name


# Hydra has one configuration and one store in a process, so threads take turns.
@holding(threading.RLock())
def compose(command: str, overrides: Sequence[str], groups: Mapping[str, str] | None = None) -> Any:
    """Return the typed configuration of a command, as its line of arguments gives it.

    Args:
        command: a key of `COMMAND_SCHEMAS`.
        overrides: its arguments, such as `model.n_qubits=4`.
        groups: see `primary_config`.

    Raises:
        ConfigError: an unknown key, or a value of the wrong type.
    """
    from hydra import compose as compose_in
    from hydra import initialize_config_module
    from hydra.core.global_hydra import GlobalHydra
    from hydra.initialize import get_gh_backup, restore_gh_from_backup

    register_schemas(overrides)
    outer = get_gh_backup()  # of the command that may be running
    GlobalHydra.instance().clear()
    try:
        with initialize_config_module("qrnn.configs", version_base="1.3"):
            config = primary_config(command, groups or {})
            return to_typed(compose_in(config, overrides=list(overrides)))
    except QRNNError:
        raise
    except Exception as error:  # Hydra's own are of many types
        raise ConfigError(config_error_line(error)) from error
    finally:
        restore_gh_from_backup(outer)
