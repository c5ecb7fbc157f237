"""Reading plain data from files that others may have written: no code, no references, no ends."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from qrnn.errors import ConfigError, DataError

MOST_BYTES = 1 << 28  # of a file of text that is read whole
MOST_VALUES = 100_000  # of a configuration
DEEPEST = 20


def check_plain(value: Any, key: str = "the configuration", depth: int = 0) -> int:
    """Raise the error for what a configuration that comes out of a file must not hold.

    An interpolation such as `${oc.env:HOME}` would tell the file's author what is on this machine.

    Args:
        value: dicts, lists and plain values.
        key: where it is, for the message.
        depth: how deep it lies.

    Returns:
        The number of values.

    Raises:
        ConfigError: an interpolation, anything else than plain values, or too many of them.
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
        DataError: no file, a very large one, or not UTF-8.
        OSError: it cannot be read.
    """
    path = Path(path)
    if not path.is_file():
        raise DataError(f"{path} must be a file, but there is none")
    if path.stat().st_size > MOST_BYTES:
        raise DataError(f"{path} must be smaller than {MOST_BYTES >> 20} MB")
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise DataError(f"{path} must be UTF-8, but byte {error.start} is not") from error


class _PlainLoader(yaml.SafeLoader):
    """Refuses aliases: nine lines of them can stand for a billion values."""

    def compose_node(self, parent: Any, index: Any) -> Any:
        if self.check_event(yaml.AliasEvent):
            raise yaml.YAMLError("it must have no aliases (*name)")
        return super().compose_node(parent, index)


def parse_yaml(text: str, name: str | Path) -> Any:
    """Return what YAML says, as plain data.

    Args:
        text: the YAML.
        name: the file's, for errors.

    Raises:
        DataError: it is no YAML, or has aliases or types of Python's.
    """
    try:
        return yaml.load(text, _PlainLoader)
    except (yaml.YAMLError, ValueError, TypeError, AttributeError) as error:
        reason = " ".join(str(error).split())[:200]
    except RecursionError:
        reason = "nested too deep"
    raise DataError(f"{name} must be plain YAML: {reason}")


def read_yaml(path: str | Path) -> Any:
    """Return what a YAML file says, as plain data.

    Raises:
        DataError: no file, or as `parse_yaml` does.
        OSError: it cannot be read.
    """
    return parse_yaml(read_text(path), path)
