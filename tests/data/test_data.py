"""Loaders: shapes, splits, the fixed permutation, and damaged files."""

import gzip
import socket
import struct
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, HTTPServer

import huggingface_hub
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from helpers.task_files import REAL, needs_data, put_on_hub, write_idx
from qrnn import ConfigError, DataError, MissingExtraError
from qrnn.data import (
    IGNORED,
    DigitsConfig,
    MnistBinaryConfig,
    MnistConfig,
    SimpleConfig,
    Split,
    Stream,
    digits,
    loader,
    mnist,
    mnist_binary,
    simple,
    sources,
)


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
        "cannot be read": whole[:-10],
        "must begin with the IDX number": gzip.compress(b"\0\0\x08\x03" + bytes(60)),
        "must hold 20 values, got 15": gzip.compress(gzip.decompress(whole)[:-5]),
    }
    for message, content in cases.items():
        path.write_bytes(content)
        with pytest.raises(DataError, match=message) as error:
            mnist(MnistConfig(data_dir=str(folder)))
        assert path.name in str(error.value)
        assert "download the four" in str(error.value)
    path.unlink()
    with pytest.raises(DataError, match=r"must hold t10k-labels-idx1-ubyte\.gz"):
        mnist(MnistConfig(data_dir=str(folder)))
    for labels in (np.zeros(7), np.full(20, 10)):
        write_idx(path, labels)
        with pytest.raises(DataError, match="as many 28x28 images as labels"):
            mnist(MnistConfig(data_dir=str(folder)))


def test_files_of_no_images_and_sizes_that_no_file_has_are_one_line(folder):
    images, labels = (folder / f"t10k-{kind}-ubyte.gz" for kind in ("images-idx3", "labels-idx1"))
    write_idx(images, np.zeros((0, 28, 28)))
    write_idx(labels, np.zeros(0))
    with pytest.raises(DataError, match=r"for test, at least one, got \(0, 28, 28\) and \(0,\)"):
        mnist(MnistConfig(data_dir=str(folder)))
    # Their product is 2^64, which is 0 in 64 bits.
    images.write_bytes(gzip.compress(struct.pack(">4I", 0x803, 2**31, 2**31, 4)))
    with pytest.raises(DataError, match=f"must hold {2**64} values, got 0") as error:
        mnist(MnistConfig(data_dir=str(folder)))
    assert "\n" not in str(error.value)


def test_mnist_is_read_unpacked_too_and_the_packed_file_comes_first(folder):
    packed = mnist(MnistConfig(data_dir=str(folder)))
    names = ("train-images-idx3-ubyte", "train-labels.idx1-ubyte", "t10k-images.idx3-ubyte")
    for name in names:
        path = folder / f"{name.replace('.', '-')}.gz"
        (folder / name).write_bytes(gzip.decompress(path.read_bytes()))
        path.unlink()
    (folder / "t10k-labels-idx1-ubyte").write_bytes(b"not read")
    unpacked = mnist(MnistConfig(data_dir=str(folder)))
    for part in ("train", "val", "test"):
        assert torch.equal(getattr(unpacked, part).x, getattr(packed, part).x)
        assert torch.equal(getattr(unpacked, part).y, getattr(packed, part).y)
    (folder / names[0]).unlink()
    with pytest.raises(DataError, match="has none of them: download the four") as error:
        mnist(MnistConfig(data_dir=str(folder)))
    for name in ("train-images-idx3-ubyte", "train-images.idx3-ubyte"):
        assert f"{name}.gz or" in str(error.value)
        assert f"{name} " in str(error.value).replace(",", " ")


