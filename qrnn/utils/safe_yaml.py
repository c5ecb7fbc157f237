"""Safe reading of configs and YAML from untrusted files: no code, no aliases, limited size."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from qrnn.errors import ConfigError, DataError

MOST_BYTES = 1 << 28  # per file
MOST_VALUES = 100_000  # per configuration
DEEPEST = 20


def check_plain(value: Any, key: str = "the configuration", depth: int = 0) -> int:
    """Raise an error unless a configuration from a file holds only plain values.

    An interpolation such as `${oc.env:HOME}` could leak data of this machine to the file's author.

    Args:
        value: dicts, lists and plain values.
        key: key of the value, for the message.
        depth: nesting depth of the value.

    Returns:
        The number of values.

    Raises:
        ConfigError: the configuration has an interpolation, a value that is not plain, or too many
            values.
    """
    if isinstance(value, str) and "${" in value:
        raise ConfigError(f"{key} must be a plain value, got the interpolation {value!r:.60}")
    if value is None or isinstance(value, bool | int | float | str):
        return 1
    if not isinstance(value, dict | list) or depth > DEEPEST:
        raise ConfigError(f"{key} must be a plain value, got a {type(value).__name__}")
    count, pairs = 1, value.items() if isinstance(value, dict) else enumerate(value)
    for name, one in pairs:
        if not isinstance(name, int):
            check_plain(name, f"a key of {key}", DEEPEST + 1)
        count += check_plain(one, f"{key}.{name}"[-60:], depth + 1)
        if count > MOST_VALUES:
            raise ConfigError(f"{key} must have at most {MOST_VALUES} values")
    return count


def read_text(path: str | Path) -> str:
    """Return a file's text.

    Raises:
        DataError: the file is missing, too large or not UTF-8.
        OSError: the file cannot be read.
    """
    path = Path(path)
    if not path.is_file():
        raise DataError(f"{path} must be a file, but does not exist")
    if path.stat().st_size > MOST_BYTES:
        raise DataError(f"{path} must be smaller than {MOST_BYTES >> 20} MB")
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise DataError(f"{path} must be UTF-8, but byte {error.start} is not") from error


class _PlainLoader(yaml.SafeLoader):
    """Rejects aliases: nine lines of them can expand to a billion values."""

    def compose_node(self, parent: Any, index: Any) -> Any:
        if self.check_event(yaml.AliasEvent):
            raise yaml.YAMLError("it must have no aliases (*name)")
        return super().compose_node(parent, index)


def parse_yaml(text: str, name: str | Path) -> Any:
    """Return the plain data of a YAML text.

    Args:
        text: the YAML.
        name: the file's name, for errors.

    Raises:
        DataError: the text is not YAML, or has aliases or Python types.
    """
    try:
        return yaml.load(text, _PlainLoader)
    except (yaml.YAMLError, ValueError, TypeError, AttributeError) as error:
        reason = " ".join(str(error).split())[:200]
    except RecursionError:
        reason = "nested too deeply"
    raise DataError(f"{name} must be plain YAML: {reason}")


def read_yaml(path: str | Path) -> Any:
    """Return the plain data of a YAML file.

    Raises:
        DataError: see `read_text` and `parse_yaml`.
        OSError: the file cannot be read.
    """
    return parse_yaml(read_text(path), path)
