"""Copy the package to the layout of the wheel, for the API reference.

`devices/` and `configs/` are top-level folders of the repository and subpackages of the wheel;
mkdocstrings reads sources and does not follow links, so it needs a copy.
"""

import tempfile
from pathlib import Path
from shutil import copytree, ignore_patterns

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.plugins import event_priority

_copy = tempfile.TemporaryDirectory(prefix="qrnn-docs-")


@event_priority(50)  # before mkdocstrings reads its path
def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Put the copy first on mkdocstrings' path."""
    root = Path(config.config_file_path).parent
    for folder, inside in (("qrnn", "."), ("devices", "devices"), ("configs", "configs")):
        copytree(
            root / folder,
            Path(_copy.name, "qrnn", inside),
            dirs_exist_ok=True,
            ignore=ignore_patterns("__pycache__"),
        )
    config.plugins["mkdocstrings"].config.handlers["python"]["paths"] = [_copy.name]
    return config
