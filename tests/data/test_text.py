"""Words, vocabularies, vectors, and the files and hub that texts come from."""

import gzip
import re
import sys

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from helpers.task_files import put_on_hub
from qrnn import ConfigError, DataError, MissingExtraError
from qrnn.data import sources
from qrnn.data.text import PAD, UNK, Vocabulary, pad, read_vectors, tokenise

WORDS = st.lists(st.sampled_from(["a", "b", "cat", "dog", "<pad>", "<unk>", "ü"]), max_size=8)

BASIC_ENGLISH = (  # torchtext's, in its order
    ("'", " ' "),
    ('"', ""),
    (r"\.", " . "),
    ("<br />", " "),
    (",", " , "),
    (r"\(", " ( "),
    (r"\)", " ) "),
    ("!", " ! "),
    (r"\?", " ? "),
    (";", " "),
    (":", " "),
    (r"\s+", " "),
)


@given(st.text(st.sampled_from("aB.,()!?';:\" <br/>-é1\n\t")))
def test_words_are_those_of_basic_english(text):
    line = text.lower()
    for pattern, replacement in BASIC_ENGLISH:
        line = re.sub(pattern, replacement, line)
    assert tokenise(text) == line.split()


def test_words_of_a_review():
    text = 'It\'s "GREAT"!<br /><br />Well: 9/10 (no, 10).'
    assert " ".join(tokenise(text)) == "it ' s great ! well 9/10 ( no , 10 ) ."


def test_a_vocabulary_is_by_frequency_then_by_alphabet():
    texts = [["b", "a", "c", "c"], ["d", "b", "a", PAD]]
    assert Vocabulary.learn(texts, (PAD, UNK)).tokens == (PAD, UNK, "a", "b", "c", "d")
    assert Vocabulary.learn(texts, (PAD, UNK), min_count=2).tokens == (PAD, UNK, "a", "b", "c")
    assert Vocabulary.learn(texts, (PAD, UNK), max_size=3).tokens == (PAD, UNK, "a")


@given(st.lists(WORDS, min_size=1, max_size=5), st.randoms())
def test_what_a_vocabulary_encodes_it_decodes(texts, random):
    vocabulary = Vocabulary.learn(texts, (PAD, UNK))
    for words in texts:
        numbers = vocabulary.encode(words)
        assert 0 not in numbers  # a text is never padding, whatever it says
        assert vocabulary.decode(numbers) == [UNK if word == PAD else word for word in words]
    random.shuffle(texts)
    assert Vocabulary.learn(texts, (PAD, UNK)).tokens == vocabulary.tokens


def test_an_unknown_word_is_unk_or_an_error():
    texts = [["a", "b"]]
    assert Vocabulary.learn(texts, (PAD, UNK)).encode(["b", "z", PAD]) == [3, 1, 1]
    with pytest.raises(DataError, match="only tokens of the training text, got 'z'"):
        Vocabulary.learn(texts, ()).encode(["a", "z"])


@given(st.lists(st.lists(st.integers(0, 9), max_size=5), min_size=1, max_size=5))
def test_padding_hides_nothing(rows):
    tokens, lengths = pad(rows, -100, 10)
    assert tokens.dtype == torch.int16
    assert tokens.shape == (len(rows), max(map(len, rows)))
    assert [row[:n].tolist() for row, n in zip(tokens, lengths.tolist(), strict=True)] == rows
    assert (tokens == -100).sum() == tokens.numel() - lengths.sum()


def test_tokens_take_the_smallest_type_that_holds_them():
    assert pad([[32_767]], 0, 32_768)[0].dtype == torch.int16
    assert pad([[32_768]], 0, 32_769)[0].tolist() == [[32_768]]


GLOVE = "the 1 2\n. . . 3 4\ncat 5.5 -6e-1\ncat 9 9\n"


