"""IMDB: what it holds, whom it leaks to, and a damaged archive."""

import contextlib
import gzip
import io
import re
import tarfile

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from helpers.task_files import REAL, needs_data, put_on_hub
from helpers.text_checks import fails, same
from qrnn import ConfigError, DataError
from qrnn.data import ImdbConfig, imdb, loader

N_REVIEWS = 12  # of each class in each part


def reviews(part):
    """Return the made reviews: each with a word of its own, and one that tells its part."""
    return {
        f"aclImdb/{part}/{label}/{n}_1.txt": f"{part} {label} {label}{part}{n}, {'so ' * n}ends"
        for label in ("neg", "pos")
        for n in range(N_REVIEWS)
    }


def members(**changed):
    """Return the archive's files; the changes are by name, and None leaves one out."""
    files = {
        "aclImdb/README": "read <me>",
        "aclImdb/train/unsup/0_0.txt": "unsupervised",
        **reviews("train"),
        **reviews("test"),
        **changed,
    }
    return {k: v.encode() if isinstance(v, str) else v for k, v in files.items() if v is not None}


def archive(files):
    """Return a gzipped tar of files."""
    plain = io.BytesIO()
    with tarfile.open(fileobj=plain, mode="w") as tar:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return gzip.compress(plain.getvalue(), 1)


def write_archive(folder, content=None, **changed):
    content = archive(members(**changed)) if content is None else content
    (folder / "aclImdb_v1.tar.gz").write_bytes(content)


def small_imdb(folder, **options):
    return ImdbConfig(data_dir=str(folder), **{"n_val": 6, **options})


def told(data, part):
    """Return the reviews of a part in words."""
    split = getattr(data, part)
    return [
        " ".join(data.vocabulary[token] for token in row[:n].tolist())
        for row, n in zip(split.x, split.lengths.tolist(), strict=True)
    ]


def test_imdb_from_the_archive_the_folder_and_the_hub_is_the_same(tmp_path, monkeypatch):
    packed, folder = tmp_path / "packed", tmp_path / "folder"
    packed.mkdir()
    write_archive(packed)
    for name, content in members().items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    columns = {
        part: {
            "text": list(reviews(part).values()),
            "label": [int("/pos/" in name) for name in reviews(part)],
        }
        for part in ("train", "test")
    }
    put_on_hub(monkeypatch, {"stanfordnlp/imdb": columns})
    data = imdb(small_imdb(packed))
    for other in (imdb(small_imdb(folder)), imdb(ImdbConfig(n_val=6))):
        assert same(data, other)
        assert data.vocabulary == other.vocabulary


