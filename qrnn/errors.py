"""Errors that a user can mend: one line saying what must hold, what was given and what to do.

The command line prints the message of a `QRNNError` alone and exits with status 2. Anything else
is a fault of the framework: one line with status 1, that names a file with its traceback.
"""


class QRNNError(Exception):
    """Base of every error that the user can mend."""


class ConfigError(QRNNError, ValueError):
    """A name, key or value in the configuration or in an argument is not allowed."""


class DeviceError(QRNNError, RuntimeError):
    """A device cannot do what it was asked for, or did not answer."""


class DataError(QRNNError, ValueError):
    """A data file is missing, truncated or not in the format that it should have."""


class NumericsError(QRNNError):
    """A calculation left the range of finite numbers."""


class MissingExtraError(QRNNError, ImportError):
    """An optional package is needed; the message says what to install."""


def install_line(extra: str) -> str:
    """Return the command that installs an extra.

    Args:
        extra: the extra of this distribution; the name `qrnn` on PyPI is somebody else's.
    """
    return f"pip install 'pennylane-qrnn[{extra}]'"


def require_extra(package: str, extra: str, wanted_by: str) -> MissingExtraError:
    """Return the error for a missing optional package.

    Args:
        package: the package that could not be imported.
        extra: the extra that brings it.
        wanted_by: what needs it, for the message.
    """
    return MissingExtraError(f"{wanted_by} needs the package `{package}`: {install_line(extra)}")