def test_mnist_from_the_hub_is_the_same(folder, monkeypatch):
    rng, columns = np.random.default_rng(0), {}
    for part, count in (("train", 5010), ("test", 20)):  # as `folder` draws them
        images = rng.integers(0, 256, (count, 28, 28)).astype(np.uint8)
        columns[part] = {
            "image": [Image.fromarray(image) for image in images],
            "label": rng.integers(0, 10, count).tolist(),
        }
    put_on_hub(monkeypatch, {"ylecun/mnist": columns})
    local = mnist(MnistConfig(data_dir=str(folder), sequence="permuted"))
    remote = mnist(MnistConfig(sequence="permuted"))
    for part in ("train", "val", "test"):
        assert torch.equal(getattr(local, part).x, getattr(remote, part).x)
        assert torch.equal(getattr(local, part).y, getattr(remote, part).y)
    pair = [2, 9]  # which the ten training images have
    local = mnist_binary(MnistBinaryConfig(data_dir=str(folder), digits=pair))
    remote = mnist_binary(MnistBinaryConfig(digits=pair))
    for part in ("train", "val", "test"):
        assert torch.equal(getattr(local, part).x, getattr(remote, part).x)
        assert torch.equal(getattr(local, part).y, getattr(remote, part).y)
    grey = Image.new("L", (28, 28))
    for images, labels, message in (
        ([Image.new("RGB", (28, 28))], [0], "ylecun/mnist must hold grey images of 28x28 pixels"),
        ([grey, Image.new("L", (28, 27))], [0, 0], "must hold grey images of 28x28 pixels"),
        ([grey], [-1], "ylecun/mnist must have as many 28x28 images as labels 0..9 for train"),
        ([grey], [None], "as labels 0..9 for train"),
        ([], [], "at least one, got"),
        ([grey], [3], "ylecun/mnist must have more than 5000 images for train, got 1"),
    ):
        columns = {key: {"image": images, "label": labels} for key in ("train", "test")}
        put_on_hub(monkeypatch, {"ylecun/mnist": columns})
        with pytest.raises(DataError, match=message) as error:
            mnist(MnistConfig())
        assert "\n" not in str(error.value)


def test_a_hub_that_does_not_answer_is_asked_once_and_for_a_short_time(monkeypatch):
    def offline(name):
        from huggingface_hub import constants

        assert constants.HF_HUB_OFFLINE
        raise ConnectionError("try again")

    monkeypatch.setattr(sources, "TIMEOUT", 0.3)
    answers = sources.reachable
    put_on_hub(monkeypatch, offline)
    monkeypatch.setattr("qrnn.data.sources.reachable", answers)
    with socket.create_server(("127.0.0.1", 0)) as silent:  # takes a call, and says nothing
        monkeypatch.setattr(
            "huggingface_hub.constants.ENDPOINT", f"http://127.0.0.1:{silent.getsockname()[1]}"
        )
        start = time.monotonic()
        with pytest.raises(DataError, match=r"no answer from http.* task.data_dir must name"):
            mnist(MnistConfig())
    assert time.monotonic() - start < 5
    assert not huggingface_hub.constants.HF_HUB_OFFLINE


