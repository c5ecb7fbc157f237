"""Files of tasks: where the real ones are, and small ones."""

import gzip
import os
from pathlib import Path

import pytest

REAL = Path(os.environ.get("QRNN_DATA", "."))
needs_data = pytest.mark.skipif(
    "QRNN_DATA" not in os.environ, reason="QRNN_DATA does not name the folder of the real data"
)


def write_multi30k(folder):
    """Write two sentences, over and over, in both languages."""
    german, english = ("ein hund rennt .", "zwei katzen ."), ("a dog runs .", "two cats .")
    for part, n in (("train", 12), ("val", 2), ("test_2016_flickr", 4)):
        for side, lines in (("de", german), ("en", english)):
            text = "\n".join(lines * (n // 2)) + "\n"
            (folder / f"{part}.{side}.gz").write_bytes(gzip.compress(text.encode()))
