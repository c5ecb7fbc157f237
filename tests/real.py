"""Where the real data are, for the tests that read them."""

import os
from pathlib import Path

import pytest

REAL = Path(os.environ.get("QRNN_DATA", "."))
needs_data = pytest.mark.skipif(
    "QRNN_DATA" not in os.environ, reason="QRNN_DATA does not name the folder of the real data"
)
