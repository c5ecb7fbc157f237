"""Where the tasks' data comes from: files, plain or gzipped, and the Hugging Face hub."""

from __future__ import annotations

import gzip
import logging
import tarfile
import threading
import urllib.error
import urllib.request
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from qrnn.errors import ConfigError, DataError, require_extra

ANSWERS_WITHIN = 10  # seconds
MAX_BYTES = 1 << 30  # of one file, unpacked: nothing of these tasks comes near


def at_least(key: str, given: int, least: int) -> None:
    """Refuse a key of the config that is too small.

    Raises:
        ConfigError: it is less than `least`.
    """
    if given < least:
        raise ConfigError(f"{key} must be at least {least}, got {given}")


def at_most(key: str, given: int, most: int) -> None:
    """Refuse a key of the config that is too large.

    Raises:
        ConfigError: it is more than `most`.
    """
    if given > most:
        raise ConfigError(f"{key} must be at most {most}, got {given}")


def check_seed(key: str, given: int) -> None:
    """Refuse a seed that scikit-learn would not take.

    Raises:
        ConfigError: it is not in 0..2^32-1.
    """
    if not 0 <= given < 2**32:
        raise ConfigError(f"{key} must be in 0..2^32-1, got {given}")


class Bounded:
    """A binary file of which no more than `MAX_BYTES` can be read.

    Args:
        file: the file, at its beginning.
    """

    def __init__(self, file: BinaryIO):
        self.file, self.left = file, MAX_BYTES

    def read(self, size: int = -1) -> bytes:
        """Return the next bytes, all of them where no size is given.

        Raises:
            OSError: there are more than `MAX_BYTES` in all.
        """
        content = self.file.read(self.left + 1 if size < 0 else size)
        self.left -= len(content)
        if self.left < 0:
            raise OSError(f"it holds more than {MAX_BYTES} bytes")
        return content


@contextmanager
def reading(path: Path, where: str) -> Iterator[Bounded]:
    """Open a file, unpacked where its name ends in `.gz`.

    Args:
        path: the file.
        where: what to do if it is not right, for the message.

    Raises:
        DataError: the file is missing, or what is read in the block is damaged.
    """
    if not path.is_file():
        raise DataError(f"task.data_dir must hold {path.name}, but {path} is not there: {where}")
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
            yield Bounded(file)  # type: ignore[arg-type]
    except (OSError, EOFError, zlib.error, tarfile.TarError) as error:
        raise DataError(f"{path} cannot be read ({error}): {where}") from error


def decoded(content: bytes, name: object, where: str) -> str:
    """Return a file's text.

    Args:
        content: the file's bytes.
        name: the file, for the message.
        where: what to do if it is not right, for the message.

    Raises:
        DataError: the bytes are not UTF-8, or no text at all.
    """
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError as error:
        raise DataError(f"{name} must be UTF-8, but byte {error.start} is not: {where}") from error
    if not text.strip():
        raise DataError(f"{name} must hold text, but is empty: {where}")
    return text


def read_lines(path: Path, where: str) -> list[str]:
    """Return a file's lines, without the blanks around them.

    Args:
        path: the file, gzipped where its name ends in `.gz`.
        where: what to do if it is not right, for the message.

    Raises:
        DataError: the file is missing, damaged, not UTF-8, empty, or ends within a line.
    """
    with reading(path, where) as file:
        content = file.read()
    text = decoded(content, path, where)
    if not text.endswith("\n"):
        raise DataError(f"{path} must end with a line's end, but does not (truncated?): {where}")
    return [line.strip() for line in text[:-1].split("\n")]


def hub_columns(
    name: str,
    task: str,
    parts: Sequence[str],
    columns: Sequence[str],
    where: str,
    revision: str | None = None,
) -> list[list[list[Any]]]:
    """Return columns of a data set of the Hugging Face hub: of each part, of each column.

    Args:
        name: the data set's name there.
        task: the task that it is for.
        parts: names of its splits.
        columns: names of its columns.
        where: what to do if it cannot be had, for the message.
        revision: branch there; None: its main one.

    Raises:
        DataError: the hub is not reachable, or the data set has no such part or column.
        MissingExtraError: `datasets` is not installed.
    """
    try:
        import datasets
        from huggingface_hub import constants
    except ImportError as error:
        raise require_extra("datasets", "data", f"task {task} without task.data_dir") from error
    # Its warnings of each retry; what failed in the end is said below.
    logging.getLogger("huggingface_hub").setLevel(logging.ERROR)
    offline = constants.HF_HUB_OFFLINE or not reachable(constants.ENDPOINT)
    modules: list[Any] = [constants, datasets.config]
    kept = [(module, module.HF_HUB_OFFLINE) for module in modules]
    try:
        # Both try again and again where there is no network; offline, they take what was
        # downloaded before, or fail at once.
        for module, _ in kept:
            module.HF_HUB_OFFLINE = offline
        data = datasets.load_dataset(name, revision=revision)
        return [[list(data[part][column]) for column in columns] for part in parts]
    except Exception as error:  # of any of the many packages below it
        reason = " ".join(str(error).split())[:200]
        if offline:
            reason = f"no answer from {constants.ENDPOINT}, and none kept here"
        raise DataError(
            f"task {task} without task.data_dir must get {name} from the Hugging Face hub, but "
            f"that failed ({type(error).__name__}: {reason}): {where}"
        ) from error
    finally:
        for module, before in kept:
            module.HF_HUB_OFFLINE = before


def reachable(url: str) -> bool:
    """Return whether a server answers within `ANSWERS_WITHIN` seconds, through proxies as well."""

    def ask() -> None:
        try:
            urllib.request.urlopen(url, timeout=ANSWERS_WITHIN).close()
        except urllib.error.HTTPError:  # an answer too
            pass
        except (OSError, ValueError):
            return
        heard.set()

    # The system may look for a name for minutes, and cannot be told not to.
    heard = threading.Event()
    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(ANSWERS_WITHIN)
    return heard.is_set()
