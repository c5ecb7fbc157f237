"""What the user reads of errors: one line each, Hydra's and OmegaConf's too."""

from __future__ import annotations

import argparse
import difflib
import re
import sys
from collections.abc import Sequence
from dataclasses import fields, is_dataclass
from typing import NoReturn

from hydra.errors import HydraException, MissingConfigException, OverrideParseException
from omegaconf.errors import ConfigAttributeError, ConfigKeyError, OmegaConfBaseException

from qrnn.devices import device_spec
from qrnn.errors import ConfigError, QRNNError
from qrnn.registry import unknown_name


def mendable(error: Exception) -> bool:
    """Return whether an error is about what the user gave, or about files; else it is a fault."""
    ours = (QRNNError, HydraException, OmegaConfBaseException, OSError)
    return isinstance(error, ours) or type(error).__module__ == "pennylane.exceptions"


def one_line(error: Exception) -> str:
    """Return the message for an error that the user can mend."""
    if isinstance(error, QRNNError):
        return " ".join(str(error).split())
    if isinstance(error, OSError) and error.filename is not None:
        return f"{error.filename}: {error.strerror}"
    if isinstance(error, MissingConfigException) and error.missing_cfg_file:
        group, _, name = error.missing_cfg_file.rpartition("/")
        if group == "device":  # its own message knows which extra brings the fake backends
            try:
                device_spec(name)
            except QRNNError as unknown:
                return str(unknown)
        options = [o for o in error.options or [] if not o.endswith("_schema")]
        return str(unknown_name(group or "--config-name", name, options))
    if (none := re.match(r"Could not override '(\w+)'\. No match", str(error))) is not None:
        return f"{none[1]} must be left out: this command takes the checkpoint's, or has none"
    cause: BaseException | None = error
    while cause is not None and not isinstance(cause, OmegaConfBaseException):
        cause = cause.__cause__
    if isinstance(cause, (ConfigKeyError, ConfigAttributeError)):
        owner = cause.object_type
        allowed = [f.name for f in fields(owner)] if is_dataclass(owner) else []
        return str(unknown_name("key", cause.full_key, allowed))
    if isinstance(cause, OmegaConfBaseException):
        reason = (cause.msg or str(cause)).split("\n")[0]
        return f"{cause.full_key}: {reason}" if cause.full_key else reason
    if isinstance(error, OverrideParseException):
        return f"{' '.join(str(error).split())[:160]}: write key=value"
    return " ".join(str(error).split())


# Hydra's own, of the commands that run under it.
FLAGS = (
    "--help", "-h", "--multirun", "-m", "--cfg", "-c", "--resolve", "--package", "-p", "--run",
    "-r", "--info", "-i", "--hydra-help", "--version", "--shell-completion", "-sc",
    "--config-path", "-cp", "--config-name", "-cn", "--config-dir", "-cd", "--experimental-rerun",
)  # fmt: skip


def check_arguments(arguments: Sequence[str]) -> None:
    """Refuse what Hydra would answer with several lines of its flags.

    Raises:
        ConfigError: a flag that there is not, or a value behind a space.
    """
    for argument in arguments:
        if argument.startswith("="):
            raise ConfigError(f"{argument} must follow its key without a space: write key=value")
        if argument.startswith("-") and argument.partition("=")[0] not in FLAGS:
            key = argument.lstrip("-").partition("=")[0] or "key"
            near = difflib.get_close_matches(argument, FLAGS, 1, 0.7)
            advice = f"did you mean {near[0]}?" if near else f"write {key}=value"
            raise ConfigError(f"option {argument!r} is not known: {advice}")


class Parser(argparse.ArgumentParser):
    """Reads the arguments of a command without Hydra; what is wrong is said in one line."""

    def error(self, message: str) -> NoReturn:
        """End the process."""
        fail(f"{message}: `{self.prog} --help` tells what can be given")


def fail(message: str, status: int = 2) -> NoReturn:
    """End the process with one line on stderr."""
    print(f"qrnn: {message}", file=sys.stderr)
    sys.exit(status)
