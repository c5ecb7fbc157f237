"""What a page is made of: plain values, which the template only lays out and escapes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import ClassVar

from markupsafe import Markup


@dataclass(frozen=True)
class Span:
    """A piece of text.

    Attributes:
        text: as it is read.
        wrong: whether it is what should not have been said.
    """

    text: str
    wrong: bool = False


Cell = str | Sequence[Span]


@dataclass(frozen=True)
class Table:
    """Rows under headings.

    Attributes:
        headings: of the columns; the first column names the row.
        rows: a cell for each heading.
        numbers: columns, counted from 0, that are aligned as numbers.
        caption: what a reader must know of it, or nothing.
    """

    kind: ClassVar[str] = "table"
    headings: Sequence[str]
    rows: Sequence[Sequence[Cell]]
    numbers: Sequence[int] = ()
    caption: str = ""


@dataclass(frozen=True)
class Figure:
    """A picture.

    Attributes:
        svg: the drawing, as `svg.inline` returns it.
        caption: what is seen.
        wide: whether it needs a row of its own, and a box that scrolls on a phone.
    """

    svg: Markup
    caption: str
    wide: bool = False


@dataclass(frozen=True)
class Figures:
    """Pictures side by side, as far as the page is wide."""

    kind: ClassVar[str] = "figures"
    figures: Sequence[Figure]


@dataclass(frozen=True)
class Facts:
    """Names and values.

    Attributes:
        pairs: of each fact.
    """

    kind: ClassVar[str] = "facts"
    pairs: Sequence[tuple[str, str]]


@dataclass(frozen=True)
class Text:
    """A paragraph.

    Attributes:
        text: as it is read.
        missing: whether it says that something is missing, and what brings it.
    """

    kind: ClassVar[str] = "text"
    text: str
    missing: bool = False


@dataclass(frozen=True)
class Code:
    """Lines of fixed width: commands, a configuration.

    Attributes:
        text: the lines.
        title: what is clicked to see them; nothing: they are seen at once.
    """

    kind: ClassVar[str] = "code"
    text: str
    title: str = ""


Part = Table | Figures | Facts | Text | Code


@dataclass(frozen=True)
class Section:
    """Parts under a heading.

    Attributes:
        name: of the link to it.
        title: the heading.
        parts: in order.
    """

    name: str
    title: str
    parts: Sequence[Part]


@dataclass(frozen=True)
class Page:
    """A whole page.

    Attributes:
        title: what the page is of.
        lead: the result in a line.
        tiles: the main numbers: name, value and, in small, what it is of.
        sections: in order.
        footer: who made it, and when.
    """

    title: str
    lead: str
    tiles: Sequence[tuple[str, str, str]]
    sections: Sequence[Section]
    footer: str = ""
    missing: Sequence[str] = field(default_factory=tuple)
