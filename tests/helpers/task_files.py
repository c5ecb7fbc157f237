"""Files of tasks: where the real ones are, and small ones."""

import gzip
import os
import struct
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

REAL = Path(os.environ.get("QRNN_DATA", "."))
needs_data = pytest.mark.skipif(
    "QRNN_DATA" not in os.environ, reason="QRNN_DATA does not name the folder of the real data"
)


def put_on_hub(monkeypatch, found, revision=None):
    """Put data sets, or a function that gets them by name, in the place of the hub's."""
    get = found if callable(found) else found.__getitem__

    def load_dataset(name, revision=None):
        assert revision == on_branch
        return get(name)

    on_branch = revision
    config = SimpleNamespace(HF_HUB_OFFLINE=False)
    package = SimpleNamespace(load_dataset=load_dataset, config=config)
    monkeypatch.setitem(
        sys.modules,
        "datasets",
        package,
    )
    monkeypatch.setattr("qrnn.data.sources.reachable", lambda url: True)


def write_multi30k(folder):
    """Write two sentences, over and over, in both languages."""
    german, english = ("ein hund rennt .", "zwei katzen ."), ("a dog runs .", "two cats .")
    for part, n in (("train", 12), ("val", 2), ("test_2016_flickr", 4)):
        for side, lines in (("de", german), ("en", english)):
            text = "\n".join(lines * (n // 2)) + "\n"
            (folder / f"{part}.{side}.gz").write_bytes(gzip.compress(text.encode()))


def write_idx(path: Path, values: np.ndarray) -> None:
    """Write an array of bytes as MNIST's files are, packed."""
    head = struct.pack(f">I{values.ndim}I", 0x800 + values.ndim, *values.shape)
    with gzip.open(path, "wb") as file:
        file.write(head + values.astype(np.uint8).tobytes())


def write_mnist(folder):
    """Write 5,060 train and 30 test images of 10x10 random blocks; return those blocks."""
    rng, blocks = np.random.default_rng(0), {}
    for part, count in (("train", 5060), ("t10k", 30)):
        blocks[part] = rng.integers(2, size=(count, 10, 10))
        # Around the middle is noise that no token may see. A block of four pixels is off or on by
        # its mean, 96 or 105 of 255, whatever one pixel says.
        images = rng.integers(256, size=(count, 28, 28))
        images[:, 4:24, 4:24] = 0
        for row, column, off, on in ((0, 0, 129, 165), (1, 1, 255, 255)):
            images[:, 4 + row : 24 : 2, 4 + column : 24 : 2] = np.where(blocks[part], on, off)
        write_idx(folder / f"{part}-images-idx3-ubyte.gz", images)
        write_idx(folder / f"{part}-labels-idx1-ubyte.gz", np.arange(count) % 10)
    return blocks
