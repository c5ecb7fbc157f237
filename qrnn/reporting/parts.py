"""What a page is made of: plain values, which the template lays out and escapes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple


class Table(NamedTuple):
    """Rows with a cell for each heading; the columns `numbers`, from 0, are aligned right."""

    headings: Sequence[str]
    rows: Sequence[Sequence[str]]
    numbers: Sequence[int] = ()
    caption: str = ""
    kind: str = "table"


class Figure(NamedTuple):
    """A picture as a `data:` address (`plots.data_url`); a wide one scrolls on a phone."""

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
    """A paragraph; a missing one says that something is not there, and what would bring it."""

    text: str
    missing: bool = False
    kind: str = "text"


class Code(NamedTuple):
    """Lines of fixed width, folded under the title if there is one."""

    text: str
    title: str = ""
    kind: str = "code"


Part = Table | Figure | Facts | Text | Code


class Page(NamedTuple):
    """A whole page: its title, the result in a line, parts by headings, and a line a lost file."""

    title: str
    lead: str
    sections: Mapping[str, Sequence[Part]]
    missing: Sequence[str]
