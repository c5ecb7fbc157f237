"""A matplotlib figure as SVG inside a page: its colours follow the page, light or dark."""

from __future__ import annotations

import io
import itertools
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree

from markupsafe import Markup

from qrnn.utils import figure_style as style

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# The page's stylesheet has a value of each, for light and for dark.
COLOURS = {
    style.BLACK: "currentColor",
    "#FFFFFF": "var(--paper)",
    style.BLUE: "var(--blue)",
    style.ORANGE: "var(--orange)",
    style.GREEN: "var(--green)",
    style.VERMILLION: "var(--vermillion)",
    style.PURPLE: "var(--purple)",
    style.SKY: "var(--sky)",
    "#B0B0B0": "var(--grid)",  # matplotlib's own
}
_BY_CODE = {code.lower(): value for code, value in COLOURS.items()}
_SETTINGS: dict[Any, Any] = {
    "svg.fonttype": "none",  # text stays text: it can be searched, and takes the page's font
    "text.parse_math": False,  # a class may be called "$"
    "figure.facecolor": "none",
    "axes.facecolor": "none",
    "savefig.facecolor": "none",
}
_UNWANTED = {"Date": None, "Creator": None, "Format": None, "Type": None}
_numbers = itertools.count()


@contextmanager
def drawing() -> Iterator[None]:
    """Draw in the project's style, for a page."""
    import matplotlib

    with style.styled(), matplotlib.rc_context(_SETTINGS):
        yield


def inline(figure: Figure, alt: str) -> Markup:
    """Return a figure as an `svg` element that scales with the page.

    Args:
        figure: as drawn within `drawing`.
        alt: what it shows, for those who cannot see it.
    """
    buffer = io.StringIO()
    with drawing():
        figure.savefig(buffer, format="svg", bbox_inches="tight", metadata=_UNWANTED)
    root = ElementTree.fromstring(buffer.getvalue())
    wanted = set(re.findall(r"#([\w.-]+)\)", buffer.getvalue()))  # url(#...)
    wanted |= {value[1:] for _, value in _links(root)}
    prefix = f"f{next(_numbers)}-"  # the ids of two figures must not meet on the page
    for element in root.iter():
        element.tag = element.tag.rpartition("}")[2]
        for name in list(element.attrib):
            value = element.attrib.pop(name)
            name = name.rpartition("}")[2]
            if name == "id" and value not in wanted:
                continue
            element.set(name, _value(name, value, prefix))
    for parent in root.iter("defs"):
        for rule in parent.findall("style"):  # it would hold for the whole page
            parent.remove(rule)
    width = float(root.attrib.pop("width").removesuffix("pt"))
    del root.attrib["height"]
    root.set("fill", "currentColor")  # what is black has no colour of its own
    root.set("style", f"--width:{width * 4 / 3:.0f}px")
    root.set("role", "img")
    root.set("aria-label", alt)
    return Markup(ElementTree.tostring(root, encoding="unicode"))


def _links(root: ElementTree.Element) -> Iterator[tuple[str, str]]:
    for element in root.iter():
        for name, value in element.attrib.items():
            if name.endswith("href") and value.startswith("#"):
                yield name, value


def _value(name: str, value: str, prefix: str) -> str:
    """Return an attribute as it is on the page."""
    if name == "id":
        return prefix + value
    if name == "href" and value.startswith("#"):
        return f"#{prefix}{value[1:]}"
    value = re.sub(r"url\(#", f"url(#{prefix}", value)
    if name != "style":
        return value
    value = re.sub(r"\bfont: ?(?:(\d+) )?([\d.]+px) [^;]*", _font, value)
    value = re.sub(r"\bfont-family: ?[^;]*;? ?", "", value)
    return re.sub(r"#[0-9a-f]{6}\b", lambda found: _BY_CODE.get(found[0], found[0]), value)


def _font(found: re.Match[str]) -> str:
    weight = f"font-weight: {found[1]}; " if found[1] else ""
    return f"{weight}font-size: {found[2]}"
