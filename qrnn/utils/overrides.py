"""Write `key=value` overrides as Hydra parses them."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from hydra.core.override_parser.types import Quote, QuotedString

if TYPE_CHECKING:
    from qrnn.config.devices import DeviceOptions

_BARE = re.compile(r"[A-Za-z_./][\w./+-]*", re.ASCII)  # a string that needs no quotes
_SPECIAL = re.compile(r"null|true|false|on|off|yes|no|nan|inf", re.IGNORECASE)


def override(key: str, value: Any) -> str:
    """Return `key=value` as Hydra parses it."""
    return f"{key}={_hydra(value)}"


def argument(key: str, value: Any) -> str:
    """Return `key=value` as a shell passes it on to Hydra."""
    return shell_quoted(override(key, value))


def device_arguments(options: DeviceOptions) -> str:
    """Return a device and its options, without those of one run, as a shell passes them on."""
    given = {k: v for k, v in options.given().items() if k not in ("ledger", "max_qpu_seconds")}
    keys = [argument(f"device.{name}", value) for name, value in given.items()]
    return " ".join([argument("device", options.name), *keys])


def shell_quoted(text: str) -> str:
    """Return a shell's argument; one with single quotes stays readable in double ones."""
    if "'" in text and not set(text) & set('"$`\\!'):
        return f'"{text}"'
    return shlex.quote(text)


def _hydra(value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list | tuple):
        return f"[{','.join(_hydra(one) for one in value)}]"
    if isinstance(value, dict):
        return "{" + ",".join(f"{name}:{_hydra(one)}" for name, one in value.items()) + "}"
    if isinstance(value, str) and not (_BARE.fullmatch(value) and not _SPECIAL.fullmatch(value)):
        plain = re.sub(r"(\\*)\$\{", r"\1\1\${", value)  # not an interpolation
        return QuotedString(plain, Quote.single).with_quotes()
    return str(value)


def wrap_command(arguments: Iterable[str]) -> str:
    r"""Return a command wrapped with `\` at 88 characters; longer arguments are not split."""
    lines: list[str] = []
    for argument in arguments:
        if lines and len(lines[-1]) + len(argument) < 86:
            lines[-1] += f" {argument}"
        else:
            lines.append(f"    {argument}" if lines else argument)
    return " \\\n".join(lines)
