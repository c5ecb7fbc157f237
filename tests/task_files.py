"""Files of tasks: where the real ones are, and small ones."""

import gzip
import os
import sys
from pathlib import Path
from types import SimpleNamespace

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
