"""IMDB, Penn Treebank and Multi30k: what they hold, whom they leak to, and damaged files."""

import contextlib
import gzip
import io
import os
import re
import sys
import tarfile
from pathlib import Path
from types import SimpleNamespace

import pytest
import sacrebleu
import torch
from hydra import compose, initialize_config_module
from hypothesis import given, settings
from hypothesis import strategies as st

from qrnn import ConfigError, DataError, MissingExtraError
from qrnn.config import register_schemas, to_typed
from qrnn.data import (
    IGNORED,
    ImdbConfig,
    Multi30kConfig,
    PtbConfig,
    detokenise,
    imdb,
    loader,
    multi30k,
    ptb,
)
from qrnn.data.multi30k import words

REAL = os.environ.get("QRNN_DATA")
needs_data = pytest.mark.skipif(
    REAL is None, reason="QRNN_DATA does not name the folder of the real data"
)


def same(a, b):
    """Whether two tasks' sequences are the same."""
    return all(
        torch.equal(getattr(getattr(a, part), key), getattr(getattr(b, part), key))
        for part in ("train", "val", "test")
        for key in ("x", "y", "lengths")
    )


def fails(load, config, *messages, error=DataError):
    """Expect one clear line."""
    with pytest.raises(error) as raised:
        load(config)
    text = str(raised.value)
    assert "\n" not in text
    for message in messages:
        assert message in text


# IMDB

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
    hub = SimpleNamespace(load_dataset={"stanfordnlp/imdb": columns}.__getitem__)
    monkeypatch.setitem(sys.modules, "datasets", hub)
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
    fails(imdb, small_imdb(tmp_path), "cannot be read (something follows its end)")


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
        ({"n_val": 23}, "task.n_val must leave training reviews of both classes, got 23 of 24"),
    ):
        fails(imdb, small_imdb(tmp_path, **options), message, error=ConfigError)
    for name in ("0_1.txt", "1_1.txt"):
        path = tmp_path / "folder/aclImdb/train/neg" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"\xff")
    fails(imdb, small_imdb(tmp_path / "folder"), str(path.with_name("0_1.txt")), "must be UTF-8")
    columns = {part: {"text": ["a"], "label": [-1]} for part in ("train", "test")}
    hub = SimpleNamespace(load_dataset=lambda name: columns)
    monkeypatch.setitem(sys.modules, "datasets", hub)
    fails(imdb, ImdbConfig(), "stanfordnlp/imdb must hold texts with labels 0 and 1")


# Penn Treebank

LINES = {
    "train": " the cat <unk> N \n the dog \n",
    "valid": " the bird \n",
    "test": " a cat \n <eos> \n",
}


@pytest.fixture
def treebank(tmp_path):
    for part, text in LINES.items():
        (tmp_path / f"ptb.{part}.txt").write_text(text)
    return tmp_path


def test_ptb_by_words(treebank):
    data = ptb(PtbConfig(data_dir=str(treebank), steps=3))
    assert data.vocabulary == data.classes == ("<unk>", "<eos>", "the", "N", "cat", "dog")
    assert (data.kind, data.metric, data.shape.input_size) == ("label", "perplexity", 6)
    assert data.train.tokens.tolist() == [2, 4, 0, 3, 1, 2, 5, 1]
    assert data.val.tokens.tolist() == [2, 0, 1]
    assert data.test.tokens.tolist() == [0, 4, 1, 0, 1]  # a text does not end its own lines
    batches = list(loader(data.train, 1, shuffle=False))
    assert [batch.x.tolist() for batch in batches] == [[[2, 4, 0]], [[3, 1, 2]], [[5]]]
    assert [batch.y.tolist() for batch in batches] == [[[4, 0, 3]], [[1, 2, 5]], [[1]]]


def test_ptb_by_characters(treebank):
    (treebank / "ptb.valid.txt").write_text(" tag \n")
    (treebank / "ptb.test.txt").write_text("cat\n")
    data = ptb(PtbConfig(data_dir=str(treebank), level="characters"))
    assert data.metric == "bits_per_character"
    text = "".join(
        {"<eos>": "\n"}.get(c, c) for c in map(data.vocabulary.__getitem__, data.train.tokens)
    )
    assert text == "the cat <unk> N\nthe dog\n"
    assert data.vocabulary[0] == "<eos>"
    assert len(data.vocabulary) == len(set(text))
    (treebank / "ptb.test.txt").write_text("zebra\n")
    config = PtbConfig(data_dir=str(treebank), level="characters")
    fails(ptb, config, "ptb.test.txt: a text must have no words but the training text's, got 'z'")