def test_imdb_is_split_by_class_and_by_seed(tmp_path):
    write_archive(tmp_path)
    data = imdb(small_imdb(tmp_path, max_words=None))
    for part, size in (("train", 18), ("val", 6), ("test", 24)):
        split = getattr(data, part)
        assert split.y.bincount().tolist() == [size // 2, size // 2]
        assert split.x.dtype == torch.int16
        for text, label in zip(told(data, part), split.y.tolist(), strict=True):
            assert text.split()[1] == ("neg", "pos")[label]
    assert len(set(told(data, "train"))) == 18
    assert 0 < data.test.y[:8].sum() < 8  # the first ones are of both classes
    for seed in range(5):
        validation = imdb(small_imdb(tmp_path, seed=seed)).val
        assert validation.y.bincount().tolist() == [3, 3]
    again, other = (imdb(small_imdb(tmp_path, max_words=None, seed=seed)) for seed in (0, 1))
    assert same(data, again)
    assert not torch.equal(data.train.lengths, other.train.lengths)
    assert torch.equal(data.test.y, other.test.y)


def test_imdb_learns_its_vocabulary_from_training_reviews_alone(tmp_path):
    write_archive(tmp_path)
    data = imdb(small_imdb(tmp_path, max_words=None))
    assert data.vocabulary[:2] == ("<pad>", "<unk>")
    assert "so" in data.vocabulary
    assert not any("test" in word or word == "unsupervised" for word in data.vocabulary)
    numbered = [word for word in data.vocabulary if re.fullmatch(r"(neg|pos)train\d+", word)]
    assert len(numbered) == 18  # and none of the six validation reviews
    assert all("<unk>" in text for text in told(data, "val") + told(data, "test"))
    assert len(imdb(small_imdb(tmp_path, max_words=5)).vocabulary) == 5
    assert "negtrain1" not in imdb(small_imdb(tmp_path, min_count=2)).vocabulary


def test_imdb_keeps_the_last_words(tmp_path):
    write_archive(tmp_path)
    data = imdb(small_imdb(tmp_path, max_tokens=2))
    assert set(told(data, "train")) <= {"so ends", ", ends"}
    assert data.train.x.shape == (18, 2)


def test_a_review_of_no_words_is_one_unknown_word(tmp_path):
    write_archive(tmp_path, **dict.fromkeys(list(reviews("test"))[:1], ";;"))
    data = imdb(small_imdb(tmp_path))
    assert told(data, "test").count("<unk>") == 1
    assert data.test.lengths.min() == 1


def test_batches_of_imdb_have_no_more_steps_than_their_longest_review(tmp_path):
    write_archive(tmp_path)
    data = imdb(small_imdb(tmp_path))
    for batch in loader(data.train, 3, shuffle=True):
        assert batch.x.shape[1] == batch.lengths.max()
        assert batch.x.dtype == torch.int64


def test_imdb_takes_vectors(tmp_path):
    write_archive(tmp_path)
    (tmp_path / "glove.txt").write_text("so 1 2 3\nends 4 5 6\n")
    data = imdb(small_imdb(tmp_path, vectors=str(tmp_path / "glove.txt")))
    assert data.vectors.shape == (len(data.vocabulary), 3)
    assert data.vectors[data.vocabulary.index("ends")].tolist() == [4, 5, 6]
    fails(imdb, small_imdb(tmp_path, vectors="none.txt"), "task.vectors must name a file")


FIRST = "aclImdb/train/neg/0_1.txt"


@pytest.mark.parametrize(
    ("content", "messages"),
    [
        (archive(members())[:-20], ["cannot be read (Compressed file ended"]),
        (archive(members())[:400], ["cannot be read (Compressed file ended"]),
        (b"no gzip", ["cannot be read (Not a gzipped file"]),
        (gzip.compress(b"no tar" * 500), ["cannot be read ("]),
        (gzip.compress(b""), ["cannot be read ("]),
        (archive({}), ["both classes for train, got 0 negative and 0 positive"]),
        (archive(members(**dict.fromkeys(reviews("test")))), ["classes for test, got 0 neg"]),
        (archive(members(**{FIRST: b"caf\xe9"})), [FIRST, "must be UTF-8, but byte 3 is not"]),
        (archive(members(**{FIRST: ""})), [FIRST, "must hold text, but is empty"]),
        (archive(members(**{FIRST: b"a" * (1 << 20) + b"b"})), [FIRST, "at most 1048576 bytes"]),
    ],
    ids=range(10),
)
def test_a_damaged_archive_of_imdb_is_one_clear_line(tmp_path, content, messages):
    write_archive(tmp_path, content)
    fails(imdb, small_imdb(tmp_path), "aclImdb_v1.tar.gz", *messages)


@settings(max_examples=25)
@given(st.data())
def test_damage_within_the_archive_is_noticed_or_does_no_harm(tmp_path_factory, data):
    folder = tmp_path_factory.mktemp("imdb")
    plain = bytearray(gzip.decompress(archive(members())))
    for _ in range(data.draw(st.integers(1, 5))):  # headers and their contents alike
        at = data.draw(st.integers(0, 20)) * 512 + data.draw(st.integers(0, 200))
        plain[at] = data.draw(st.integers(0, 255))
    write_archive(folder, gzip.compress(bytes(plain), 1))
    with contextlib.suppress(DataError):
        assert len(imdb(small_imdb(folder)).test) >= 4


def test_damage_between_two_reviews_is_not_taken_for_the_end(tmp_path):
    plain = bytearray(gzip.decompress(archive(members(**{FIRST: "long " * 9000}))))
    header = plain.index(b"aclImdb/train/neg/1_1.txt")
    plain[header : header + 8] = b"\xff" * 8  # the header's checksum fails
    write_archive(tmp_path, gzip.compress(bytes(plain)))
    fails(imdb, small_imdb(tmp_path), "cannot be read (data after the archive's end)")


def test_a_member_larger_than_all_files_is_refused_at_once(tmp_path):
    plain = bytearray(gzip.decompress(archive(members())))
    header = plain[:512]
    header[124:136] = b"\x80" + b"\xff" * 11  # the size: 2**88 - 1
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header)
    write_archive(tmp_path, gzip.compress(bytes(header) + bytes(plain[512:])))
    fails(imdb, small_imdb(tmp_path), f"'aclImdb/README' cannot have {2**88 - 1} bytes")


