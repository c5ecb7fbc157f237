"""Penn Treebank: what it holds, whom it leaks to, and damaged files."""

import pytest

from helpers.task_files import REAL, needs_data, put_on_hub
from helpers.text_checks import fails
from qrnn import ConfigError
from qrnn.data import PtbConfig, loader, ptb

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
    fails(
        ptb, config, "ptb.test.txt: a text must contain only tokens of the training text, got 'z'"
    )


def test_ptb_that_is_not_there_or_makes_no_sense(treebank):
    config = PtbConfig(data_dir=str(treebank))
    for content, message in (
        (b"caf\xe9\n", "must be UTF-8, but byte 3 is not"),
        (b"", "must hold text, but is empty"),
        (b" the cat \n the d", "must end with a newline, but does not (truncated?)"),
        (None, "task.data_dir must hold ptb.valid.txt"),
    ):
        path = treebank / "ptb.valid.txt"
        path.unlink() if content is None else path.write_bytes(content)
        fails(ptb, config, str(path), message)
    for options, message in (
        ({"level": "word"}, "task.level 'word' is not known: did you mean words?"),
        ({"steps": 0}, "task.steps must be at least 1, got 0"),
        ({"carry": 0}, "task.carry must be at least 1, got 0"),
    ):
        fails(ptb, PtbConfig(**{"data_dir": str(treebank), **options}), message, error=ConfigError)


def test_ptb_from_the_hub_is_the_same(treebank, monkeypatch):
    names = {"train": "train", "valid": "validation", "test": "test"}
    columns = {
        names[part]: {"sentence": [line.strip() for line in text[:-1].split("\n")]}
        for part, text in LINES.items()
    }
    place = "ptb-text-only/ptb_text_only"
    put_on_hub(monkeypatch, {place: columns}, "refs/convert/parquet")
    local, remote = (ptb(PtbConfig(data_dir=folder)) for folder in (str(treebank), None))
    assert local.vocabulary == remote.vocabulary
    for part in ("train", "val", "test"):
        assert getattr(local, part).tokens.tolist() == getattr(remote, part).tokens.tolist()
    for lines in ([], [None]):
        columns["validation"]["sentence"] = lines
        message = f"{place}, validation must hold lines of text, but does not: task.data_dir must"
        fails(ptb, PtbConfig(), message)


@needs_data
@pytest.mark.parametrize(
    ("level", "counts", "n_words"),
    [
        ("words", (929_589, 73_760, 82_430), 10_000),
        ("characters", (5_017_482, 393_042, 442_423), 50),
    ],
)
def test_the_real_ptb(level, counts, n_words):
    data = ptb(PtbConfig(data_dir=str(REAL / "ptb"), level=level))
    assert tuple(len(part.tokens) for part in (data.train, data.val, data.test)) == counts
    assert len(data.vocabulary) == n_words
    n_lines = (data.train.tokens == data.vocabulary.index("<eos>")).sum()
    assert n_lines == 42_068
