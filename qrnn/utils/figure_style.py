"""The style of all figures (colours, lines, fonts), and how they are saved."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qrnn.utils.files import atomic_write

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Okabe and Ito's colour-blind safe palette (jfly.uni-koeln.de/color). Lines also differ in style,
# for printing without colour.
BLACK, ORANGE, SKY, GREEN = "#000000", "#E69F00", "#56B4E9", "#009E73"
BLUE, VERMILLION, PURPLE, GREY = "#0072B2", "#D55E00", "#CC79A7", "#999999"
DASHED, DOTTED = (0, (4, 1.5)), (0, (1, 1.2))
VALUES = "cividis"  # monotonic in lightness, for colour-blind readers and printing in grey
AMOUNTS = "Greys"
FORMATS = ("svg", "pdf", "png")
DPI = 200

_SETTINGS: dict[Any, Any] = {
    "font.size": 9,
    "font.family": "sans-serif",
    # The first is matplotlib's own; Verdana, which is as wide, replaces it in an SVG viewer.
    "font.sans-serif": ["DejaVu Sans", "Verdana"],
    "axes.titlesize": 9,
    "axes.labelsize": 9,
    "xtick.labelsize": 8,
    "ytick.labelsize": 8,
    "legend.fontsize": 8,
    "legend.frameon": False,
    "legend.handlelength": 2.6,
    "figure.titlesize": 9,
    "axes.linewidth": 0.7,
    "xtick.major.width": 0.7,
    "ytick.major.width": 0.7,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": False,
    "grid.alpha": 0.3,
    "grid.linewidth": 0.6,
    "lines.linewidth": 1.4,
    "image.interpolation": "nearest",
    "pdf.fonttype": 42,  # editable text
    "svg.fonttype": "none",  # searchable text
    "svg.hashsalt": "qrnn",  # reproducible files
}


@contextmanager
def styled() -> Iterator[None]:
    """Draw and save figures in the project's style without changing matplotlib's settings."""
    import matplotlib

    with matplotlib.rc_context(_SETTINGS):
        yield


def write(figure: Figure, path: str | Path) -> Path:
    """Write a figure in the format that its path ends with; return the path."""
    path = Path(path)
    undated: dict[str, dict[str, Any]] = {".svg": {"Date": None}, ".pdf": {"CreationDate": None}}
    metadata = undated.get(path.suffix)
    with atomic_write(path) as temporary:
        figure.savefig(temporary, dpi=DPI, bbox_inches="tight", metadata=metadata)
    return path


def write_all(figure: Figure, path: str | Path, formats: Sequence[str]) -> list[Path]:
    """Save a figure in several formats to a path without suffix; return the paths."""
    return [write(figure, Path(f"{path}.{ending}")) for ending in formats]
