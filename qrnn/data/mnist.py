"""MNIST from its own IDX files: by rows, by pixels, or by pixels in one fixed random order.

Source: Y. LeCun, C. Cortes, C. J. C. Burges, The MNIST database of handwritten digits.
"""

from __future__ import annotations

import gzip
import struct
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from qrnn.data.base import Split, TaskConfig, TaskData, task
from qrnn.errors import ConfigError, DataError
from qrnn.registry import unknown_name

SEQUENCES = ("rows", "pixels", "permuted")
N_VAL = 5_000
WHERE = "get the four gzipped IDX files (t10k-*, train-*) of MNIST, e.g. from the OSSCI mirror"
# Of the header: two zero bytes, the type (8: unsigned byte), the number of dimensions.
IMAGES, LABELS = 0x803, 0x801


def read_idx(path: Path, magic: int) -> np.ndarray:
    """Return the array in a gzipped IDX file.

    Args:
        path: the file.
        magic: its first four bytes as a big-endian number; the last one is the number of axes.

    Raises:
        DataError: the file is missing, not gzip, not IDX of that kind, or truncated.
    """
    if not path.is_file():
        raise DataError(f"task.data_dir must hold {path.name}, but {path} is not there: {WHERE}")
    try:
        with gzip.open(path) as file:
            content = file.read()
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{path} is damaged ({error}): {WHERE}") from error
    n_axes = magic & 0xFF
    if len(content) < 4 + 4 * n_axes or struct.unpack(">I", content[:4])[0] != magic:
        raise DataError(f"{path} must begin with the IDX number {magic:#x}, but does not: {WHERE}")
    shape = struct.unpack(f">{n_axes}I", content[4 : 4 + 4 * n_axes])
    values = np.frombuffer(content, np.uint8, offset=4 + 4 * n_axes)
    if values.size != np.prod(shape):
        raise DataError(
            f"{path} must hold {int(np.prod(shape))} values, got {values.size} (truncated?): "
            f"{WHERE}"
        )
    return values.reshape(shape)


def read_parts(data_dir: str | None) -> list[tuple[np.ndarray, np.ndarray]]:
    """Return images (N, 28, 28) and labels (N,), uint8: training, validation and test part.

    The last 5,000 training images are the validation part.

    Args:
        data_dir: folder of the four gzipped files.

    Raises:
        ConfigError: no folder is named.
        DataError: a file is missing or damaged, or there are too few images.
    """
    if data_dir is None:
        raise ConfigError(f"task.data_dir must name the folder with MNIST's files: {WHERE}")
    folder = Path(data_dir).expanduser()
    parts = []
    for part in ("train", "t10k"):
        images = read_idx(folder / f"{part}-images-idx3-ubyte.gz", IMAGES)
        labels = read_idx(folder / f"{part}-labels-idx1-ubyte.gz", LABELS)
        if len(images) != len(labels) or images.shape[1:] != (28, 28) or labels.max() > 9:
            raise DataError(
                f"{folder}: the {part} files must be as many 28x28 images as labels 0..9, got "
                f"{images.shape} and {labels.shape}: {WHERE}"
            )
        parts.append((images, labels))
    (x, y), test = parts
    if len(y) <= N_VAL:
        raise DataError(
            f"{folder}: the train files must hold more than {N_VAL} images, got {len(y)}: {WHERE}"
        )
    return [(x[:-N_VAL], y[:-N_VAL]), (x[-N_VAL:], y[-N_VAL:]), test]


@dataclass
class MnistConfig(TaskConfig):
    """MNIST from local IDX files.

    Attributes:
        name: `mnist`.
        data_dir: folder of the four gzipped files.
        sequence: `rows` (28 steps), `pixels` (784) or `permuted` (784, in a fixed random order).
        permutation_seed: of that order; read by `permuted` alone.
    """

    name: str = "mnist"
    data_dir: str | None = None
    sequence: str = "rows"
    permutation_seed: int = 92916


@task(MnistConfig)
def mnist(config: MnistConfig) -> TaskData:
    """Return MNIST as sequences of grey values in [0, 1].

    `rows`: 28 steps of 28; `pixels`: 784 steps of 1; `permuted`: pixels in the order
    `numpy.random.default_rng(config.permutation_seed).permutation(784)`. The last 5,000 training
    images are the validation part.

    Raises:
        ConfigError: an unknown `config.sequence`, or no `config.data_dir`.
        DataError: a file is missing or damaged.
    """
    if config.sequence not in SEQUENCES:
        raise unknown_name("task.sequence", config.sequence, SEQUENCES)
    order = None
    if config.sequence == "permuted":
        order = np.random.default_rng(config.permutation_seed).permutation(784)

    def split(images: np.ndarray, labels: np.ndarray) -> Split:
        x, y = torch.tensor(images / np.float32(255)), torch.tensor(labels.astype(np.int64))
        if config.sequence == "rows":
            return Split(x, y)
        pixels = x.flatten(1)[:, :, None]
        return Split(pixels if order is None else pixels[:, order], y)

    train, val, test = (split(*part) for part in read_parts(config.data_dir))
    return TaskData(
        train, val, test, tuple("0123456789"),
        permutation=None if order is None else tuple(order.tolist()),
    )  # fmt: skip
