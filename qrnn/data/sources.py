"""Sources of data sets: files, plain or gzipped, and the Hugging Face hub."""

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

TIMEOUT = 10  # seconds
MAX_BYTES = 1 << 30  # per file, unpacked; the tasks' files are much smaller


def at_least(key: str, given: int, least: int) -> None:
    """Check the lower limit of a config key.

    Raises:
        ConfigError: the value is less than `least`.
    """
    if given < least:
        raise ConfigError(f"{key} must be at least {least}, got {given}")


def at_most(key: str, given: int, most: int) -> None:
    """Check the upper limit of a config key.

    Raises:
        ConfigError: the value is greater than `most`.
    """
    if given > most:
        raise ConfigError(f"{key} must be at most {most}, got {given}")


def check_seed(key: str, given: int) -> None:
    """Check a seed for scikit-learn.

    Raises:
        ConfigError: the seed is not in 0..2^32-1.
    """
    if not 0 <= given < 2**32:
        raise ConfigError(f"{key} must be in 0..2^32-1, got {given}")


def sacrebleu() -> Any:
    """Return sacreBLEU's metric BLEU, a class.

    Raises:
        MissingExtraError: it is not installed.
    """
    try:
        from sacrebleu.metrics import BLEU
    except ImportError as error:
        raise require_extra("sacrebleu", "data", "the metric BLEU") from error
    return BLEU


class Bounded:
    """A binary file of which at most `MAX_BYTES` can be read.

    Args:
        file: the open file, at its start.
    """

    def __init__(self, file: BinaryIO):
        self.file, self.left = file, MAX_BYTES

    def read(self, size: int = -1) -> bytes:
        """Return the next `size` bytes; -1: all remaining ones.

        Raises:
            OSError: more than `MAX_BYTES` were read in total.
        """
        content = self.file.read(self.left + 1 if size < 0 else size)
        self.left -= len(content)
        if self.left < 0:
            raise OSError(f"it holds more than {MAX_BYTES} bytes")
        return content


@contextmanager
def open_data(path: Path, remedy: str) -> Iterator[Bounded]:
    """Open a file, decompressed if its name ends in `.gz`.

    Args:
        path: the file.
        remedy: how the user can fix an error.

    Raises:
        DataError: the file is missing or, when read in the block, damaged.
    """
    if not path.is_file():
        raise DataError(f"task.data_dir must hold {path.name}, but {path} does not exist: {remedy}")
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
            yield Bounded(file)  # type: ignore[arg-type]
    except (OSError, EOFError, zlib.error, tarfile.TarError) as error:
        raise DataError(f"{path} cannot be read ({error}): {remedy}") from error


def decode_text(content: bytes, name: object, remedy: str) -> str:
    """Return a file's text.

    Args:
        content: the file's bytes.
        name: the file, for the message.
        remedy: how the user can fix an error.

    Raises:
        DataError: the bytes are not UTF-8, or hold no text.
    """
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError as error:
        raise DataError(f"{name} must be UTF-8, but byte {error.start} is not: {remedy}") from error
    if not text.strip():
        raise DataError(f"{name} must hold text, but is empty: {remedy}")
    return text


def read_lines(path: Path, remedy: str) -> list[str]:
    """Return a file's lines, stripped.

    Args:
        path: the file, gzipped if its name ends in `.gz`.
        remedy: how the user can fix an error.

    Raises:
        DataError: the file is missing, damaged, not UTF-8, empty, or ends within a line.
    """
    with open_data(path, remedy) as file:
        content = file.read()
    text = decode_text(content, path, remedy)
    if not text.endswith("\n"):
        raise DataError(f"{path} must end with a newline, but does not (truncated?): {remedy}")
    return [line.strip() for line in text[:-1].split("\n")]


def hub_columns(
    name: str,
    task: str,
    parts: Sequence[str],
    columns: Sequence[str],
    remedy: str,
    revision: str | None = None,
) -> list[list[list[Any]]]:
    """Return columns of a data set of the Hugging Face hub, as [split][column][row].

    Args:
        name: name of the data set on the hub.
        task: the task that needs it, for the message.
        parts: names of its splits.
        columns: names of its columns.
        remedy: how the user can get the data otherwise.
        revision: branch of the data set; None: the main branch.

    Raises:
        DataError: the hub cannot be reached, or the data set has no such split or column.
        MissingExtraError: `datasets` is not installed.
    """
    try:
        import datasets
        from huggingface_hub import constants
    except ImportError as error:
        raise require_extra("datasets", "data", f"task {task} without task.data_dir") from error
    # Hide its warning at each retry; the error below gives the final reason.
    logging.getLogger("huggingface_hub").setLevel(logging.ERROR)
    offline = constants.HF_HUB_OFFLINE or not reachable(constants.ENDPOINT)
    modules: list[Any] = [constants, datasets.config]
    kept = [(module, module.HF_HUB_OFFLINE) for module in modules]
    try:
        # Both retry many times without a network; in offline mode they use what was downloaded
        # before, or fail at once.
        for module, _ in kept:
            module.HF_HUB_OFFLINE = offline
        data = datasets.load_dataset(name, revision=revision)
        return [[list(data[part][column]) for column in columns] for part in parts]
    except Exception as error:  # from any of its many dependencies
        reason = " ".join(str(error).split())[:200]
        if offline:
            reason = f"no answer from {constants.ENDPOINT}, and no local copy"
        raise DataError(
            f"task {task} without task.data_dir must get {name} from the Hugging Face hub, but "
            f"that failed ({type(error).__name__}: {reason}): {remedy}"
        ) from error
    finally:
        for module, before in kept:
            module.HF_HUB_OFFLINE = before


def reachable(url: str) -> bool:
    """Return whether a server, maybe through a proxy, answers within `TIMEOUT` seconds."""

    def ask() -> None:
        try:
            urllib.request.urlopen(url, timeout=TIMEOUT).close()
        except urllib.error.HTTPError:  # an answer too
            pass
        except (OSError, ValueError):
            return
        heard.set()

    # In a thread: the system may take minutes to resolve a name, without a timeout.
    heard = threading.Event()
    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(TIMEOUT)
    return heard.is_set()
