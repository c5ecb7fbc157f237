"""Loaders: shapes, splits, the fixed permutation, and damaged files."""

import gzip
import struct
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from task_files import REAL, needs_data

from qrnn import ConfigError, DataError
from qrnn.data import IGNORED, DigitsConfig, MnistConfig, Split, Stream, digits, loader, mnist


def write_idx(path: Path, values: np.ndarray) -> None:
    head = struct.pack(f">I{values.ndim}I", 0x800 + values.ndim, *values.shape)
    with gzip.open(path, "wb") as file:
        file.write(head + values.astype(np.uint8).tobytes())


@pytest.fixture
def folder(tmp_path):
    """5,010 train and 20 test images of random pixels."""
    rng = np.random.default_rng(0)
    for part, count in (("train", 5010), ("t10k", 20)):
        write_idx(tmp_path / f"{part}-images-idx3-ubyte.gz", rng.integers(0, 256, (count, 28, 28)))
        write_idx(tmp_path / f"{part}-labels-idx1-ubyte.gz", rng.integers(0, 10, count))
    return tmp_path


def test_digits_are_rows_split_by_class_and_by_seed():
    data = digits(DigitsConfig())
    assert data.train.x.shape == (1257, 8, 8)
    assert (len(data.val), len(data.test)) == (180, 360)
    assert data.train.x.min() == 0
    assert data.train.x.max() == 1
    assert data.test.y.bincount().min() >= 34
    assert not torch.equal(data.test.x, digits(DigitsConfig(seed=1)).test.x)


def test_mnist_rows_pixels_and_permuted_hold_the_same_images(folder):
    rows, pixels, permuted = (
        mnist(MnistConfig(data_dir=str(folder), sequence=name))
        for name in ("rows", "pixels", "permuted")
    )
    assert rows.train.x.shape == (10, 28, 28)
    assert rows.val.x.shape == (5000, 28, 28)
    assert rows.test.x.shape == (20, 28, 28)
    assert pixels.test.x.shape == (20, 784, 1)
    assert torch.equal(pixels.test.x.reshape(20, 28, 28), rows.test.x)
    order = torch.tensor(permuted.permutation)
    assert torch.equal(order.sort().values, torch.arange(784))
    assert torch.equal(permuted.test.x, pixels.test.x[:, order])
    other = mnist(MnistConfig(data_dir=str(folder), sequence="permuted", permutation_seed=1))
    assert other.permutation != permuted.permutation


def test_a_missing_or_damaged_file_is_named_with_where_to_get_it(folder):
    path = folder / "t10k-labels-idx1-ubyte.gz"
    whole = path.read_bytes()
    cases = {
        "is damaged": whole[:-10],
        "must begin with the IDX number": gzip.compress(b"\0\0\x08\x03" + bytes(60)),
        "must hold 20 values, got 15": gzip.compress(gzip.decompress(whole)[:-5]),
    }
    for message, content in cases.items():
        path.write_bytes(content)
        with pytest.raises(DataError, match=message) as error:
            mnist(MnistConfig(data_dir=str(folder)))
        assert path.name in str(error.value)
        assert "get the four" in str(error.value)
    path.unlink()
    with pytest.raises(DataError, match=r"must hold t10k-labels-idx1-ubyte\.gz"):
        mnist(MnistConfig(data_dir=str(folder)))
    write_idx(path, np.zeros(7))
    with pytest.raises(DataError, match="as many 28x28 images as labels"):
        mnist(MnistConfig(data_dir=str(folder)))


def test_mnist_needs_a_folder_and_a_known_sequence(folder):
    with pytest.raises(ConfigError, match=r"task\.data_dir must name the folder"):
        mnist(MnistConfig())
    with pytest.raises(ConfigError, match=r"task.sequence 'row' is not known: did you mean rows"):
        mnist(MnistConfig(data_dir=str(folder), sequence="row"))


@needs_data
def test_the_real_mnist_has_its_known_labels():
    data = mnist(MnistConfig(data_dir=str(REAL / "mnist")))
    assert (len(data.train), len(data.val), len(data.test)) == (55_000, 5_000, 10_000)
    assert data.train.y[:5].tolist() == [5, 0, 4, 1, 9]
    assert data.train.x[0].sum() == pytest.approx(107.99, abs=0.1)


def test_batches_cover_each_row_once_and_change_with_the_epoch():
    split = Split(torch.arange(10.0)[:, None, None], torch.arange(10))
    batches = loader(split, 4, shuffle=True, seed=3)
    orders = []
    for epoch in (0, 1, 0):
        batches.sampler.set_epoch(epoch)
        parts = [batch.y for batch in batches]
        assert [len(part) for part in parts] == [4, 4, 2]
        assert len(batches) == 3
        orders.append(torch.cat(parts).tolist())
    assert sorted(orders[0]) == list(range(10))
    assert orders[0] == orders[2] != orders[1]
    halves = [
        torch.cat([b.y for b in loader(split, 4, shuffle=False, rank=rank, world=2)]).tolist()
        for rank in (0, 1)
    ]
    assert sorted(halves[0] + halves[1]) == list(range(10))


def test_batches_of_several_lengths_hold_little_padding_and_every_row_once():
    lengths = torch.randint(1, 100, (640,), generator=torch.Generator().manual_seed(0))
    x = (torch.arange(100) < lengths[:, None]).to(torch.uint8)
    split = Split(x, torch.arange(640), lengths)
    batches = loader(split, 8, shuffle=True, seed=1)
    seen, padded = [], 0
    for batch in batches:
        assert batch.x.dtype == torch.int64
        assert batch.x.shape[1] == batch.lengths.max()
        assert (batch.x.sum(1) == batch.lengths).all()
        padded += batch.x.numel() - int(batch.lengths.sum())
        seen += batch.y.tolist()
    assert sorted(seen) == list(range(640))
    assert padded < 0.05 * lengths.sum()
    again = [batch.y.tolist() for batch in batches]
    batches.sampler.set_epoch(1)
    assert [batch.y.tolist() for batch in batches] != again


@given(st.integers(2, 200), st.integers(1, 9), st.integers(1, 5))
def test_a_text_is_predicted_token_by_token_in_rows_that_go_on(n, steps, rows):
    rows = min(rows, n - 1)
    stream = Stream(torch.arange(n), steps)
    batches = stream.batches(rows)
    x, y = (torch.cat([getattr(b, name) for b in batches], 1) for name in "xy")
    length = (n - 1) // rows
    assert x.flatten().tolist() == list(range(rows * length))
    assert (y == x + 1).all()
    assert all(batch.x.shape[1] <= steps for batch in batches)
    shares = [stream.batches(rows, rank=rank, world=2) for rank in (0, 1)] if rows > 1 else []
    seen = [batch.x.flatten() for share in shares for batch in share]
    assert not shares or sorted(torch.cat(seen).tolist()) == list(range(rows * length))


def test_target_sequences_lose_their_padding_too():
    y = torch.full((2, 9), IGNORED, dtype=torch.int16)
    y[0, :3], y[1, :5] = 1, 2
    split = Split(torch.zeros(2, 7, dtype=torch.int32), y, torch.tensor([4, 2]))
    whole, one = split.batch(slice(0, 2)), split.batch([0])
    assert (whole.x.shape, whole.y.shape) == ((2, 4), (2, 5))
    assert one.y.tolist() == [[1, 1, 1]]
