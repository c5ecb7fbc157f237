"""The parts of a page: plain values, which the template lays out and escapes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple


class Table(NamedTuple):
    """Rows with one cell per heading; the columns listed in `numbers` are aligned right."""

    headings: Sequence[str]
    rows: Sequence[Sequence[str]]
    numbers: Sequence[int] = ()
    caption: str = ""
    kind: str = "table"


class Figure(NamedTuple):
    """An image as a `data:` URL (`plots.data_url`); a wide one scrolls on a phone."""

    source: str
    caption: str
    alt: str
    wide: bool = False
    kind: str = "figure"


class Facts(NamedTuple):
    """Names and values."""

    pairs: Sequence[tuple[str, str]]
    kind: str = "facts"


class Text(NamedTuple):
    """A paragraph; with `missing`, it says what is missing and how to get it."""

    text: str
    missing: bool = False
    kind: str = "text"


class Code(NamedTuple):
    """Preformatted text, collapsed under its title if it has one."""

    text: str
    title: str = ""
    kind: str = "code"


Part = Table | Figure | Facts | Text | Code


class Page(NamedTuple):
    """A page: its title, the result in one line, parts by heading, and a line per missing file."""

    title: str
    lead: str
    sections: Mapping[str, Sequence[Part]]
    missing: Sequence[str]