def test_the_names_of_the_archive_write_nothing(tmp_path):
    content = {"../aclImdb/train/neg/99_1.txt": b"out", "/aclImdb/train/neg/98_1.txt": b"out"}
    link = "aclImdb/train/neg/97_1.txt"
    plain = bytearray(gzip.decompress(archive({**content, link: b"", **members()})))
    header = plain.index(link.encode())
    plain[header + 156 : header + 168] = b"2/etc/passwd"  # a symbolic link
    plain[header + 148 : header + 156] = b" " * 8
    plain[header + 148 : header + 156] = b"%06o\0 " % sum(plain[header : header + 512])
    write_archive(tmp_path, gzip.compress(bytes(plain)))
    data = imdb(small_imdb(tmp_path, max_words=None))
    assert len(data.train) + len(data.val) == 2 * N_REVIEWS
    assert "out" not in data.vocabulary
    assert [path.name for path in tmp_path.iterdir()] == ["aclImdb_v1.tar.gz"]


def test_imdb_that_is_not_there_or_makes_no_sense(tmp_path, monkeypatch):
    fails(imdb, small_imdb(tmp_path), str(tmp_path), "must hold aclImdb_v1.tar.gz or the folder")
    write_archive(tmp_path)
    for options, message in (
        ({"max_tokens": 0}, "task.max_tokens must be at least 1, got 0"),
        ({"max_words": 2}, "task.max_words must be at least 3, got 2"),
        ({"min_count": 0}, "task.min_count must be at least 1, got 0"),
        ({"n_val": 1}, "task.n_val must be at least 2, got 1"),
        ({"seed": -1}, "task.seed must be in 0..2^32-1, got -1"),
        ({"seed": 2**32}, "task.seed must be in 0..2^32-1, got 4294967296"),
        ({"n_val": 23}, "task.n_val must leave training reviews of both classes, got 23 of 24"),
    ):
        fails(imdb, small_imdb(tmp_path, **options), message, error=ConfigError)
    for name in ("0_1.txt", "1_1.txt"):
        path = tmp_path / "folder/aclImdb/train/neg" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"\xff")
    fails(imdb, small_imdb(tmp_path / "folder"), str(path.with_name("0_1.txt")), "must be UTF-8")
    columns = {part: {"text": ["a"], "label": [-1]} for part in ("train", "test")}
    put_on_hub(monkeypatch, {"stanfordnlp/imdb": columns})
    fails(imdb, ImdbConfig(), "stanfordnlp/imdb must hold texts with labels 0 and 1")


@needs_data
def test_the_real_imdb():
    data = imdb(ImdbConfig(data_dir=str(REAL / "imdb")))
    assert [len(part) for part in (data.train, data.val, data.test)] == [20_000, 5_000, 25_000]
    assert data.test.y.bincount().tolist() == [12_500, 12_500]
    assert data.val.y.bincount().tolist() == [2_500, 2_500]
    assert len(data.vocabulary) == 20_000
    assert data.vocabulary[2:5] == ("the", ".", ",")
    assert data.train.x.shape == (20_000, 400)
    assert (data.test.x == 1).float().mean() < 0.03