def test_a_server_that_refuses_answers_too():
    class Refuses(BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_error(403)

    with HTTPServer(("127.0.0.1", 0), Refuses) as server:
        threading.Thread(target=server.handle_request, daemon=True).start()
        assert sources.reachable(f"http://127.0.0.1:{server.server_port}")


def test_mnist_without_a_folder_or_the_hub_is_one_clear_line(monkeypatch):
    def unreachable(name):
        raise ConnectionError(f"Couldn't reach {name!r}\non the Hub")

    put_on_hub(monkeypatch, unreachable)
    with pytest.raises(DataError, match="must get ylecun/mnist from the Hugging Face") as error:
        mnist(MnistConfig())
    assert str(error.value).startswith("task mnist without task.data_dir must get")
    assert "Couldn't reach 'ylecun/mnist' on the Hub): task.data_dir must name" in str(error.value)
    assert "\n" not in str(error.value)
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(
        MissingExtraError, match=r"task mnist .*`datasets`.*'pennylane-qrnn\[data\]'"
    ):
        mnist(MnistConfig())


@pytest.mark.parametrize(
    ("load", "config", "message"),
    [
        (mnist, MnistConfig(sequence="row"), "task.sequence 'row' is not known: did you mean rows"),
        (mnist, MnistConfig(permutation_seed=-1), "task.permutation_seed must be at least 0, got"),
        (digits, DigitsConfig(seed=-1), r"task.seed must be in 0\.\.2\^32-1, got -1"),
        (digits, DigitsConfig(seed=2**32), r"task.seed must be in 0\.\.2\^32-1, got 4294967296"),
        (simple, SimpleConfig(length=10**12), "2 task.repeats .* task.length=1000000000000, got"),
        (simple, SimpleConfig(repeats=10**12), "must be at most 107374182 sequences of task.leng"),
    ],
)
def test_options_that_make_no_sense_are_one_line(load, config, message):
    with pytest.raises(ConfigError, match=message) as error:
        load(config)
    assert "\n" not in str(error.value)


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
    rows, most = max(1, min(rows, (n - 1) // steps)), rows
    stream = Stream(torch.arange(n), steps)
    batches = stream.batches(most)
    x, y = (torch.cat([getattr(b, name) for b in batches], 1) for name in "xy")
    length = (n - 1) // rows
    assert length >= min(steps, n - 1)
    assert x.flatten().tolist() == list(range(rows * length))
    assert (y == x + 1).all()
    assert all(batch.x.shape[1] <= steps for batch in batches)
    shares = [stream.batches(most, rank=rank, world=2) for rank in (0, 1)] if rows > 1 else []
    seen = [batch.x.flatten() for share in shares for batch in share]
    assert not shares or sorted(torch.cat(seen).tolist()) == list(range(rows * length))


@given(st.integers(2, 200), st.integers(1, 9), st.integers(1, 40))
def test_no_token_of_a_text_is_left_out_where_all_are_asked_for(n, steps, rows):
    stream = Stream(torch.arange(n), steps)
    whole, batches = stream.batches(rows), stream.all_batches(rows)
    assert sorted(torch.cat([b.y.flatten() for b in batches]).tolist()) == list(range(1, n))
    for batch in batches:
        assert (batch.y == batch.x + 1).all()
    for batch, same in zip(batches, whole, strict=False):
        assert torch.equal(batch.x, same.x)
    behind = batches[len(whole) :]
    assert all(len(batch.x) == 1 for batch in behind)
    assert sum(batch.x.numel() for batch in behind) < rows


def test_a_short_text_has_fewer_rows_and_one_in_each_process():
    stream = Stream(torch.arange(12), 5)
    assert [batch.x.shape for batch in stream.batches(32)] == [(2, 5)]
    assert [batch.x.shape for batch in stream.head(4).batches(32)] == [(1, 4)]
    shares = [stream.head(4).batches(32, rank=rank, world=3) for rank in range(3)]
    assert [share[0].x.tolist() for share in shares] == [[[0]], [[1]], [[2]]]
    for text, world, message in (
        (stream.head(0), 1, "must have at least 2 tokens, .* got 1: give a longer one"),
        (stream.head(2), 3, "must have at least 4 tokens, .* got 3: give a longer one"),
    ):
        with pytest.raises(DataError, match=message) as error:
            text.batches(32, world=world)
        assert "\n" not in str(error.value)


def test_target_sequences_lose_their_padding_too():
    y = torch.full((2, 9), IGNORED, dtype=torch.int16)
    y[0, :3], y[1, :5] = 1, 2
    split = Split(torch.zeros(2, 7, dtype=torch.int32), y, torch.tensor([4, 2]))
    whole, one = split.batch(slice(0, 2)), split.batch([0])
    assert (whole.x.shape, whole.y.shape) == ((2, 4), (2, 5))
    assert one.y.tolist() == [[1, 1, 1]]
