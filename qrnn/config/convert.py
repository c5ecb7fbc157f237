"""Configurations as dataclasses and as plain dicts: what a checkpoint holds."""

from __future__ import annotations

import math
from dataclasses import fields, is_dataclass
from typing import Any

from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from qrnn.config.commands import TABLES, TrainConfig
from qrnn.errors import ConfigError
from qrnn.utils.registry import unknown_name
from qrnn.utils.safe_yaml import check_plain


def to_plain(config: Any) -> dict[str, Any]:
    """Return a configuration as plain dicts, lists and numbers."""
    node = config if OmegaConf.is_config(config) else OmegaConf.structured(config)
    plain: Any = OmegaConf.to_container(node, resolve=True)
    return plain


def to_typed(config: Any) -> Any:
    """Convert a configuration composed by Hydra to the dataclass of its schema.

    Raises:
        ConfigError: a key is unknown (Hydra accepts any with `+key=value`), or a number is too
            large for every key.
    """
    typed: Any = OmegaConf.to_object(config)
    _check(typed, "")
    return typed


MOST_WHOLE, MOST_REAL = 2**32 - 1, 1e30  # beyond them, counts and float32 overflow somewhere


def _check(value: Any, key: str) -> None:
    """Check nested values for unknown keys and for numbers beyond every key's range."""
    if is_dataclass(value):
        known = [one.name for one in fields(value)]
        for name, inner in vars(value).items():
            if name not in known:
                raise unknown_name("key", name, known)
            _check(inner, f"{key}.{name}" if key else name)
    elif isinstance(value, (list, dict)):
        for inner in value.values() if isinstance(value, dict) else value:
            _check(inner, key)
    elif isinstance(value, (int, float)) and math.isfinite(value):
        most = MOST_WHOLE if isinstance(value, int) else MOST_REAL
        if abs(value) > most:
            raise ConfigError(f"{key} must be within {-most}..{most}, got {value}")


def from_plain(plain: dict[str, Any]) -> TrainConfig:
    """Return the typed configuration of a checkpoint.

    Raises:
        ConfigError: the dict does not fit the schemas, or contains an interpolation.
    """
    check_plain(plain)
    chosen: dict[str, Any] = {}
    for group, table in TABLES.items():
        of_group = plain.get(group)
        given = of_group.get("name") if isinstance(of_group, dict) else of_group
        if not isinstance(given, str):
            raise ConfigError(f"{group}.name must be the name of a {group}, got {given!r:.60}")
        chosen[group] = table[given].schema()
    schema = OmegaConf.structured(TrainConfig(**chosen))
    try:
        # OmegaConf does not know every type that YAML and torch can write.
        typed: Any = OmegaConf.to_object(OmegaConf.merge(schema, plain))
        return typed
    except (OmegaConfBaseException, TypeError, ValueError, OverflowError) as error:
        reason = str(error).split("\n")[0]
        raise ConfigError(f"the configuration does not fit this version: {reason}") from error