def test_ptb_that_is_not_there_or_makes_no_sense(treebank):
    config = PtbConfig(data_dir=str(treebank))
    for content, message in (
        (b"caf\xe9\n", "must be UTF-8, but byte 3 is not"),
        (b"", "must hold text, but is empty"),
        (b" the cat \n the d", "must end with a line's end, but does not (truncated?)"),
        (None, "task.data_dir must hold ptb.valid.txt"),
    ):
        path = treebank / "ptb.valid.txt"
        path.unlink() if content is None else path.write_bytes(content)
        fails(ptb, config, str(path), message)
    for options, message in (
        ({"data_dir": None}, "task.data_dir must name the folder of Penn Treebank"),
        ({"level": "word"}, "task.level 'word' is not known: did you mean words?"),
        ({"steps": 0}, "task.steps must be at least 1, got 0"),
        ({"carry": 0}, "task.carry must be at least 1, got 0"),
    ):
        fails(ptb, PtbConfig(**{"data_dir": str(treebank), **options}), message, error=ConfigError)


# Multi30k

PAIRS = {
    "train": [
        ("Ein Mann läuft.", "A man runs."),
        ("Ein Hund, ein Mann!", "A dog, a man!"),
        ("Ein Hund läuft.", "A dog runs (fast)."),
    ],
    "val": [("Ein Vogel läuft.", "A bird runs."), ("Ein Mann.", "A Man.")],
    "test_2016_flickr": [("<eos> Hund", "The <eos> dog runs."), ("Zwei", "Two")],
}


def write_pairs(folder, **changed):
    for part, pairs in {**PAIRS, **changed}.items():
        for side, language in enumerate(("de", "en")):
            text = "".join(pair[side] + "\n" for pair in pairs)
            (folder / f"{part}.{language}.gz").write_bytes(gzip.compress(text.encode()))


@pytest.fixture
def images(tmp_path):
    write_pairs(tmp_path)
    return tmp_path


def test_multi30k_by_words(images):
    data = multi30k(Multi30kConfig(data_dir=str(images)))
    specials = ("<pad>", "<unk>", "<bos>", "<eos>")
    assert data.vocabulary == (*specials, "ein", ".", "hund", "läuft", "mann")
    assert data.classes == (*specials, "a", ".", "dog", "man", "runs")
    assert (data.kind, data.metric) == ("translate", "bleu")
    assert data.train.x.tolist() == [[4, 8, 7, 5, 0, 0], [4, 6, 1, 4, 8, 1], [4, 6, 7, 5, 0, 0]]
    assert data.train.lengths.tolist() == [4, 6, 4]
    assert data.train.y.tolist()[0] == [4, 7, 8, 5, 3, *[IGNORED] * 3]
    assert data.train.y.tolist()[2] == [4, 6, 8, 1, 1, 1, 5, 3]
    assert data.test.y.tolist()[0] == [1, 1, 1, 1, 6, 8, 5, 3]  # a text does not end itself
    assert data.references == {
        "val": ("a bird runs.", "a man."),
        "test": ("the <eos> dog runs.", "two"),
    }
    every = multi30k(Multi30kConfig(data_dir=str(images), min_count=1))
    assert {"fast", "(", "!"} <= set(every.classes)
    assert not {"bird", "the", "two"} & set(every.classes)
    assert not {"vogel", "zwei"} & set(every.vocabulary)
    batch = next(iter(loader(data.val, 2, shuffle=False)))
    assert batch.y.tolist() == [[4, 1, 8, 5, 3], [4, 7, 5, 3, IGNORED]]


def test_multi30k_the_other_way(images):
    there = multi30k(Multi30kConfig(data_dir=str(images)))
    back = multi30k(Multi30kConfig(data_dir=str(images), source="en", target="de"))
    assert (back.vocabulary, back.classes) == (there.classes, there.vocabulary)
    assert back.references["val"] == ("ein vogel läuft.", "ein mann.")


