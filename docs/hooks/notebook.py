"""Generate the tutorial's page from its notebook, with the outputs stored there."""

from pathlib import Path

import nbformat
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from nbconvert import MarkdownExporter

from qrnn.utils.figure_style import with_dark

NOTEBOOK = "tutorial.ipynb"
DOCS = "https://github.com/pennylane-qrnn/qrnn/blob/main/docs/"


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the page and its pictures."""
    notebook = nbformat.read(Path(config.docs_dir, NOTEBOOK), as_version=4)
    page, resources = MarkdownExporter().from_notebook_node(
        notebook, resources={"output_files_dir": "tutorial"}
    )
    # The notebook is read in Colab, too, and has addresses.
    page = page.replace(DOCS, "")
    files.append(File.generated(config, "tutorial.md", content=page))
    for name, data in resources["outputs"].items():
        content = with_dark(data.decode()) if name.endswith(".svg") else data
        files.append(File.generated(config, name, content=content))
    return files
