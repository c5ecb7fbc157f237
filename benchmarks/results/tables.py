"""Markdown tables that leave out what is the same in every row."""

from __future__ import annotations

from collections.abc import Sequence


def table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a table; its first column is text, the others are numbers."""
    lines = [list(headings), ["---"] + ["---:"] * (len(headings) - 1), *map(list, rows)]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def without_constants(
    headings: Sequence[str], rows: Sequence[Sequence[str]], keep: Sequence[str] = ()
) -> tuple[list[str], list[list[str]], str]:
    """Drop the columns that are the same in every row.

    Args:
        headings: of the columns, the names of the rows first.
        rows: their cells.
        keep: headings of columns that stay.

    Returns:
        The headings and rows that are left, and a sentence on the others.
    """
    values = [{row[k] for row in rows} for k in range(len(headings))]
    left = [k for k, h in enumerate(headings) if k == 0 or h in keep or len(values[k]) > 1]
    facts = [
        f"{headings[k]} {rows[0][k]}"
        for k in range(len(headings))
        if k not in left and rows[0][k] not in ("", "none")
    ]
    start = "The same in every row" if len(rows) > 1 else "Settings"
    sentence = f"{start}: {'; '.join(facts)}." if facts else ""
    return [headings[k] for k in left], [[row[k] for k in left] for row in rows], sentence