def test_multi30k_from_the_hub_is_the_same(images, monkeypatch):
    names = dict(zip(PAIRS, ("train", "validation", "test"), strict=True))
    columns = {
        names[part]: {"de": [a for a, _ in pairs], "en": [b for _, b in pairs]}
        for part, pairs in PAIRS.items()
    }
    hub = SimpleNamespace(load_dataset={"bentrevett/multi30k": columns}.__getitem__)
    monkeypatch.setitem(sys.modules, "datasets", hub)
    local, remote = (multi30k(Multi30kConfig(data_dir=folder)) for folder in (str(images), None))
    assert same(local, remote)
    assert local.references == remote.references
    fails(multi30k, Multi30kConfig(source="fr"), "from the Hugging Face hub", "KeyError: 'fr'")


def test_long_sentences_are_left_out_of_training_alone(images):
    write_pairs(images, val=[("Ein Hund, ein Mann!", "A dog, a man!")])
    data = multi30k(Multi30kConfig(data_dir=str(images), max_tokens=4))
    assert len(data.train) == 1
    assert data.test.x.shape == (2, 4)
    assert data.test.lengths.tolist() == [4, 1]
    assert data.val.x.tolist() == [[4, 6, 1, 4]]  # of six
    assert (data.test.y != IGNORED).sum(1).tolist() == [8, 2]
    config = Multi30kConfig(data_dir=str(images), max_tokens=1)
    fails(multi30k, config, "task.max_tokens must leave pairs", "got 1", error=ConfigError)


def test_multi30k_by_subwords(images):
    config = Multi30kConfig(data_dir=str(images), subwords=30)
    data = multi30k(config)
    assert data.classes[:4] == data.vocabulary[:4] == ("<pad>", "<unk>", "<bos>", "<eos>")
    assert max(len(data.classes), len(data.vocabulary)) <= 30
    assert "▁man" in data.classes
    assert "▁bird" not in data.classes
    every = multi30k(Multi30kConfig(data_dir=str(images), subwords=99)).vocabulary
    assert "▁läuft" in every
    assert [piece for piece in every if "." in piece] == ["."]
    pieces = [data.classes[token] for token in data.train.y[2].tolist() if token != IGNORED]
    assert detokenise([*pieces, "more"]) == "a dog runs (fast)."
    assert (data.test.y == 3).sum(1).tolist() == [1, 1]  # no `<eos>` is read from a text
    assert same(data, multi30k(config))
    for subwords, message in ((4, "at least 5, got 4"), (8, "the number of special tokens")):
        config = Multi30kConfig(data_dir=str(images), subwords=subwords)
        fails(multi30k, config, "task.subwords must be at least", message, error=ConfigError)


def test_subwords_need_their_extra(images, monkeypatch):
    monkeypatch.setitem(sys.modules, "tokenizers", None)
    config = Multi30kConfig(data_dir=str(images), subwords=30)
    fails(multi30k, config, "`tokenizers`: pip install 'qrnn[data]'", error=MissingExtraError)


@pytest.mark.parametrize(
    "sentence",
    ["a t-shirt, 3.5 m (new)!", 'he said "no" twice; why?', "ein „hund“ läuft: 10%", "it's 8:30."],
)
def test_a_sentence_comes_back_from_its_words(sentence):
    assert detokenise(["<bos>", *words(sentence), "<eos>", "more"]).replace(" “", "“") == sentence


@given(st.text(st.characters(codec="utf-8"), max_size=30))
def test_words_lose_nothing_but_blanks(text):
    assert "".join(words(text)) == "".join(text.replace("▁", "").split())


