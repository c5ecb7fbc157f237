"""Errors that a user can fix: one line saying what must hold, what was given and what to do.

The command line prints only the message of a `QRNNError` and exits with status 2. Any other error
is a bug in the framework: one line, which names a file with the traceback, and status 1.
"""


class QRNNError(Exception):
    """Base class of all errors that the user can fix."""


class ConfigError(QRNNError, ValueError):
    """A name, key or value in the configuration or in an argument is not allowed."""


class DeviceError(QRNNError, RuntimeError):
    """A device does not support what was requested, or did not respond."""


class DataError(QRNNError, ValueError):
    """A data file is missing, truncated or in the wrong format."""


class NumericsError(QRNNError):
    """A computation gave NaN or infinity."""


class MissingExtraError(QRNNError, ImportError):
    """An optional package is needed; the message says what to install."""


def install_line(extra: str) -> str:
    """Return the command that installs an extra.

    Args:
        extra: the extra of `pennylane-qrnn`; the name `qrnn` on PyPI belongs to another project.
    """
    return f"pip install 'pennylane-qrnn[{extra}]'"


def require_extra(package: str, extra: str, wanted_by: str) -> MissingExtraError:
    """Return the error for a missing optional package.

    Args:
        package: the package that could not be imported.
        extra: the extra that installs it.
        wanted_by: what needs it, for the message.
    """
    return MissingExtraError(f"{wanted_by} needs the package `{package}`: {install_line(extra)}")
