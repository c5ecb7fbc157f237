"""Multi30k: what it holds, whom it leaks to, and damaged files."""

import gzip
import sys

import pytest
import sacrebleu
from hypothesis import given
from hypothesis import strategies as st

from helpers.task_files import REAL, needs_data, put_on_hub
from helpers.text_checks import fails, same
from qrnn import ConfigError, MissingExtraError
from qrnn.data import IGNORED, Multi30kConfig, detokenise, loader, multi30k
from qrnn.data.multi30k import split_words
from qrnn.evaluation.metrics import bleu, judge

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
    put_on_hub(monkeypatch, {"bentrevett/multi30k": columns})
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
    fails(multi30k, config, "task.max_tokens must leave training pairs", "got 1", error=ConfigError)


@pytest.mark.core
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
    config = Multi30kConfig(data_dir=str(images), subwords=10**18)
    fails(multi30k, config, "task.subwords must be at most 1048576, got 10", error=ConfigError)


def test_no_pair_of_subwords_is_joined_that_is_too_rare(images):
    config = Multi30kConfig(data_dir=str(images), subwords=99, min_count=10**20)
    assert {len(piece) for piece in multi30k(config).vocabulary[4:]} == {1}


def test_bleu_needs_its_extra(images, monkeypatch):
    data = multi30k(Multi30kConfig(data_dir=str(images)))
    monkeypatch.setitem(sys.modules, "sacrebleu.metrics", None)
    with pytest.raises(
        MissingExtraError, match=r"`sacrebleu`: pip install 'pennylane-qrnn\[data\]'"
    ):
        bleu(["a"], ["a"])
    with pytest.raises(MissingExtraError, match="`sacrebleu`"):
        judge(data, "test")


def test_subwords_need_their_extra(images, monkeypatch):
    monkeypatch.setitem(sys.modules, "tokenizers", None)
    config = Multi30kConfig(data_dir=str(images), subwords=30)
    fails(
        multi30k,
        config,
        "`tokenizers`: pip install 'pennylane-qrnn[data]'",
        error=MissingExtraError,
    )


@pytest.mark.parametrize(
    "sentence",
    ["a t-shirt, 3.5 m (new)!", 'he said "no" twice; why?', "ein „hund“ läuft: 10%", "it's 8:30."],
)
def test_a_sentence_comes_back_from_its_words(sentence):
    assert (
        detokenise(["<bos>", *split_words(sentence), "<eos>", "more"]).replace(" “", "“")
        == sentence
    )


@given(st.text(st.characters(codec="utf-8"), max_size=30))
def test_words_lose_nothing_but_blanks(text):
    assert "".join(split_words(text)) == "".join(text.replace("▁", "").split())


@pytest.mark.parametrize(
    ("name", "content", "messages"),
    [
        ("train.de.gz", gzip.compress(b"ein\n")[:-3], ["cannot be read (Compressed file ended"]),
        ("val.en.gz", b"a man\n", ["cannot be read (Not a gzipped file"]),
        ("val.en.gz", gzip.compress(b"caf\xe9\n"), ["must be UTF-8, but byte 3 is not"]),
        ("val.en.gz", gzip.compress(b""), ["must hold text, but is empty"]),
        ("val.en.gz", gzip.compress(b"a\nb"), ["must end with a newline"]),
        ("val.en.gz", gzip.compress(b"a\n"), ["the same number of lines, got 2 and 1"]),
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
        ({"target": "de"}, "task.target must differ from task.source"),
        ({"min_count": 0}, "task.min_count must be at least 1, got 0"),
        ({"max_tokens": 0}, "task.max_tokens must be at least 1, got 0"),
    ],
)
def test_multi30k_that_makes_no_sense(images, options, message):
    fails(multi30k, Multi30kConfig(data_dir=str(images), **options), message, error=ConfigError)


@needs_data
@pytest.mark.parametrize("subwords", [None, 4000])
def test_the_real_multi30k(subwords):
    data = multi30k(Multi30kConfig(data_dir=str(REAL / "multi30k"), subwords=subwords))
    assert [len(part) for part in (data.train, data.val, data.test)] == [29_000, 1_014, 1_000]
    references = list(data.references["test"])
    assert references[0] == "a man in an orange hat starring at something."
    if subwords is None:
        assert (len(data.vocabulary), len(data.classes)) == (7_856, 5_975)
        said = [detokenise(split_words(reference)) for reference in references]
    else:
        assert (len(data.vocabulary), len(data.classes)) == (4_000, 4_000)
        said = [detokenise(data.classes[n] for n in row if n != IGNORED) for row in data.test.y]
    assert sacrebleu.corpus_bleu(said, [references]).score > 99.9