@pytest.mark.parametrize(
    ("name", "content", "messages"),
    [
        ("train.de.gz", gzip.compress(b"ein\n")[:-3], ["cannot be read (Compressed file ended"]),
        ("val.en.gz", b"a man\n", ["cannot be read (Not a gzipped file"]),
        ("val.en.gz", gzip.compress(b"caf\xe9\n"), ["must be UTF-8, but byte 3 is not"]),
        ("val.en.gz", gzip.compress(b""), ["must hold text, but is empty"]),
        ("val.en.gz", gzip.compress(b"a\nb"), ["must end with a line's end"]),
        ("val.en.gz", gzip.compress(b"a\n"), ["as many lines in both languages, got 2 and 1"]),
        ("val.en.gz", gzip.compress(b"a\n \n"), ["line 2 must hold a sentence"]),
        ("val.en.gz", gzip.compress(b"a" * 10_001 + b"\na\n"), ["line 1 must hold", "got 10001"]),
        ("val.en.gz", None, ["task.data_dir must hold val.en.gz"]),
    ],
    ids=range(9),
)
def test_a_damaged_file_of_multi30k_is_one_clear_line(images, name, content, messages):
    path = images / name
    path.unlink() if content is None else path.write_bytes(content)
    fails(multi30k, Multi30kConfig(data_dir=str(images)), str(images), *messages)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"source": "dee"}, "task.source 'dee' is not known: did you mean de?"),
        ({"target": "xx"}, "task.target 'xx' is not known: Allowed: cs, de, en, fr"),
        ({"target": "de"}, "task.target must be another language than task.source"),
        ({"min_count": 0}, "task.min_count must be at least 1, got 0"),
        ({"max_tokens": 0}, "task.max_tokens must be at least 1, got 0"),
    ],
)
def test_multi30k_that_makes_no_sense(images, options, message):
    fails(multi30k, Multi30kConfig(data_dir=str(images), **options), message, error=ConfigError)


# All of them


@pytest.mark.parametrize(
    "choice",
    ["imdb task.max_words=9", "copying task.delay=7", "ptb task.level=characters",
     "multi30k task.subwords=99"],
)  # fmt: skip
def test_each_is_a_choice_of_the_command_line(choice):
    name, change = choice.split()
    register_schemas()
    with initialize_config_module("qrnn.configs", version_base=None):
        config = to_typed(compose("train", [f"task={name}", change]))
    key, value = change.removeprefix("task.").split("=")
    assert config.task.name == name
    assert str(getattr(config.task, key)) == value


@needs_data
def test_the_real_imdb():
    data = imdb(ImdbConfig(data_dir=str(Path(REAL) / "imdb")))
    assert [len(part) for part in (data.train, data.val, data.test)] == [20_000, 5_000, 25_000]
    assert data.test.y.bincount().tolist() == [12_500, 12_500]
    assert data.val.y.bincount().tolist() == [2_500, 2_500]
    assert len(data.vocabulary) == 20_000
    assert data.vocabulary[2:5] == ("the", ".", ",")
    assert data.train.x.shape == (20_000, 400)
    assert (data.test.x == 1).float().mean() < 0.03


@needs_data
@pytest.mark.parametrize(
    ("level", "counts", "n_words"),
    [
        ("words", (929_589, 73_760, 82_430), 10_000),
        ("characters", (5_017_482, 393_042, 442_423), 50),
    ],
)
def test_the_real_ptb(level, counts, n_words):
    data = ptb(PtbConfig(data_dir=str(Path(REAL) / "ptb"), level=level))
    assert tuple(len(part.tokens) for part in (data.train, data.val, data.test)) == counts
    assert len(data.vocabulary) == n_words
    n_lines = (data.train.tokens == data.vocabulary.index("<eos>")).sum()
    assert n_lines == 42_068


@needs_data
@pytest.mark.parametrize("subwords", [None, 4000])
def test_the_real_multi30k(subwords):
    data = multi30k(Multi30kConfig(data_dir=str(Path(REAL) / "multi30k"), subwords=subwords))
    assert [len(part) for part in (data.train, data.val, data.test)] == [29_000, 1_014, 1_000]
    references = list(data.references["test"])
    assert references[0] == "a man in an orange hat starring at something."
    if subwords is None:
        assert (len(data.vocabulary), len(data.classes)) == (7_856, 5_975)
        said = [detokenise(words(reference)) for reference in references]
    else:
        assert (len(data.vocabulary), len(data.classes)) == (4_000, 4_000)
        said = [detokenise(data.classes[n] for n in row if n != IGNORED) for row in data.test.y]
    assert sacrebleu.corpus_bleu(said, [references]).score > 99.9
