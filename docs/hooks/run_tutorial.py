"""Run the tutorial's notebook and store its outputs, compact and reproducible.

python docs/hooks/run_tutorial.py
"""

import os
import tempfile
from pathlib import Path

import nbformat
from nbclient import NotebookClient

NOTEBOOK = Path(__file__).parents[1] / "tutorial.ipynb"


def run(folder: str | Path) -> nbformat.NotebookNode:
    """Run the notebook in a folder and return it with its outputs.

    Raises:
        nbclient.exceptions.CellExecutionError: a cell fails.
    """
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    client = NotebookClient(notebook, timeout=300, resources={"metadata": {"path": str(folder)}})
    # One thread each: thread pools that share two cores slow each other down.
    client.execute(env={**os.environ, "OMP_NUM_THREADS": "1", "NUMBA_NUM_THREADS": "1"})
    for cell in notebook.cells:
        cell.metadata.pop("execution", None)  # timestamps
        if cell.cell_type == "code":  # logs depend on the machine
            cell.outputs = [out for out in cell.outputs if out.get("name") != "stderr"]
    return notebook


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        nbformat.write(run(folder), NOTEBOOK)
