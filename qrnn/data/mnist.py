"""MNIST as sequences: by rows, by pixels, or by pixels in a fixed random order.

Source: Y. LeCun, C. Cortes, C. J. C. Burges, The MNIST database of handwritten digits.
"""

from __future__ import annotations

import math
import struct
from pathlib import Path
from typing import Any

import numpy as np
import torch

from qrnn.config.tasks import MnistConfig
from qrnn.data.base import TaskData
from qrnn.data.parts import Split
from qrnn.data.sources import at_least, hub_columns, open_data
from qrnn.errors import DataError
from qrnn.utils.registry import unknown_name

SEQUENCES = ("rows", "pixels", "permuted")
SIDE = 28  # pixels
DIGITS = range(10)
N_VAL = 5_000
HUB = "ylecun/mnist"
REMEDY = "download the four IDX files (t10k-*, train-*) of MNIST, e.g. from the OSSCI mirror"
FOLDER_REMEDY = f"task.data_dir must name the folder with MNIST's files: {REMEDY}"
# The header: two zero bytes, the type (8: unsigned byte), the number of dimensions.
IMAGES, LABELS = 0x803, 0x801

Part = tuple[np.ndarray, np.ndarray]  # images (N, 28, 28) uint8 and labels (N,) of any integer type


def idx_path(folder: Path, name: str) -> Path:
    """Return the path of a file such as `train-images-idx3-ubyte`, gzipped or not.

    Mirrors have a hyphen before `idx`, some unpacked copies a dot.

    Raises:
        DataError: the folder has no file of any of these names.
    """
    names = [one + end for end in (".gz", "") for one in (name, name.replace("-idx", ".idx"))]
    for one in names:
        if (folder / one).is_file():
            return folder / one
    raise DataError(
        f"task.data_dir must hold {' or '.join(names)}, but {folder} has none of them: {REMEDY}"
    )


def read_idx(path: Path, magic: int) -> np.ndarray:
    """Return the array in an IDX file, gzipped if its name ends in `.gz`.

    Args:
        path: the file.
        magic: its first four bytes as a big-endian number; the last byte is the number of axes.

    Raises:
        DataError: the file is missing, damaged, truncated, or not IDX of that kind.
    """
    with open_data(path, REMEDY) as file:
        content = file.read()
    n_axes = magic & 0xFF
    if len(content) < 4 + 4 * n_axes or struct.unpack(">I", content[:4])[0] != magic:
        raise DataError(f"{path} must begin with the IDX number {magic:#x}, but does not: {REMEDY}")
    shape = struct.unpack(f">{n_axes}I", content[4 : 4 + 4 * n_axes])
    values = np.frombuffer(content, np.uint8, offset=4 + 4 * n_axes)
    if values.size != math.prod(shape):
        raise DataError(
            f"{path} must hold {math.prod(shape)} values, got {values.size} (truncated?): {REMEDY}"
        )
    return values.reshape(shape)


def read_files(folder: Path) -> list[Part]:
    """Return MNIST's training and test images from IDX files.

    Raises:
        DataError: a file is missing or damaged.
    """
    return [
        (
            read_idx(idx_path(folder, f"{part}-images-idx3-ubyte"), IMAGES),
            read_idx(idx_path(folder, f"{part}-labels-idx1-ubyte"), LABELS),
        )
        for part in ("train", "t10k")
    ]


def read_hub() -> list[Part]:
    """Return MNIST's training and test images from the Hugging Face hub.

    Raises:
        DataError: the hub cannot be reached, or its data set has an unexpected format.
        MissingExtraError: `datasets` is not installed.
    """
    columns = hub_columns(HUB, "mnist", ("train", "test"), ("image", "label"), FOLDER_REMEDY)
    return [(stack_images(images), np.array(labels)) for images, labels in columns]


def stack_images(images: list[Any]) -> np.ndarray:
    """Return grey images from the hub as (N, 28, 28) uint8.

    Raises:
        DataError: an image is not grey or not 28x28.
    """
    arrays = [np.asarray(image) for image in images]
    if any(array.shape != (SIDE, SIDE) or array.dtype != np.uint8 for array in arrays):
        raise DataError(f"{HUB} must hold grey images of 28x28 pixels, but does not: {REMEDY}")
    return np.array(arrays, np.uint8)


def split_parts(found: list[Part], source: object) -> list[Part]:
    """Split MNIST's training and test images into training, validation and test data.

    The last 5,000 training images are the validation data.

    Args:
        found: training and test images with their labels.
        source: their source, for the message.

    Raises:
        DataError: there are too few images, or the labels do not match them.
    """
    for name, (images, labels) in zip(("train", "test"), found, strict=True):
        fit = len(images) == len(labels) > 0 and images.shape[1:] == (SIDE, SIDE)
        if not fit or not set(labels.tolist()) <= set(DIGITS):
            raise DataError(
                f"{source} must have as many 28x28 images as labels 0..9 for {name}, at least one, "
                f"got {images.shape} and {labels.shape}: {REMEDY}"
            )
    (x, y), test = found
    if len(y) <= N_VAL:
        raise DataError(
            f"{source} must have more than {N_VAL} images for train, got {len(y)}: {REMEDY}"
        )
    return [(x[:-N_VAL], y[:-N_VAL]), (x[-N_VAL:], y[-N_VAL:]), test]


def read_parts(data_dir: str | None) -> list[Part]:
    """Return images (N, 28, 28) and labels (N,), uint8, for training, validation and test.

    Args:
        data_dir: folder of the four files; None: download from the hub.

    Raises:
        DataError: a file is missing or damaged, the hub cannot be reached, or there are too few
            images.
        MissingExtraError: `data_dir` is None and `datasets` is not installed.
    """
    if data_dir is None:
        return split_parts(read_hub(), HUB)
    folder = Path(data_dir).expanduser()
    return split_parts(read_files(folder), folder)


def mnist(config: MnistConfig) -> TaskData:
    """Return MNIST as sequences of grey values in [0, 1].

    `rows`: 28 steps of 28 features; `pixels`: 784 steps of 1; `permuted`: pixels in the order
    `numpy.random.default_rng(config.permutation_seed).permutation(784)`. The last 5,000 training
    images are the validation data.

    Raises:
        ConfigError: `config.sequence` is unknown, or `config.permutation_seed` is negative.
        DataError: a file is missing or damaged, or the hub cannot be reached.
        MissingExtraError: `config.data_dir` is None and `datasets` is not installed.
    """
    if config.sequence not in SEQUENCES:
        raise unknown_name("task.sequence", config.sequence, SEQUENCES)
    at_least("task.permutation_seed", config.permutation_seed, 0)
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
        train,
        val,
        test,
        tuple("0123456789"),
        permutation=None if order is None else tuple(order.tolist()),
        images=config.sequence == "rows",
    )