@pytest.mark.parametrize("head", ["", "4 2\n"])
def test_vectors_are_read_and_missing_ones_are_small_and_random(tmp_path, head):
    path = tmp_path / "vectors.txt"
    path.write_text(head + GLOVE)
    words = (PAD, UNK, "cat", ". . .", "dog")
    vectors = read_vectors(path, words, seed=1)
    assert vectors.dtype == torch.float32
    assert vectors.shape == (5, 2)
    assert vectors[0].tolist() == [0, 0]
    assert vectors[2].tolist() == [5.5, np.float32(-0.6)]
    assert vectors[3].tolist() == [3, 4]
    assert 0 < vectors[[1, 4]].abs().max() < 1
    assert torch.equal(vectors, read_vectors(path, words, seed=1))
    assert not torch.equal(vectors, read_vectors(path, words, seed=2))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"the 1 2\ncat 3\n", "line 2 must be a word and 2 numbers"),
        (b"the 1 2\n\ncat 3 4\n", "line 2 must be a word and 2 numbers"),
        (b"the\n", "line 1 must be a word and some numbers"),
        (b"the 1 2\ncat 3 x\n", "line 2: could not convert string to float: 'x'"),
        (b"the 1 2\ncat 3 nan\n", "line 2 must hold finite numbers"),
        (b"the 1 2\ncat 3 1e99\n", "line 2 must hold finite numbers"),
        (b"the 1 2\n\xff 3 4\n", "line 2 must be UTF-8"),
        (b"the" + b" 1" * (1 << 16), "line 1 must have less than 131072 bytes"),
        (b"the 1 2\n", "must hold words of the task's texts, but has none"),
        (b"", "must hold words of the task's texts, but has none"),
        (None, "must name a file, but"),
    ],
    ids=range(11),
)
@pytest.mark.filterwarnings("ignore:overflow")
def test_damaged_vectors_are_named_by_their_line(tmp_path, content, message):
    path = tmp_path / "vectors.txt"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(DataError, match=re.escape(message)) as error:
        read_vectors(path, (PAD, UNK, "cat"), seed=0)
    assert str(path) in str(error.value)
    assert "\n" not in str(error.value)


WHOLE = gzip.compress(b"one\n two \n", mtime=0)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (WHOLE[:-6], "cannot be read (Compressed file ended"),
        (WHOLE[:10] + b"\x07" + WHOLE[11:], "cannot be read (Error -3"),
        (WHOLE[:-8] + bytes(8), "cannot be read (CRC check failed"),
        (b"no gzip", "cannot be read (Not a gzipped file"),
        (gzip.compress(b"caf\xe9\n"), "must be UTF-8, but byte 3 is not"),
        (gzip.compress(b" \n\n"), "must hold text, but is empty"),
        (gzip.compress(b""), "must hold text, but is empty"),
        (gzip.compress(b"one\ntw"), "must end with a newline"),
        (gzip.compress(bytes(101)), "cannot be read (it holds more than 100 bytes)"),
        (None, "task.data_dir must hold text.gz, but"),
    ],
    ids=range(10),
)
def test_a_damaged_file_is_one_clear_line(tmp_path, monkeypatch, content, message):
    monkeypatch.setattr(sources, "MAX_BYTES", 100)
    path = tmp_path / "text.gz"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(DataError, match=re.escape(message)) as error:
        sources.read_lines(path, "get it")
    assert str(path) in str(error.value)
    assert str(error.value).endswith(": get it")
    assert "\n" not in str(error.value)


def test_lines_are_those_that_line_ends_make(tmp_path):
    (tmp_path / "text.gz").write_bytes(WHOLE)
    assert sources.read_lines(tmp_path / "text.gz", "") == ["one", "two"]
    (tmp_path / "text").write_bytes("a\u2028b\r\n\nc\n".encode())
    assert sources.read_lines(tmp_path / "text", "") == ["a\u2028b", "", "c"]


def test_sizes_have_a_least_value():
    sources.at_least("task.steps", 1, 1)
    with pytest.raises(ConfigError, match=r"task\.steps must be at least 1, got 0"):
        sources.at_least("task.steps", 0, 1)


def columns(found, monkeypatch, parts=("train",), names=("text",)):
    put_on_hub(monkeypatch, found)
    return sources.hub_columns("them/it", "made", parts, names, "get it")


def test_the_hub_gives_columns(monkeypatch):
    data = {"train": {"text": ["a", "b"], "label": [0, 1]}}
    assert columns({"them/it": data}, monkeypatch) == [[["a", "b"]]]


def test_a_hub_that_does_not_answer_is_one_clear_line(monkeypatch):
    def unreachable(name):
        raise ConnectionError(f"Couldn't reach {name!r}\non the Hub")

    for found, reason in (
        (unreachable, "ConnectionError: Couldn't reach 'them/it' on the Hub"),
        ({"them/it": {"train": {}}}, "KeyError: 'text'"),
        ({"them/it": {}}, "KeyError: 'train'"),
    ):
        with pytest.raises(DataError, match=re.escape(reason)) as error:
            columns(found, monkeypatch)
        assert str(error.value).startswith("task made without task.data_dir must get them/it")
        assert str(error.value).endswith(": get it")
        assert "\n" not in str(error.value)


def test_the_hub_needs_its_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(
        MissingExtraError, match=r"task made .*`datasets`.*'pennylane-qrnn\[data\]'"
    ):
        sources.hub_columns("them/it", "made", ["train"], ["text"], "")
