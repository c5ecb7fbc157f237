"""Generate the tutorial's page from its notebook, with the outputs stored there."""

from pathlib import Path

import nbformat
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from nbconvert import MarkdownExporter

NOTEBOOK = "tutorial.ipynb"


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the page and its pictures."""
    notebook = nbformat.read(Path(config.docs_dir, NOTEBOOK), as_version=4)
    page, resources = MarkdownExporter().from_notebook_node(
        notebook, resources={"output_files_dir": "tutorial"}
    )
    files.append(File.generated(config, "tutorial.md", content=page))
    for name, data in resources["outputs"].items():
        files.append(File.generated(config, name, content=data))
    return files
