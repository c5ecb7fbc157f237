"""What `make demo` prints and draws."""

import os
import re
import subprocess
import sys

import pytest
from matplotlib.image import imread

from helpers.documents import difference
from helpers.paths import ROOT


@pytest.mark.slow
def test_the_demo_ends_with_the_table_of_the_readme_and_a_picture(tmp_path):
    done = subprocess.run(
        [sys.executable, ROOT / "examples/demo.py"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=300,
        check=True,
        env={**os.environ, "COLUMNS": "80"},
    )
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    (shown,) = re.findall(r"`make demo` ends with\n\n((?: {4}.*\n)+)", readme)
    (printed,) = re.findall(r"^ *Evaluation \(trained.*?┘\n", done.stdout, re.DOTALL | re.MULTILINE)
    assert difference(shown, printed) is None
    assert done.stdout.endswith("A picture of it all: runs/demo/demo.png\n")
    height, width, _ = imread(tmp_path / "runs/demo/demo.png").shape
    assert width > height > 800
