"""Write the page of one run or of several."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from importlib.resources import files
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from rich.console import Console

from qrnn.errors import ConfigError
from qrnn.reporting.comparison import comparison_of
from qrnn.reporting.folder import read_folder
from qrnn.reporting.page import load, page_of
from qrnn.reporting.parts import Page
from qrnn.utils.environment import environment
from qrnn.utils.files import check_output, write_text

Folder = str | Path


def report(
    run: Folder | Sequence[Folder],
    output: Folder | None = None,
    *,
    data_dir: str | None = None,
    progress: bool = False,
) -> Path:
    """Write a report of a run, or a comparison of several, and return its path.

    The page is a self-contained HTML file without scripts. It lists the files that are missing from
    a run's folder.

    Args:
        run: folder of a run, with the files of `qrnn train` and `qrnn evaluate`, or several.
        output: the file to write; None: `report.html` in the run's folder, or `comparison.html` in
            the working directory for several runs.
        data_dir: folder of the data, if it has moved since training; for one run only.
        progress: whether to show what is being loaded.

    Raises:
        ConfigError: there is no run, a run is given twice, or `data_dir` is given but not read.
        DataError: a folder is not that of a run.
    """
    folders = [run] if isinstance(run, str | Path) else run
    if not isinstance(folders, Sequence) or not all(isinstance(one, str | Path) for one in folders):
        raise ConfigError(f"run must be a folder or several, got {run!r}: use run=[A,B]")
    if not folders or len({Path(one).resolve() for one in folders}) < len(folders):
        raise ConfigError(
            f"run must name one folder or several different ones, got {list(map(str, folders))}"
        )
    if output is not None and Path(output).is_dir():
        raise ConfigError(f"output must name a file, got the folder {output}")
    runs = [read_folder(one) for one in folders]
    if output is not None:
        read = [path for run in runs for path in run.folder.glob("*") if path.suffix != ".html"]
        check_output("output", str(output), *map(str, read))
    if len(runs) == 1:
        page = page_of(runs[0], load(runs[0], data_dir, Console(stderr=True, quiet=not progress)))
        target = Path(output or runs[0].folder / "report.html")
    elif data_dir is not None:
        raise ConfigError(f"data_dir must be left out with {len(runs)} runs: no data is read")
    else:
        page, target = comparison_of(runs), Path(output or "comparison.html")
    made = datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")
    names = ", ".join(map(str, folders))
    write_text(target, render(page, f"{names}. Made by qrnn {environment()['qrnn']}, {made}."))
    return target


def render(page: Page, footer: str) -> str:
    """Return a page as HTML, with all text escaped."""
    environment = Environment(
        loader=PackageLoader("qrnn.reporting", "."), autoescape=True, undefined=StrictUndefined
    )
    style = Markup((files("qrnn.reporting") / "style.css").read_text(encoding="utf-8"))
    html = environment.get_template("page.html").render(page=page, style=style, footer=footer)
    # A name in a damaged file may contain a lone surrogate.
    return html.encode("utf-8", "replace").decode("utf-8")
