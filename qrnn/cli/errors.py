"""One-line error messages, also for the errors of Hydra and OmegaConf."""

from __future__ import annotations

import argparse
import difflib
import re
import sys
import tempfile
import traceback
from collections.abc import Sequence
from dataclasses import fields, is_dataclass
from typing import NoReturn

from hydra._internal.utils import get_args_parser
from hydra.errors import HydraException, MissingConfigException, OverrideParseException
from omegaconf.errors import ConfigAttributeError, ConfigKeyError, OmegaConfBaseException

from qrnn.devices import device_spec
from qrnn.errors import ConfigError, QRNNError, install_line
from qrnn.utils.registry import unknown_name

# Messages of torch and NumPy about sizes that exceed the memory.
OUT_OF_MEMORY = re.compile(
    "DefaultCPUAllocator|out of memory|not enough memory|bad_alloc|Unable to allocate"
    "|Storage size calculation overflow|integer multiplication overflow|array is too big"
    "|Array size is too large|Maximum allowed (size|dimension)|maximum supported dimension"
    "|nbytes overflow",
    re.IGNORECASE,
)


HYDRA_PLUGINS = {
    "hydra/sweeper=optuna": install_line("optuna"),
    "hydra/launcher=ray": install_line("ray"),
    "hydra/launcher=submitit_slurm": "pip install hydra-submitit-launcher",
    "hydra/launcher=joblib": "pip install hydra-joblib-launcher",
}
NO_SCHEMA = (
    "--config-name must name a run's config.yaml, or a file whose defaults list has the command: "
    "defaults: [train, _self_]"
)


def is_user_error(error: Exception) -> bool:
    """Return whether an error is about the user's input, files or memory, rather than a bug."""
    ours = (QRNNError, HydraException, OmegaConfBaseException, OSError)
    if isinstance(error, ours) or type(error).__module__ == "pennylane.exceptions":
        return True
    return is_out_of_memory(error)


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether an error says that the memory is too small."""
    if isinstance(error, (RuntimeError, ValueError)):
        return OUT_OF_MEMORY.search(str(error)) is not None
    return isinstance(error, MemoryError)


def one_line(error: Exception) -> str:
    """Return the message of a user error."""
    if isinstance(error, QRNNError):
        return _line(error)
    if is_out_of_memory(error):
        return (
            "the memory must hold the model, its data and one batch, but it does not "
            f"({_line(error)[:120] or type(error).__name__}): choose smaller ones"
        )
    if isinstance(error, OSError) and error.filename is not None:
        return f"{error.filename}: {error.strerror}"
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
        return str(unknown_name(group or "--config-name", name, options))
    if "@experiment" in str(error):
        return f"an experiment's file must begin with `# @package _global_` ({_line(error)})"
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
        return str(unknown_name("key", key, allowed))
    if isinstance(cause, OmegaConfBaseException):
        reason = (cause.msg or str(cause)).split("\n")[0]
        return f"{cause.full_key}: {reason}" if cause.full_key else reason
    if isinstance(error, OverrideParseException):
        return f"{_line(error)[:160]}: write key=value"
    if isinstance(error, HydraException):
        return _line(error)
    # Hydra's errors for task=null, model=3 or trainer=[null].
    if re.match("Config group override|argument of type .* is not iterable", str(error)):
        return "a group must be given by name, such as model=lstm, not by a number or null"
    return f"the arguments cannot be read ({_described(error)}): see --help"


def _line(error: BaseException) -> str:
    return " ".join(str(error).split())


def _described(error: BaseException) -> str:
    """Return an error's type and message, or where it was raised if it has no message."""
    message = _line(error)[:160]
    if not message and (frames := traceback.extract_tb(error.__traceback__)):
        return f"{type(error).__name__} in {frames[-1].name}"
    return f"{type(error).__name__}: {message}"


def check_arguments(arguments: Sequence[str]) -> None:
    """Check the flags, for which Hydra would print its whole usage.

    Raises:
        ConfigError: a flag is unknown or lacks its value, or a key and its value are separated by
            a space.
    """
    parser = get_args_parser()
    flags = [flag for flag in parser._option_string_actions if flag != RERUN]
    for argument in arguments:
        if argument.startswith("="):
            raise ConfigError(f"{argument} must follow its key without a space: write key=value")
        if argument.startswith("-") and argument.partition("=")[0] not in flags:
            key = argument.lstrip("-").partition("=")[0] or "key"
            near = difflib.get_close_matches(argument, flags, 1, 0.7)
            advice = f"did you mean {near[0]}?" if near else f"write {key}=value"
            raise ConfigError(f"option {argument!r} is not known: {advice}")
    parser.error = _refuse_flag  # type: ignore[method-assign]
    parser.parse_args(arguments)


RERUN = "--experimental-rerun"  # unpickles a file, which can run arbitrary code


def _refuse_flag(message: str) -> NoReturn:
    raise ConfigError(f"{message}: see --hydra-help")


class Parser(argparse.ArgumentParser):
    """Parser of the commands without Hydra, with one-line errors."""

    def error(self, message: str) -> NoReturn:
        """Exit with a message."""
        fail(f"{message}: see `{self.prog} --help`")


def fail(message: str, status: int = 2) -> NoReturn:
    """Exit with one line on stderr."""
    print(f"qrnn: {message}", file=sys.stderr)
    sys.exit(status)


def fault(error: BaseException) -> NoReturn:
    """Exit with one line for an unexpected error; see `fault_line`."""
    fail(fault_line(error), status=1)


def fault_line(error: BaseException) -> str:
    """Return the line of an unexpected error, and write its traceback to a temporary file.

    Raises:
        BaseException: the error itself, if the file cannot be written.
    """
    report = "".join(traceback.format_exception(error))
    try:
        with tempfile.NamedTemporaryFile(
            "w", prefix="qrnn-", suffix=".log", delete=False, encoding="utf-8", errors="replace"
        ) as file:
            file.write(report)
    except OSError:
        raise error from None
    return f"unexpected {_described(error)}; please report it with its traceback, {file.name}"
