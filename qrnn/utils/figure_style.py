"""The look of all figures: colours, line styles, fonts, and how a figure is written."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qrnn.utils.files import replacing

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Okabe and Ito's colours, which colour-blind readers tell apart (jfly.uni-koeln.de/color). Lines
# differ by their style too, for readers without colour.
BLACK, ORANGE, SKY, GREEN = "#000000", "#E69F00", "#56B4E9", "#009E73"
BLUE, VERMILLION, PURPLE, GREY = "#0072B2", "#D55E00", "#CC79A7", "#999999"
DASHED, DOTTED = (0, (4, 1.5)), (0, (1, 1.2))
VALUES = "cividis"  # from dark to light, to colour-blind and grey-only readers alike
AMOUNTS = "Greys"
FORMATS = ("svg", "pdf", "png")
DPI = 200

_SETTINGS: dict[Any, Any] = {
    "font.size": 9,
    "font.family": "sans-serif",
    # The first comes with matplotlib; readers of an SVG who lack it see the next, which is as wide.
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
    "pdf.fonttype": 42,  # text that an editor can change
    "svg.fonttype": "none",  # text that can be searched and copied
    "svg.hashsalt": "qrnn",  # the same figure gives the same file
}


@contextmanager
def styled() -> Iterator[None]:
    """Draw and write figures in the project's style, and leave matplotlib's settings alone."""
    import matplotlib

    with matplotlib.rc_context(_SETTINGS):
        yield


def write(figure: Figure, path: str | Path) -> Path:
    """Write a figure in the format that its path ends with; return the path."""
    path = Path(path)
    undated: dict[str, dict[str, Any]] = {".svg": {"Date": None}, ".pdf": {"CreationDate": None}}
    metadata = undated.get(path.suffix)
    with replacing(path) as temporary:
        figure.savefig(temporary, dpi=DPI, bbox_inches="tight", metadata=metadata)
    return path


def write_all(figure: Figure, path: str | Path, formats: Sequence[str]) -> list[Path]:
    """Write a figure in several formats, each behind a path without ending; return the paths."""
    return [write(figure, Path(f"{path}.{ending}")) for ending in formats]
