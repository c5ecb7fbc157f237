"""The style of all figures (colours, lines, fonts), and how they are saved."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qrnn.utils.files import atomic_write, write_text

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Okabe and Ito's colour-blind safe palette (jfly.uni-koeln.de/color). Lines also differ in style,
# for printing without colour.
BLACK, ORANGE, SKY, GREEN = "#000000", "#E69F00", "#56B4E9", "#009E73"
BLUE, VERMILLION, GREY = "#0072B2", "#D55E00", "#999999"
DASHED, DOTTED = (0, (4, 1.5)), (0, (1, 1.2))
VALUES = "cividis"  # monotonic in lightness, for colour-blind readers and printing in grey
AMOUNTS = "Greys"
FORMATS = ("svg", "pdf", "png")
DPI = 200
# An SVG in a dark page, or in a viewer on a dark desktop: lightness reversed, hues kept.
_REVERSED = "invert(0.88) hue-rotate(180deg) brightness(1.25)"
DARK = f"@media (prefers-color-scheme: dark) {{svg {{filter: {_REVERSED}}}}}"

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


def svg(figure: Figure) -> str:
    """Return a figure as an SVG image, which is light or dark as the page that shows it."""
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg", dpi=DPI, bbox_inches="tight", metadata={"Date": None})
    return with_dark(buffer.getvalue())


def with_dark(image: str) -> str:
    """Return an SVG image by matplotlib with its dark form."""
    return image.replace("</style>", f"{DARK}</style>", 1)


def write(figure: Figure, path: str | Path) -> Path:
    """Write a figure in the format that its path ends with; return the path."""
    path = Path(path)
    if path.suffix == ".svg":
        write_text(path, svg(figure))
        return path
    metadata = {"CreationDate": None} if path.suffix == ".pdf" else None
    with atomic_write(path) as temporary:
        figure.savefig(temporary, dpi=DPI, bbox_inches="tight", metadata=metadata)
    return path


def write_all(figure: Figure, path: str | Path, formats: Sequence[str]) -> list[Path]:
    """Save a figure in several formats to a path without suffix; return the paths."""
    return [write(figure, Path(f"{path}.{ending}")) for ending in formats]
