"""What is wrong with a configuration, in one line: the errors of Hydra and OmegaConf."""

from __future__ import annotations

import re
import traceback
from dataclasses import fields, is_dataclass
from typing import Any

from hydra.errors import HydraException, MissingConfigException, OverrideParseException
from omegaconf.errors import ConfigAttributeError, ConfigKeyError, OmegaConfBaseException

from qrnn.config.commands import COMMAND_SCHEMAS, TABLES
from qrnn.config.device_table import device_spec
from qrnn.errors import QRNNError, install_line
from qrnn.utils.overrides import argument
from qrnn.utils.registry import unknown_name

HYDRA_PLUGINS = {
    "hydra/sweeper=optuna": install_line("optuna"),
    "hydra/launcher=ray": install_line("ray"),
    "hydra/launcher=submitit_slurm": "pip install hydra-submitit-launcher",
    "hydra/launcher=joblib": "pip install hydra-joblib-launcher",
}
MOST_SHOWN = 160  # characters of what was given
NO_SCHEMA = (
    "--config-name must name a run's config.yaml, or a file whose defaults list has the command: "
    "defaults: [train, _self_]"
)


def config_error_line(error: Exception) -> str:
    """Return the message of an error that Hydra or OmegaConf raised for a configuration."""
    if isinstance(error, MissingConfigException) and error.missing_cfg_file:
        group, _, name = error.missing_cfg_file.rpartition("/")
        if group == "device":  # its own message names the extra with the fake backends
            try:
                device_spec(name)
            except QRNNError as unknown:
                return str(unknown)
        if (plugin := f"{group}={name}") in HYDRA_PLUGINS:
            return f"{plugin} needs another package: {HYDRA_PLUGINS[plugin]}"
        options = [o for o in error.options or [] if not o.endswith("_schema")]
        if not group:
            return (
                f"--config-name {name!r} is not known: it must name a file in the folder of "
                f"--config-dir=FOLDER"
            )
        return str(unknown_name(group, name, options))
    if "@experiment" in str(error):
        return f"an experiment's file must begin with `# @package _global_` ({message_of(error)})"
    if (none := re.match(r"Could not override '(\w+)'\. No match", str(error))) is not None:
        if none[1] == "experiment":
            return "experiment must be added to the configuration: write +experiment=NAME"
        return (
            f"{none[1]} must be left out: this command takes it from the checkpoint or needs none"
        )
    cause: BaseException | None = error
    while cause is not None and not isinstance(cause, OmegaConfBaseException):
        cause = cause.__cause__
    if isinstance(cause, (ConfigKeyError, ConfigAttributeError)):
        owner = cause.object_type
        allowed = [f.name for f in fields(owner)] if is_dataclass(owner) else []
        key = str(cause.full_key)
        if not allowed:
            remedy = f"add it with +{key}=VALUE" if "." in key else NO_SCHEMA
            return f"key {key!r} is not known here: {remedy}"
        if inner := [name for name in _inner_keys(owner) if name.rpartition(".")[2] == key]:
            return f"key {key!r} is not known here: did you mean {' or '.join(inner)}?"
        name = key.rpartition(".")[2]
        return str(unknown_name("key", name, allowed)).replace(repr(name), repr(key), 1)
    if isinstance(cause, OmegaConfBaseException):
        reason = (cause.msg or str(cause)).split("\n")[0]
        if "is not a ListConfig" in reason:
            return f"{cause.full_key} must be a list: write {cause.full_key}=[...]"
        return f"{cause.full_key}: {reason}" if cause.full_key else reason
    if isinstance(error, OverrideParseException):
        return _unreadable(error.override)
    ambiguous = re.match(r"\s*Ambiguous value for argument '(.*)'\n *1\.", str(error), re.DOTALL)
    if ambiguous is not None:
        key, _, value = " ".join(ambiguous[1].splitlines()).partition("=")
        return (
            f"{key} must have one value, got {value}: write [{value}] for a list, "
            f"{argument(key, value)} for a text, or add --multirun to run each"
        )
    if str(error).startswith("Error resolving interpolation '${task}"):
        return "task and model must be chosen, not deleted: write model=lstm"
    if isinstance(error, HydraException):
        return message_of(error)
    # Hydra's errors for task=null, model=3 or trainer=[null].
    if re.match("Config group override|argument of type .* is not iterable", str(error)):
        return "a group must be given by name, such as model=lstm, not by a number or null"
    return f"the arguments cannot be read ({described(error)}): see --help"


def _unreadable(given: str) -> str:
    """Return the message about an argument that Hydra cannot parse."""
    whole = given
    given = " ".join(given.splitlines())
    given = given if len(given) <= MOST_SHOWN else f"{given[:MOST_SHOWN]}..."
    key, equals, value = given.partition("=")
    if re.fullmatch(r"[+~]*[\w./@]+", key) and equals:
        if any(whole.count(a) != whole.count(b) for a, b in ("[]", "{}")):
            return f"{key} must have a value with all its brackets, got {value}"
        quoted = argument(key, value) if given == whole else f"{key}='VALUE'"
        return f"{key} must have its value in quotes, got {value}: write {quoted}"
    if given.endswith(".ckpt"):
        return f"{given} must follow its key: write checkpoint={given}"
    if given in ("h", "help"):
        return f"an argument must be key=value, got {given}: see --help"
    wrong = re.fullmatch(r"([\w./]+)(?::(.*))?", given)
    remedy = f"{wrong[1]}={wrong[2] or 'VALUE'}" if wrong else "key=value"
    return f"an argument must be key=value, got {given!r}: write {remedy}"


def keys_named(command: str, name: str) -> list[str]:
    """Return a command's keys that end with a name, such as `trainer.epochs`."""
    schema = COMMAND_SCHEMAS[command]
    keys = [*(f.name for f in fields(schema)), *_inner_keys(schema)]
    return [key for key in keys if key.rpartition(".")[2] == name]


def _inner_keys(owner: Any) -> list[str]:
    """Return the keys of a schema's groups, such as `trainer.epochs`, but their names.

    Of groups with a table, they are those of all tasks or networks that are shipped.
    """
    keys: dict[str, None] = {}
    for one in fields(owner):
        schemas: list[Any] = [one.default_factory]
        if (table := TABLES.get(one.name)) is not None:  # plug-ins would be imported
            shipped = [name for name in table if name not in table.plugins()]
            schemas = [table[name].schema for name in shipped]
        for part in schemas:
            if is_dataclass(part):
                keys |= {f"{one.name}.{f.name}": None for f in fields(part) if f.name != "name"}
    return [*keys]


def message_of(error: BaseException) -> str:
    """Return an error's message as one line."""
    return " ".join(str(error).split())


def described(error: BaseException) -> str:
    """Return an error's type and message, or where it was raised if it has no message."""
    message = message_of(error)[:MOST_SHOWN]
    if not message and (frames := traceback.extract_tb(error.__traceback__)):
        return f"{type(error).__name__} in {frames[-1].name}"
    return f"{type(error).__name__}: {message}"
