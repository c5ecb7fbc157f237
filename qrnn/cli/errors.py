"""Errors of the command line: one line on stderr, and the status."""

from __future__ import annotations

import argparse
import difflib
import re
import sys
import tempfile
import traceback
from collections.abc import Sequence
from typing import NoReturn

from hydra._internal.utils import get_args_parser
from hydra.errors import HydraException
from omegaconf.errors import OmegaConfBaseException

from qrnn.config.errors import config_error_line, described, keys_named, message_of
from qrnn.errors import ConfigError, QRNNError

# Messages of torch and NumPy about sizes that exceed the memory.
OUT_OF_MEMORY = re.compile(
    "DefaultCPUAllocator|out of memory|not enough memory|bad_alloc|Unable to allocate"
    "|Storage size calculation overflow|integer multiplication overflow|array is too big"
    "|Array size is too large|Maximum allowed (size|dimension)|maximum supported dimension"
    "|nbytes overflow",
    re.IGNORECASE,
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
        return message_of(error)
    if is_out_of_memory(error):
        return (
            "the memory must hold the model, its data and one batch, but it does not "
            f"({message_of(error)[:120] or type(error).__name__}): choose smaller ones"
        )
    if isinstance(error, OSError) and error.filename is not None:
        return f"{error.filename}: {error.strerror}"
    return config_error_line(error)


def check_arguments(command: str, arguments: Sequence[str]) -> None:
    """Check the flags, for which Hydra would print its whole usage.

    Args:
        command: name of the command.
        arguments: what stands after it.

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
            keys = keys_named(command, argument.lstrip("-").partition("=")[0].replace("-", "_"))
            near = difflib.get_close_matches(argument, flags, 1, 0.7)
            advice = f"did you mean {near[0]}?" if near else "see --help"
            if keys:
                advice = f"write {' or '.join(f'{key}=value' for key in keys)}"
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
    return f"unexpected {described(error)}; please report it with its traceback, {file.name}"
